/** A firmware module of which one exported function does something else: answers a number, traps, or never returns. */

import { ByteReader } from "../../host/src/module/byte-reader.ts";
import { readModule } from "../../host/src/module/wasm-module.ts";
import { concat } from "./bytes.ts";

const PREAMBLE_LENGTH = 8;
const CODE_SECTION = 10;
const I32_CONST = 0x41;
const END = 0x0b;

/** Instructions that trap, and that never return (WebAssembly 1.0, 5.4.1). */
export const TRAP = Uint8Array.of(0x00);
export const SPIN = Uint8Array.of(0x03, 0x40, 0x0c, 0x00, END, 0x00);

/** Instructions that answer `value`. */
export function answer(value: number): Uint8Array {
  return Uint8Array.of(I32_CONST, ...signedLeb(value | 0));
}

/** A copy of `bytes` in which the exported function `name` consists of these instructions. */
export function lyingModule(bytes: Uint8Array, name: string, instructions: Uint8Array): Uint8Array {
  const { imports, exports } = readModule(bytes);
  const importCount = imports.filter(({ kind }) => kind === "function").length;
  const found = exports.find((one) => one.name === name && one.kind === "function");
  if (found === undefined) throw new RangeError(`The module exports no function ${name}`);
  const body = concat(Uint8Array.of(0), instructions, Uint8Array.of(END));
  return replaceBody(bytes, found.index - importCount, body);
}

function replaceBody(bytes: Uint8Array, index: number, body: Uint8Array): Uint8Array {
  const reader = new ByteReader(bytes, PREAMBLE_LENGTH);
  while (!reader.isDone) {
    const sectionAt = reader.at;
    const id = reader.byte();
    const section = reader.part(reader.u32());
    if (id !== CODE_SECTION) continue;
    const code = codeOf(section, index, body);
    const front = bytes.subarray(0, sectionAt + 1);
    return concat(front, unsignedLeb(code.length), code, bytes.subarray(reader.at));
  }
  throw new RangeError("The module has no code");
}

function codeOf(section: ByteReader, index: number, body: Uint8Array): Uint8Array {
  const bodies: Uint8Array[] = [];
  for (let left = section.u32(); left > 0; left--) bodies.push(section.take(section.u32()));
  bodies[index] = body;
  const sized = bodies.map((one) => concat(unsignedLeb(one.length), one));
  return concat(unsignedLeb(bodies.length), ...sized);
}

function unsignedLeb(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>>= 7;
  } while (rest > 0);
  return Uint8Array.from(bytes);
}

function signedLeb(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (;;) {
    const byte = rest & 0x7f;
    rest >>= 7;
    const isLast = (rest === 0 && byte < 0x40) || (rest === -1 && byte >= 0x40);
    bytes.push(isLast ? byte : byte | 0x80);
    if (isLast) return bytes;
  }
}
