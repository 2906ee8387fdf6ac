/**
 * The journal of a durable client: what must survive before anybody outside may know of it. docs/journal.md has the
 * format and says which record is written before what.
 */

import { BatchField, JOURNAL_RESERVE_LENGTH, Status } from "./abi";
import { Client, isClient } from "./client";
import { isInMemory } from "./memory";
import { packetEnd, packetSize, storeFixedHeader } from "./remaining-length";
import { copy, storeU16 } from "./wire";

/** First bytes of the records that are not laid out like a packet of the same name. */
export enum RecordByte {
  /** An image begins. */
  Begin = 0x10,
  /** A session was lost, or has begun: SESSION_LOST and its like. */
  Session = 0x20,
  /** An exchange is complete, or its message was given up. */
  Complete = 0x40,
  /** A message that waited may be sent. */
  Offered = 0xb0,
  Note = 0xf0,
}

/** The two bytes of a Session record: stale, begun. */
export const SESSION_LOST: u32 = 0x0100;
export const SESSION_BEGUN: u32 = 0x0001;
export const SESSION_BEGUN_CLEAN: u32 = 0x0101;

/** Bytes of a batch before its records. */
export const HEADER_LENGTH: u32 = BatchField.Records;

/** Bytes of a record with two bytes of body. */
export const RECORD_LENGTH: u32 = 4;

/** FNV-1a with 32 bits: any changed byte changes it, and it needs neither a table nor eight steps a byte. */
export const CHECKSUM_BASIS: u32 = 0x811c9dc5;
const CHECKSUM_PRIME: u32 = 0x01000193;

/** Bytes of the batch to be stored now, which lies at `storeAt`; 0 if nothing is urgent. */
export function storeLength(client: Client): u32 {
  if (!isClient(client) || !client.isStoreDue) return 0;
  return sealBatch(client.journalAt, client.journalLength, client.journalChecksum);
}

export function storeAt(client: Client): usize {
  return isClient(client) ? client.journalAt : 0;
}

/** The embedder's own state, in the same batch as what it belongs to. */
export function note(client: Client, bytesAt: usize, length: u32): Status {
  if (!isClient(client)) return Status.NotAClient;
  if (!isInMemory(bytesAt, length)) return Status.InvalidArgument;
  const status = recordNote(client, bytesAt, length);
  if (status === Status.Ok) client.isStoreDue = true;
  return status;
}

/** True if `length` bytes of records can be added, and always without a journal. False calls for the batch to be stored. */
export function hasJournalRoom(client: Client, length: u32): bool {
  const capacity = client.journalCapacity;
  if (capacity === 0 || client.journalLength + length <= capacity - HEADER_LENGTH) return true;
  client.isStoreDue = true;
  return false;
}

/** Ok if a packet of this size can be recorded, BufferFull if it can later, or TooLarge. */
export function checkRecordable(client: Client, size: u32): Status {
  if (client.journalCapacity === 0) return Status.Ok;
  if (size + JOURNAL_RESERVE_LENGTH > client.journalCapacity) return Status.TooLarge;
  const needed: u32 = size + JOURNAL_RESERVE_LENGTH - HEADER_LENGTH;
  return hasJournalRoom(client, needed) ? Status.Ok : Status.BufferFull;
}

/** Records two bytes: mostly a Packet Identifier. Nothing waits for the end of an exchange. There is room. */
export function record(client: Client, firstByte: u32, body: u32): void {
  if (client.journalCapacity === 0) return;
  const at = append(client, RECORD_LENGTH);
  storeU16(storeFixedHeader(at, firstByte, 2), body);
  if (firstByte !== RecordByte.Complete) client.isStoreDue = true;
}

/** Records the packet at `at`, with some bits more in its first byte. There is room. */
export function recordPacket(client: Client, at: usize, firstByte: u32): void {
  if (client.journalCapacity === 0) return;
  const length: u32 = <u32>(packetEnd(at) - at);
  storePacket(append(client, length), at, firstByte);
  client.isStoreDue = true;
}

/** Copies the packet at `at`, with another first byte. Returns the address behind the copy. */
export function storePacket(to: usize, at: usize, firstByte: u32): usize {
  const end = copy(to, at, <u32>(packetEnd(at) - at));
  store<u8>(to, <u8>firstByte);
  return end;
}

/** Records a note, which is not urgent by itself. */
export function recordNote(client: Client, bytesAt: usize, length: u32): Status {
  const capacity = client.journalCapacity;
  if (capacity === 0) return Status.WrongState;
  if (length > capacity) return Status.TooLarge; // its size must not overflow
  const size = packetSize(length);
  if (HEADER_LENGTH + size > capacity) return Status.TooLarge;
  if (!hasJournalRoom(client, size)) return Status.BufferFull;
  storeNote(append(client, size), bytesAt, length);
  return Status.Ok;
}

/** Returns the address behind the record. */
export function storeNote(at: usize, bytesAt: usize, length: u32): usize {
  return copy(storeFixedHeader(at, RecordByte.Note, length), bytesAt, length);
}

/** Writes the header of a batch; returns its length. */
export function sealBatch(at: usize, recordsLength: u32, checksumBefore: u32): u32 {
  store<u32>(at, recordsLength, BatchField.Length);
  store<u32>(at, batchChecksum(at, recordsLength, checksumBefore), BatchField.Checksum);
  return HEADER_LENGTH + recordsLength;
}

/** Over the length and the records. */
export function batchChecksum(at: usize, recordsLength: u32, checksumBefore: u32): u32 {
  return checksum(
    at + HEADER_LENGTH,
    recordsLength,
    checksum(at, BatchField.Checksum, checksumBefore),
  );
}

export function checksum(at: usize, length: u32, checksumBefore: u32): u32 {
  let sum = checksumBefore;
  for (let index: u32 = 0; index < length; index++) {
    sum = (sum ^ load<u8>(at + index)) * CHECKSUM_PRIME;
  }
  return sum;
}

function append(client: Client, length: u32): usize {
  const before = client.journalLength;
  const after: u32 = before + length;
  assert(HEADER_LENGTH + after <= client.journalCapacity);
  client.journalLength = after;
  return client.journalAt + HEADER_LENGTH + before;
}
