/** What core.wasm is from outside: no imports, the documented exports, memory that nobody grows from within. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { readModule } from "../../host/src/module/wasm-module.ts";
import { CORE_FUNCTIONS, Core, type CoreFunctionName } from "../support/core-client.ts";

const bytes = readFileSync(new URL("../../dist/core.wasm", import.meta.url));
const module = readModule(bytes);

/** Larger than this is a decision: say in the change what the bytes are for. */
const LENGTH_MAX = 10_400;

/** The calls that docs/abi.md names for every module, and how many parameters each has. */
function documentedFunctions(): { [name: string]: number } {
  const abi = readFileSync(new URL("../../docs/abi.md", import.meta.url), "utf8");
  const [forAll = ""] = abi.split("## The thermometer");
  const calls = [...forAll.matchAll(/`(\w+)\(([^)`]*)\)`/g)];
  return Object.fromEntries(
    calls.map(([, name, parameters = ""]) => [
      name,
      parameters === "" ? 0 : parameters.split(",").length,
    ]),
  );
}

test("the core imports nothing", () => {
  expect(module.imports).toEqual([]);
});

test("its functions are exactly those that docs/abi.md names, with their parameters", () => {
  const { exports } = new Core();
  const names = module.exports.filter(({ kind }) => kind === "function").map(({ name }) => name);
  const functions = names.map((name) => [name, exports[name as CoreFunctionName].length]);
  expect(Object.fromEntries(functions)).toEqual(documentedFunctions());
  expect(Object.fromEntries(functions)).toEqual(CORE_FUNCTIONS);
});

test("apart from functions it exports its memory and the two borders, and nothing else", () => {
  const others = module.exports.filter(({ kind }) => kind !== "function");
  expect(others.map(({ name, kind }) => `${kind} ${name}`).sort()).toEqual([
    "global __data_end",
    "global __heap_base",
    "memory memory",
  ]);
});

test("nothing runs when it is instantiated", () => {
  expect(module.startFunction).toBeUndefined();
});

test("it is of the first version of WebAssembly, in every instruction", () => {
  expect([...module.features]).toEqual([]);
  for (const { features, isComplete } of module.functions) {
    expect([...features]).toEqual([]);
    expect(isComplete).toBe(true);
  }
});

test("it never grows its memory and never asks for its size", () => {
  expect(module.functions.length).toBeGreaterThan(0);
  for (const { memoryGrowAt, memorySizeAt } of module.functions) {
    expect([memoryGrowAt, memorySizeAt]).toEqual([undefined, undefined]);
  }
});

test("its memory starts as one page and has no maximum, so that an embedder can grow it", () => {
  expect(module.memories).toEqual([{ initialPageCount: 1, maximumPageCount: undefined }]);
});

test("__heap_base is a multiple of 4096 and lies behind all data", () => {
  const { __heap_base, __data_end } = new Core().exports;
  expect(__heap_base.value).toBeGreaterThan(0);
  expect(__heap_base.value % 4096).toBe(0);
  expect(__heap_base.value).toBeGreaterThanOrEqual(__data_end.value);
  for (const { offset, length } of module.dataSegments) {
    expect(offset).toBeDefined();
    expect(__data_end.value).toBeGreaterThanOrEqual((offset ?? 0) + length);
  }
});

test("no global that can be assigned starts as anything but 0", () => {
  const mutable = module.globals.filter(({ isMutable }) => isMutable);
  expect(mutable.filter(({ initialBits }) => initialBits !== 0n)).toEqual([]);
});

test(`it has at most ${LENGTH_MAX} bytes`, () => {
  expect(bytes.length).toBeLessThanOrEqual(LENGTH_MAX);
});
