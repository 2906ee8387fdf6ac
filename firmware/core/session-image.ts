/** Saves the Session State as one batch of the journal, an image. docs/journal.md has the format. */

import { JOURNAL_VERSION, Status } from "./abi";
import { Client, isClient } from "./client";
import { isLosingSession } from "./connection";
import { incomingAt, incomingEnd } from "./incoming";
import {
  CHECKSUM_BASIS,
  checksum,
  HEADER_LENGTH,
  RECORD_LENGTH,
  RecordByte,
  sealBatch,
  storeNote,
  storePacket,
} from "./journal";
import { isInMemory } from "./memory";
import { DUP, FirstByte, PacketType, packetType, qosOf } from "./packet-type";
import { packetEnd, packetSize, storeFixedHeader } from "./remaining-length";
import { storeU16 } from "./wire";

/** Of the record that begins an image: its header, version, stale, identifier, generation, client id. */
export const BEGIN_LENGTH: u32 = 14;

/** Its first four bytes, the first lowest; the fourth is `stale`. */
const BEGIN_HEADER: u32 = RecordByte.Begin | ((BEGIN_LENGTH - 2) << 8) | (JOURNAL_VERSION << 16);

/** Writes the session to `toAt`; returns its length or a Status. */
export function saveImage(
  client: Client,
  generation: u32,
  toAt: usize,
  capacity: u32,
  noteAt: usize,
  noteLength: u32,
): i32 {
  if (!isClient(client)) return Status.NotAClient;
  if (!isInMemory(toAt, capacity) || !isInMemory(noteAt, noteLength)) return Status.InvalidArgument;
  if (imageLengthMax(client, noteLength) > capacity) return Status.BufferFull;

  let at = storeBegin(client, generation, toAt + HEADER_LENGTH);
  at = storePackets(client, at);
  at = storeIncoming(client, at);
  if (noteLength > 0) at = storeNote(at, noteAt, noteLength);
  const recordsLength: u32 = <u32>(at - toAt) - HEADER_LENGTH;
  return <i32>sealBatch(toAt, recordsLength, CHECKSUM_BASIS);
}

function imageLengthMax(client: Client, noteLength: u32): u32 {
  const outboxLength: u32 = <u32>(client.outboxEnd - client.outboxStart);
  const incomingLength: u32 = <u32>client.incomingCount * RECORD_LENGTH;
  return HEADER_LENGTH + BEGIN_LENGTH + outboxLength + incomingLength + packetSize(noteLength);
}

function storeBegin(client: Client, generation: u32, at: usize): usize {
  store<u32>(at, BEGIN_HEADER | ((<u32>client.isStateStale) << 24));
  storeU16(at + 4, client.nextPacketId);
  store<u32>(at, generation, 6);
  store<u32>(at, clientIdChecksum(client), 10);
  return at + BEGIN_LENGTH;
}

/** Tells another client's image. */
export function clientIdChecksum(client: Client): u32 {
  return checksum(client.identityAt, client.clientIdLength, CHECKSUM_BASIS);
}

/** What nobody has answered. DUP marks what may have been sent. */
function storePackets(client: Client, to: usize): usize {
  const offeredEnd: usize = isLosingSession(client) ? 0 : client.outboxWindow;
  let end = to;
  for (let at = client.outboxStart; at < client.outboxEnd; at = packetEnd(at)) {
    const firstByte: u32 = load<u8>(at);
    if (qosOf(firstByte) === 0) continue;
    const isOffered = packetType(firstByte) === PacketType.Publish && at < offeredEnd;
    end = storePacket(end, at, isOffered ? firstByte | DUP : firstByte);
  }
  return end;
}

function storeIncoming(client: Client, to: usize): usize {
  let end = to;
  for (let at = incomingAt(client); at < incomingEnd(client); at += 2) {
    storeU16(storeFixedHeader(end, FirstByte.Pubrec, 2), load<u16>(at));
    end += RECORD_LENGTH;
  }
  return end;
}
