/** The board as a native program with sanitizers, on a pty: its flash is a file, its power the test's. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Board, openBoard } from "../../host/src/board/board.ts";
import { type ModuleVersion, wrapModule } from "../../host/src/board/module-image.ts";
import { serialLineAt } from "../../host/src/board/serial-port.ts";
import { realWorld } from "../../host/src/world.ts";
import { makeBoard } from "./board-driver.ts";

/** Nothing that a board does takes longer. */
const PATIENCE_MS = 30_000;

export class PosixBoard {
  /** What the console has said, over restarts. */
  readonly said: string[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), "wasmqtt-posix-"));
  readonly #program = makeBoard("build/posix-sanitized/board");
  #process: ChildProcess | undefined;
  #path = "";
  #stderr = "";
  #board: Board | undefined;

  /** Switches it on. */
  async start(): Promise<void> {
    const process = spawn(this.#program, ["--flash", join(this.#folder, "flash.img")], {
      env: { ASAN_OPTIONS: "detect_leaks=0" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process = process;
    process.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    const { value } = await createInterface({ input: process.stdout })
      [Symbol.asyncIterator]()
      .next();
    if (typeof value !== "string") throw new Error(`The board has no pty: ${this.#stderr}`);
    this.#path = value;
  }

  /** The power fails. */
  async cut(): Promise<void> {
    await this.unplug();
    const process = this.#process;
    this.#process = undefined;
    if (process === undefined) return;
    const ended = once(process, "close");
    process.kill("SIGKILL");
    await ended;
  }

  /** Ends it. Throws what a sanitizer has found. */
  async end(): Promise<void> {
    await this.cut();
    rmSync(this.#folder, { recursive: true, force: true });
    if (this.#stderr !== "") throw new Error(this.#stderr);
  }

  /** Processor time that it has used since it was switched on, in ticks of 10 ms. */
  get ticks(): number {
    const stat = readFileSync(`/proc/${this.#process?.pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return Number(fields[11]) + Number(fields[12]);
  }

  /** What `--device` takes. */
  get path(): string {
    return this.#path;
  }

  /** What opens its line. */
  get line(): ReturnType<typeof serialLineAt> {
    return serialLineAt(this.#path, { platform: process.platform });
  }

  /** Opens its line for management. */
  async plug(): Promise<Board> {
    this.#board ??= await openBoard({
      world: realWorld,
      openLine: this.line,
      console: ({ text }) => this.said.push(text),
    });
    return this.#board;
  }

  /** Leaves the line to others. */
  async unplug(): Promise<void> {
    await this.#board?.close();
    this.#board = undefined;
  }

  /** Brings a module into the other slot and restarts with it. */
  async flash(module: Uint8Array, version: ModuleVersion, how: "test" | "confirm"): Promise<void> {
    const board = await this.plug();
    const image = wrapModule(module, { version });
    await board.upload(image.bytes);
    await board[how](image.hash);
    await board.restart();
  }

  /** Waits for a line of the console that matches, among those from `from` on; answers it. */
  async says(pattern: RegExp, from = 0): Promise<string> {
    const found = await this.until(async () =>
      this.said.slice(from).find((line) => pattern.test(line)),
    );
    return found;
  }

  /** Asks until there is an answer. Rejects with what the console said instead. */
  async until<Answer>(ask: () => Promise<Answer | undefined>): Promise<Answer> {
    const endMs = realWorld.nowMs() + PATIENCE_MS;
    for (;;) {
      const answer = await ask();
      if (answer !== undefined) return answer;
      if (realWorld.nowMs() > endMs) {
        throw new Error(`The board did not come to it:\n${this.said.join("\n")}\n${this.#stderr}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
