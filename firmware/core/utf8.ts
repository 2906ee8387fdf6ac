/** Well-formed UTF-8, one byte at a time, so that a text may arrive in pieces (1.5.3). */

/** The state between two characters: where a text starts, and where it must end. */
export const UTF8_BOUNDARY: u32 = 0;

/** The state after a byte that has no place here. */
export const UTF8_ILL_FORMED: u32 = 0xffffffff;

/** The usual bounds of a continuation byte. */
const LOW: u32 = 0x80;
const HIGH: u32 = 0xbf;

/** True if `length` bytes at `at` are well-formed UTF-8 without U+0000. */
export function isUtf8(at: usize, length: u32): bool {
  let state = UTF8_BOUNDARY;
  for (let index: u32 = 0; index < length; index++) {
    state = nextUtf8(state, load<u8>(at + index));
    if (state === UTF8_ILL_FORMED) return false;
  }
  return state === UTF8_BOUNDARY;
}

/** The state after one more byte. It packs the bytes still to come and the bounds of the next. */
export function nextUtf8(state: u32, byte: u32): u32 {
  if (state === UTF8_BOUNDARY) return afterFirst(byte);
  if (byte < ((state >> 8) & 0xff) || byte > state >> 16) return UTF8_ILL_FORMED;
  const left: u32 = (state & 0xff) - 1;
  return left === 0 ? UTF8_BOUNDARY : expecting(left, LOW, HIGH);
}

/** The narrower bounds keep out overlong forms, surrogates and what lies above U+10FFFF [MQTT-1.5.3-1]. */
function afterFirst(byte: u32): u32 {
  if (byte < 0x80) return byte === 0 ? UTF8_ILL_FORMED : UTF8_BOUNDARY; // [MQTT-1.5.3-2]
  if (byte < 0xc2 || byte > 0xf4) return UTF8_ILL_FORMED;
  if (byte < 0xe0) return expecting(1, LOW, HIGH);
  if (byte < 0xf0) return expecting(2, byte === 0xe0 ? 0xa0 : LOW, byte === 0xed ? 0x9f : HIGH);
  return expecting(3, byte === 0xf0 ? 0x90 : LOW, byte === 0xf4 ? 0x8f : HIGH);
}

function expecting(count: u32, low: u32, high: u32): u32 {
  return count | (low << 8) | (high << 16);
}
