/** Hostile input: the kept programs, a fixed seed and a fresh one, on the modules as they ship. docs/fuzzing.md tells more. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { ProfileItem, ProfileWhen } from "../../firmware/core/abi.ts";
import { encodeItems } from "../../simulator/src/profiles/block.ts";
import type { ConventionItem } from "../../simulator/src/profiles/convention.ts";
import { RandomStream } from "../../simulator/src/random.ts";
import { concat, hex } from "../support/bytes.ts";
import { ClientStream } from "../support/client-stream.ts";
import { MODULES_FOLDER } from "../support/core-client.ts";
import { corpusOf, type ModuleName } from "./corpus.ts";
import { CoverageMachine } from "./coverage.ts";
import { grammarOf } from "./explore.ts";
import { anyProgram } from "./generator.ts";
import { Machine } from "./machine.ts";
import { freshSeed } from "./main.ts";
import { faultyPacket, serverPacket } from "./packet-grammar.ts";
import { type Program, parseProgram, step } from "./program.ts";
import { runProgram } from "./run-program.ts";
import { soak } from "./soak.ts";

const FIXED_SEED = 2026;
const BYTE_COUNT = 1_000_000;
/** Of the branches, so many are reached by the corpus. */
const REACHED_PART = 0.93;

/** A client with something of everything under way. */
const opened = parseProgram(`init 0 64 512 128 8 0
connect 0 0 60 0 now
drain 0 0
feed 0 9 0 :20020000
publish 0 s 1 s+1 1 1 :6131
publish 0 s 1 s+1 1 2 :6132
subscribe 0 s 4 now :00016101
drain 0 0`);

const newServer = () => new ClientStream();

describe.each<ModuleName>(["core", "thermometer"])("%s", (name) => {
  const wasm = readFileSync(join(MODULES_FOLDER, `${name}.wasm`));
  const module = new WebAssembly.Module(wasm);
  const corpus = corpusOf(name);
  let counted: CoverageMachine;
  beforeAll(() => {
    counted = new CoverageMachine(wasm);
  });

  test("the corpus: no trap, no byte beside a record, no broken promise", () => {
    const machine = new Machine(module, { newServer });
    for (const program of corpus) runProgram(machine, program);
    expect(machine.stepCount).toBeGreaterThan(corpus.length);
  });

  test("the corpus reaches the branches of the module, and no loop is without an end", () => {
    const features = corpus.flatMap((program) => [...counted.run(program)]);
    const reached = counted.countersIn(features) / counted.counterCount;
    expect(reached, "npm run fuzz -- --explore 120").toBeGreaterThanOrEqual(REACHED_PART);
  });

  test("with counters and fuel the module does the same", () => {
    const eventCountBefore = counted.machine.eventCount;
    const shipped = new Machine(module);
    const grammar = grammarOf(shipped, { packetCountMax: 10, feedPart: 0.4 });
    const programs: Program[] = corpus.slice();
    for (let index = 0; index < 200; index++) {
      programs.push(anyProgram(new RandomStream(FIXED_SEED, index, "fault"), grammar));
    }
    for (const program of programs) {
      counted.run(program);
      runProgram(shipped, program);
      expect(Buffer.compare(counted.machine.snapshot(), shipped.snapshot())).toBe(0);
    }
    expect(counted.machine.eventCount - eventCountBefore).toBe(shipped.eventCount);
  });

  test("a stream does the same wherever it is split", () => {
    const machine = new Machine(module);
    const outcome = (...pieces: Uint8Array[]) => {
      runProgram(machine, [...opened, ...pieces.map((bytes) => step("feed", 0, [1000, 0], bytes))]);
      const [slot] = machine.slots;
      if (slot === undefined) throw new Error("the machine has no record");
      const length = machine.call("transmitLength", slot);
      const sent = machine.bytes(machine.call("transmitAt", slot), length);
      return `${machine.call("connectionState", slot)} ${hex(sent)}`;
    };
    for (let index = 0; index < 30; index++) {
      const random = new RandomStream(FIXED_SEED, index, "fault");
      const sound = Array.from({ length: 5 }, () => serverPacket(random));
      const stream = concat(...sound, faultyPacket(random), serverPacket(random));
      const whole = outcome(stream);
      for (let at = 1; at < stream.length; at++) {
        expect(outcome(stream.subarray(0, at), stream.subarray(at))).toBe(whole);
      }
    }
  });

  test.each([
    ["the fixed seed", FIXED_SEED],
    ["a fresh seed", freshSeed()],
  ])("%s, %i", (_what, seed) => {
    const result = soak({ module, seed, byteCount: BYTE_COUNT, corpus, newServer });
    expect(result.fedLength).toBeGreaterThanOrEqual(BYTE_COUNT);
    expect(result.eventCount).toBeGreaterThan(result.programCount);
  });
});

/** Small enough for the outboxes of the programs, and obeying what they publish. */
const PROFILE: ConventionItem[] = [
  { kind: ProfileItem.Telemetry, topic: "t/<id>", payload: "<celsius> <seq> <dateTime>" },
  { kind: ProfileItem.Will, topic: "w", payload: "<id>", qos: 2, retain: true },
  { kind: ProfileItem.Goodbye, topic: "w", payload: "bye", qos: 2 },
  { kind: ProfileItem.Say, topic: "a", payload: "1", qos: 1, when: 1 | ProfileWhen.Announced },
  { kind: ProfileItem.Subscribe, topic: "a/#", qos: 1, when: ProfileWhen.Subscribing },
  {
    kind: ProfileItem.Say,
    topic: "a",
    payload: "<unixMs>",
    qos: 2,
    when: 1 | ProfileWhen.Measured,
  },
  { kind: ProfileItem.Say, topic: "a", payload: "<intervalMs>", when: ProfileWhen.IntervalSet },
  { kind: ProfileItem.Report, topic: "a", payload: "" },
  { kind: ProfileItem.Announce, topic: "a/b", payload: "<id>" },
  { kind: ProfileItem.SetInterval, topic: "a", payload: "<intervalMs>" },
];

describe("reporter", () => {
  const module = new WebAssembly.Module(readFileSync(join(MODULES_FOLDER, "reporter.wasm")));

  test.each([
    ["what the others are given, the thermometer's corpus included", FIXED_SEED],
    ["a fresh seed", freshSeed()],
  ])("%s, %i", (_what, seed) => {
    const corpus = corpusOf("thermometer");
    const profile = encodeItems(PROFILE);
    const result = soak({ module, seed, byteCount: BYTE_COUNT / 2, corpus, newServer, profile });
    expect(result.eventCount).toBeGreaterThan(result.programCount);
  });
});
