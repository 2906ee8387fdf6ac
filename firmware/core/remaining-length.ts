/** The Remaining Length of a fixed header: 7 bits a byte, the lowest first (2.2.3). */

import { Status } from "./abi";

/** A Remaining Length has at most this many bytes. */
const LENGTH_BYTES_MAX: u32 = 4;

/** How many bytes the length at `at` takes, 0 if some are missing, or a Status. */
export function remainingLengthBytes(at: usize, available: u32): i32 {
  for (let index: u32 = 0; index < LENGTH_BYTES_MAX; index++) {
    if (index === available) return 0;
    if (load<u8>(at + index) < 0x80) return <i32>index + 1;
  }
  return Status.MalformedPacket; // [sec-2.2.3]
}

/** The value of a length of `byteCount` bytes. */
export function loadRemainingLength(at: usize, byteCount: u32): u32 {
  let value: u32 = 0;
  for (let index: u32 = 0; index < byteCount; index++) {
    value |= (<u32>load<u8>(at + index) & 0x7f) << (index * 7);
  }
  return value;
}

export function remainingLengthSize(value: u32): u32 {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  return value < 0x200000 ? 3 : 4;
}

/** Writes a length; returns the address behind it. */
export function storeRemainingLength(at: usize, value: u32): usize {
  let rest = value;
  let end = at;
  while (rest >= 0x80) {
    store<u8>(end, <u8>(rest | 0x80));
    rest >>= 7;
    end++;
  }
  store<u8>(end, <u8>rest);
  return end + 1;
}
