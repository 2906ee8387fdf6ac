/** Reads what a device gets from the broker: as much of each packet as the checks and the trace need. */

import { findBody } from "./client-packets.ts";

export type ServerPacket =
  | { readonly type: "CONNACK"; readonly sessionPresent: boolean }
  | {
      readonly type: "PUBLISH";
      readonly topic: string;
      readonly payload: string;
      readonly qos: number;
      readonly dup: boolean;
      readonly packetId: number;
    }
  | {
      readonly type: "PUBACK" | "PUBREC" | "PUBREL" | "PUBCOMP" | "SUBACK" | "UNSUBACK";
      readonly packetId: number;
    }
  | { readonly type: "PINGRESP" };

const ANSWERS: Readonly<Record<number, "PUBACK" | "PUBREC" | "PUBREL" | "PUBCOMP" | "SUBACK">> = {
  4: "PUBACK",
  5: "PUBREC",
  6: "PUBREL",
  7: "PUBCOMP",
  9: "SUBACK",
};

const decoder = new TextDecoder();

/** The bytes of one Network Connection, from the model broker: they are well-formed. */
export class ServerPacketReader {
  #pending: Uint8Array = new Uint8Array(0);

  /** Calls `take` with each packet that is complete now. */
  read(bytes: Uint8Array, take: (packet: ServerPacket) => void): void {
    let all = bytes;
    if (this.#pending.length > 0) {
      all = new Uint8Array(this.#pending.length + bytes.length);
      all.set(this.#pending);
      all.set(bytes, this.#pending.length);
    }
    let at = 0;
    for (;;) {
      const body = findBody(all, at);
      if (body === undefined || body.endAt > all.length) break;
      take(packetOf(all, at, body.bodyAt, body.endAt));
      at = body.endAt;
    }
    this.#pending = all.slice(at);
  }
}

function packetOf(bytes: Uint8Array, at: number, bodyAt: number, endAt: number): ServerPacket {
  const firstByte = bytes[at] as number;
  const type = firstByte >> 4;
  if (type === 2) return { type: "CONNACK", sessionPresent: bytes[bodyAt] === 1 };
  if (type === 3) return publishOf(firstByte, bytes, bodyAt, endAt);
  if (type === 13) return { type: "PINGRESP" };
  return { type: ANSWERS[type] ?? "UNSUBACK", packetId: u16(bytes, bodyAt) };
}

function publishOf(
  firstByte: number,
  bytes: Uint8Array,
  bodyAt: number,
  endAt: number,
): ServerPacket {
  const qos = (firstByte >> 1) & 3;
  const topicEnd = bodyAt + 2 + u16(bytes, bodyAt);
  return {
    type: "PUBLISH",
    topic: decoder.decode(bytes.subarray(bodyAt + 2, topicEnd)),
    payload: decoder.decode(bytes.subarray(topicEnd + (qos > 0 ? 2 : 0), endAt)),
    qos,
    dup: (firstByte & 8) !== 0,
    packetId: qos > 0 ? u16(bytes, topicEnd) : 0,
  };
}

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}
