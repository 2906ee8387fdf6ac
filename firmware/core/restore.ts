/** Takes stored batches of the journal back. docs/journal.md has the format. */

import {
  BatchField,
  CONTROL_RESERVE_LENGTH,
  ConnectionState,
  JOURNAL_VERSION,
  Status,
} from "./abi";
import { Client, isClient } from "./client";
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
  rewind,
  successor,
} from "./outbox";
import { DUP, FirstByte, PacketType, packetType, qosOf } from "./packet-type";
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
  if (!isClient(client)) return Status.NotAClient;
  if (client.state !== <u8>ConnectionState.Disconnected) return Status.WrongState;
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
  const isWhole =
    load<u32>(batchAt, BatchField.Length) === recordsLength &&
    load<u32>(batchAt, BatchField.Checksum) === sum;
  if (!isWhole) return Status.DamagedImage;

  const status = replay(client, at, recordsLength);
  if (status !== Status.Ok) {
    forgetSession(client);
    return status;
  }
  if (isImage) client.nextPacketId = nextIdentifierOf(at);
  client.journalChecksum = sum;
  return Status.Ok;
}

/** Applies all records of a batch. Its checksum is right, but somebody may have made it so: nothing here is trusted. */
function replay(client: Client, recordsAt: usize, recordsLength: u32): Status {
  let done: u32 = 0;
  while (done < recordsLength) {
    const left: u32 = recordsLength - done;
    const length = packetLength(recordsAt + done, left);
    if (length <= 0 || <u32>length > left) return Status.DamagedImage;
    const status = replayRecord(client, recordsAt + done, <u32>length, done === 0);
    if (status !== Status.Ok) return status;
    done += <u32>length;
  }
  return Status.Ok;
}

function replayRecord(client: Client, at: usize, length: u32, isFirst: bool): Status {
  const firstByte: u32 = load<u8>(at);
  const body = bodyOf(at);
  const bodyLength: u32 = <u32>(at + length - body);
  if (firstByte === RecordByte.Begin) {
    return isFirst ? begin(client, at, bodyLength) : Status.DamagedImage;
  }
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

function begin(client: Client, at: usize, bodyLength: u32): Status {
  if (bodyLength === 0 || load<u8>(at, 2) !== <u8>JOURNAL_VERSION) return Status.UnknownVersion;
  if (bodyLength !== BEGIN_LENGTH - 2) return Status.DamagedImage;
  if (load<u32>(at, 10) !== clientIdChecksum(client)) return Status.ForeignImage;
  if (nextIdentifierOf(at) === 0) return Status.DamagedImage;
  forgetSession(client);
  client.isStateStale = load<u8>(at, 3) !== 0;
  return Status.Ok;
}

/** Of the record that begins an image. */
function nextIdentifierOf(beginAt: usize): u16 {
  return <u16>loadU16(beginAt + 4);
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
  const isSound = isRequest(firstByte)
    ? checkFilters(client, <FirstByte>firstByte, body + 2, bodyLength - 2) === Status.Ok
    : isSoundPublish(firstByte, body, bodyLength);
  if (!isSound || packetIdOf(at) === 0) return Status.DamagedImage;
  if (!hasRoom(client, length + CONTROL_RESERVE_LENGTH)) return Status.TooLarge;
  client.nextPacketId = successor(packetIdOf(at));
  if (isRequest(firstByte)) {
    copy(insertPacket(client, <FirstByte>firstByte, bodyLength), body, bodyLength);
    return Status.Ok;
  }
  const end = copy(client.outboxEnd, at, length);
  client.outboxEnd = end;
  if (isOffered(firstByte)) client.outboxWindow = end;
  return Status.Ok;
}

function isSoundPublish(firstByte: u32, body: usize, bodyLength: u32): bool {
  const topicLength = loadU16(body);
  const qos = qosOf(firstByte);
  const headerLength: u32 = 4 + topicLength;
  if (qos === 0 || qos > 2 || headerLength > bodyLength) return false;
  return isTopicName(body + 2, topicLength);
}

function isOffered(firstByte: u32): bool {
  return packetType(firstByte) === PacketType.Publish && (firstByte & DUP) !== 0;
}

/** A record of two bytes, mostly an identifier. What it speaks of may be over since: an image is newer than its parts. */
function replayStep(client: Client, firstByte: u32, value: u32): Status {
  if (firstByte === RecordByte.Session) {
    replaySession(client, value);
    return Status.Ok;
  }
  if (value === 0) return Status.DamagedImage; // [MQTT-2.3.1-1]
  const at = findKept(client, value);
  switch (firstByte) {
    case RecordByte.Complete:
      if (at !== 0) markFree(at);
      return Status.Ok;
    case RecordByte.Offered:
      if (at !== 0) offer(client, at);
      return Status.Ok;
    case FirstByte.Pubrel:
      if (at !== 0) markFree(at);
      if (!hasRoom(client, RECORD_LENGTH + CONTROL_RESERVE_LENGTH)) return Status.TooLarge;
      queueAcknowledgement(client, FirstByte.Pubrel, value);
      return Status.Ok;
    case FirstByte.Pubrec:
      if (findIncoming(client, value) !== 0) return Status.Ok;
      if (client.incomingCount >= client.incomingCapacity) return Status.TooLarge;
      addIncoming(client, value);
      return Status.Ok;
    case FirstByte.Pubcomp:
      removeIncoming(client, value);
      return Status.Ok;
    default:
      return Status.DamagedImage;
  }
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
  client.isStoreDue = false;
  client.outboxStart = client.outboxAt;
  client.outboxEnd = client.outboxAt;
  rewind(client);
}
