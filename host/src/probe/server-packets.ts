/** Cuts the bytes of a broker into packets and reads their fields, whatever they say: a probe judges later. */

export type ServerPacketType =
  | "CONNACK"
  | "PUBLISH"
  | "PUBACK"
  | "PUBREC"
  | "PUBREL"
  | "PUBCOMP"
  | "SUBACK"
  | "UNSUBACK"
  | "PINGRESP"
  /** MQTT 5 alone lets a server send it. */
  | "DISCONNECT"
  | "other";

export interface ServerPacket {
  readonly type: ServerPacketType;
  readonly firstByte: number;
  readonly body: Uint8Array;
  /** Of all but CONNACK, PINGRESP, and PUBLISH at QoS 0; then 0. */
  readonly packetId: number;
  /** 1 for the first packet of the connection, then 2, 3 … */
  readonly order: number;
}

/** A PUBLISH in full. */
export interface ProbeMessage {
  readonly topic: string;
  readonly payload: string;
  readonly payloadLength: number;
  readonly qos: number;
  readonly dup: boolean;
  readonly retain: boolean;
  readonly packetId: number;
  readonly order: number;
}

const TYPES: readonly ServerPacketType[] = [
  "other",
  "other",
  "CONNACK",
  "PUBLISH",
  "PUBACK",
  "PUBREC",
  "PUBREL",
  "PUBCOMP",
  "other",
  "SUBACK",
  "other",
  "UNSUBACK",
  "other",
  "PINGRESP",
  "DISCONNECT",
  "other",
];

/** A Remaining Length has at most this many bytes (2.2.3). */
const LENGTH_BYTES_MAX = 4;

export class ServerPacketReader {
  #chunks: Uint8Array[] = [];
  #availableLength = 0;
  /** Of the packet that has begun; until then nothing is put together. */
  #neededLength = 2;
  #count = 0;

  /** The packets that are whole now. Throws an Error for bytes that are no MQTT. */
  read(chunk: Uint8Array): ServerPacket[] {
    this.#chunks.push(Uint8Array.from(chunk));
    this.#availableLength += chunk.length;
    if (this.#availableLength < this.#neededLength) return [];
    const bytes = Buffer.concat(this.#chunks);
    const packets: ServerPacket[] = [];
    let at = 0;
    this.#neededLength = 2;
    while (at < bytes.length) {
      const length = packetLength(bytes, at);
      if (length === undefined || at + length > bytes.length) {
        this.#neededLength = length ?? bytes.length - at + 1;
        break;
      }
      this.#count++;
      packets.push(readPacket(bytes.subarray(at, at + length), this.#count));
      at += length;
    }
    this.#chunks = at < bytes.length ? [bytes.subarray(at)] : [];
    this.#availableLength = bytes.length - at;
    return packets;
  }
}

/** Undefined while its length is not all there. */
function packetLength(bytes: Uint8Array, at: number): number | undefined {
  let remaining = 0;
  for (let index = 1; index <= LENGTH_BYTES_MAX; index++) {
    const byte = bytes[at + index];
    if (byte === undefined) return undefined;
    remaining += (byte & 0x7f) * 128 ** (index - 1);
    if (byte < 0x80) return 1 + index + remaining;
  }
  throw new Error("a Remaining Length of more than four bytes");
}

function readPacket(bytes: Uint8Array, order: number): ServerPacket {
  const firstByte = bytes[0] ?? 0;
  const bodyAt = bytes.findIndex((byte, index) => index > 0 && byte < 0x80) + 1;
  const body = bytes.subarray(bodyAt);
  const type = TYPES[firstByte >> 4] ?? "other";
  return { type, firstByte, body, packetId: packetIdOf(type, firstByte, body), order };
}

function packetIdOf(type: ServerPacketType, firstByte: number, body: Uint8Array): number {
  if (type === "CONNACK" || type === "PINGRESP" || type === "other") return 0;
  if (type !== "PUBLISH") return u16(body, 0);
  return ((firstByte >> 1) & 3) > 0 ? u16(body, 2 + u16(body, 0)) : 0;
}

/** The fields of a PUBLISH. */
export function readMessage({ firstByte, body, packetId, order }: ServerPacket): ProbeMessage {
  const qos = (firstByte >> 1) & 3;
  const topicEnd = 2 + u16(body, 0);
  const payload = body.subarray(qos > 0 ? topicEnd + 2 : topicEnd);
  return {
    topic: Buffer.from(body.subarray(2, topicEnd)).toString(),
    payload: Buffer.from(payload).toString(),
    payloadLength: payload.length,
    qos,
    dup: (firstByte & 8) !== 0,
    retain: (firstByte & 1) !== 0,
    packetId,
    order,
  };
}

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
