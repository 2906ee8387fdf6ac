/** Packets in words, for traces that people read. */

import type { ClientPacket } from "./client-packets.ts";
import type { ServerPacket } from "./server-packet-reader.ts";

export function clientPacketWords(packet: ClientPacket): string {
  switch (packet.type) {
    case "CONNECT":
      return `CONNECT ${packet.clientId}${packet.cleanSession ? ", clean session" : ""}`;
    case "PUBLISH":
      return publishWords(packet);
    case "SUBSCRIBE":
      return `SUBSCRIBE ${packet.packetId}: ${packet.filters.map(({ filter, qos }) => `${filter} at QoS ${qos}`).join(", ")}`;
    case "UNSUBSCRIBE":
      return `UNSUBSCRIBE ${packet.packetId}`;
    case "PINGREQ":
    case "DISCONNECT":
      return packet.type;
    default:
      return `${packet.type} ${packet.packetId}`;
  }
}

export function serverPacketWords(packet: ServerPacket): string {
  switch (packet.type) {
    case "CONNACK":
      return `CONNACK${packet.sessionPresent ? ", session present" : ""}`;
    case "PUBLISH":
      return publishWords(packet);
    case "PINGRESP":
      return packet.type;
    default:
      return `${packet.type} ${packet.packetId}`;
  }
}

interface PublishWords {
  readonly topic: string;
  readonly payload: string;
  readonly qos: number;
  readonly dup: boolean;
  readonly packetId: number;
}

const PAYLOAD_SHOWN_LENGTH = 24;

function publishWords({ topic, payload, qos, dup, packetId }: PublishWords): string {
  const id = qos > 0 ? ` ${packetId}` : "";
  const isLong = payload.length > PAYLOAD_SHOWN_LENGTH;
  const shown = isLong ? `${payload.slice(0, PAYLOAD_SHOWN_LENGTH)}…` : payload;
  return `PUBLISH${id} QoS ${qos}${dup ? " DUP" : ""} ${topic} ${JSON.stringify(shown)}`;
}
