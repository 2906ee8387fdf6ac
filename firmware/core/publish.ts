/** Outgoing messages (3.3, 4.3). */

import { CONTROL_RESERVE_LENGTH, Status, WhenFull } from "./abi";
import { Client } from "./client";
import { variableHeaderLength } from "./event";
import { isInMemory } from "./memory";
import {
  discardOldestQos0,
  fitsEmptyOutbox,
  hasRoom,
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
  const size = packetSize(remainingLength);
  if (!fitsEmptyOutbox(client, size)) return Status.TooLarge;

  const hasPacketId = qosOf(firstByte) > 0; // [MQTT-2.3.1-5]
  const isPossible = makeRoom(client, size + CONTROL_RESERVE_LENGTH);
  const packetId: u32 = isPossible && hasPacketId ? takePacketId(client) : 0;
  if (!isPossible || (hasPacketId && packetId === 0)) {
    client.refusedCount++;
    return Status.BufferFull;
  }
  const body = reserveMessage(client, firstByte, remainingLength);
  let at = storeField(body, topicAt, topicLength);
  if (hasPacketId) {
    storeU16(at, packetId);
    at += 2;
  }
  copyDown(at, payloadAt, payloadLength);
  openWindow(client);
  return <i32>packetId;
}

/** While a session is being lost nothing is discarded: its messages are on their way to the embedder. */
function makeRoom(client: Client, length: u32): bool {
  if (hasRoom(client, length)) return true;
  const mayDiscard = client.whenFull === <u8>WhenFull.DropOldestQos0 && !client.isLosingSession;
  return mayDiscard && discardOldestQos0(client, length);
}
