/** Takes stored batches of the journal back. docs/journal.md has the format. */

import {
  BatchField,
  CONTROL_RESERVE_LENGTH,
  ConnectionState,
  JOURNAL_VERSION,
  Status,
} from "./abi";
import { Client, checkState } from "./client";
import { connectionLost } from "./connection";
import { forgetEvent } from "./event";
import { addIncoming, findIncoming, removeIncoming } from "./incoming";
import {
  batchChecksum,
  CHECKSUM_BASIS,
  HEADER_LENGTH,
  RECORD_LENGTH,
  RecordByte,
  SESSION_LOST,
} from "./journal";
import { isInMemory } from "./memory";
import {
  findKept,
  hasRoom,
  insertPacket,
  markFree,
  packetIdOf,
  queueAcknowledgement,
  successor,
} from "./outbox";
import { DUP, FirstByte, isOffered, PacketType, packetType, qosOf } from "./packet-type";
import { bodyOf, packetEnd, packetLength } from "./remaining-length";
import { BEGIN_LENGTH, clientIdChecksum } from "./session-image";
import { checkFilters } from "./subscribe";
import { isTopicName } from "./text";
import { copy, loadU16 } from "./wire";

/**
 * Takes one batch back; its note becomes the payload of the event. The window ends behind what was offered, so that the
 * next batch goes on there; `connect` winds it back.
 */
export function restore(client: Client, batchAt: usize, length: u32): Status {
  let status = checkState(client, ConnectionState.Disconnected);
  if (status !== Status.Ok) return status;
  if (!isInMemory(batchAt, length)) return Status.InvalidArgument;
  forgetEvent(client);
  if (length <= HEADER_LENGTH) return Status.DamagedImage;
  const at = batchAt + HEADER_LENGTH;
  const recordsLength: u32 = length - HEADER_LENGTH;
  const isImage = load<u8>(at) === <u8>RecordByte.Begin;
  const sum = batchChecksum(
    batchAt,
    recordsLength,
    isImage ? CHECKSUM_BASIS : client.journalChecksum,
  );
  if (load<u32>(batchAt, BatchField.Length) !== recordsLength) return Status.DamagedImage;
  if (load<u32>(batchAt, BatchField.Checksum) !== sum) return Status.DamagedImage;

  const recordsAt: usize = isImage ? at + BEGIN_LENGTH : at;
  if (isImage) status = begin(client, at, recordsLength);
  if (status === Status.Ok) status = replay(client, recordsAt, batchAt + length);
  if (status !== Status.Ok) {
    forgetSession(client);
    return status;
  }
  if (isImage) client.nextPacketId = <u16>nextIdentifierOf(at);
  client.journalChecksum = sum;
  return Status.Ok;
}

/** Applies all records of a batch. Its checksum is right, but somebody may have made it so: nothing here is trusted. */
function replay(client: Client, recordsAt: usize, end: usize): Status {
  let at = recordsAt;
  while (at < end) {
    const left: u32 = <u32>(end - at);
    const length = packetLength(at, left);
    if (length <= 0 || <u32>length > left) return Status.DamagedImage;
    const status = replayRecord(client, at, <u32>length);
    if (status !== Status.Ok) return status;
    at += <u32>length;
  }
  return Status.Ok;
}

function replayRecord(client: Client, at: usize, length: u32): Status {
  const firstByte: u32 = load<u8>(at);
  const body = bodyOf(at);
  const bodyLength: u32 = <u32>(at + length - body);
  if (firstByte === RecordByte.Note) {
    client.payloadAt = body;
    client.payloadLength = bodyLength;
    return Status.Ok;
  }
  if (bodyLength < 2) return Status.DamagedImage;
  const isPacket = packetType(firstByte) === PacketType.Publish || isRequest(firstByte);
  if (isPacket) return replayPacket(client, at, length, body, bodyLength);
  return bodyLength === 2 ? replayStep(client, firstByte, loadU16(body)) : Status.DamagedImage;
}

/** Takes the record that begins an image. */
function begin(client: Client, at: usize, recordsLength: u32): Status {
  if (recordsLength < BEGIN_LENGTH) return Status.DamagedImage;
  if (load<u8>(at, 2) !== <u8>JOURNAL_VERSION) return Status.UnknownVersion;
  if (load<u8>(at, 1) !== <u8>(BEGIN_LENGTH - 2)) return Status.DamagedImage;
  if (load<u32>(at, 10) !== clientIdChecksum(client)) return Status.ForeignImage;
  if (nextIdentifierOf(at) === 0) return Status.DamagedImage;
  forgetSession(client);
  client.isStateStale = load<u8>(at, 3) !== 0;
  return Status.Ok;
}

