/** What a command is: a file that registers itself, a function that runs, and what it is given. */

import type { Command } from "commander";
import { aborted } from "../aborted.ts";
import type { ModuleName } from "../core/core.ts";
import { UsageError } from "../errors.ts";
import type { World } from "../world.ts";
import { ExitCode } from "./exit-code.ts";
import { Output, type TextStream } from "./output.ts";

/** All that the command line takes from its process. */
export interface CliContext {
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly world: World;
  /**
   * Aborted by the first Ctrl-C, by SIGTERM, or when nobody reads stdout any more; `reason` is the exit code. Finish
   * what is under way, print the summary and return. The second Ctrl-C ends the process at once, unless `hurry` is there.
   */
  readonly interrupt: AbortSignal;
  readonly system: SystemFacts;
  /** Reads a whole file; throws what node:fs throws. */
  readonly readFile: (path: string | URL) => Buffer;
  /** What a command does at the second Ctrl-C: it returns soon, with what it has. The third ends the process. */
  hurry?: (() => void) | undefined;
  /** What the command that ran has answered. */
  exitCode: ExitCode;
}

/** The process and the machine it runs on. */
export interface SystemFacts {
  /** Of this package. */
  readonly version: string;
  /** As in "22.1.0". */
  readonly nodeVersion: string;
  /** As in "linux". */
  readonly platform: string;
  /** Processors that this process may use. */
  readonly cpuCount: number;
  /** How many files and sockets this process may have open at once; undefined without a limit. */
  readonly openFileCountMax: number | undefined;
  /** User and system time of this process since its start, in microseconds. */
  readonly cpuUs: () => number;
  /** Resident memory of this process, in bytes. */
  readonly rssBytes: () => number;
  /** The modules that come with this package; rejects where they are not built. */
  readonly readModule: (name: ModuleName) => Promise<Uint8Array>;
}

/** Adds one command to the program. */
export type RegisterCommand = (program: Command, context: CliContext) => void;

/** One run of a command. */
export interface CommandCall<Flags> {
  readonly context: CliContext;
  readonly output: Output;
  /** By their long names in camelCase. */
  readonly flags: Flags;
  readonly args: readonly string[];
}

/** The action of a command: `run` with its output, whose answer becomes the exit code. */
export function action<Flags>(
  context: CliContext,
  run: (call: CommandCall<Flags>) => Promise<ExitCode>,
): (...received: unknown[]) => Promise<void> {
  return async (...received) => {
    const command = received.at(-1) as Command;
    const output = createOutput(context, command.optsWithGlobals());
    const sayStopping = () => {
      if (context.interrupt.reason !== ExitCode.Interrupted) return;
      output.note("Stopping. Press Ctrl-C again to end at once.");
    };
    context.interrupt.addEventListener("abort", sayStopping, { once: true });
    try {
      const flags = command.opts<Flags & Record<string, unknown>>();
      context.exitCode = await run({ context, output, flags, args: command.args });
    } finally {
      context.interrupt.removeEventListener("abort", sayStopping);
      output.endProgress();
    }
  };
}

interface GlobalFlags {
  color?: boolean;
  quiet?: boolean;
  progress?: boolean;
}

export function createOutput(
  { stdout, stderr, env, world }: CliContext,
  { color = true, quiet = false, progress = true }: GlobalFlags,
): Output {
  return new Output({ stdout, stderr, env, world, color, quiet, progress });
}

/** Resolves when the person wants the command to end. */
export function interrupted({ interrupt }: CliContext): Promise<void> {
  return aborted(interrupt);
}

/** A whole file that the person named; `what` says which, as in "CA file". Throws a UsageError. */
export function readUserFile(
  { readFile }: Pick<CliContext, "readFile">,
  path: string,
  what: string,
): Buffer {
  try {
    return readFile(path);
  } catch (cause) {
    const reason = FILE_PROBLEMS.get((cause as NodeJS.ErrnoException).code) ?? String(cause);
    throw new UsageError(
      `The ${what} ${JSON.stringify(path)} cannot be read: ${reason}`,
      "Give the path of a file that this user may read",
      { cause },
    );
  }
}

const FILE_PROBLEMS: ReadonlyMap<string | undefined, string> = new Map([
  ["ENOENT", "there is no such file"],
  ["EACCES", "this user may not read it"],
  ["EISDIR", "it is a folder"],
]);
