/** The packets of a server (MQTT 3.1.1), as bytes. */

const encoder = new TextEncoder();

export function connack(sessionPresent: boolean): Uint8Array {
  return Uint8Array.of(0x20, 2, sessionPresent ? 1 : 0, 0);
}

export function puback(packetId: number): Uint8Array {
  return Uint8Array.of(0x40, 2, packetId >> 8, packetId & 0xff);
}

export function pubrec(packetId: number): Uint8Array {
  return Uint8Array.of(0x50, 2, packetId >> 8, packetId & 0xff);
}

export function pubrel(packetId: number): Uint8Array {
  return Uint8Array.of(0x62, 2, packetId >> 8, packetId & 0xff);
}

export function pubcomp(packetId: number): Uint8Array {
  return Uint8Array.of(0x70, 2, packetId >> 8, packetId & 0xff);
}

export function suback(packetId: number, codes: readonly number[]): Uint8Array {
  return Uint8Array.of(0x90, 2 + codes.length, packetId >> 8, packetId & 0xff, ...codes);
}

export function unsuback(packetId: number): Uint8Array {
  return Uint8Array.of(0xb0, 2, packetId >> 8, packetId & 0xff);
}

export function pingresp(): Uint8Array {
  return Uint8Array.of(0xd0, 0);
}

export interface OutgoingPublish {
  readonly topic: string;
  readonly payload: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly dup: boolean;
  /** Left out at QoS 0 [MQTT-2.3.1-5]. */
  readonly packetId: number;
}

export function publish(message: OutgoingPublish): Uint8Array {
  const { topic, payload, qos, retain, dup, packetId } = message;
  const topicBytes = encoder.encode(topic);
  const payloadBytes = encoder.encode(payload);
  const idLength = qos > 0 ? 2 : 0;
  const bodyLength = 2 + topicBytes.length + idLength + payloadBytes.length;
  const header = [0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0)];
  for (let rest = bodyLength; ; rest >>= 7) {
    header.push(rest < 0x80 ? rest : 0x80 | (rest & 0x7f));
    if (rest < 0x80) break;
  }
  const bytes = new Uint8Array(header.length + bodyLength);
  bytes.set(header);
  let at = header.length;
  bytes[at++] = topicBytes.length >> 8;
  bytes[at++] = topicBytes.length & 0xff;
  bytes.set(topicBytes, at);
  at += topicBytes.length;
  if (qos > 0) {
    bytes[at++] = packetId >> 8;
    bytes[at++] = packetId & 0xff;
  }
  bytes.set(payloadBytes, at);
  return bytes;
}
