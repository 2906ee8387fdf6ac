/** The packets that a server sends, as bytes (MQTT 3.1.1, chapter 3). */

import { bytesOf, lengthPrefixed, packet } from "./bytes.ts";

export interface ServerMessage {
  topic: string | Uint8Array;
  payload?: string | Uint8Array;
  qos?: number;
  dup?: boolean;
  retain?: boolean;
  /** Sent at QoS 1 and 2 only. */
  packetId?: number;
}

export function connack(sessionPresent = false, returnCode = 0): Uint8Array {
  return Uint8Array.of(0x20, 2, sessionPresent ? 1 : 0, returnCode);
}

export function publish(message: ServerMessage): Uint8Array {
  const { topic, payload = "", qos = 0, dup = false, retain = false, packetId = 1 } = message;
  const firstByte = 0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0);
  const identifier = qos > 0 ? u16(packetId) : new Uint8Array(0);
  return packet(firstByte, lengthPrefixed(topic), identifier, bytesOf(payload));
}

export function puback(packetId: number): Uint8Array {
  return packet(0x40, u16(packetId));
}

export function pubrec(packetId: number): Uint8Array {
  return packet(0x50, u16(packetId));
}

export function pubrel(packetId: number): Uint8Array {
  return packet(0x62, u16(packetId));
}

export function pubcomp(packetId: number): Uint8Array {
  return packet(0x70, u16(packetId));
}

export function suback(packetId: number, ...codes: number[]): Uint8Array {
  return packet(0x90, u16(packetId), Uint8Array.from(codes));
}

export function unsuback(packetId: number): Uint8Array {
  return packet(0xb0, u16(packetId));
}

export function pingresp(): Uint8Array {
  return Uint8Array.of(0xd0, 0);
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff);
}
