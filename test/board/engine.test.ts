/** The interpreter of a board, wasm3 behind firmware/board/engine/engine.h: the same module as everywhere, in little memory, and modules that are none. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ABI_VERSION } from "../../firmware/core/abi.ts";
import { BUILD_PROGRAMS, makeBoard } from "../support/board-driver.ts";
import { describeWith } from "../support/optional.ts";
import { runBoardProgram } from "../support/run-board-program.ts";
import { leb, smallModule } from "../support/small-module.ts";

const THERMOMETER = modulePath("thermometer");
const REPORTER = modulePath("reporter");

/** The bytes of linear memory that a board gives a module. */
const MEMORY_LENGTH = 4096;

/**
 * On this machine, whose addresses have 8 bytes, the instance of a thermometer takes 26 KB, all its code 115 KB more, and the most that
 * one call wants of that 40 KB.
 */
const LARGE_HEAP = 200_000;
const TIGHT_HEAP = 68_000;
const STARTED_HEAP_MAX = 27_000;

const GLOBAL = { type: 0x7f, isMutable: false, constant: [0x41, 0x80, 0x20] };

const folder = mkdtempSync(join(tmpdir(), "board-engine-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** PUBLISH, QoS 1, packet identifier 9: "report" to motes/mote/cmd. */
const COMMAND = `3218000e${Buffer.from("motes/mote/cmd").toString("hex")}0009${Buffer.from("report").toString("hex")}`;

const BUILD_TIMEOUT_MS = 300_000;

describeWith(BUILD_PROGRAMS, "the engine of a board", () => {
  beforeAll(() => {
    makeBoard("build/posix-sanitized/tests/engine");
  }, BUILD_TIMEOUT_MS);

  test("runs the module that Node runs, with the same results, in any heap", () => {
    const session = sessionOfThermometer();
    const expected = inNode(session);
    expect(expected[0]).toBe(`= ${ABI_VERSION}`);
    expect(expected.filter((answer) => /^= -/.test(answer))).toEqual([]);
    for (const heapLength of [LARGE_HEAP, TIGHT_HEAP]) {
      const [started, ...answers] = obey(THERMOMETER, heapLength, ["start", ...session]);
      expect(started).toBe("ok");
      expect(answers).toEqual(expected);
    }
  });

  test("takes for an instance what it says, and empties the cache of code when the heap is full", () => {
    const commands = ["start", "used", ...sessionOfThermometer(), "used"];
    const [, ...tight] = obey(THERMOMETER, TIGHT_HEAP, commands);
    const large = obey(THERMOMETER, LARGE_HEAP, commands);
    expect(numberOf(tight[0])).toBeGreaterThan(MEMORY_LENGTH);
    expect(numberOf(tight[0])).toBeLessThan(STARTED_HEAP_MAX);
    expect(numberOf(tight.at(-1))).toBeLessThanOrEqual(TIGHT_HEAP);
    expect(numberOf(large.at(-1))).toBeGreaterThan(TIGHT_HEAP);
  });

  test("gives an instance its __heap_base and not 64 KiB", () => {
    const last = start(smallModule({ abiBody: load(MEMORY_LENGTH - 4) }), "call abiVersion");
    expect(last).toEqual(["ok", "= 0"]);
    const beyond = start(smallModule({ abiBody: load(MEMORY_LENGTH - 3) }), "call abiVersion");
    expect(beyond).toEqual(["ok", expect.stringContaining("out of bounds")]);
  });

  test.each([
    ["unreachable", [0, 0x00, 0x0b], "unreachable"],
    ["a division by zero", [0, 0x41, 1, 0x41, 0, 0x6d, 0x0b], "divide by zero"],
    ["an endless recursion", [0, 0x10, 0, 0x0b], "stack overflow"],
  ])("reports %s, and starts again", (_what, abiBody, reason) => {
    const module = smallModule({ abiBody, functions: { other: 0 } });
    const answers = start(module, "call abiVersion", "stop", "call other", "start", "call other");
    const trap = expect.stringMatching(new RegExp(`^! .*${reason}`));
    expect(answers).toEqual(["ok", trap, "ok", "! no such function", "ok", "= 0"]);
  });

  test("finds a function by its name and its number of parameters", () => {
    const module = smallModule({ functions: { one: 1 } });
    expect(start(module, "call one 5", "call one", "call on 5", "call memory")).toEqual([
      "ok",
      "= 0",
      ...Array(3).fill("! no such function"),
    ]);
  });

  test("refuses a module for which the heap is too small, and takes the next", () => {
    expect(obey(THERMOMETER, 20_000, ["start", "call abiVersion"])).toEqual([
      expect.stringContaining("more memory than the board has"),
      "! no such function",
    ]);
    expect(obey(THERMOMETER, LARGE_HEAP, ["stop", "start", "stop", "start"])).toEqual(
      Array(4).fill("ok"),
    );
  });

  test.each([
    ["has imports", { imports: true }],
    ["has a start function", { starts: true }],
    ["has less memory than its __heap_base", { pages: 0 }],
    [
      "has a function with 300 results",
      { types: [[0x60, 0, ...leb(300), ...Array(300).fill(0x7f)]] },
    ],
    ["has more globals than the heap has room for", { globals: Array(20_000).fill(GLOBAL) }],
  ])("refuses a module that %s", (_what, options) => {
    expect(start(smallModule(options))).toEqual([expect.stringMatching(/^! ./)]);
  });

  test.each([
    ["floating point", [0, 0x43, 0, 0, 0, 0, 0xa8, 0x0b]],
    ["the size of the memory", [0, 0x3f, 0, 0x0b]],
    ["more memory", [0, 0x41, 1, 0x40, 0, 0x0b]],
    ["100,000 blocks in each other", nested(100_000)],
    ["a jump with 2^32 targets", [0, 0x41, 0, 0x0e, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x0b]],
    ["a block of a type with a number", [0, 0x02, 0, 0x41, 0, 0x0b, 0x0b]],
  ])("has no function whose code wants %s", (_what, abiBody) => {
    const module = smallModule({ abiBody, functions: { other: 0 } });
    expect(start(module, "call abiVersion", "call other")).toEqual([
      "ok",
      "! no such function",
      "= 0",
    ]);
  });

  test.each([
    [THERMOMETER, LARGE_HEAP, 1],
    [THERMOMETER, TIGHT_HEAP, 2],
    [REPORTER, LARGE_HEAP, 3],
  ])(
    "survives damaged copies of %s",
    (path, heapLength, seed) => {
      const count = 400;
      const [refused] = runBoardProgram("engine", [
        path,
        ...[MEMORY_LENGTH, heapLength, seed, count].map(String),
      ]);
      expect(numberOf(refused)).toBeGreaterThan(count / 20);
      expect(numberOf(refused)).toBeLessThan(count);
    },
    120_000,
  );
});

function start(module: Uint8Array, ...commands: string[]): string[] {
  const path = join(folder, "small.wasm");
  writeFileSync(path, module);
  return obey(path, LARGE_HEAP, ["start", ...commands]);
}

function obey(path: string, heapLength: number, commands: string[]): string[] {
  const programArguments = [path, String(MEMORY_LENGTH), String(heapLength)];
  return runBoardProgram("engine", programArguments, commands);
}

/** i32.load from a constant address, as a function's body. */
function load(at: number): number[] {
  return [0, 0x41, ...[(at & 0x7f) | 0x80, at >> 7], 0x28, 0, 0, 0x0b];
}

function nested(depth: number): number[] {
  const blocks = Array(depth).fill([0x02, 0x40]).flat();
  return [0, ...blocks, ...Array(depth).fill(0x0b), 0x41, 0, 0x0b];
}

function numberOf(answer: string | undefined): number {
  return Number(answer?.replace("= ", ""));
}

/** A client connects, subscribes, publishes, obeys, loses its connection and comes back, all in memory. */
function sessionOfThermometer(): string[] {
  const record = 296;
  const call = (name: string, ...rest: (number | "_")[]) =>
    ["call", name, record, ...rest].join(" ");
  const send = (nowMs: number) => [call("transmitLength"), call("transmitted", "_", nowMs)];
  const receive = (hex: string, nowMs: number) => [
    call("receiveAt"),
    `poke _ ${hex}`,
    call("received", hex.length / 2),
    ...Array(3).fill(call("poll", nowMs)),
    ...send(nowMs),
  ];
  const connect = (nowMs: number) => [
    call("connect", 0, 30, 1000, nowMs),
    ...send(nowMs),
    ...receive("20020000", nowMs),
  ];
  const publish = (count: number) => [
    call("tick", count * 1000),
    call("reading", 20_000 + count * 10, count * 1000),
    call("readingPublished"),
    ...send(count * 1000),
    ...receive(`4002${(count + 2).toString(16).padStart(4, "0")}`, count * 1000),
  ];
  return [
    "call abiVersion",
    call("clientInit", 256, 512, 128, 4, 0),
    "poke 3300 6d6f7465",
    call("setClientId", 3300, 4),
    call("configure", 1000, 0, 1),
    ...connect(0),
    ...receive("40020001", 0),
    ...receive("9003000201", 0),
    ...Array.from({ length: 12 }, (_, index) => publish(index + 1)).flat(),
    ...receive(COMMAND, 13_000),
    call("connectionLost"),
    ...connect(14_000),
    call("disconnect", 15_000),
    call("connectionState"),
    `peek ${record} 3072`,
  ];
}

function modulePath(name: string): string {
  return fileURLToPath(new URL(`../../dist/${name}.wasm`, import.meta.url));
}

/** What Node's engine answers to the same commands, in the words of tests/engine.c. */
function inNode(commands: string[]): string[] {
  const module = new WebAssembly.Module(readFileSync(THERMOMETER));
  const exports = new WebAssembly.Instance(module).exports;
  const memory = Buffer.from((exports["memory"] as WebAssembly.Memory).buffer);
  let last = 0;
  return commands.map((command) => {
    const [verb, first = "", ...rest] = command.replace("_", String(last)).split(" ");
    if (verb === "call") {
      last = (exports[first] as (...numbers: number[]) => number)(...rest.map(Number)) ?? 0;
      return `= ${last}`;
    }
    if (verb === "peek")
      return memory.toString("hex", Number(first), Number(first) + Number(rest[0]));
    memory.write(rest[0] as string, Number(first), "hex");
    return "ok";
  });
}
