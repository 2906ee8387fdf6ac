/** Outgoing messages (3.3, 4.3). */

import { CONTROL_RESERVE_LENGTH, Status, WhenFull } from "./abi";
import { Client } from "./client";
import { variableHeaderLength } from "./event";
import { isInMemory } from "./memory";
import {
  discardOldestQos0,
  fitsEmptyOutbox,
  openWindow,
  packetSize,
  reserveMessage,
  takePacketId,
} from "./outbox";
import { isMessageFlags, publishFirstByte, qosOf } from "./packet-type";
import { isTopicName } from "./topic";
import { copyDown, storeField, storeU16 } from "./wire";

/** Queues a message. Returns its Packet Identifier, 0 at QoS 0, or a Status. */
export function publish(
  client: Client,
  topicAt: usize,
  topicLength: u32,
  payloadAt: usize,
  payloadLength: u32,
  flags: u32,
): i32 {
  if (!isMessageFlags(flags)) return Status.InvalidArgument; // [MQTT-3.3.1-4]
  if (!isInMemory(topicAt, topicLength) || !isInMemory(payloadAt, payloadLength)) {
    return Status.InvalidArgument;
  }
  if (!isTopicName(topicAt, topicLength)) return Status.InvalidText; // [MQTT-3.3.2-1]
  if (payloadLength > client.outboxCapacity) return Status.TooLarge;
  const firstByte = publishFirstByte(flags); // [MQTT-4.3.1-1] [MQTT-4.3.2-1]
  const remainingLength: u32 = variableHeaderLength(firstByte, topicLength) + payloadLength;
  if (!fitsEmptyOutbox(client, packetSize(remainingLength))) return Status.TooLarge;

  const hasPacketId = qosOf(firstByte) > 0; // [MQTT-2.3.1-5]
  const packetId: u32 = hasPacketId ? takePacketId(client) : 0;
  const isOutOfIds = hasPacketId && packetId === 0;
  const body: usize = isOutOfIds ? 0 : reserve(client, firstByte, remainingLength);
  if (body === 0) {
    client.refusedCount++;
    return Status.BufferFull;
  }
  let at = storeField(body, topicAt, topicLength);
  if (hasPacketId) {
    storeU16(at, packetId);
    at += 2;
  }
  copyDown(at, payloadAt, payloadLength);
  openWindow(client);
  return <i32>packetId;
}

function reserve(client: Client, firstByte: u32, remainingLength: u32): usize {
  const body = reserveMessage(client, firstByte, remainingLength);
  if (body !== 0 || client.whenFull !== <u8>WhenFull.DropOldestQos0) return body;
  if (client.isLosingSession) return 0;
  const needed: u32 = packetSize(remainingLength) + CONTROL_RESERVE_LENGTH;
  return discardOldestQos0(client, needed) ? reserveMessage(client, firstByte, remainingLength) : 0;
}
