/** Outgoing messages (3.3, 4.3). */

import { Status, WhenFull } from "./abi";
import { Client, isClient } from "./client";
import { isLosingSession } from "./connection";
import { variableHeaderLength } from "./event";
import { recordPacket } from "./journal";
import { checkMessage } from "./message";
import {
  appendPacket,
  checkKeepable,
  discardOldestQos0,
  hasRoom,
  openWindow,
  roomNeeded,
  takePacketId,
} from "./outbox";
import { DUP, publishFirstByte, qosOf } from "./packet-type";
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
  let status = checkMessage(topicAt, topicLength, payloadAt, payloadLength, flags); // [MQTT-3.3.1-4] [MQTT-3.3.2-1]
  if (status !== Status.Ok) return status;
  if (payloadLength > client.outboxCapacity) return Status.TooLarge;
  const firstByte = publishFirstByte(flags); // [MQTT-4.3.1-1] [MQTT-4.3.2-1]
  const remainingLength: u32 = variableHeaderLength(firstByte, topicLength) + payloadLength;
  const needsPacketId = qosOf(firstByte) > 0; // [MQTT-2.3.1-5]
  status = checkKeepable(client, remainingLength, needsPacketId);
  if (status === Status.TooLarge) return status;
  if (status !== Status.Ok || !makeRoom(client, roomNeeded(remainingLength))) {
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
  if (needsPacketId) {
    const isOffered = packetAt < client.outboxWindow;
    recordPacket(client, packetAt, isOffered ? firstByte | DUP : firstByte); // it may go when that is stored
  }
  return <i32>packetId;
}

/** While a session is being lost nothing is discarded: its messages are on their way to the embedder. */
function makeRoom(client: Client, length: u32): bool {
  if (hasRoom(client, length)) return true;
  const mayDiscard = client.whenFull === <u8>WhenFull.DropOldestQos0 && !isLosingSession(client);
  return mayDiscard && discardOldestQos0(client, length);
}
