/** Which client ids a reporter takes: they become a level of a topic, and lie in JSON between quotation marks. */

const LENGTH_MAX: u32 = 64;

const SPACE: u32 = 0x20;
const QUOTATION_MARK: u32 = 0x22;
const HASH: u32 = 0x23;
const PLUS: u32 = 0x2b;
const SLASH: u32 = 0x2f;
const BACKSLASH: u32 = 0x5c;

export function isClientId(at: usize, length: u32): bool {
  if (length === 0 || length > LENGTH_MAX) return false;
  for (let index: u32 = 0; index < length; index++) {
    if (isForbidden(load<u8>(at + index))) return false;
  }
  return true;
}

function isForbidden(byte: u32): bool {
  const ofTopics = byte === HASH || byte === PLUS || byte === SLASH;
  return ofTopics || byte === QUOTATION_MARK || byte === BACKSLASH || byte < SPACE;
}
