/** Walks through the instructions of one function without running them (WebAssembly 1.0, 5.4). */

import type { ByteReader } from "./byte-reader.ts";

/** What a function does that our module rules ask about. Offsets count from the start of the module. */
export interface FunctionScan {
  /** The first `memory.size` and the first `memory.grow`. */
  memorySizeAt: number | undefined;
  memoryGrowAt: number | undefined;
  /** Neither a loop nor a call: it ends, whatever it is given. */
  endsForSure: boolean;
  /** What is newer than the first version of WebAssembly. */
  features: Set<string>;
  /** False after an instruction whose length only a newer decoder knows; it is the last of `features`. */
  isComplete: boolean;
}

/** Reads the instructions of `body`, which starts after the local variables. */
export function scanInstructions(body: ByteReader): FunctionScan {
  const scan: FunctionScan = {
    memorySizeAt: undefined,
    memoryGrowAt: undefined,
    endsForSure: true,
    features: new Set(),
    isComplete: true,
  };
  while (scan.isComplete && !body.isDone) {
    const at = body.at;
    const opcode = body.byte();
    noteOpcode(opcode, at, scan);
    skipImmediates(opcode, body, scan);
  }
  return scan;
}

/** i32, i64, f32 or f64 (5.3.1). */
export function isMvpValueType(type: number): boolean {
  return type >= 0x7c && type <= 0x7f;
}

const BLOCK = 0x02;
const LOOP = 0x03;
const IF = 0x04;
const BR_TABLE = 0x0e;
const CALL = 0x10;
const CALL_INDIRECT = 0x11;
const TYPED_SELECT = 0x1c;
const MEMORY_SIZE = 0x3f;
const MEMORY_GROW = 0x40;
const I32_CONST = 0x41;
const I64_CONST = 0x42;
const F32_CONST = 0x43;
const F64_CONST = 0x44;
const REF_NULL = 0xd0;
const BULK_PREFIX = 0xfc;

function noteOpcode(opcode: number, at: number, scan: FunctionScan): void {
  if (opcode === MEMORY_SIZE) scan.memorySizeAt ??= at;
  if (opcode === MEMORY_GROW) scan.memoryGrowAt ??= at;
  if (opcode === LOOP || opcode === CALL || opcode === CALL_INDIRECT) scan.endsForSure = false;
  if (opcode >= 0xc0 && opcode <= 0xc4) scan.features.add("sign extension");
  if (isReferenceOpcode(opcode)) scan.features.add("reference types");
}

/** Typed select, table.get, table.set, ref.null, ref.is_null and ref.func. */
function isReferenceOpcode(opcode: number): boolean {
  const isTableAccess = opcode === 0x25 || opcode === 0x26;
  return opcode === TYPED_SELECT || isTableAccess || (opcode >= REF_NULL && opcode <= 0xd2);
}

function skipImmediates(opcode: number, body: ByteReader, scan: FunctionScan): void {
  switch (opcode) {
    case BLOCK:
    case LOOP:
    case IF:
      skipBlockType(body, scan);
      return;
    case BR_TABLE: // a vector of labels and one for the rest
      skipNumbers(body, body.u32() + 1);
      return;
    case TYPED_SELECT:
      body.take(body.u32());
      return;
    case MEMORY_SIZE:
    case MEMORY_GROW:
    case REF_NULL:
      body.byte();
      return;
    case I32_CONST:
      body.signed(32);
      return;
    case I64_CONST:
      body.signed(64);
      return;
    case F32_CONST:
      body.take(4);
      return;
    case F64_CONST:
      body.take(8);
      return;
    case BULK_PREFIX:
      skipPrefixed(body, scan);
      return;
    default:
      skipIndices(opcode, body, scan);
  }
}

const NO_RESULT = 0x40;

/** Nothing, one value type, or (newer) the index of a function type, which is not negative (5.4.1). */
function skipBlockType(body: ByteReader, scan: FunctionScan): void {
  const type = body.signed(33);
  const firstByte = Number(type & 0x7fn);
  if (type >= 0n) scan.features.add("multiple values");
  else if (firstByte !== NO_RESULT && !isMvpValueType(firstByte)) scan.features.add("new types");
}

/** How many numbers follow 0xfc and a second opcode from 8 on: memory.init … table.fill. */
const BULK_INDEX_COUNTS = [2, 1, 2, 1, 2, 1, 2, 1, 1, 1];

function skipPrefixed(body: ByteReader, scan: FunctionScan): void {
  const second = body.u32();
  if (second < 8) {
    scan.features.add("saturating conversion");
    return;
  }
  const count = BULK_INDEX_COUNTS[second - 8];
  if (count === undefined) {
    giveUp(`opcode 0xfc ${second}`, scan);
    return;
  }
  scan.features.add("bulk memory");
  skipNumbers(body, count);
}

function skipIndices(opcode: number, body: ByteReader, scan: FunctionScan): void {
  const count = indexCount(opcode);
  if (count === undefined) giveUp(`opcode 0x${opcode.toString(16).padStart(2, "0")}`, scan);
  else skipNumbers(body, count);
}

/** How many unsigned numbers follow an opcode that has no case of its own; undefined if it is unknown. */
function indexCount(opcode: number): number | undefined {
  if (opcode === CALL_INDIRECT) return 2;
  if (opcode >= 0x28 && opcode <= 0x3e) return 2; // loads and stores: alignment and offset
  if (opcode >= 0x20 && opcode <= 0x26) return 1; // local, global and table
  if (opcode === 0x0c || opcode === 0x0d) return 1; // br, br_if
  if (opcode === CALL || opcode === 0xd2) return 1; // call, ref.func
  if (opcode >= 0x45 && opcode <= 0xc4) return 0; // arithmetic
  return PLAIN_OPCODES.has(opcode) ? 0 : undefined;
}

/** unreachable, nop, else, end, return, drop, select, ref.is_null. */
const PLAIN_OPCODES = new Set([0x00, 0x01, 0x05, 0x0b, 0x0f, 0x1a, 0x1b, 0xd1]);

function giveUp(feature: string, scan: FunctionScan): void {
  scan.features.add(feature);
  scan.isComplete = false;
}

function skipNumbers(body: ByteReader, count: number): void {
  for (let index = 0; index < count; index++) body.u32();
}
