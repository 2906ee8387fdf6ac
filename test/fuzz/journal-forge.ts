/** Makes and mends batches of a journal (docs/journal.md), so that forged ones get past the checksum. */

import { BatchField } from "../../firmware/core/abi.ts";
import { concat } from "../support/bytes.ts";
import { CHECKSUM_BASIS, fnv1a } from "../support/journal.ts";

/** The first byte of the record that begins an image. */
const IMAGE_FIRST_BYTE = 0x10;

/** A batch with these records that follows one whose checksum was `previous`. */
export function batch(records: Uint8Array, previous: number): Uint8Array {
  const bytes = concat(new Uint8Array(BatchField.Records), records);
  new DataView(bytes.buffer).setUint32(BatchField.Length, records.length, true);
  return mend(bytes, previous);
}

/** The same batch with the checksum that it must have there; its length is left as it is, even if it lies. */
export function mend(original: Uint8Array, previous: number): Uint8Array {
  if (original.length < BatchField.Records) return original;
  const bytes = original.slice();
  const start = isImage(bytes) ? CHECKSUM_BASIS : previous;
  const sum = fnv1a(bytes.subarray(BatchField.Records), fnv1a(bytes.subarray(0, 4), start));
  new DataView(bytes.buffer).setUint32(BatchField.Checksum, sum, true);
  return bytes;
}

/** The checksum that the batch claims. */
export function checksumOf(bytes: Uint8Array): number {
  if (bytes.length < BatchField.Records) return CHECKSUM_BASIS;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(BatchField.Checksum, true);
}

function isImage(bytes: Uint8Array): boolean {
  return bytes[BatchField.Records] === IMAGE_FIRST_BYTE;
}
