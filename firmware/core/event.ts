/** The description of the last event. */

import { EventField } from "./abi";
import { Client } from "./client";
import { packetIdOf } from "./outbox";
import { PacketType, packetType, qosOf } from "./packet-type";
import { bodyOf, packetEnd } from "./remaining-length";
import { clear, loadU16 } from "./wire";

/** The six words of EventField. */
const EVENT_LENGTH: u32 = EventField.Value + 4;

/** The low half of a PUBLISH's first byte: DUP, QoS, RETAIN (3.3.1). */
export const FLAGS_MASK: u32 = 0x0f;

/** Describes the whole PUBLISH or PUBREL at `at`. */
export function describePacket(client: Client, at: usize): void {
  const firstByte: u32 = load<u8>(at);
  if (qosOf(firstByte) > 0) client.packetId = packetIdOf(at);
  if (packetType(firstByte) !== PacketType.Publish) return;
  const body = bodyOf(at);
  const topicLength = loadU16(body);
  const payloadAt = body + variableHeaderLength(firstByte, topicLength);
  client.topicAt = body + 2;
  client.topicLength = topicLength;
  client.payloadAt = payloadAt;
  client.payloadLength = <u32>(packetEnd(at) - payloadAt);
  client.eventValue = firstByte & FLAGS_MASK;
}

/** Bytes of a PUBLISH before its payload and behind its fixed header (3.3.2). */
export function variableHeaderLength(firstByte: u32, topicLength: u32): u32 {
  return 2 + topicLength + (qosOf(firstByte) > 0 ? 2 : 0);
}

export function forgetEvent(client: Client): void {
  clear(eventAt(client), EVENT_LENGTH);
}

/** Bytes that were received and not polled. */
export function receivedLength(client: Client): u32 {
  return <u32>(client.receiveEnd - client.receiveStart);
}

/** Where the six words of EventField lie. */
export function eventAt(client: Client): usize {
  return changetype<usize>(client) + offsetof<Client>("topicAt");
}
