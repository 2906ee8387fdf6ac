/** An output that is written when the run is over: one document, or several that belong together. */

import type { RunResult } from "../run/result.ts";
import {
  type FileTarget,
  findTarget,
  type OutputDisk,
  replaceFile,
  tryReplacing,
  writeTrouble,
} from "./file-target.ts";
import type { OpenOutput, OutputProblem } from "./output.ts";

/** What a result is as text; undefined if there is nothing to write. */
export type Render = (result: RunResult) => string | undefined | Promise<string>;

export interface DocumentFile {
  readonly path: string;
  readonly render: Render;
}

/** Throws a UsageError if one of them could not be written. */
export async function openDocuments(
  documents: readonly DocumentFile[],
  disk: OutputDisk,
): Promise<OpenOutput> {
  const parts: DocumentPart[] = [];
  for (const { path, render } of documents) {
    const target = await findTarget(path, disk);
    await tryReplacing(target, disk);
    parts.push({ target, render });
  }
  return new DocumentOutput(parts, disk);
}

interface DocumentPart {
  readonly target: FileTarget;
  readonly render: Render;
}

class DocumentOutput implements OpenOutput {
  readonly #parts: readonly DocumentPart[];
  readonly #disk: OutputDisk;

  constructor(parts: readonly DocumentPart[], disk: OutputDisk) {
    this.#parts = parts;
    this.#disk = disk;
  }

  get paths(): readonly string[] {
    return this.#parts.map(({ target }) => target.path);
  }

  /** A part that cannot be written does not keep the others from being written. */
  async finish(result: RunResult): Promise<OutputProblem | undefined> {
    let problem: OutputProblem | undefined;
    for (const { target, render } of this.#parts) {
      try {
        const text = await render(result);
        if (text !== undefined) await replaceFile(target, text, this.#disk);
      } catch (error) {
        const { reason, remedy } = writeTrouble(error);
        problem ??= { problem: `${JSON.stringify(target.name)} is not written: ${reason}`, remedy };
      }
    }
    return problem;
  }
}

/** A document on stdout. */
export function printedDocument(render: Render, print: (lines: string) => void): OpenOutput {
  return {
    async finish(result) {
      const text = await render(result);
      if (text !== undefined) print(text.replace(/\n$/u, ""));
      return undefined;
    },
  };
}
