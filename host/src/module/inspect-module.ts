/** Tells what is in a WebAssembly file and whether it keeps the rules of a module that may be flashed. */

import { createHash } from "node:crypto";
import { ABI_VERSION } from "../../../firmware/core/abi.ts";
import { InvalidModuleError } from "./byte-reader.ts";
import {
  readModule,
  type WasmExport,
  type WasmGlobal,
  type WasmImport,
  type WasmMemory,
  type WasmModule,
} from "./wasm-module.ts";

/** One rule, with what was found. */
interface RuleResult {
  rule: string;
  isKept: boolean;
  /** What was found, for people. */
  found: string;
}

export interface ModuleInspection {
  byteLength: number;
  /** Lower-case hex. */
  sha256: string;
  imports: WasmImport[];
  exports: WasmExport[];
  memories: WasmMemory[];
  /** The end of all data segments; 0 without data, undefined if a segment has no constant place. */
  segmentsEnd: number | undefined;
  /** What the exported constants say; undefined where there is none. */
  dataEnd: number | undefined;
  heapBase: number | undefined;
  /** The answer of `abiVersion()`; undefined if it could not be asked. */
  abiVersion: number | undefined;
  rules: RuleResult[];
}

/** A file larger than this is not read: boards of our kind hold less than a hundredth. */
export const MODULE_LENGTH_MAX = 4 * 1024 * 1024;

/**
 * Inspects a module that may come from anywhere; none of its code runs but an `abiVersion` without loops and calls.
 * Throws `InvalidModuleError` for bytes that are no module.
 */
export function inspectModule(bytes: Uint8Array): ModuleInspection {
  if (bytes.length > MODULE_LENGTH_MAX) {
    throw new InvalidModuleError(`it has more than ${MODULE_LENGTH_MAX} bytes`, MODULE_LENGTH_MAX);
  }
  const module = readModule(bytes);
  const compiled = compile(bytes);

  const facts = {
    segmentsEnd: segmentsEnd(module),
    dataEnd: exportedConstant(module, "__data_end"),
    heapBase: exportedConstant(module, "__heap_base"),
    abiVersion: askAbiVersion(module, compiled),
  };
  return {
    byteLength: bytes.length,
    sha256: createHash("sha256").update(bytes).digest("hex"),
    imports: module.imports,
    exports: module.exports,
    memories: module.memories,
    ...facts,
    rules: [
      importsNothing(module),
      hasNoStartFunction(module),
      leavesMemoryAlone(module),
      hasGrowableMemory(module),
      heapBaseIsSound(module, facts),
      globalsStartAsZero(module),
      isMvp(module),
      speaksOurAbi(facts.abiVersion),
    ],
  };
}

/** The engine has the last word on what a module is. */
function compile(bytes: Uint8Array): WebAssembly.Module {
  try {
    return new WebAssembly.Module(Uint8Array.from(bytes));
  } catch (error) {
    throw new InvalidModuleError(`the engine refuses it: ${(error as Error).message}`, 0, {
      cause: error,
    });
  }
}

function segmentsEnd(module: WasmModule): number | undefined {
  let end = 0;
  for (const { offset, length } of module.dataSegments) {
    if (offset === undefined) return undefined;
    end = Math.max(end, offset + length);
  }
  return end;
}

/** The value of an exported global that never changes. */
function exportedConstant(module: WasmModule, name: string): number | undefined {
  const global = exportedGlobal(module, name);
  if (global?.initialBits === undefined || global.isMutable || !global.isI32) return undefined;
  return Number(global.initialBits);
}

function exportedGlobal(module: WasmModule, name: string): WasmGlobal | undefined {
  const found = module.exports.find((item) => item.kind === "global" && item.name === name);
  return found === undefined ? undefined : module.globals[ownIndex(module, found)];
}

/** Imports come first in each index space (2.5.1). */
function ownIndex(module: WasmModule, item: WasmExport): number {
  return item.index - module.imports.filter(({ kind }) => kind === item.kind).length;
}

/** Runs `abiVersion`, if neither instantiation nor the call itself can run anything that may not end. */
function askAbiVersion(module: WasmModule, compiled: WebAssembly.Module): number | undefined {
  const found = module.exports.find(
    (item) => item.kind === "function" && item.name === "abiVersion",
  );
  if (found === undefined || module.imports.length > 0 || module.startFunction !== undefined) {
    return undefined;
  }
  const scan = module.functions[ownIndex(module, found)];
  if (scan === undefined || !scan.isComplete || !scan.endsForSure) return undefined;
  try {
    const { exports } = new WebAssembly.Instance(compiled, {});
    const answer: unknown = (exports["abiVersion"] as () => unknown)();
    return typeof answer === "number" ? answer : undefined;
  } catch {
    return undefined; // a trap, data outside the memory, or a memory that this machine does not have
  }
}

