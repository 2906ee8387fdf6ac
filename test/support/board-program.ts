/** A test program of firmware/board/tests that obeys one line with one line. */

import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { makeBoard } from "./board-driver.ts";

export class BoardProgram {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;
  #stderr = "";

  /** Builds and starts it. Throws what the compiler said. */
  constructor(name: string) {
    this.#process = spawn(makeBoard(`build/posix-sanitized/tests/${name}`));
    this.#process.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    this.#process.stdin.on("error", () => undefined); // it has ended: ask() says so
    this.#answers = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  /** Gives it one line; what it answers. Rejects with what it wrote to stderr if it ended instead, or a promise was broken. */
  async ask(line: string): Promise<string> {
    this.#process.stdin.write(`${line}\n`);
    const { value, done } = await this.#answers.next();
    if (done || value.startsWith("broken")) {
      throw new Error(`${line}: ${value ?? "the program ended"}\n${this.#stderr}`);
    }
    return value;
  }

  /** Ends it; harmless if it has ended. */
  end(): void {
    this.#process.kill("SIGKILL");
  }
}
