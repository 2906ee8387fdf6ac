/** How incoming messages are acknowledged, and which QoS 2 ones wait for PUBREL (4.3.3, method B). */

import { Status } from "./abi";
import { Client } from "./client";
import { queueAcknowledgement } from "./outbox";
import { PacketType } from "./packet-type";

/** Not an Event: a packet was taken that the embedder need not know of. */
export const HANDLED: i32 = 255;

/** What `findIncoming` answers when the identifier is new. */
const NEW: u32 = 0xffffffff;

/** Ok for a new message, HANDLED for a repeated one, or a Status. Nothing is changed. */
export function checkIncoming(client: Client, qos: u32, packetId: u32): i32 {
  if (qos > 0 && packetId === 0) return Status.ProtocolViolation; // [MQTT-2.3.1-1] [sec-2.3.1]
  if (qos < 2) return Status.Ok; // QoS 1: a new message whatever its DUP bit [MQTT-4.3.2-2]
  if (findIncoming(client, packetId) !== NEW) return HANDLED;
  return isIncomingFull(client) ? Status.IncomingFull : Status.Ok; // [MQTT-4.8.0-2]
}

/** Queues PUBACK or PUBREC in the order of arrival [MQTT-4.6.0-2] [MQTT-4.6.0-3]. False if there is no room yet. */
export function acknowledge(client: Client, qos: u32, packetId: u32): bool {
  if (qos === 0) return true;
  if (qos === 1) return queueAcknowledgement(client, PacketType.Puback, packetId);
  if (!queueAcknowledgement(client, PacketType.Pubrec, packetId)) return false;
  if (findIncoming(client, packetId) === NEW) addIncoming(client, packetId);
  return true;
}

/** The place of an identifier, or NEW. */
function findIncoming(client: Client, packetId: u32): u32 {
  for (let index: u32 = 0; index < <u32>client.incomingCount; index++) {
    if (<u32>load<u16>(client.incomingAt + index * 2) === packetId) return index;
  }
  return NEW;
}

function isIncomingFull(client: Client): bool {
  return client.incomingCount >= client.incomingCapacity;
}

function addIncoming(client: Client, packetId: u32): void {
  assert(!isIncomingFull(client));
  store<u16>(client.incomingAt + <u32>client.incomingCount * 2, <u16>packetId);
  client.incomingCount++;
}

/** After PUBREL the identifier is new again [MQTT-4.3.3-2]. */
export function removeIncoming(client: Client, packetId: u32): void {
  const index = findIncoming(client, packetId);
  if (index === NEW) return;
  client.incomingCount--;
  const last = load<u16>(client.incomingAt + <u32>client.incomingCount * 2);
  store<u16>(client.incomingAt + index * 2, last);
}
