/** What a strict server sees: reads the bytes of one client and finds every fault that MQTT 3.1.1 names. */

import { concat, readRemainingLength } from "./bytes.ts";

interface Will {
  topic: string;
  payload: Uint8Array;
  qos: number;
  retain: boolean;
}

export interface ConnectPacket {
  type: "CONNECT";
  cleanSession: boolean;
  keepAliveSeconds: number;
  clientId: string;
  will?: Will;
  userName?: string;
  password?: Uint8Array;
}

interface PublishPacket {
  type: "PUBLISH";
  topic: string;
  payload: Uint8Array;
  qos: number;
  dup: boolean;
  retain: boolean;
  /** 0 at QoS 0. */
  packetId: number;
}

interface AcknowledgementPacket {
  type: "PUBACK" | "PUBREC" | "PUBREL" | "PUBCOMP";
  packetId: number;
}

interface SubscribePacket {
  type: "SUBSCRIBE";
  packetId: number;
  filters: { filter: string; qos: number }[];
}

interface UnsubscribePacket {
  type: "UNSUBSCRIBE";
  packetId: number;
  filters: string[];
}

interface EmptyPacket {
  type: "PINGREQ" | "DISCONNECT";
}

export type ClientPacket =
  | ConnectPacket
  | PublishPacket
  | AcknowledgementPacket
  | SubscribePacket
  | UnsubscribePacket
  | EmptyPacket;

/** The client broke the standard; `clause` says where it is forbidden. */
export class ClientFault extends Error {
  override readonly name = "ClientFault";
  readonly clause: string;

  constructor(clause: string, problem: string) {
    super(`${problem} [${clause}]`);
    this.clause = clause;
  }
}

/** The bytes of one Network Connection, from its first. */
export class ClientStream {
  #pending: Uint8Array = new Uint8Array(0);
  #connected = false;
  #disconnected = false;

  /** The packets that are complete now. Throws ClientFault at the first fault. */
  read(bytes: Uint8Array): ClientPacket[] {
    if (bytes.length > 0 && this.#disconnected) {
      throw new ClientFault("MQTT-3.14.4-2", "bytes after DISCONNECT");
    }
    this.#pending = concat(this.#pending, bytes);
    const packets: ClientPacket[] = [];
    for (;;) {
      const packet = this.#next();
      if (packet === undefined) return packets;
      packets.push(packet);
    }
  }

  /** Bytes of a packet that has begun and not ended. */
  get pendingLength(): number {
    return this.#pending.length;
  }

