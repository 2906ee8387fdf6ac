/** The Remaining Length of a fixed header: 7 bits a byte, the lowest first (2.2.3). */

import { Status } from "./abi";

/** A Remaining Length has at most this many bytes. */
const LENGTH_BYTES_MAX: u32 = 4;

/** Bytes of the packet at `at` with its fixed header; 0 if some of that are missing, or a Status. */
export function packetLength(at: usize, available: u32): i32 {
  let remainingLength: u32 = 0;
  for (let index: u32 = 0; index < LENGTH_BYTES_MAX; index++) {
    if (index + 1 >= available) return 0;
    const byte: u32 = load<u8>(at + index, 1);
    remainingLength |= (byte & 0x7f) << (index * 7);
    if (byte < 0x80) return <i32>(2 + index + remainingLength);
  }
  return Status.MalformedPacket; // [sec-2.2.3]
}

/** The address behind a packet that is known to be whole. */
export function packetEnd(at: usize): usize {
  return at + packetLength(at, 1 + LENGTH_BYTES_MAX);
}

/** The address of what follows the fixed header of the packet at `at`, which is known to be whole. */
export function bodyOf(at: usize): usize {
  let before = at; // of the byte that is looked at: the offset of a load costs nothing
  while (load<u8>(before, 1) >= 0x80) before++;
  return before + 2;
}

/** Bytes of a packet with `remainingLength` bytes behind its fixed header. */
export function packetSize(remainingLength: u32): u32 {
  const bitCount: u32 = 32 - clz(remainingLength | 1);
  return 1 + (bitCount + 6) / 7 + remainingLength;
}

/** Writes a fixed header; returns the address of the body. */
export function storeFixedHeader(at: usize, firstByte: u32, remainingLength: u32): usize {
  store<u8>(at, <u8>firstByte);
  let before = at; // of the byte that is written next
  let rest = remainingLength;
  for (; rest >= 0x80; rest >>= 7) {
    store<u8>(before, <u8>(rest | 0x80), 1);
    before++;
  }
  store<u8>(before, <u8>rest, 1);
  return before + 2;
}
