/** Which texts are topic names, and which are topic filters (4.7). */

import { isUtf8, nextUtf8, UTF8_BOUNDARY, UTF8_ILL_FORMED } from "./utf8";

/** A text has at most this many bytes: its length has two (1.5.3) [MQTT-4.7.3-3]. */
export const TEXT_LENGTH_MAX: u32 = 65535;

const PLUS: u32 = 0x2b;
const HASH: u32 = 0x23;
const SLASH: u32 = 0x2f;

export function isTopicName(at: usize, length: u32): bool {
  if (length === 0 || length > TEXT_LENGTH_MAX) return false; // [MQTT-4.7.3-1]
  let state = UTF8_BOUNDARY;
  for (let index: u32 = 0; index < length; index++) {
    state = nextTopicName(state, load<u8>(at + index));
    if (state === UTF8_ILL_FORMED) return false;
  }
  return state === UTF8_BOUNDARY;
}

/** One more byte of a topic name that arrives in pieces; states as in utf8.ts. */
export function nextTopicName(state: u32, byte: u32): u32 {
  if (byte === PLUS || byte === HASH) return UTF8_ILL_FORMED; // [MQTT-3.3.2-2] [MQTT-4.7.1-1]
  return nextUtf8(state, byte);
}

export function isTopicFilter(at: usize, length: u32): bool {
  if (length === 0 || length > TEXT_LENGTH_MAX || !isUtf8(at, length)) return false;
  for (let index: u32 = 0; index < length; index++) {
    const byte: u32 = load<u8>(at + index);
    if (byte !== PLUS && byte !== HASH) continue;
    if (index > 0 && <u32>load<u8>(at + index - 1) !== SLASH) return false;
    const isLast = index + 1 === length;
    if (byte === HASH && !isLast) return false; // [MQTT-4.7.1-2]
    if (byte === PLUS && !isLast && <u32>load<u8>(at + index + 1) !== SLASH) return false; // [MQTT-4.7.1-3]
  }
  return true;
}
