/** The first byte of a fixed header: packet type and flags (2.2). */

import { QOS_MASK, RETAIN_FLAG } from "./abi";

export enum PacketType {
  /** Ours, not the standard's: a packet in the outbox that nobody waits for any more. */
  Free = 0,
  Connect = 1,
  Connack = 2,
  Publish = 3,
  Puback = 4,
  Pubrec = 5,
  Pubrel = 6,
  Pubcomp = 7,
  Subscribe = 8,
  Suback = 9,
  Unsubscribe = 10,
  Unsuback = 11,
  Pingreq = 12,
  Pingresp = 13,
  Disconnect = 14,
}

/** Flags of PUBLISH (3.3.1). */
export const DUP: u32 = 8;
const RETAIN: u32 = 1;

export function packetType(firstByte: u32): u32 {
  return firstByte >> 4;
}

/** The QoS of a PUBLISH; 3 is malformed. */
export function qosOf(firstByte: u32): u32 {
  return (firstByte >> 1) & 3;
}

/** True if the embedder's flags of a message or Will mean something: a QoS of 0 to 2, and RETAIN. */
export function isMessageFlags(flags: u32): bool {
  const all: u32 = QOS_MASK | RETAIN_FLAG;
  return flags <= all && (flags & QOS_MASK) !== QOS_MASK;
}

/** The first byte of a new PUBLISH with the embedder's flags: without DUP. */
export function publishFirstByte(flags: u32): u32 {
  const retain: u32 = (flags & RETAIN_FLAG) !== 0 ? RETAIN : 0;
  return (PacketType.Publish << 4) | ((flags & QOS_MASK) << 1) | retain;
}

/** The first byte of any packet but PUBLISH: its flags are fixed [MQTT-2.2.2-1]. */
export function firstByteOf(type: u32): u32 {
  return (type << 4) | fixedFlags(type);
}

/** True if a server may send a packet that starts like this. */
export function isFromServer(firstByte: u32): bool {
  const type = packetType(firstByte);
  switch (type) {
    case PacketType.Publish:
      return isPublishFlags(firstByte);
    case PacketType.Connack:
    case PacketType.Puback:
    case PacketType.Pubrec:
    case PacketType.Pubrel:
    case PacketType.Pubcomp:
    case PacketType.Suback:
    case PacketType.Unsuback:
    case PacketType.Pingresp:
      return firstByte === firstByteOf(type); // [MQTT-2.2.2-2]
    default:
      return false;
  }
}

function isPublishFlags(firstByte: u32): bool {
  const qos = qosOf(firstByte);
  if (qos === 3) return false; // [MQTT-3.3.1-4]
  return qos > 0 || (firstByte & DUP) === 0; // [MQTT-3.3.1-2]
}

function fixedFlags(type: u32): u32 {
  const isRequest =
    type === PacketType.Pubrel || type === PacketType.Subscribe || type === PacketType.Unsubscribe;
  return isRequest ? 2 : 0;
}