  #next(): ClientPacket | undefined {
    const header = readRemainingLength(this.#pending, 1);
    if (header === undefined) {
      if (this.#pending.length >= 5) {
        throw new ClientFault("sec-2.2.3", "a Remaining Length of more than four bytes");
      }
      return undefined;
    }
    const end = header.bodyAt + header.length;
    if (this.#pending.length < end) return undefined;
    const packet = readPacket(
      this.#pending[0] ?? 0,
      new Body(this.#pending.subarray(header.bodyAt, end)),
    );
    this.#pending = this.#pending.slice(end);
    this.#followOn(packet);
    return packet;
  }

  #followOn(packet: ClientPacket): void {
    if ((packet.type === "CONNECT") === this.#connected) {
      if (this.#connected) throw new ClientFault("MQTT-3.1.0-2", "a second CONNECT");
      throw new ClientFault("MQTT-3.1.0-1", `${packet.type} before CONNECT`);
    }
    this.#connected = true;
    if (packet.type !== "DISCONNECT") return;
    this.#disconnected = true;
    if (this.#pending.length > 0) throw new ClientFault("MQTT-3.14.4-2", "bytes after DISCONNECT");
  }
}

/** The name and the flags of each packet that a client may send (2.2.1, 2.2.2). PUBLISH has flags of its own. */
const CLIENT_PACKETS: { [type: number]: [name: ClientPacket["type"], flags: number] } = {
  1: ["CONNECT", 0],
  3: ["PUBLISH", 0],
  4: ["PUBACK", 0],
  5: ["PUBREC", 0],
  6: ["PUBREL", 2],
  7: ["PUBCOMP", 0],
  8: ["SUBSCRIBE", 2],
  10: ["UNSUBSCRIBE", 2],
  12: ["PINGREQ", 0],
  14: ["DISCONNECT", 0],
};

function readPacket(firstByte: number, body: Body): ClientPacket {
  const [type, flags] = CLIENT_PACKETS[firstByte >> 4] ?? [];
  if (type === undefined) {
    throw new ClientFault("sec-2.2.1", `packet type ${firstByte >> 4} from a client`);
  }
  if (type !== "PUBLISH" && (firstByte & 0xf) !== flags) {
    throw new ClientFault("MQTT-2.2.2-1", `${type} with the flags ${firstByte & 0xf}`);
  }
  const packet = readBody(type, firstByte & 0xf, body);
  body.end(type);
  return packet;
}

function readBody(type: ClientPacket["type"], flags: number, body: Body): ClientPacket {
  switch (type) {
    case "CONNECT":
      return readConnect(body);
    case "PUBLISH":
      return readPublish(flags, body);
    case "SUBSCRIBE":
      return readSubscribe(body);
    case "UNSUBSCRIBE":
      return readUnsubscribe(body);
    case "PINGREQ":
    case "DISCONNECT":
      return { type };
    default:
      return { type, packetId: body.packetId() };
  }
}

function readConnect(body: Body): ConnectPacket {
  if (body.text("MQTT-3.1.2-1") !== "MQTT" || body.byte() !== 4) {
    throw new ClientFault("MQTT-3.1.2-1", "not the protocol MQTT of level 4");
  }
  const flags = body.byte();
  checkConnectFlags(flags);
  const packet: ConnectPacket = {
    type: "CONNECT",
    cleanSession: (flags & 2) !== 0,
    keepAliveSeconds: body.u16(),
    clientId: body.text("MQTT-3.1.3-4"),
  };
  if (packet.clientId === "" && !packet.cleanSession) {
    throw new ClientFault("MQTT-3.1.3-7", "no client identifier for a session that is kept");
  }
  if ((flags & 4) !== 0) {
    packet.will = {
      topic: body.topicName("MQTT-3.1.3-10"),
      payload: body.binary(),
      qos: (flags >> 3) & 3,
      retain: (flags & 0x20) !== 0,
    };
  }
  if ((flags & 0x80) !== 0) packet.userName = body.text("MQTT-3.1.3-11");
  if ((flags & 0x40) !== 0) packet.password = body.binary();
  return packet;
}

function checkConnectFlags(flags: number): void {
  if ((flags & 1) !== 0) throw new ClientFault("MQTT-3.1.2-3", "bit 0 of the connect flags is 1");
  if ((flags & 4) === 0 && (flags & 0x18) !== 0) {
    throw new ClientFault("MQTT-3.1.2-13", "a Will QoS without a Will");
  }
  if ((flags & 4) === 0 && (flags & 0x20) !== 0) {
    throw new ClientFault("MQTT-3.1.2-15", "Will Retain without a Will");
  }
  if ((flags & 0x18) === 0x18) throw new ClientFault("MQTT-3.1.2-14", "Will QoS 3");
  if ((flags & 0xc0) === 0x40) {
    throw new ClientFault("MQTT-3.1.2-22", "a password without a user name");
  }
}

function readPublish(flags: number, body: Body): PublishPacket {
  const qos = (flags >> 1) & 3;
  const dup = (flags & 8) !== 0;
  if (qos === 3) throw new ClientFault("MQTT-3.3.1-4", "PUBLISH at QoS 3");
  if (qos === 0 && dup) throw new ClientFault("MQTT-3.3.1-2", "PUBLISH at QoS 0 with DUP");
  return {
    type: "PUBLISH",
    topic: body.topicName("MQTT-3.3.2-1"),
    packetId: qos > 0 ? body.packetId() : 0,
    payload: body.rest(),
    qos,
    dup,
    retain: (flags & 1) !== 0,
  };
}

function readSubscribe(body: Body): SubscribePacket {
  const packetId = body.packetId();
  const filters: SubscribePacket["filters"] = [];
  while (!body.isAtEnd) {
    const filter = body.topicFilter("MQTT-3.8.3-1");
    const qos = body.byte();
    if (qos > 2) throw new ClientFault("MQTT-3-8.3-4", `requested QoS ${qos}`);
    filters.push({ filter, qos });
  }
  if (filters.length === 0) throw new ClientFault("MQTT-3.8.3-3", "SUBSCRIBE without a filter");
  return { type: "SUBSCRIBE", packetId, filters };
}

function readUnsubscribe(body: Body): UnsubscribePacket {
  const packetId = body.packetId();
  const filters: string[] = [];
  while (!body.isAtEnd) filters.push(body.topicFilter("MQTT-3.10.3-1"));
  if (filters.length === 0) throw new ClientFault("MQTT-3.10.3-2", "UNSUBSCRIBE without a filter");
  return { type: "UNSUBSCRIBE", packetId, filters };
}

/** Reads the fields of one packet from front to end. */
class Body {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  byte(): number {
    const [byte] = this.#take(1);
    return byte ?? 0;
  }

  u16(): number {
    return this.byte() * 256 + this.byte();
  }

  packetId(): number {
    const packetId = this.u16();
    if (packetId === 0) throw new ClientFault("MQTT-2.3.1-1", "packet identifier 0");
    return packetId;
  }

  binary(): Uint8Array {
    return this.#take(this.u16());
  }

  rest(): Uint8Array {
    return this.#take(this.#bytes.length - this.#at);
  }

  text(clause: string): string {
    const bytes = this.binary();
    const text = decode(bytes, clause);
    if (text.includes("\0")) throw new ClientFault("MQTT-1.5.3-2", "U+0000 in a string");
    return text;
  }

  topicName(clause: string): string {
    const topic = this.text(clause);
    if (topic === "") throw new ClientFault("MQTT-4.7.3-1", "an empty topic name");
    if (/[+#]/.test(topic)) throw new ClientFault("MQTT-3.3.2-2", `a wildcard in ${topic}`);
    return topic;
  }

  topicFilter(clause: string): string {
    const filter = this.text(clause);
    if (filter === "") throw new ClientFault("MQTT-4.7.3-1", "an empty topic filter");
    const levels = filter.split("/");
    levels.forEach((level, index) => {
      if (level.includes("#") && (level !== "#" || index < levels.length - 1)) {
        throw new ClientFault("MQTT-4.7.1-2", `"#" out of its place in ${filter}`);
      }
      if (level.includes("+") && level !== "+") {
        throw new ClientFault("MQTT-4.7.1-3", `"+" out of its place in ${filter}`);
      }
    });
    return filter;
  }

  end(type: string): void {
    if (!this.isAtEnd) throw new ClientFault("sec-2.2.3", `${type} is longer than its fields`);
  }

  #take(length: number): Uint8Array {
    if (this.#at + length > this.#bytes.length) {
      throw new ClientFault("sec-2.2.3", "a field is longer than the packet");
    }
    this.#at += length;
    return this.#bytes.slice(this.#at - length, this.#at);
  }
}

function decode(bytes: Uint8Array, clause: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new ClientFault(clause, "ill-formed UTF-8");
  }
}