function importsNothing({ imports }: WasmModule): RuleResult {
  const names = imports.map(({ module, name }) => `${module}.${name}`);
  return {
    rule: "imports nothing",
    isKept: imports.length === 0,
    found: imports.length === 0 ? "no imports" : `imports ${listed(names)}`,
  };
}

function hasNoStartFunction({ startFunction }: WasmModule): RuleResult {
  return {
    rule: "no start function",
    isKept: startFunction === undefined,
    found: startFunction === undefined ? "none" : `function ${startFunction} runs at the start`,
  };
}

function leavesMemoryAlone({ functions }: WasmModule): RuleResult {
  const rule = "no memory.grow, no memory.size";
  for (const { memoryGrowAt, memorySizeAt, isComplete } of functions) {
    if (memoryGrowAt !== undefined) return broken(rule, `memory.grow at byte ${memoryGrowAt}`);
    if (memorySizeAt !== undefined) return broken(rule, `memory.size at byte ${memorySizeAt}`);
    if (!isComplete) return broken(rule, "not known: a function has instructions newer than this");
  }
  return { rule, isKept: true, found: `neither in ${functions.length} functions` };
}

function hasGrowableMemory({ memories, exports }: WasmModule): RuleResult {
  const rule = "one memory, exported as memory, without a maximum";
  const [memory] = memories;
  if (memory === undefined || memories.length > 1) {
    return broken(rule, `${memories.length} memories of its own`);
  }
  if (!exports.some(({ kind, name }) => kind === "memory" && name === "memory")) {
    return broken(rule, "not exported");
  }
  if (memory.maximumPageCount !== undefined) {
    return broken(rule, `a maximum of ${memory.maximumPageCount} pages`);
  }
  return { rule, isKept: true, found: `${memory.initialPageCount} page(s) at the start` };
}

/** WAMR shrinks the memory to `__heap_base`, and writes past it if that is no multiple of this (issue 5080). */
const HEAP_BASE_STEP = 4096;
const PAGE_LENGTH = 65_536;

function heapBaseIsSound(
  { memories }: WasmModule,
  facts: Pick<ModuleInspection, "segmentsEnd" | "dataEnd" | "heapBase">,
): RuleResult {
  const rule = `__heap_base a multiple of ${HEAP_BASE_STEP}, behind all data, inside the memory`;
  const { segmentsEnd, dataEnd, heapBase } = facts;
  if (dataEnd === undefined || heapBase === undefined) {
    return broken(rule, "__heap_base and __data_end are not both exported as constants");
  }
  const found = `__data_end ${dataEnd}, __heap_base ${heapBase}`;
  if (segmentsEnd === undefined) return broken(rule, "data without a constant place");
  if (segmentsEnd > dataEnd) return broken(rule, `${found}, and data up to ${segmentsEnd}`);
  const memoryLength = (memories[0]?.initialPageCount ?? 0) * PAGE_LENGTH;
  const isSound =
    heapBase % HEAP_BASE_STEP === 0 && heapBase >= dataEnd && heapBase <= memoryLength;
  return { rule, isKept: isSound, found };
}

function globalsStartAsZero({ globals }: WasmModule): RuleResult {
  const rule = "no mutable global that starts as anything but 0";
  const index = globals.findIndex(({ isMutable, initialBits }) => isMutable && initialBits !== 0n);
  if (index === -1) return { rule, isKept: true, found: `${globals.length} globals` };
  const bits = globals[index]?.initialBits;
  return broken(rule, `global ${index} starts as ${bits ?? "something computed"}`);
}

function isMvp(module: WasmModule): RuleResult {
  const features = [...module.features];
  if (exportsMutableGlobal(module)) features.push("exported mutable globals");
  return {
    rule: "only what every WebAssembly engine knows (the MVP)",
    isKept: features.length === 0,
    found: features.length === 0 ? "nothing newer" : `uses ${listed(features)}`,
  };
}

function exportsMutableGlobal(module: WasmModule): boolean {
  return module.exports.some(
    (item) => item.kind === "global" && module.globals[ownIndex(module, item)]?.isMutable === true,
  );
}

function speaksOurAbi(abiVersion: number | undefined): RuleResult {
  return {
    rule: `abiVersion() answers ${ABI_VERSION}`,
    isKept: abiVersion === ABI_VERSION,
    found: abiVersion === undefined ? "no such function, or it cannot be asked" : `${abiVersion}`,
  };
}

function broken(rule: string, found: string): RuleResult {
  return { rule, isKept: false, found };
}

const LISTED_COUNT_MAX = 5;

function listed(names: string[]): string {
  const shown = names.slice(0, LISTED_COUNT_MAX).join(", ");
  const moreCount = names.length - LISTED_COUNT_MAX;
  return moreCount > 0 ? `${shown} and ${moreCount} more` : shown;
}
