/** A firmware module with a fault: one of its functions traps whenever it is called. */

import { ByteReader } from "../../host/src/module/byte-reader.ts";
import { readModule } from "../../host/src/module/wasm-module.ts";

const PREAMBLE_LENGTH = 8;
const CODE_SECTION = 10;
const UNREACHABLE = 0x00;
const NOP = 0x01;
const END = 0x0b;

/** A copy of `bytes` in which the exported function `name` consists of `unreachable` (WebAssembly 1.0, 5.4.1). */
export function trappingModule(bytes: Uint8Array, name: string): Uint8Array {
  const copy = bytes.slice();
  const { imports, exports } = readModule(bytes);
  const importCount = imports.filter(({ kind }) => kind === "function").length;
  const found = exports.find((one) => one.name === name && one.kind === "function");
  if (found === undefined) throw new RangeError(`The module exports no function ${name}`);
  const body = bodyOf(copy, found.index - importCount);
  body.fill(NOP);
  body[0] = UNREACHABLE;
  body[body.length - 1] = END;
  return copy;
}

/** The instructions of a function, as a view (5.5.13). */
function bodyOf(bytes: Uint8Array, index: number): Uint8Array {
  const section = codeSection(bytes);
  const count = section.u32();
  if (index < 0 || index >= count) throw new RangeError(`There is no function ${index}`);
  for (let skipped = 0; skipped < index; skipped++) section.take(section.u32());
  const length = section.u32();
  const end = section.at + length;
  for (let groupsLeft = section.u32(); groupsLeft > 0; groupsLeft--) {
    section.u32();
    section.byte();
  }
  return bytes.subarray(section.at, end);
}

function codeSection(bytes: Uint8Array): ByteReader {
  const reader = new ByteReader(bytes, PREAMBLE_LENGTH);
  while (!reader.isDone) {
    const id = reader.byte();
    const section = reader.part(reader.u32());
    if (id === CODE_SECTION) return section;
  }
  throw new RangeError("The module has no code");
}
