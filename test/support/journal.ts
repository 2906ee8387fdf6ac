/** Batches of the journal as docs/journal.md describes them: read, checked and made, apart from the firmware. */

import { bytesOf, concat, hex, lengthPrefixed, packet, splitPackets, unhex } from "./bytes.ts";

/** Begins the checksum of an image. */
export const CHECKSUM_BASIS = 0x811c9dc5;

const CHECKSUM_PRIME = 0x01000193;
const HEADER_LENGTH = 8;

/** FNV-1a with 32 bits. */
export function fnv1a(bytes: Uint8Array, before = CHECKSUM_BASIS): number {
  return bytes.reduce((sum, byte) => Math.imul(sum ^ byte, CHECKSUM_PRIME) >>> 0, before);
}

/** A batch around its records, whose checksum continues `checksumBefore`. */
export function batchOf(records: Uint8Array, checksumBefore = CHECKSUM_BASIS): Uint8Array {
  const length = u32(records.length);
  return concat(length, u32(fnv1a(concat(length, records), checksumBefore)), records);
}

export function checksumOf(batch: Uint8Array): number {
  return new DataView(batch.buffer, batch.byteOffset).getUint32(4, true);
}

/** The records of a batch, each in hexadecimal. Throws if its length or its checksum is not right. */
function recordsOf(batch: Uint8Array, checksumBefore: number): string[] {
  const records = batch.slice(HEADER_LENGTH);
  const expected = hex(batchOf(records, checksumBefore));
  if (hex(batch) !== expected) throw new Error(`the batch is ${hex(batch)}, not ${expected}`);
  return splitPackets(records).map(hex);
}

/** The records of batches that follow each other, an image first, batch by batch. */
export function journalOf(batches: Uint8Array[]): string[][] {
  let checksum = CHECKSUM_BASIS;
  return batches.map((batch) => {
    const records = recordsOf(batch, checksum);
    checksum = checksumOf(batch);
    return records;
  });
}

interface ImageHead {
  version?: number;
  isStale?: boolean;
  nextPacketId?: number;
  generation?: number;
  clientId?: string;
}

/** The first record of an image. */
export function beginRecord(head: ImageHead = {}): Uint8Array {
  const { version = 1, isStale = false, nextPacketId = 1, generation = 1, clientId = "t" } = head;
  return packet(
    0x10,
    Uint8Array.of(version, isStale ? 1 : 0, nextPacketId >> 8, nextPacketId & 0xff),
    u32(generation),
    u32(fnv1a(lengthPrefixed(clientId))),
  );
}

/** An image of `clientId` "t" with these records behind the first. */
export function imageOf(records: string | Uint8Array, head: ImageHead = {}): Uint8Array {
  const rest = typeof records === "string" ? unhex(records) : records;
  return batchOf(concat(beginRecord(head), rest));
}

/** A PUBLISH record. */
export function publishRecord(
  topic: string | Uint8Array,
  packetId: number,
  payload: string | Uint8Array,
  firstByte = 0x32,
): Uint8Array {
  const identifier = Uint8Array.of(packetId >> 8, packetId & 0xff);
  return packet(firstByte, lengthPrefixed(topic), identifier, bytesOf(payload));
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}
