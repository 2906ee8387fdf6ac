/** Reads of a WebAssembly binary what our module rules ask about (WebAssembly 1.0, 5.5). */

import { ByteReader, InvalidModuleError } from "./byte-reader.ts";
import { type FunctionScan, isMvpValueType, scanInstructions } from "./instructions.ts";

const KINDS = ["function", "table", "memory", "global", "tag"] as const;
type ExternalKind = (typeof KINDS)[number];

export interface WasmImport {
  module: string;
  name: string;
  kind: ExternalKind;
}

export interface WasmExport {
  name: string;
  kind: ExternalKind;
  /** In the index space of its kind, where imports come first (2.5.1). */
  index: number;
}

export interface WasmMemory {
  initialPageCount: number;
  maximumPageCount: number | undefined;
}

export interface WasmGlobal {
  isI32: boolean;
  isMutable: boolean;
  /** The bits it starts with, as an unsigned number; undefined if they are not one constant. */
  initialBits: bigint | undefined;
}

interface WasmDataSegment {
  /** Undefined if it is not one constant. */
  offset: number | undefined;
  length: number;
}

/** Memories, globals and functions are the module's own, without the imported ones. */
export interface WasmModule {
  imports: WasmImport[];
  exports: WasmExport[];
  memories: WasmMemory[];
  globals: WasmGlobal[];
  functions: FunctionScan[];
  dataSegments: WasmDataSegment[];
  startFunction: number | undefined;
  /** What is newer than the first version of WebAssembly, each thing once. */
  features: Set<string>;
}

/**
 * Reads a module that may come from anywhere. Throws `InvalidModuleError` for what is none or is damaged. A section
 * that only newer readers understand is read up to there, and named in `features`. Whether types fit and
 * indices exist is left to the engine.
 */
export function readModule(bytes: Uint8Array): WasmModule {
  const reader = new ByteReader(bytes);
  readPreamble(reader);

  const module: WasmModule = {
    imports: [],
    exports: [],
    memories: [],
    globals: [],
    functions: [],
    dataSegments: [],
    startFunction: undefined,
    features: new Set(),
  };
  while (!reader.isDone) readSection(reader, module);
  return module;
}

const MAGIC = 0x0061736d;
const VERSION_1 = 0x01000000;

function readPreamble(reader: ByteReader): void {
  if (reader.isDone) throw new InvalidModuleError("it is empty", 0);
  if (readU32BigEndian(reader) !== MAGIC) {
    throw new InvalidModuleError("it does not start with 00 61 73 6d", 0);
  }
  if (readU32BigEndian(reader) !== VERSION_1) {
    throw new InvalidModuleError("it is not version 1 of the binary format", 4);
  }
}

function readU32BigEndian(reader: ByteReader): number {
  const bytes = reader.take(4);
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
}

/** Something whose length only a newer reader knows. */
class BeyondMvpError extends Error {
  override readonly name = "BeyondMvpError";
}

type ReadSection = (section: ByteReader, module: WasmModule) => void;

const CUSTOM_SECTION = 0;

/** By section id (5.5.2). */
const SECTIONS: Record<number, ReadSection> = {
  1: readTypes,
  2: readImports,
  3: readFunctionTypes,
  4: readTables,
  5: (section, module) => forEachItem(section, () => module.memories.push(readLimits(section))),
  6: (section, module) => forEachItem(section, () => module.globals.push(readGlobal(section))),
  7: readExports,
  8: (section, module) => {
    module.startFunction = section.u32();
  },
  9: readElements,
  10: readCode,
  11: readData,
};

function readSection(reader: ByteReader, module: WasmModule): void {
  const id = reader.byte();
  const section = reader.part(reader.u32());
  if (id === CUSTOM_SECTION) return;
  const read = SECTIONS[id];
  if (read === undefined) {
    module.features.add(`section ${id}`);
    return;
  }
  try {
    read(section, module);
  } catch (error) {
    if (!(error instanceof BeyondMvpError)) throw error;
    module.features.add(error.message);
    return;
  }
  if (!section.isDone) throw new InvalidModuleError(`section ${id} is too long`, section.at);
}

/** Each item takes at least one byte, so a count that lies ends at the end of the section. */
function forEachItem(section: ByteReader, read: () => void): void {
  const count = section.u32();
  for (let index = 0; index < count; index++) read();
}

const FUNCTION_TYPE = 0x60;

