/** The checksums of the serial line: of frames and of SMP packets. */

import { crc32 as zlibCrc32 } from "node:zlib";

/** CRC-32 of IEEE 802.3, as in zlib: of frames. */
export function crc32(bytes: Uint8Array): number {
  return zlibCrc32(bytes);
}

/** CRC-16/XMODEM (polynomial 0x1021, begins with 0, nothing reflected): of SMP packets. */
export function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) {
      crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
    }
    crc &= 0xffff;
  }
  return crc;
}
