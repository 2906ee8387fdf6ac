/** The description of the last event. */

import { Client } from "./client";
import { bodyOf, lengthOf, packetIdOf } from "./outbox";
import { PacketType, packetType, qosOf } from "./packet-type";
import { loadU16 } from "./wire";

/** The low half of a PUBLISH's first byte: DUP, QoS, RETAIN (3.3.1). */
export const FLAGS_MASK: u32 = 0x0f;

/** Describes the whole PUBLISH or PUBREL at `at`. */
export function describePacket(client: Client, at: usize): void {
  forgetEvent(client);
  const firstByte: u32 = load<u8>(at);
  const isPublish = packetType(firstByte) === PacketType.Publish;
  if (!isPublish || qosOf(firstByte) > 0) client.packetId = packetIdOf(at);
  if (!isPublish) return;
  const body = bodyOf(at);
  const payloadAt = body + variableHeaderLength(firstByte, loadU16(body));
  describeMessage(client, firstByte, body, payloadAt, <u32>(at + lengthOf(at) - payloadAt));
}

/** Describes a PUBLISH by its parts; `body` is where its topic's length lies. */
export function describeMessage(
  client: Client,
  firstByte: u32,
  body: usize,
  payloadAt: usize,
  payloadLength: u32,
): void {
  client.topicAt = body + 2;
  client.topicLength = loadU16(body);
  client.payloadAt = payloadAt;
  client.payloadLength = payloadLength;
  client.eventValue = firstByte & FLAGS_MASK;
}

/** Bytes of a PUBLISH before its payload and behind its fixed header (3.3.2). */
export function variableHeaderLength(firstByte: u32, topicLength: u32): u32 {
  return 2 + topicLength + (qosOf(firstByte) > 0 ? 2 : 0);
}

export function forgetEvent(client: Client): void {
  const at = eventAt(client);
  store<u64>(at, 0);
  store<u64>(at, 0, 8);
  store<u64>(at, 0, 16);
}

/** Where the six words of EventField lie. */
export function eventAt(client: Client): usize {
  return changetype<usize>(client) + offsetof<Client>("topicAt");
}

/** Gives up the bytes that the last event described. */
export function dropEventBytes(client: Client): void {
  client.receiveStart += client.eventLength;
  client.eventLength = 0;
}