/** Of the record that begins an image. */
function nextIdentifierOf(beginAt: usize): u32 {
  return loadU16(beginAt + 4);
}

function isRequest(firstByte: u32): bool {
  return firstByte === FirstByte.Subscribe || firstByte === FirstByte.Unsubscribe;
}

/** PUBLISH, SUBSCRIBE or UNSUBSCRIBE. */
function replayPacket(
  client: Client,
  at: usize,
  length: u32,
  body: usize,
  bodyLength: u32,
): Status {
  const firstByte: u32 = load<u8>(at);
  const isPublish = packetType(firstByte) === PacketType.Publish;
  const isSound = isPublish
    ? isSoundPublish(firstByte, body, bodyLength)
    : checkFilters(client, <FirstByte>firstByte, body + 2, bodyLength - 2) === Status.Ok;
  if (!isSound) return Status.DamagedImage;
  const packetId = packetIdOf(at);
  if (packetId === 0) return Status.DamagedImage;
  if (!hasRoom(client, length + CONTROL_RESERVE_LENGTH)) return Status.TooLarge;
  client.nextPacketId = successor(packetId);
  if (isPublish) {
    const end = copy(client.outboxEnd, at, length);
    client.outboxEnd = end;
    if ((firstByte & DUP) !== 0) client.outboxWindow = end;
  } else {
    copy(insertPacket(client, <FirstByte>firstByte, bodyLength), body, bodyLength);
  }
  return Status.Ok;
}

function isSoundPublish(firstByte: u32, body: usize, bodyLength: u32): bool {
  const topicLength = loadU16(body);
  const qos = qosOf(firstByte);
  const headerLength: u32 = 4 + topicLength;
  if (qos === 0 || qos > 2 || headerLength > bodyLength) return false;
  return isTopicName(body + 2, topicLength);
}

/** A record of two bytes, mostly an identifier. What it speaks of may be over since: an image is newer than its parts. */
function replayStep(client: Client, firstByte: u32, value: u32): Status {
  if (firstByte === RecordByte.Session) {
    replaySession(client, value);
    return Status.Ok;
  }
  if (value === 0) return Status.DamagedImage; // [MQTT-2.3.1-1]
  if (firstByte === FirstByte.Pubrec) return restoreIncoming(client, value);
  if (firstByte === FirstByte.Pubcomp) {
    removeIncoming(client, value);
    return Status.Ok;
  }
  const end = client.outboxEnd;
  const at = findKept(client, value, end);
  const isKept = at < end;
  if (firstByte === RecordByte.Offered) {
    if (isKept) offer(client, at);
    return Status.Ok;
  }
  const isPubrel = firstByte === FirstByte.Pubrel;
  if (!isPubrel && firstByte !== RecordByte.Complete) return Status.DamagedImage;
  if (isKept) markFree(at);
  return isPubrel ? restorePubrel(client, value) : Status.Ok;
}

function restorePubrel(client: Client, packetId: u32): Status {
  if (!hasRoom(client, RECORD_LENGTH + CONTROL_RESERVE_LENGTH)) return Status.TooLarge;
  queueAcknowledgement(client, FirstByte.Pubrel, packetId);
  return Status.Ok;
}

function restoreIncoming(client: Client, packetId: u32): Status {
  if (findIncoming(client, packetId) !== 0) return Status.Ok;
  if (client.incomingCount >= client.incomingCapacity) return Status.TooLarge;
  addIncoming(client, packetId);
  return Status.Ok;
}

function replaySession(client: Client, value: u32): void {
  client.isStateStale = value >= SESSION_LOST;
  if ((value & 1) === 0) {
    client.incomingCount = 0;
    return;
  }
  for (let at = client.outboxStart; at < client.outboxEnd; at = packetEnd(at)) {
    const firstByte: u32 = load<u8>(at);
    if (isOffered(firstByte)) store<u8>(at, <u8>(firstByte & ~DUP));
  }
  client.outboxWindow = client.outboxStart;
}

function offer(client: Client, at: usize): void {
  const firstByte: u32 = load<u8>(at);
  if (packetType(firstByte) !== PacketType.Publish) return;
  store<u8>(at, <u8>(firstByte | DUP));
  client.outboxWindow = max(client.outboxWindow, packetEnd(at));
}

/** As after `clientInit`, but for what the embedder has set. */
function forgetSession(client: Client): void {
  client.incomingCount = 0;
  client.isStateStale = false;
  client.nextPacketId = 1;
  client.freeIdCount = 0;
  client.journalLength = 0;
  client.outboxEnd = client.outboxStart;
  connectionLost(client); // puts the buffers in order
}
