/** Numbers and runs of bytes as MQTT lays them out (1.5). */

/** Bytes that one step of a copy moves. WebAssembly loads and stores need no alignment. */
const STEP_LENGTH: u32 = 8;

/** A Two Byte Integer, most significant byte first (1.5.2). */
export function loadU16(at: usize): u32 {
  return ((<u32>load<u8>(at)) << 8) | <u32>load<u8>(at, 1);
}

export function storeU16(at: usize, value: u32): void {
  store<u8>(at, <u8>(value >> 8));
  store<u8>(at, <u8>value, 1);
}

/** Writes a length and `length` bytes behind it, as strings and binary data lie (1.5.3). Returns the address behind. */
export function storeField(at: usize, bytesAt: usize, length: u32): usize {
  storeU16(at, length);
  return copy(at + 2, bytesAt, length);
}

/** Copies bytes; the runs may overlap. Returns the address behind the copy. */
export function copy(to: usize, from: usize, length: u32): usize {
  const isBackward = to > from;
  let left = length;
  for (; left >= STEP_LENGTH; left -= STEP_LENGTH) {
    const offset: u32 = isBackward ? left - STEP_LENGTH : length - left;
    store<u64>(to + offset, load<u64>(from + offset));
  }
  for (; left > 0; left--) {
    const offset: u32 = isBackward ? left - 1 : length - left;
    store<u8>(to + offset, load<u8>(from + offset));
  }
  return to + length;
}

/** Sets `length` bytes, a multiple of 8, to 0. */
export function clear(at: usize, length: u32): void {
  for (let done: u32 = 0; done < length; done += STEP_LENGTH) store<u64>(at + done, 0);
}
