/** What an output is: something that is given the samples of a run while it goes on, and its result in the end. */

import type { RunResult } from "../run/result.ts";
import type { RunSample } from "../run/run-sample.ts";
import type { OutputDisk } from "./file-target.ts";

/** Why something is missing in an output, and what to do: for the person who asked for it. */
export interface OutputProblem {
  readonly problem: string;
  readonly remedy: string;
}

/** One output. What can be checked before a run has been checked, and nothing has been changed yet. */
export interface OpenOutput {
  /** The files that are or will be written. */
  readonly paths?: readonly string[];
  /** Called once all outputs are open. Throws a UsageError. */
  begin?(): Promise<void>;
  sample?(sample: RunSample): void;
  /** Writes the rest and closes. Undefined if all of it is where it belongs. Does not reject. */
  finish(result: RunResult): Promise<OutputProblem | undefined>;
  /** Gives up what `finish` would have written; after `finish` it does nothing. Does not reject. */
  close?(): Promise<void>;
}

/** What outputs know about the run before it starts, and what they take from outside. */
export interface OutputsContext {
  readonly scenario: { readonly name: string; readonly seed: number };
  /** Of wasmqtt. */
  readonly version: string;
  /** Milliseconds since 1970-01-01 UTC. */
  readonly unixMs: () => number;
  /** `node:fs/promises`, if absent. */
  readonly disk?: OutputDisk;
  /** By `--json`. */
  readonly isStdoutTaken?: boolean;
  /** Writes to stdout: one or more lines, without the last line feed. */
  readonly print: (lines: string) => void;
  /** Something good to know, such as where the metrics are. */
  readonly note: (text: string) => void;
  /** Something that must not be overlooked, said while the run goes on. */
  readonly warn: (text: string) => void;
}
