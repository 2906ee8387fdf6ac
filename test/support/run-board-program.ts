/** A test program of firmware/board/tests that is given all its lines at once. */

import { spawnSync } from "node:child_process";
import { makeBoard } from "./board-driver.ts";

/** Builds and runs it; the lines that it printed. Throws what it said if it did not end well. */
export function runBoardProgram(
  name: string,
  programArguments: readonly string[],
  lines: readonly string[] = [],
): string[] {
  const path = makeBoard(`build/posix-sanitized/tests/${name}`);
  const ran = spawnSync(path, programArguments, {
    encoding: "utf8",
    input: lines.map((line) => `${line}\n`).join(""),
    maxBuffer: 64 * 1024 * 1024,
  });
  if (ran.status !== 0) throw new Error(`${name}: ${ran.stdout.slice(-2000)}${ran.stderr}`);
  return ran.stdout.split("\n").slice(0, -1);
}
