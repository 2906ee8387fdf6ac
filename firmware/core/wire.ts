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
  copyDown(at + 2, bytesAt, length);
  return at + 2 + length;
}

/** Copies from the front. The runs may overlap if `to` is below `from`. */
export function copyDown(to: usize, from: usize, length: u32): void {
  let done: u32 = 0;
  for (; done + STEP_LENGTH <= length; done += STEP_LENGTH) {
    store<u64>(to + done, load<u64>(from + done));
  }
  for (; done < length; done++) store<u8>(to + done, load<u8>(from + done));
}

/** Copies from the back. The runs may overlap if `to` is above `from`. */
export function copyUp(to: usize, from: usize, length: u32): void {
  let left = length;
  while (left >= STEP_LENGTH) {
    left -= STEP_LENGTH;
    store<u64>(to + left, load<u64>(from + left));
  }
  while (left > 0) {
    left--;
    store<u8>(to + left, load<u8>(from + left));
  }
}
