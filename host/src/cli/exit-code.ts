/** The exit codes of the command line, and which error ends in which. */

import { inspect } from "node:util";
import { BoardError } from "../board/board-error.ts";
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
  if (error instanceof StoreError || error instanceof BoardError) {
    return { exitCode: ExitCode.Device, problem, remedy: error.remedy };
  }
  if (error instanceof PublishError) {
    return { exitCode: ExitCode.Incomplete, problem, remedy: error.remedy };
  }
  if (OUT_OF_FILES.has((error as NodeJS.ErrnoException | undefined)?.code)) {
    return {
      exitCode: ExitCode.Usage,
      problem: `This process may not open as many files as it needs even to begin: ${problem}`,
      remedy: "Raise the limit of open files: `wasmqtt doctor -c NUMBER` says how",
    };
  }
  const report = "please report it with the lines below and what you typed";
  const unexpected = { exitCode: ExitCode.Unexpected, stack: inspect(error) };
  if (isTrap(error)) {
    return {
      ...unexpected,
      problem: `The firmware trapped: ${problem}`,
      remedy: `With --firmware, the bug is in that module: the lines below say in which function. Without, it is one in wasmqtt: ${report}`,
    };
  }
  return { ...unexpected, problem, remedy: `This is a bug in wasmqtt: ${report}` };
}

/** Of the process, and of the whole system. */
const OUT_OF_FILES: ReadonlySet<string | undefined> = new Set(["EMFILE", "ENFILE"]);

/** A `WebAssembly.RuntimeError`, also one that comes from another thread: of its class only the name is left then. */
function isTrap(error: unknown): boolean {
  return error instanceof Error && error.name === "RuntimeError";
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
