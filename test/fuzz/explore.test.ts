/** Growing the corpus, and the command that does the long run. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { MODULES_FOLDER } from "../support/core-client.ts";
import { CoverageMachine } from "./coverage.ts";
import { Explorer } from "./explore.ts";
import { fuzz } from "./main.ts";
import { formatPrograms } from "./program.ts";

test("fewer and smaller programs take the same branches and get the same answers", () => {
  const machine = new CoverageMachine(readFileSync(join(MODULES_FOLDER, "core.wasm")));
  const explorer = new Explorer(machine, 9);
  for (let count = 0; count < 5; count++) explorer.explore();
  const distilled = explorer.distil();
  const reached = new Set(
    distilled.flatMap((program) => [...machine.coarse(machine.run(program))]),
  );
  const wanted = machine.coarse(explorer.features);
  expect([...wanted].filter((feature) => !reached.has(feature))).toEqual([]);
  const kept = explorer.kept.map(({ program }) => program);
  expect(formatPrograms(distilled).length).toBeLessThan(formatPrograms(kept).length);
});

test("one seed is one exploration", () => {
  const wasm = readFileSync(join(MODULES_FOLDER, "core.wasm"));
  const [first, second] = [1, 2].map(() => {
    const explorer = new Explorer(new CoverageMachine(wasm), 9);
    for (let count = 0; count < 3; count++) explorer.explore();
    return formatPrograms(explorer.distil());
  });
  expect(second).toBe(first);
});

function outputOf(...args: string[]): string {
  const lines: string[] = [];
  fuzz(args, (line) => lines.push(line));
  return lines.join("\n");
}

test("the command feeds both modules and tells how fast, with the seed", () => {
  const output = outputOf("--seed", "5", "--bytes", "20000");
  for (const name of ["core", "thermometer"]) {
    expect(output).toContain(`${name}: seed 5`);
    expect(output).toMatch(
      new RegExp(`${name}: \\d+ bytes in [\\d.]+ s of CPU time, \\d+ bytes/s`),
    );
    expect(output).toMatch(new RegExp(`${name}: \\d+ programs, .*, no finding`));
  }
});

test("the command runs one program again", () => {
  const folder = mkdtempSync(join(tmpdir(), "fuzz-"));
  try {
    const file = join(folder, "program.txt");
    writeFileSync(file, "init 0 64 128 64 2 0\nconnect 0 1 60 0 now\ndrain 0 0\n");
    expect(outputOf("--module", "core", "--replay", file)).toBe("core: 3 steps, no finding");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.each([
  [["--module", "bridge"], "--module is core or thermometer, not bridge"],
  [["--seed", "-1"], "--seed"],
  [["--bytes", "many"], "--bytes is a whole number below 2^32, not many"],
])("the command says what is wrong with %j", (args, problem) => {
  expect(() => outputOf(...args)).toThrow(problem);
});

test("the command tells its options", () => {
  expect(outputOf("--help")).toContain("--explore SECONDS");
});
