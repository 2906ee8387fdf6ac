/** What can be told of a batch without knowing its records (docs/journal.md, "Batches"). */

import { BatchField } from "../../../firmware/core/abi.ts";

/** Bytes in front of the records. */
export const BATCH_HEADER_LENGTH: number = BatchField.Records;

/** What the checksum of an image begins with. */
export const FIRST_CHECKSUM = 0x811c9dc5;

/** What every byte of erased flash reads. */
export const ERASED = 0xff;

const FNV_PRIME = 0x01000193;

/** The record that an image begins with, and where in the batch it ends. */
const IMAGE_RECORD = 0x10;
const IMAGE_RECORD_END = 22;

/**
 * The batch that begins at `at`, as a view, if it is whole and follows the one whose checksum is `previousChecksum`;
 * otherwise undefined. `bytes` may be anything.
 */
export function wholeBatchAt(
  bytes: Uint8Array,
  at: number,
  previousChecksum: number,
): Uint8Array | undefined {
  if (at + BATCH_HEADER_LENGTH > bytes.length) return undefined;
  const end = batchEnd(bytes, at);
  if (end > bytes.length) return undefined;

  const batch = bytes.subarray(at, end);
  return checksumOf(batch, previousChecksum) === storedChecksum(batch) ? batch : undefined;
}

/** Where the batch at `at` ends if its length is right: maybe behind the end of `bytes`. Its header must be inside. */
export function batchEnd(bytes: Uint8Array, at: number): number {
  return at + BATCH_HEADER_LENGTH + uint32At(bytes, at + BatchField.Length);
}

/** The checksum that a batch carries, and that the next one continues. */
export function storedChecksum(batch: Uint8Array): number {
  return uint32At(batch, BatchField.Checksum);
}

/** True if a whole batch is an image, of whatever format. */
export function isImage(batch: Uint8Array): boolean {
  return batch[BatchField.Records] === IMAGE_RECORD && batch.length >= IMAGE_RECORD_END;
}

/** The format of an image: each format has it at this place. */
export function imageVersion(image: Uint8Array): number {
  return image[BatchField.Version] as number;
}

/** The generation of an image. `bytes` has room for one; it need not be whole. */
export function imageGeneration(bytes: Uint8Array): number {
  return uint32At(bytes, BatchField.Generation);
}

/** A copy with another generation, and the checksum as it was. */
export function withGeneration(bytes: Uint8Array, generation: number): Uint8Array {
  const copy = bytes.slice();
  new DataView(copy.buffer).setUint32(BatchField.Generation, generation, true);
  return copy;
}

/** A batch without records. */
export function emptyBatch(previousChecksum: number): Uint8Array {
  const batch = new Uint8Array(BATCH_HEADER_LENGTH);
  const checksum = checksumOf(batch, previousChecksum);
  new DataView(batch.buffer).setUint32(BatchField.Checksum, checksum, true);
  return batch;
}

/** FNV-1a over the length and the records. */
function checksumOf(batch: Uint8Array, previousChecksum: number): number {
  const hash = fnv1a(batch.subarray(0, BatchField.Checksum), previousChecksum);
  return fnv1a(batch.subarray(BatchField.Records), hash);
}

function fnv1a(bytes: Uint8Array, begin: number): number {
  let hash = begin;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, FNV_PRIME);
  return hash >>> 0;
}

function uint32At(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at, true);
}
