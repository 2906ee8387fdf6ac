/** What one block of a journal holds: its whole batches, and whether what lies behind them is torn or damaged. */

import { BatchField } from "../../../firmware/core/abi.ts";
import {
  BATCH_HEADER_LENGTH,
  batchEnd,
  ERASED,
  FIRST_CHECKSUM,
  imageGeneration,
  isImage,
  storedChecksum,
  wholeBatchAt,
} from "./batch.ts";
import type { JournalMedium } from "./journal-medium.ts";

/** What lies behind the last whole batch of a block. */
type Rest =
  /** Nothing. */
  | "erased"
  /** What a loss of power leaves: the front of a batch, or a block whose erasing had begun. */
  | "torn"
  /** A batch that is not whole, and something that cannot lie behind it. */
  | "damaged";

export interface Block {
  /** A copy of all of it. */
  readonly bytes: Uint8Array;
  /** An image first; none if the image is not whole. */
  readonly batches: readonly Uint8Array[];
  /** As the image says; if it is not whole, what can be read in that place. */
  readonly generation: number;
  /** An empty batch is the last: the image behind this block was stored. */
  readonly isClosed: boolean;
  /** Where the next batch would begin. */
  readonly end: number;
  readonly rest: Rest;
}

/** Reads one block. Any bytes may be there. */
export function readBlock(medium: JournalMedium, blockIndex: number): Block {
  const { blockLength, wordLength } = medium;
  const bytes = new Uint8Array(blockLength).fill(ERASED);
  bytes.set(medium.read(blockIndex).subarray(0, blockLength));

  const batches = wholeBatches(bytes, wordLength);
  const last = batches.at(-1);
  const end = last === undefined ? 0 : alignUp(last.byteOffset + last.length, wordLength);
  return {
    bytes,
    batches,
    generation: imageGeneration(bytes),
    isClosed: last?.length === BATCH_HEADER_LENGTH,
    end,
    rest: restAt(bytes, end, wordLength),
  };
}

/** The next multiple of a power of 2. */
export function alignUp(offset: number, wordLength: number): number {
  return Math.ceil(offset / wordLength) * wordLength;
}

function wholeBatches(bytes: Uint8Array, wordLength: number): Uint8Array[] {
  const batches: Uint8Array[] = [];
  let batch = wholeBatchAt(bytes, 0, FIRST_CHECKSUM);
  if (batch === undefined || !isImage(batch)) return batches;

  while (batch !== undefined) {
    batches.push(batch);
    const end = alignUp(batch.byteOffset + batch.length, wordLength);
    batch = wholeBatchAt(bytes, end, storedChecksum(batch));
  }
  return batches;
}

/** `at` is where the batches end: behind them nothing is whole. */
function restAt(bytes: Uint8Array, at: number, wordLength: number): Rest {
  const writtenEnd = endOfWritten(bytes);
  if (writtenEnd <= at) return "erased";

  // The power failed within the length, which says nothing then.
  if (writtenEnd <= alignUp(at + BatchField.Checksum, wordLength)) return "torn";

  const end = batchEnd(bytes, at);
  if (end > bytes.length && !(at === 0 && isFrontErased(bytes))) return "damaged";
  if (writtenEnd > end) return "damaged";

  // If only the length was changed, it may seem to reach over all that follows.
  return hasSuccessor(bytes, at, writtenEnd, wordLength) ? "damaged" : "torn";
}

/** True if a length that fits can become the one that is there when its first bytes are erased, the last of them in part. */
function isFrontErased(bytes: Uint8Array): boolean {
  const front = bytes.slice(0, BATCH_HEADER_LENGTH);
  const partlyErasedAt = front.findIndex((byte) => byte !== ERASED);
  front.fill(0, 0, Math.min(partlyErasedAt >>> 0, BatchField.Checksum - 1) + 1);
  return batchEnd(front, 0) <= bytes.length;
}

function endOfWritten(bytes: Uint8Array): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === ERASED) end--;
  return end;
}

/** True if a whole batch that follows the one at `at` lies anywhere behind it. */
function hasSuccessor(
  bytes: Uint8Array,
  at: number,
  writtenEnd: number,
  wordLength: number,
): boolean {
  const checksum = storedChecksum(bytes.subarray(at));
  const written = bytes.subarray(0, writtenEnd);
  for (let next = alignUp(at + 1, wordLength); next < writtenEnd; next += wordLength) {
    if (wholeBatchAt(written, next, checksum) !== undefined) return true;
  }
  return false;
}
