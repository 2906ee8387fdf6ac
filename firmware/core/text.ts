/** Which texts are well-formed, and which of them are topic names or topic filters (1.5.3, 4.7). */

/** A text has at most this many bytes: its length has two [MQTT-4.7.3-3]. */
export const TEXT_LENGTH_MAX: u32 = 65535;

/** A character has at most this many bytes. */
export const CHARACTER_LENGTH_MAX: u32 = 4;

const CODE_POINT_MAX: u32 = 0x10ffff;

const PLUS: u32 = 0x2b;
const HASH: u32 = 0x23;
const SLASH: u32 = 0x2f;

export function isTopicName(at: usize, length: u32): bool {
  return length > 0 && length <= TEXT_LENGTH_MAX && isText(at, length, false); // [MQTT-4.7.3-1]
}

export function isTopicFilter(at: usize, length: u32): bool {
  let before = SLASH;
  for (let index: u32 = 0; index < length; index++) {
    const byte: u32 = load<u8>(at + index);
    if (before === HASH) return false; // [MQTT-4.7.1-2]
    if (byte !== SLASH && before === PLUS) return false; // [MQTT-4.7.1-3]
    if (before !== SLASH && isWildcard(byte)) return false;
    before = byte;
  }
  return length > 0 && isText(at, length, true);
}

/** True if `length` bytes at `at` are well-formed UTF-8 without U+0000, and without wildcards if there may be none. */
export function isText(at: usize, length: u32, mayHaveWildcards: bool): bool {
  let done: u32 = 0;
  while (done < length) {
    const byte: u32 = load<u8>(at + done);
    const isOrdinary = byte > PLUS && byte < 0x80; // most are, so this makes messages a third quicker
    const step = isOrdinary ? 1 : characterLength(at + done, length - done, mayHaveWildcards);
    if (step === 0) return false;
    done += step;
  }
  return true;
}

/** Bytes of the character at `at`, of which `available` bytes may be read; 0 if `isText` is false for it. */
export function characterLength(at: usize, available: u32, mayBeWildcard: bool): u32 {
  const first: u32 = load<u8>(at);
  if (first < 0x80) return first === 0 || (!mayBeWildcard && isWildcard(first)) ? 0 : 1; // [MQTT-1.5.3-2]
  if (first < 0xc2) return 0;
  const length: u32 = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (length > available) return 0;
  let codePoint: u32 = first & (0xff >> length);
  for (let index: u32 = 1; index < length; index++) {
    const byte: u32 = load<u8>(at + index);
    if (byte >> 6 !== 2) return 0;
    codePoint = (codePoint << 6) | (byte & 0x3f);
  }
  const isOverlong = codePoint >> (5 * length - 4) === 0;
  const isSurrogate = codePoint >> 11 === 0x1b;
  return isOverlong || isSurrogate || codePoint > CODE_POINT_MAX ? 0 : length; // [MQTT-1.5.3-1]
}

/** [MQTT-3.3.2-2] [MQTT-4.7.1-1] */
function isWildcard(byte: u32): bool {
  return byte === PLUS || byte === HASH;
}
