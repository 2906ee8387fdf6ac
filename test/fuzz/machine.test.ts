/** The fuzzer itself: it sees what it is there to see, reads what it writes, and forges checksums that are right. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import binaryen from "assemblyscript/binaryen";
import { describe, expect, test } from "vitest";
import { RandomStream } from "../../simulator/src/random.ts";
import { unhex } from "../support/bytes.ts";
import { MODULES_FOLDER } from "../support/core-client.ts";
import { CHECKSUM_BASIS, fnv1a } from "../support/journal.ts";
import { CoverageMachine } from "./coverage.ts";
import { grammarOf } from "./explore.ts";
import { anyProgram } from "./generator.ts";
import { checksumOf, mend } from "./journal-forge.ts";
import { Machine } from "./machine.ts";
import { formatPrograms, parseProgram, parsePrograms } from "./program.ts";
import { runProgram } from "./run-program.ts";
import { tellFinding } from "./tell-finding.ts";

/** A module that breaks one promise with each export. Its record has 64 bytes. */
const FAULTY = `(module
  (memory (export "memory") 1)
  (global (export "__heap_base") i32 (i32.const 4096))
  (func (export "clientSize") (result i32) (i32.const 64))
  (func (export "clientInit") (param i32) (result i32)
    (i64.store (local.get 0) (i64.const 0))
    (i64.store offset=8 (local.get 0) (i64.const 0))
    (i32.const 0))
  (func (export "inflightCount") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "eventAt") (param i32) (result i32) (local.get 0))
  (func (export "transmitLength") (param i32) (result i32) (i32.load offset=8 (local.get 0)))
  (func (export "transmitAt") (param i32) (result i32) (i32.add (local.get 0) (i32.const 60)))
  (func (export "behind") (param i32) (i32.store8 offset=64 (local.get 0) (i32.const 1)))
  (func (export "before") (param i32) (i32.store8 (i32.sub (local.get 0) (i32.const 1)) (i32.const 1)))
  (func (export "far") (param i32) (i32.store8 (i32.const 65535) (i32.const 1)))
  (func (export "low") (param i32) (i32.store8 (i32.const 20) (i32.const 1)))
  (data (i32.const 8) "text")
  (func (export "blockAt") (result i32) (i32.const 16))
  (func (export "own") (param i32) (i32.store8 (i32.const 9) (i32.const 1)))
  (func (export "trap") (param i32) (unreachable))
  (func (export "hang") (param i32) (loop $again (br $again)))
  (func (export "grow") (param i32) (drop (memory.grow (i32.const 1))))
  (func (export "tooMany") (param i32) (i32.store (local.get 0) (i32.const 17)))
  (func (export "tooMuch") (param i32) (i32.store offset=8 (local.get 0) (i32.const 5)))
  (func (export "poll") (param i32 i32) (result i32)
    (i32.store offset=4 (local.get 0) (i32.const 2))
    (i32.store (local.get 0) (i32.const 100))
    (i32.const 6))
  (func (export "tick") (param i32 i32) (result i32) (i32.const 1)))`;

describe("the machine finds", () => {
  const wasm = binaryen.parseText(FAULTY).emitBinary();
  test.each([
    ["behind", "wrote beside its record"],
    ["before", "wrote beside its record"],
    ["far", "bytes behind the records changed"],
    ["low", "wrote beside its record"],
    ["own", "the module's own text at 9 changed"],
    ["trap", "a trap"],
    ["hang", "a loop without an end"],
    ["grow", "the memory has grown by itself"],
    ["tooMany", "17 messages under way"],
    ["tooMuch", "transmitAt: 5 bytes"],
    ["poll", "TopicAt: 2 bytes at"],
  ])("%s", (name, problem) => {
    const run = (text: string) => new CoverageMachine(wasm).run(parseProgram(text));
    expect(() => run(`init 0 64\n${name} 0 0`)).toThrow(problem);
    expect(() => run("init 0 64\ntick 0 0")).not.toThrow();
  });

  test("and shows with the smallest program", () => {
    const machine = new Machine(new WebAssembly.Module(wasm));
    const program = parseProgram("init 0 64\ntick 0 1\nwait 0 5\nbehind 0 :616263\ntick 0 2");
    const { message } = tellFinding(machine, "here", program);
    expect(message).toMatch(/wrote beside its record .*\(here\)\nbehind 0$/su);
  });
});

test("a program is read as it was written", () => {
  const machine = new Machine(new WebAssembly.Module(readModule("core")));
  const grammar = grammarOf(machine, { packetCountMax: 3, feedPart: 0.4 });
  const programs = Array.from({ length: 5 }, (_, index) =>
    anyProgram(new RandomStream(1, index, "fault"), grammar),
  );
  expect(parsePrograms(formatPrograms(programs))).toEqual(programs);
});

test("a word that is no argument is refused", () => {
  expect(() => parseProgram("poll 0 x+1")).toThrow("x+1 is no argument");
});

test("FNV-1a as its authors publish it", () => {
  const sums = ["", "a", "foobar"].map((text) => fnv1a(new TextEncoder().encode(text)));
  expect(sums).toEqual([0x811c9dc5, 0xe40c292c, 0xbf9cf968]);
});

describe("what the core stores", () => {
  const machine = new Machine(new WebAssembly.Module(readModule("core")));

  function mediumAfter(text: string): Uint8Array[] {
    runProgram(machine, parseProgram(text));
    return machine.slots[0]?.medium ?? [];
  }

  const lively = [
    "init 0 128 256 128 4 256",
    "image 0 7 :6e6f7465",
    "connect 0 0 60 0 now",
    "drain 0 0",
    "feed 0 9 0 :20020000",
    "publish 0 s 1 s+1 2 2 :612131",
    "drain 0 0",
    "feed 0 9 0 :50020001",
    "drain 0 0",
  ].join("\n");

  test("has the checksums that the forger makes", () => {
    const medium = mediumAfter(lively);
    expect(medium.length).toBeGreaterThanOrEqual(3);
    let previous = CHECKSUM_BASIS;
    for (const bytes of medium) {
      expect(mend(bytes, previous)).toEqual(bytes);
      previous = checksumOf(bytes);
    }
  });

  test("comes back after a loss of power", () => {
    mediumAfter(`${lively}\npower 0\nconnect 0 0 60 0 now\ndrain 0 0\nfeed 0 9 0 :20020100`);
    const slot = machine.slots[0];
    if (slot === undefined) throw new Error("the machine has no record");
    const at = machine.call("transmitAt", slot);
    const length = machine.call("transmitLength", slot);
    expect(machine.bytes(at, length)).toEqual(unhex("62 02 00 01"));
  });

  test.each([
    ["changed", "tamper 0 1 8 1 0"],
    ["cut", "chop 0 1 9 0"],
    ["changed, its checksum mended", "tamper 0 0 10 2 1"],
  ])("is refused when it was %s", (_what, step) => {
    const refused: number[] = [];
    const listening = new Machine(new WebAssembly.Module(readModule("core")), {
      onAnswer: (name, answer) => {
        if (name === "restore" && answer < 0) refused.push(answer);
      },
    });
    runProgram(listening, parseProgram(`${lively}\n${step}\npower 0`));
    expect(refused).toHaveLength(1);
  });
});

function readModule(name: string): Uint8Array {
  return readFileSync(join(MODULES_FOLDER, `${name}.wasm`));
}
