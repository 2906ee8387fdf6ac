/** How much memory the embedder has, so that no address from outside can trap (see docs/decisions/0002). */

/** Where the module's own data ends. A board has no more than this; `clientInit` answers below it nowhere. */
export const HEAP_BASE: u32 = 4096;

/** The one word that belongs to no client: the embedder's memory, 0 until it was told. Never below HEAP_BASE in effect. */
let toldByteLength: u32 = 0;

export function memoryGrown(byteLength: u32): void {
  if (byteLength > toldByteLength) toldByteLength = byteLength;
}

/** True if `length` bytes at `at` are in the memory. Nothing is in every memory. */
export function isInMemory(at: usize, length: u32): bool {
  if (length === 0) return true;
  const end: u32 = toldByteLength > HEAP_BASE ? toldByteLength : HEAP_BASE;
  return length <= end && <u32>at <= end - length;
}
