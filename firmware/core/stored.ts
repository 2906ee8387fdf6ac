/** What follows from a batch that the embedder has stored: what waited for it may go. */

import { BatchField, Status } from "./abi";
import { Client, isClient } from "./client";
import { HEADER_LENGTH } from "./journal";
import { isInMemory } from "./memory";
import { openWindow } from "./outbox";
import { copy } from "./wire";

/** What was in an image or in the sealed batch need not be stored again. */
export function stored(client: Client, batchAt: usize): Status {
  if (!isClient(client)) return Status.NotAClient;
  if (!isInMemory(batchAt, HEADER_LENGTH)) return Status.InvalidArgument;
  const isImage = batchAt !== client.journalAt;
  const length: u32 = isImage ? client.journalLength : load<u32>(batchAt, BatchField.Length);
  if (length > client.journalLength) return Status.InvalidArgument;
  if (!isImage && length === 0) return Status.Ok; // nothing was sealed
  client.journalChecksum = load<u32>(batchAt, BatchField.Checksum);
  const recordsAt = client.journalAt + HEADER_LENGTH;
  const leftLength: u32 = client.journalLength - length;
  client.journalLength = leftLength;
  copy(recordsAt, recordsAt + length, leftLength);
  if (client.journalCapacity > 0) store<u32>(client.journalAt, 0, BatchField.Length); // sealed no more
  client.isStoreDue = leftLength > 0;
  openWindow(client, client.outboxEnd); // it may have stopped where the journal was full
  return Status.Ok;
}
