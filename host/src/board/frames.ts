/** Frames on the serial line as bytes (docs/wire.md): SLIP (RFC 1055) around kind, connection, sequence, payload and CRC. */

import { crc32 } from "./crc.ts";

/** Begins and ends a frame. Never occurs in UTF-8. */
export const FRAME_END = 0xc0;

const ESCAPE = 0xdb;
const ESCAPED_END = 0xdc;
const ESCAPED_ESCAPE = 0xdd;

/** A frame that has more bytes on the line is none. */
export const FRAME_LENGTH_MAX = 1_024;

const HEADER_LENGTH = 3;
const CRC_LENGTH = 4;

/** One frame, whatever it means. */
export interface Frame {
  readonly kind: number;
  readonly connection: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
}

/** The bytes on the line, with a `FRAME_END` before and behind. */
export function encodeFrame({ kind, connection, sequence, payload }: Frame): Uint8Array {
  const crcAt = HEADER_LENGTH + payload.length;
  const plain = Buffer.alloc(crcAt + CRC_LENGTH);
  plain.set([kind, connection, sequence]);
  plain.set(payload, HEADER_LENGTH);
  plain.writeUInt32LE(crc32(plain.subarray(0, crcAt)), crcAt);
  return Uint8Array.from([FRAME_END, ...escaped(plain), FRAME_END]);
}

/** What lies between two `FRAME_END`, read as a frame; undefined if it is none. */
export function readFrame(escapedBytes: Uint8Array): Frame | undefined {
  const plain = unescaped(escapedBytes);
  if (plain === undefined) return undefined;
  const crcAt = plain.length - CRC_LENGTH;
  if (crcAt < HEADER_LENGTH) return undefined;
  if (plain.readUInt32LE(crcAt) !== crc32(plain.subarray(0, crcAt))) return undefined;
  return {
    kind: plain.readUInt8(0),
    connection: plain.readUInt8(1),
    sequence: plain.readUInt8(2),
    payload: plain.subarray(HEADER_LENGTH, crcAt),
  };
}

function* escaped(plain: Uint8Array): Generator<number> {
  for (const byte of plain) {
    if (byte === FRAME_END) yield* [ESCAPE, ESCAPED_END];
    else if (byte === ESCAPE) yield* [ESCAPE, ESCAPED_ESCAPE];
    else yield byte;
  }
}

/** Undefined if an escape is followed by anything but the two bytes that RFC 1055 knows. */
function unescaped(bytes: Uint8Array): Buffer | undefined {
  const plain: number[] = [];
  let isEscaped = false;
  for (const byte of bytes) {
    if (isEscaped) {
      if (byte !== ESCAPED_END && byte !== ESCAPED_ESCAPE) return undefined;
      plain.push(byte === ESCAPED_END ? FRAME_END : ESCAPE);
      isEscaped = false;
    } else if (byte === ESCAPE) {
      isEscaped = true;
    } else {
      plain.push(byte);
    }
  }
  return isEscaped ? undefined : Buffer.from(plain);
}
