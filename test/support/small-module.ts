/** WebAssembly modules of a hundred bytes, right and wrong in every way that a board looks at; and MCUboot containers around them. */

import { createHash, type KeyObject, sign } from "node:crypto";
import { concat } from "./bytes.ts";

const I32 = 0x7f;
const KIND = { function: 0, memory: 2, global: 3 } as const;

interface Global {
  type: number;
  isMutable: boolean;
  /** The constant's instruction and operand. */
  constant: number[];
}

export interface SmallModule {
  abi?: number;
  /** The whole body of `abiVersion`, instead of the constant `abi`. */
  abiBody?: number[];
  heapBase?: number;
  globals?: Global[];
  heapBaseIndex?: number;
  pages?: number;
  memoryCount?: number;
  memoryName?: string;
  data?: { at: number; bytes: number[] }[];
  imports?: boolean;
  starts?: boolean;
  /** Names, and how many i32 parameters each takes. */
  functions?: Record<string, number>;
  /** Function types behind those of the functions. */
  types?: number[][];
  /** Sections behind those of the module, with their ids. */
  behind?: [number, number[]][];
  /** Bytes of a custom section, so that modules differ. */
  filling?: number;
}

/** A module that a board takes, but for what is asked to be different. */
export function smallModule(options: SmallModule = {}): Uint8Array {
  const { abi = 2, heapBase = 4096, pages = 1, memoryCount = 1, memoryName = "memory" } = options;
  const functions = Object.entries({ abiVersion: 0, ...options.functions });
  const constant = [0x41, ...signedLeb(heapBase)];
  const globals = options.globals ?? [{ type: I32, isMutable: false, constant }];
  const abiBody = options.abiBody ?? [0x00, 0x41, ...signedLeb(abi), 0x0b];
  const bodies = functions.map(([name]) => (name === "abiVersion" ? abiBody : [0, 0x41, 0, 0x0b]));
  const exports = [
    [...name(memoryName), KIND.memory, 0],
    [...name("__heap_base"), KIND.global, ...leb(options.heapBaseIndex ?? 0)],
    ...functions.map(([text], index) => [...name(text), KIND.function, ...leb(index)]),
  ];
  const types = functions.map(([, count]) => [0x60, ...vector(Array(count).fill([I32])), 1, I32]);
  const sections: [number, number[]][] = [
    [1, vector([...types, ...(options.types ?? [])])],
    ...(options.imports ? section(2, [[...name("env"), ...name("abort"), 0, 0]]) : []),
    [3, vector(functions.map((_, index) => leb(index)))],
    [5, vector(Array(memoryCount).fill([0, ...leb(pages)]))],
    [6, vector(globals.map((one) => [one.type, Number(one.isMutable), ...one.constant, 0x0b]))],
    [7, vector(exports)],
    ...(options.starts ? ([[8, [0]]] as [number, number[]][]) : []),
    [10, vector(bodies.map((body) => [...leb(body.length), ...body]))],
    ...(options.data ? section(11, options.data.map(dataSegment)) : []),
    ...(options.behind ?? []),
    [0, [...name("filling"), ...Array(options.filling ?? 0).fill(0x5a)]],
  ];
  const preamble = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  return Uint8Array.from([
    ...preamble,
    ...sections.flatMap(([id, bytes]) => [id, ...leb(bytes.length), ...bytes]),
  ]);
}

export interface Container {
  /** Major, minor, revision, build. */
  version?: [number, number, number, number];
  /** Ed25519. */
  signedBy?: { privateKey: KeyObject; publicKey: KeyObject };
  /** TLVs instead of those that belong there: type and value. */
  values?: [number, Uint8Array][];
  /** Bytes of the header that are others: offset and byte. */
  header?: Record<number, number>;
}

/** What a module is wrapped in (docs/wire.md), written a second time with nothing but node:crypto. */
export function container(module: Uint8Array, options: Container = {}): Uint8Array {
  const [major, minor, revision, build] = options.version ?? [1, 0, 0, 0];
  const front = Buffer.alloc(32);
  front.writeUInt32LE(0x96f3b83d, 0);
  front.writeUInt16LE(32, 8);
  front.writeUInt32LE(module.length, 12);
  front.writeUInt8(major, 20);
  front.writeUInt8(minor, 21);
  front.writeUInt16LE(revision, 22);
  front.writeUInt32LE(build, 24);
  for (const [offset, byte] of Object.entries(options.header ?? {})) front[Number(offset)] = byte;

  const content = concat(front, module);
  const values = options.values ?? valuesOf(content, options.signedBy);
  const tlvs = values.map(([type, value]) => concat(u16(type), u16(value.length), value));
  const length = tlvs.reduce((sum, tlv) => sum + tlv.length, 4);
  return concat(content, u16(0x6907), u16(length), ...tlvs);
}

/** The SHA-256 of header and module, and the signature with its key if there is one. */
export function valuesOf(
  content: Uint8Array,
  signer: Container["signedBy"],
): [number, Uint8Array][] {
  const hash = sha256(content);
  if (signer === undefined) return [[0x10, hash]];
  const der = signer.publicKey.export({ type: "spki", format: "der" });
  return [
    [0x10, hash],
    [0x01, sha256(der)],
    [0x24, sign(null, hash, signer.privateKey)],
  ];
}

export function sha256(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}

function section(id: number, items: number[][]): [number, number[]][] {
  return [[id, vector(items)]];
}

function dataSegment({ at, bytes }: { at: number; bytes: number[] }): number[] {
  return [0, 0x41, ...signedLeb(at), 0x0b, ...leb(bytes.length), ...bytes];
}

function name(text: string): number[] {
  return [...leb(text.length), ...Buffer.from(text)];
}

function vector(items: number[][]): number[] {
  return [...leb(items.length), ...items.flat()];
}

function u16(number: number): Uint8Array {
  return Uint8Array.of(number & 0xff, number >> 8);
}

/** An unsigned number as LEB128 (WebAssembly 1.0, 5.2.2). */
export function leb(number: number): number[] {
  return number < 0x80 ? [number] : [(number & 0x7f) | 0x80, ...leb(number >>> 7)];
}

/** A signed 32-bit number as LEB128. */
export function signedLeb(number: number): number[] {
  const low = number & 0x7f;
  const rest = number >> 7;
  const isLast = (rest === 0 && low < 0x40) || (rest === -1 && low >= 0x40);
  return isLast ? [low] : [low | 0x80, ...signedLeb(rest)];
}
