/** A module and its journal as a board runs them: firmware/board/tests/module-driver.c, which obeys one line after the other. */

import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const BOARD_FOLDER = fileURLToPath(new URL("../../firmware/board/", import.meta.url));
const PROGRAM = "build/posix-sanitized/tests/module-driver";

/** The programs without which it cannot be built; one of them only brings sources that may be there already. */
export const BUILD_PROGRAMS = [
  ...["gcc", "make", "flock"],
  ...(existsSync(`${BOARD_FOLDER}third-party/.ready`) ? [] : ["apt-get"]),
];

/** Builds something of the board's Makefile; tests that run at the same time wait for each other. Throws what the compiler said. */
export function makeBoard(target: string): string {
  const command = ["Makefile", "make", "--silent", target];
  const made = spawnSync("flock", command, { cwd: BOARD_FOLDER, encoding: "utf8" });
  if (made.status !== 0) throw new Error(`make ${target}: ${made.stderr}${made.stdout}`);
  return `${BOARD_FOLDER}${target}`;
}

interface Waiting {
  lines: string[];
  resolve: (lines: string[]) => void;
  reject: (error: Error) => void;
}

export class BoardDriver {
  /** What the console has said since the start. */
  readonly said: string[] = [];
  /** The power has failed since this was last set to false. */
  isCut = false;
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #waiting: Waiting[] = [];
  #stdout = "";
  #stderr = "";
  #isOver = false;

  constructor() {
    this.#process = spawn(makeBoard(PROGRAM), { env: { ASAN_OPTIONS: "detect_leaks=0" } });
    this.#process.stdout.setEncoding("utf8").on("data", (text: string) => this.#read(text));
    this.#process.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    this.#process.stdin.on("error", () => undefined); // it has ended, which is told
    this.#process.on("close", (code) => {
      this.#isOver = true;
      this.#fail(`the driver ended with ${code}`);
    });
  }

  /** Ends the program. */
  end(): void {
    this.#process.kill("SIGKILL");
  }

  /** Gives it one command; what it prints until it is done with it. */
  tell(command: string): Promise<string[]> {
    if (this.#isOver) return Promise.reject(new Error(`the driver has ended\n${this.#stderr}`));
    const told = new Promise<string[]>((resolve, reject) => {
      this.#waiting.push({ lines: [], resolve, reject });
    });
    this.#process.stdin.write(`${command}\n`);
    return told;
  }

  #read(text: string): void {
    const lines = (this.#stdout + text).split("\n");
    this.#stdout = lines.pop() as string;
    for (const line of lines) this.#take(line);
  }

  #take(line: string): void {
    const waiting = this.#waiting[0];
    if (line === "ok" || line === "cut") {
      this.#waiting.shift();
      if (line === "cut") this.isCut = true;
      waiting?.resolve(waiting.lines);
      return;
    }
    if (line.startsWith("broken ")) this.#fail(line);
    else if (line.startsWith("say ")) this.said.push(line.slice("say ".length));
    else waiting?.lines.push(line);
  }

  #fail(why: string): void {
    for (const { reject } of this.#waiting.splice(0)) reject(new Error(`${why}\n${this.#stderr}`));
  }
}

/** What follows `word` and a blank in the first such line; undefined if there is none. */
export function answerOf(lines: readonly string[], word: string): string | undefined {
  return lines.find((line) => line.startsWith(`${word} `))?.slice(word.length + 1);
}

/** The same for bytes, of all such lines. */
export function bytesIn(lines: readonly string[], word: string): Uint8Array[] {
  return lines
    .filter((line) => line.startsWith(`${word} `))
    .map((line) => Buffer.from(line.slice(word.length + 1), "hex"));
}
