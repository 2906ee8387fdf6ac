/** An output that grows with every sample, so that it can be followed while the run goes on. */

import { constants } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import type { RunResult } from "../run/result.ts";
import type { RunSample } from "../run/run-sample.ts";
import {
  cannotBeWritten,
  type FileTarget,
  findTarget,
  type OutputDisk,
  writeTrouble,
} from "./file-target.ts";
import type { OpenOutput, OutputProblem } from "./output.ts";

/** How samples become lines; each text ends with a line feed. Used for one run. */
export interface SampleFormat {
  begin(): string;
  sample(sample: RunSample): string;
  end(result: RunResult): string;
}

/** What waits because the device is slow may take so much memory: some ten minutes of samples with histograms. */
const WAITING_LENGTH_MAX = 16 * 1024 * 1024;

/** Opens `path`, but leaves what is in it. Throws a UsageError if it may not be written. */
export async function openStream(
  path: string,
  format: SampleFormat,
  { disk, warn }: { disk: OutputDisk; warn: (text: string) => void },
): Promise<OpenOutput> {
  const target = await findTarget(path, disk);
  try {
    const file = await disk.open(target.path, constants.O_WRONLY | constants.O_CREAT);
    return new FileStream({ target, file, format, disk, warn });
  } catch (cause) {
    throw cannotBeWritten(path, cause);
  }
}

interface FileStreamOptions {
  target: FileTarget;
  file: FileHandle;
  format: SampleFormat;
  disk: OutputDisk;
  warn: (text: string) => void;
}

class FileStream implements OpenOutput {
  readonly #options: FileStreamOptions;
  /** Bytes of whole samples in the file. */
  #length = 0;
  #waitingLength = 0;
  #hasBegun = false;
  #isEnding = false;
  #isClosed = false;
  /** All that was asked for so far. Does not reject. */
  #writes: Promise<void> = Promise.resolve();
  #problem: OutputProblem | undefined;

  constructor(options: FileStreamOptions) {
    this.#options = options;
  }

  get paths(): readonly string[] {
    return [this.#options.target.path];
  }

  /** Empties the file and writes how it begins. Throws a UsageError if that does not work. */
  async begin(): Promise<void> {
    const { target, file, format } = this.#options;
    try {
      if (target.isRegular) await file.truncate(0);
      await this.#append(format.begin());
      this.#hasBegun = true;
    } catch (cause) {
      throw cannotBeWritten(target.name, cause);
    }
  }

  sample(sample: RunSample): void {
    this.#write(this.#options.format.sample(sample));
  }

  async finish(result: RunResult): Promise<OutputProblem | undefined> {
    this.#isEnding = true;
    this.#write(this.#options.format.end(result));
    await this.#writes;
    await this.#close();
    return this.#problem;
  }

  /** A file that was made for nothing is removed again. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    await this.#writes;
    await this.#close();
    const { target, disk } = this.#options;
    if (target.isNew && !this.#hasBegun) await disk.unlink(target.path).catch(() => {});
  }

  #write(text: string): void {
    if (this.#problem !== undefined) return;
    this.#waitingLength += text.length;
    if (this.#waitingLength > WAITING_LENGTH_MAX) {
      this.#fail("it takes up what is written too slowly", "Write to a faster place");
      return;
    }
    this.#writes = this.#writes.then(async () => {
      if (this.#problem !== undefined) return;
      try {
        await this.#append(text);
      } catch (error) {
        const { reason, remedy } = writeTrouble(error);
        this.#fail(reason, remedy);
        await this.#cutOffRest();
      }
      this.#waitingLength -= text.length;
    });
  }

  async #append(text: string): Promise<void> {
    const bytes = Buffer.from(text);
    await this.#options.file.writeFile(bytes);
    this.#length += bytes.length;
  }

  #fail(reason: string, remedy: string): void {
    const { target, warn } = this.#options;
    const name = JSON.stringify(target.name);
    this.#problem = { problem: `${name} is incomplete: ${reason}`, remedy };
    if (!this.#isEnding)
      warn(`${name} cannot be written any more: ${reason}. The run goes on without it.`);
  }

  /** Half a line would make the whole file unreadable for many programs. */
  async #cutOffRest(): Promise<void> {
    const { target, file } = this.#options;
    if (target.isRegular) await file.truncate(this.#length).catch(() => {});
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    try {
      await this.#options.file.close();
    } catch (error) {
      const { reason, remedy } = writeTrouble(error);
      if (this.#problem === undefined) this.#fail(reason, remedy);
    }
  }
}

/** A stream on stdout. */
export function printedStream(format: SampleFormat, print: (lines: string) => void): OpenOutput {
  const printLines = (text: string) => {
    if (text !== "") print(text.replace(/\n$/u, ""));
  };
  return {
    async begin() {
      printLines(format.begin());
    },
    sample: (sample) => printLines(format.sample(sample)),
    async finish(result) {
      printLines(format.end(result));
      return undefined;
    },
  };
}
