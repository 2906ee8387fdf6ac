/** Outgoing messages (3.3, 4.3). */

import { Status, WhenFull } from "./abi";
import { Client, isClient } from "./client";
import { isLosingSession } from "./connection";
import { variableHeaderLength } from "./event";
import { checkRecordable, recordPacket } from "./journal";
import { checkMessage } from "./message";
import {
  appendPacket,
  discardOldestQos0,
  hasPacketId,
  hasRoom,
  openWindow,
  roomNeeded,
  takePacketId,
} from "./outbox";
import { DUP, publishFirstByte, qosOf } from "./packet-type";
import { packetSize } from "./remaining-length";
import { copy, storeField, storeU16 } from "./wire";

/** Queues a message. Returns its Packet Identifier, 0 at QoS 0, or a Status. */
export function publish(
  client: Client,
  topicAt: usize,
  topicLength: u32,
  payloadAt: usize,
  payloadLength: u32,
  flags: u32,
): i32 {
  if (!isClient(client)) return Status.NotAClient;
  const status = checkMessage(topicAt, topicLength, payloadAt, payloadLength, flags); // [MQTT-3.3.1-4] [MQTT-3.3.2-1]
  if (status !== Status.Ok) return status;
  if (payloadLength > client.outboxCapacity) return Status.TooLarge;
  const firstByte = publishFirstByte(flags); // [MQTT-4.3.1-1] [MQTT-4.3.2-1]
  const remainingLength: u32 = variableHeaderLength(firstByte, topicLength) + payloadLength;
  const needed = roomNeeded(remainingLength);
  if (needed > client.outboxCapacity) return Status.TooLarge;

  const needsPacketId = qosOf(firstByte) > 0; // [MQTT-2.3.1-5]
  const size = packetSize(remainingLength);
  const recordable = needsPacketId ? checkRecordable(client, size) : Status.Ok;
  if (recordable === Status.TooLarge) return recordable;
  const hasId = !needsPacketId || hasPacketId(client);
  if (recordable !== Status.Ok || !hasId || !makeRoom(client, needed)) {
    client.refusedCount++;
    return Status.BufferFull;
  }
  const packetAt = client.outboxEnd;
  let packetId: u32 = 0;
  let at = storeField(appendPacket(client, firstByte, remainingLength), topicAt, topicLength);
  if (needsPacketId) {
    packetId = takePacketId(client);
    storeU16(at, packetId);
    at += 2;
  }
  copy(at, payloadAt, payloadLength);
  openWindow(client, packetAt);
  if (needsPacketId) recordPublish(client, packetAt);
  return <i32>packetId;
}

/** DUP in its record says that it may go as soon as the record is stored. */
function recordPublish(client: Client, at: usize): void {
  const mark: u32 = at < client.outboxWindow ? DUP : 0;
  recordPacket(client, at, <u32>load<u8>(at) | mark);
}

/** While a session is being lost nothing is discarded: its messages are on their way to the embedder. */
function makeRoom(client: Client, length: u32): bool {
  if (hasRoom(client, length)) return true;
  const mayDiscard = client.whenFull === <u8>WhenFull.DropOldestQos0 && !isLosingSession(client);
  return mayDiscard && discardOldestQos0(client, length);
}
