/** The work of `npm run fuzz`: the long run, growing the corpus, or one program once more. docs/fuzzing.md tells of it. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ClientStream } from "../support/client-stream.ts";
import { MODULES_FOLDER } from "../support/core-client.ts";
import { corpusOf, type ModuleName, writeCorpus } from "./corpus.ts";
import { CoverageMachine } from "./coverage.ts";
import { Explorer } from "./explore.ts";
import { Machine } from "./machine.ts";
import { parseProgram } from "./program.ts";
import { runProgram } from "./run-program.ts";
import { soak } from "./soak.ts";
import { tellFinding } from "./tell-finding.ts";

const HELP = `npm run fuzz -- [options]
  --module core|thermometer   one module (default: both, one after the other)
  --seed S                    repeats a run (default: a new seed, which is printed)
  --bytes N                   bytes that each module receives (default: 100000000)
  --explore SECONDS           instead: look for programs that reach something new, and keep them in test/fuzz/corpus
  --replay FILE               instead: run the program in FILE and check every step
`;

const OPTIONS = {
  module: { type: "string" },
  seed: { type: "string" },
  bytes: { type: "string", default: "100000000" },
  explore: { type: "string" },
  replay: { type: "string" },
  help: { type: "boolean", default: false },
} as const;

/** Does what the command line says; what there is to tell goes to `print`. Throws Finding. */
export function fuzz(args: string[], print: (text: string) => void): void {
  const { values } = parseArgs({ args, options: OPTIONS });
  if (values.help) {
    print(HELP);
    return;
  }
  const seed = values.seed === undefined ? freshSeed() : numberOf("seed", values.seed);
  for (const name of modulesOf(values.module)) {
    if (values.replay !== undefined) replay(name, values.replay, print);
    else if (values.explore !== undefined)
      explore(name, seed, numberOf("explore", values.explore), print);
    else feed(name, seed, numberOf("bytes", values.bytes), print);
  }
}

/** Any whole number below 2^32. */
export function freshSeed(): number {
  return Math.floor(Math.random() * 2 ** 32);
}

function feed(name: ModuleName, seed: number, byteCount: number, print: (text: string) => void) {
  print(`${name}: seed ${seed}`);
  const module = new WebAssembly.Module(readModule(name));
  const start = process.cpuUsage();
  const result = soak({ module, seed, byteCount, corpus: corpusOf(name) });
  const { user, system } = process.cpuUsage(start);
  const seconds = (user + system) / 1e6;
  const rate = Math.round(result.fedLength / seconds);
  print(
    `${name}: ${result.fedLength} bytes in ${seconds.toFixed(1)} s of CPU time, ${rate} bytes/s`,
  );
  print(
    `${name}: ${result.programCount} programs, ${result.stepCount} steps, ${result.eventCount} events, no finding`,
  );
}

function explore(name: ModuleName, seed: number, seconds: number, print: (text: string) => void) {
  const machine = new CoverageMachine(readModule(name));
  const explorer = new Explorer(machine, seed);
  for (const program of corpusOf(name)) explorer.seed(program);
  print(`${name}: seed ${seed}, ${explorer.kept.length} programs kept so far`);
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) explorer.explore();
  const programs = explorer.distil();
  writeCorpus(name, programs);
  const reached = machine.countersIn(explorer.features);
  print(`${name}: ${explorer.runCount} runs, ${reached} of ${machine.counterCount} counters`);
  print(`${name}: ${explorer.features.size} features by ${programs.length} programs`);
  print(`${name}: at most ${machine.machine.fuelMax} loop rounds and calls in one call`);
}

function replay(name: ModuleName, file: string, print: (text: string) => void): void {
  const program = parseProgram(readFileSync(file, "utf8"));
  const machine = new Machine(new WebAssembly.Module(readModule(name)), {
    newServer: () => new ClientStream(),
  });
  try {
    runProgram(machine, program);
  } catch {
    throw tellFinding(machine, `${name}, ${file}`, program);
  }
  print(`${name}: ${program.length} steps, no finding`);
}

function readModule(name: ModuleName): Uint8Array {
  return readFileSync(join(MODULES_FOLDER, `${name}.wasm`));
}

function modulesOf(name: string | undefined): ModuleName[] {
  if (name === undefined) return ["core", "thermometer"];
  if (name === "core" || name === "thermometer") return [name];
  throw new Error(`--module is core or thermometer, not ${name}`);
}

function numberOf(option: string, text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 0 || number >= 2 ** 32)
    throw new Error(`--${option} is a whole number below 2^32, not ${text}`);
  return number;
}
