/** The first byte of a fixed header: packet type and flags (2.2). */

import { QOS_MASK, RETAIN_FLAG } from "./abi";

export enum PacketType {
  Connack = 2,
  Publish = 3,
  Puback = 4,
  Pubrec = 5,
  Pubrel = 6,
  Pubcomp = 7,
  Subscribe = 8,
  Suback = 9,
  Unsuback = 11,
  Pingresp = 13,
}

/** The first byte of what a client sends, but for PUBLISH: the flags are fixed [MQTT-2.2.2-1]. */
export enum FirstByte {
  /** Ours, not the standard's: a packet in the outbox that nobody waits for any more. */
  Free = 0x00,
  Connect = 0x10,
  Puback = 0x40,
  Pubrec = 0x50,
  Pubrel = 0x62,
  Pubcomp = 0x70,
  Subscribe = 0x82,
  Unsubscribe = 0xa2,
  Pingreq = 0xc0,
  Disconnect = 0xe0,
}

/** Flags of PUBLISH (3.3.1). */
export const DUP: u32 = 8;
const QOS_SHIFT: u32 = 1;
const RETAIN: u32 = 1;

/** The flags that each type may have when a server sends it, a bit for each of the 16 values [MQTT-2.2.2-2]. */
const NO_FLAGS: u32 = 1 << 0;
const PUBREL_FLAGS: u32 = 1 << 2;
/** Neither QoS 3 [MQTT-3.3.1-4] nor DUP at QoS 0 [MQTT-3.3.1-2]. */
const PUBLISH_FLAGS: u32 = 0b00_11_11_00_00_11_11_11;

/** The types with NO_FLAGS that a server sends, a bit for each. */
const PLAIN_FROM_SERVER: u32 =
  (1 << PacketType.Connack) |
  (1 << PacketType.Puback) |
  (1 << PacketType.Pubrec) |
  (1 << PacketType.Pubcomp) |
  (1 << PacketType.Suback) |
  (1 << PacketType.Unsuback) |
  (1 << PacketType.Pingresp);

export function packetType(firstByte: u32): u32 {
  return firstByte >> 4;
}

/**
 * The QoS of a PUBLISH; 3 is malformed. Of what a client sends, exactly the packets that the server must answer have
 * one above 0: PUBREL, SUBSCRIBE and UNSUBSCRIBE have flags as if they were of QoS 1.
 */
export function qosOf(firstByte: u32): u32 {
  return (firstByte >> QOS_SHIFT) & 3;
}

/** Part of the Session State: a QoS 1 or 2 PUBLISH or a PUBREL (4.1) [sec-4.1]. */
export function isTracked(firstByte: u32): bool {
  return qosOf(firstByte) > 0 && packetType(firstByte) < <u32>PacketType.Subscribe;
}

/** True for a QoS 0 PUBLISH without DUP, which marks those of which a byte has gone: see `advanceSent`. */
export function isUnsentQos0(firstByte: u32): bool {
  return (firstByte & ~RETAIN) === PacketType.Publish << 4;
}

/** True for a PUBLISH with DUP: it was sent, or may have been. */
export function isOffered(firstByte: u32): bool {
  return packetType(firstByte) === PacketType.Publish && (firstByte & DUP) !== 0;
}

/** True if the embedder's flags of a message or Will mean something: a QoS of 0 to 2, and RETAIN. */
export function isMessageFlags(flags: u32): bool {
  const all: u32 = QOS_MASK | RETAIN_FLAG;
  return flags <= all && (flags & QOS_MASK) !== QOS_MASK;
}

/** The first byte of a new PUBLISH with the embedder's flags: without DUP. */
export function publishFirstByte(flags: u32): u32 {
  const qos: u32 = flags & QOS_MASK;
  return (PacketType.Publish << 4) | (qos << QOS_SHIFT) | (flags / RETAIN_FLAG);
}

/** True if a server may send a packet that starts like this. */
export function isFromServer(firstByte: u32): bool {
  return ((flagsFromServer(packetType(firstByte)) >> (firstByte & 0x0f)) & 1) !== 0;
}

function flagsFromServer(type: u32): u32 {
  if (type === PacketType.Publish) return PUBLISH_FLAGS;
  if (type === PacketType.Pubrel) return PUBREL_FLAGS;
  return (PLAIN_FROM_SERVER >> type) & NO_FLAGS;
}
