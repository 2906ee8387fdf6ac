/** How incoming messages are acknowledged, and which QoS 2 ones wait for PUBREL (4.3.3, method B). */

import { Status } from "./abi";
import { Client } from "./client";
import { record } from "./journal";
import { queueAcknowledgement } from "./outbox";
import { FirstByte } from "./packet-type";

/** Not an Event: a packet was taken that the embedder need not know of. Below 64 it takes one byte in the module. */
export const HANDLED: i32 = 63;

/** Ok for a new message, HANDLED for a repeated one, or a Status. Nothing is changed. */
export function checkIncoming(client: Client, qos: u32, packetId: u32): i32 {
  if (qos === 0) return Status.Ok;
  if (packetId === 0) return Status.ProtocolViolation; // [MQTT-2.3.1-1] [sec-2.3.1]
  if (qos === 1) return Status.Ok; // a new message whatever its DUP bit [MQTT-4.3.2-2]
  if (findIncoming(client, packetId) !== 0) return HANDLED;
  return client.incomingCount < client.incomingCapacity ? Status.Ok : Status.IncomingFull; // [MQTT-4.8.0-2]
}

/** Queues PUBACK or PUBREC in the order of arrival [MQTT-4.6.0-2] [MQTT-4.6.0-3]. False if there is no room yet. */
export function acknowledge(client: Client, qos: u32, packetId: u32): bool {
  if (qos === 0) return true;
  const firstByte = qos === 1 ? FirstByte.Puback : FirstByte.Pubrec;
  if (!queueAcknowledgement(client, firstByte, packetId)) return false;
  if (qos === 2 && findIncoming(client, packetId) === 0) {
    addIncoming(client, packetId);
    record(client, FirstByte.Pubrec, packetId);
  }
  return true;
}

/** After PUBREL the identifier is new again [MQTT-4.3.3-2]. False if it was not in use. */
export function removeIncoming(client: Client, packetId: u32): bool {
  const at = findIncoming(client, packetId);
  if (at === 0) return false;
  client.incomingCount--;
  store<u16>(at, load<u16>(incomingEnd(client)));
  return true;
}

/** Where an identifier lies, or 0. */
export function findIncoming(client: Client, packetId: u32): usize {
  const end = incomingEnd(client);
  for (let at = incomingAt(client); at < end; at += 2) {
    if (<u32>load<u16>(at) === packetId) return at;
  }
  return 0;
}

export function addIncoming(client: Client, packetId: u32): void {
  assert(client.incomingCount < client.incomingCapacity);
  store<u16>(incomingEnd(client), <u16>packetId);
  client.incomingCount++;
}

export function incomingEnd(client: Client): usize {
  return incomingAt(client) + <u32>client.incomingCount * 2;
}

/** The identifiers lie behind the fields. */
export function incomingAt(client: Client): usize {
  return changetype<usize>(client) + offsetof<Client>();
}
