/** The exit codes of the command line, and which error ends in which. */

import { inspect } from "node:util";
import { PublishError } from "../client/client-errors.ts";
import { ConnectionError, ProtocolError, RefusedError, UsageError } from "../errors.ts";
import { StoreError } from "../store/store-errors.ts";

export const ExitCode = {
  Ok: 0,
  /** A bug of ours. */
  Unexpected: 1,
  /** Wrong flags or arguments, an unreadable file, an invalid scenario. */
  Usage: 2,
  /** The broker could not be reached, refused us, or went away. */
  Connection: 3,
  /** A board or its serial line failed, or the store of a device's session. */
  Device: 4,
  /** A part of the result is missing. */
  Incomplete: 5,
  /** The command worked, and what it checked does not hold. */
  ExpectationFailed: 99,
  /** 128 + SIGINT and 128 + SIGTERM, as shells report them. */
  Interrupted: 130,
  Terminated: 143,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** What to tell the person at the keyboard, and what the process answers. */
export interface Explanation {
  readonly exitCode: ExitCode;
  readonly problem: string;
  readonly remedy: string;
  /** For a bug only. */
  readonly stack?: string;
}

/** Every error that reaches the command line passes through here. */
export function explain(error: unknown): Explanation {
  const problem = error instanceof Error ? error.message : String(error);
  if (error instanceof UsageError) {
    return { exitCode: ExitCode.Usage, problem, remedy: error.remedy };
  }
  if (error instanceof ConnectionError || error instanceof RefusedError) {
    return { exitCode: ExitCode.Connection, problem, remedy: error.remedy };
  }
  if (error instanceof ProtocolError) {
    return { exitCode: ExitCode.Connection, problem, remedy: "See the broker's log" };
  }
  if (error instanceof StoreError) {
    return { exitCode: ExitCode.Device, problem, remedy: error.remedy };
  }
  if (error instanceof PublishError) {
    return { exitCode: ExitCode.Incomplete, problem, remedy: error.remedy };
  }
  const remedy =
    "This is a bug in wasmqtt: please report it with the lines below and what you typed";
  return { exitCode: ExitCode.Unexpected, problem, remedy, stack: inspect(error) };
}

/** For the help texts. */
export const EXIT_CODES_TEXT = `Exit codes:
  0    done
  1    an unexpected error: a bug
  2    wrong flags or arguments, an unreadable file, an invalid scenario
  3    the broker could not be reached, refused the connection, or ended it
  4    a board or its serial line failed, or the store of a device's session
  5    the result is incomplete
  99   something that was checked does not hold
  130  ended by Ctrl-C (SIGINT)
  143  ended by SIGTERM`;