function readTypes(section: ByteReader, module: WasmModule): void {
  forEachItem(section, () => {
    if (section.byte() !== FUNCTION_TYPE) throw new BeyondMvpError("new types");
    forEachItem(section, () => readValueType(section, module));
    const resultCount = section.u32();
    if (resultCount > 1) module.features.add("multiple values");
    for (let index = 0; index < resultCount; index++) readValueType(section, module);
  });
}

const V128 = 0x7b;
const FUNCTION_REFERENCE = 0x70;
const EXTERNAL_REFERENCE = 0x6f;

function readValueType(reader: ByteReader, module: WasmModule): void {
  const type = reader.byte();
  if (isMvpValueType(type)) return;
  if (type === V128) module.features.add("SIMD");
  else if (type === FUNCTION_REFERENCE || type === EXTERNAL_REFERENCE) {
    module.features.add("reference types");
  } else throw new BeyondMvpError("new types");
}

function readImports(section: ByteReader, module: WasmModule): void {
  forEachItem(section, () => {
    const from = section.name();
    const name = section.name();
    const kind = readKind(section);
    module.imports.push({ module: from, name, kind });
    if (kind === "function") section.u32();
    else if (kind === "table") readTable(section);
    else if (kind === "memory") readLimits(section);
    else if (kind === "global") {
      readValueType(section, module);
      section.byte();
    } else throw new BeyondMvpError("exception handling");
  });
}

function readKind(section: ByteReader): ExternalKind {
  const at = section.at;
  const kind = KINDS[section.byte()];
  if (kind === undefined) throw new InvalidModuleError("an import or export of unknown kind", at);
  return kind;
}

function readFunctionTypes(section: ByteReader): void {
  forEachItem(section, () => section.u32());
}

function readTables(section: ByteReader): void {
  forEachItem(section, () => readTable(section));
}

function readTable(section: ByteReader): void {
  if (section.byte() !== FUNCTION_REFERENCE) throw new BeyondMvpError("reference types");
  readLimits(section);
}

/** Of a memory (in pages of 65,536 bytes) or a table: at least, and at most (5.3.4). */
function readLimits(section: ByteReader): WasmMemory {
  const flags = section.byte();
  if (flags > 1) throw new BeyondMvpError("shared or 64-bit memory");
  const initialPageCount = section.u32();
  return { initialPageCount, maximumPageCount: flags === 1 ? section.u32() : undefined };
}

const I32 = 0x7f;

function readGlobal(section: ByteReader): WasmGlobal {
  const isI32 = section.byte() === I32;
  const isMutable = section.byte() === 1;
  return { isI32, isMutable, initialBits: readConstant(section) };
}

const END = 0x0b;

/** A constant expression (5.4.7): one instruction and `end`. */
function readConstant(section: ByteReader): bigint | undefined {
  const opcode = section.byte();
  const bits = readConstantBits(opcode, section);
  if (section.byte() !== END) throw new BeyondMvpError("extended constant expressions");
  return bits;
}

function readConstantBits(opcode: number, section: ByteReader): bigint | undefined {
  switch (opcode) {
    case 0x41: // i32.const
      return BigInt.asUintN(32, section.signed(32));
    case 0x42: // i64.const
      return BigInt.asUintN(64, section.signed(64));
    case 0x43: // f32.const
      return littleEndian(section.take(4));
    case 0x44: // f64.const
      return littleEndian(section.take(8));
    case 0x23: // global.get
      section.u32();
      return undefined;
    default:
      throw new BeyondMvpError("new constant expressions");
  }
}

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((bits, byte) => (bits << 8n) | BigInt(byte), 0n);
}

function readExports(section: ByteReader, module: WasmModule): void {
  forEachItem(section, () => {
    const name = section.name();
    const kind = readKind(section);
    module.exports.push({ name, kind, index: section.u32() });
  });
}

function readElements(section: ByteReader): void {
  forEachItem(section, () => {
    if (section.u32() !== 0) throw new BeyondMvpError("new element segments");
    readConstant(section);
    forEachItem(section, () => section.u32());
  });
}

function readCode(section: ByteReader, module: WasmModule): void {
  forEachItem(section, () => {
    const body = section.part(section.u32());
    forEachItem(body, () => {
      body.u32();
      readValueType(body, module);
    });
    const scan = scanInstructions(body);
    for (const feature of scan.features) module.features.add(feature);
    module.functions.push(scan);
  });
}

function readData(section: ByteReader, module: WasmModule): void {
  forEachItem(section, () => {
    if (section.u32() !== 0) throw new BeyondMvpError("passive data segments");
    const offset = readConstant(section);
    const length = section.u32();
    section.take(length);
    module.dataSegments.push({ offset: offset === undefined ? undefined : Number(offset), length });
  });
}
