/** Reads the packets of a client out of a stream of bytes, and finds what MQTT 3.1.1 forbids in each. */

export interface WillMessage {
  readonly topic: string;
  readonly payload: string;
  readonly qos: number;
  readonly retain: boolean;
}

export interface ConnectPacket {
  readonly type: "CONNECT";
  readonly clientId: string;
  readonly cleanSession: boolean;
  readonly keepAliveSeconds: number;
  readonly will: WillMessage | undefined;
}

export interface PublishPacket {
  readonly type: "PUBLISH";
  readonly topic: string;
  readonly payload: string;
  readonly qos: number;
  readonly dup: boolean;
  readonly retain: boolean;
  /** 0 at QoS 0. */
  readonly packetId: number;
}

interface AcknowledgementPacket {
  readonly type: "PUBACK" | "PUBREC" | "PUBREL" | "PUBCOMP";
  readonly packetId: number;
}

interface SubscribePacket {
  readonly type: "SUBSCRIBE";
  readonly packetId: number;
  readonly filters: readonly { readonly filter: string; readonly qos: number }[];
}

interface UnsubscribePacket {
  readonly type: "UNSUBSCRIBE";
  readonly packetId: number;
  readonly filters: readonly { readonly filter: string }[];
}

interface EmptyPacket {
  readonly type: "PINGREQ" | "DISCONNECT";
}

export type ClientPacket =
  | ConnectPacket
  | PublishPacket
  | AcknowledgementPacket
  | SubscribePacket
  | UnsubscribePacket
  | EmptyPacket;

/** The client broke the standard; the text ends in the clause. */
export class ClientFault extends Error {
  override readonly name = "ClientFault";
}

/** Bytes of a packet before its body: one, and the Remaining Length (2.2.3). */
const REMAINING_LENGTH_BYTES_MAX = 4;

/** Where a packet's body lies, if so much is there. Throws a ClientFault when its length is none. */
export function findBody(
  bytes: Uint8Array,
  at: number,
): { bodyAt: number; endAt: number } | undefined {
  let length = 0;
  for (let index = 0; index < REMAINING_LENGTH_BYTES_MAX; index++) {
    const byte = bytes[at + 1 + index];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) << (7 * index);
    if (byte < 0x80) return { bodyAt: at + 2 + index, endAt: at + 2 + index + length };
  }
  throw new ClientFault("a Remaining Length of more than four bytes [sec-2.2.3]");
}

/** The bytes of one Network Connection; gives whole packets as they complete. */
export class PacketReader {
  #pending: Uint8Array = new Uint8Array(0);

  /** Calls `take` with each packet that is complete now. Throws a ClientFault at the first fault. */
  read(bytes: Uint8Array, take: (packet: ClientPacket) => void): void {
    const all = this.#pending.length === 0 ? bytes : joined(this.#pending, bytes);
    let at = 0;
    for (;;) {
      const body = findBody(all, at);
      if (body === undefined || body.endAt > all.length) break;
      const packet = readPacket(all[at] as number, all, body.bodyAt, body.endAt);
      at = body.endAt;
      take(packet);
    }
    this.#pending = at === all.length ? NO_BYTES : all.slice(at);
  }
}

const NO_BYTES = new Uint8Array(0);

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

/** One whole packet. */
export function readPacket(
  firstByte: number,
  bytes: Uint8Array,
  bodyAt: number,
  endAt: number,
): ClientPacket {
  const body = new Body(bytes, bodyAt, endAt);
  const packet = readBody(firstByte, body);
  if (!body.isAtEnd) throw new ClientFault(`bytes behind the end of ${packet.type}`);
  return packet;
}

/** The names and flags of [MQTT-2.2.2-1]. */
function readBody(firstByte: number, body: Body): ClientPacket {
  if (firstByte >> 4 === 3) return readPublish(firstByte, body);
  switch (firstByte) {
    case 0x10:
      return readConnect(body);
    case 0x40:
      return { type: "PUBACK", packetId: body.packetId() };
    case 0x50:
      return { type: "PUBREC", packetId: body.packetId() };
    case 0x62: // [MQTT-3.6.1-1]
      return { type: "PUBREL", packetId: body.packetId() };
    case 0x70:
      return { type: "PUBCOMP", packetId: body.packetId() };
    case 0x82: // [MQTT-3.8.1-1]
      return { type: "SUBSCRIBE", packetId: body.packetId(), filters: readFilters(body, true) };
    case 0xa2: // [MQTT-3.10.1-1]
      return { type: "UNSUBSCRIBE", packetId: body.packetId(), filters: readFilters(body, false) };
    case 0xc0:
      return { type: "PINGREQ" };
    case 0xe0: // [MQTT-3.14.1-1]
      return { type: "DISCONNECT" };
    default:
      throw new ClientFault(`a packet that begins with ${hex(firstByte)} [MQTT-2.2.2-1]`);
  }
}

function readPublish(firstByte: number, body: Body): PublishPacket {
  const qos = (firstByte >> 1) & 3;
  const dup = (firstByte & 8) !== 0;
  if (qos === 3) throw new ClientFault("PUBLISH with QoS 3 [MQTT-3.3.1-4]");
  if (qos === 0 && dup) throw new ClientFault("PUBLISH at QoS 0 with DUP [MQTT-3.3.1-2]");
  const topic = body.text();
  if (topic === "") throw new ClientFault("an empty Topic Name [MQTT-4.7.3-1]");
  if (/[+#]/u.test(topic)) throw new ClientFault("a wildcard in a Topic Name [MQTT-3.3.2-2]");
  const packetId = qos > 0 ? body.packetId() : 0;
  return {
    type: "PUBLISH",
    topic,
    payload: body.rest(),
    qos,
    dup,
    retain: (firstByte & 1) !== 0,
    packetId,
  };
}

function readConnect(body: Body): ConnectPacket {
  if (body.text() !== "MQTT") throw new ClientFault("another protocol name [MQTT-3.1.2-1]");
  if (body.byte() !== 4) throw new ClientFault("another protocol level [MQTT-3.1.2-2]");
  const flags = body.byte();
  if ((flags & 1) !== 0) throw new ClientFault("the reserved Connect Flag is set [MQTT-3.1.2-3]");
  const hasWill = (flags & 4) !== 0;
  const qos = (flags >> 3) & 3;
  if (!hasWill && (flags & 0x38) !== 0) {
    throw new ClientFault("flags of a Will without a Will [MQTT-3.1.2-13] [MQTT-3.1.2-15]");
  }
  if (qos === 3) throw new ClientFault("a Will with QoS 3 [MQTT-3.1.2-14]");
  const keepAliveSeconds = body.u16();
  const clientId = body.text();
  const will = hasWill
    ? { topic: body.text(), payload: body.field(), qos, retain: (flags & 0x20) !== 0 }
    : undefined;
  if ((flags & 0x80) !== 0) body.text();
  if ((flags & 0x40) !== 0) {
    if ((flags & 0x80) === 0)
      throw new ClientFault("a password without a user name [MQTT-3.1.2-22]");
    body.field();
  }
  return { type: "CONNECT", clientId, cleanSession: (flags & 2) !== 0, keepAliveSeconds, will };
}

function readFilters(body: Body, hasQos: boolean): { filter: string; qos: number }[] {
  const filters: { filter: string; qos: number }[] = [];
  while (!body.isAtEnd) {
    const filter = body.text();
    if (filter === "") throw new ClientFault("an empty Topic Filter [MQTT-4.7.3-1]");
    const qos = hasQos ? body.byte() : 0;
    if (qos > 2) throw new ClientFault("a requested QoS above 2 [MQTT-3-8.3-4]");
    filters.push({ filter, qos });
  }
  if (filters.length === 0) throw new ClientFault("no Topic Filter [MQTT-3.8.3-3]");
  return filters;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

class Body {
  readonly #bytes: Uint8Array;
  readonly #endAt: number;
  #at: number;

  constructor(bytes: Uint8Array, at: number, endAt: number) {
    this.#bytes = bytes;
    this.#at = at;
    this.#endAt = endAt;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#endAt;
  }

  byte(): number {
    if (this.#at >= this.#endAt) throw new ClientFault("a packet that ends too early");
    return this.#bytes[this.#at++] as number;
  }

  u16(): number {
    const high = this.byte();
    return (high << 8) | this.byte();
  }

  packetId(): number {
    const packetId = this.u16();
    if (packetId === 0) throw new ClientFault("Packet Identifier 0 [MQTT-2.3.1-1]");
    return packetId;
  }

  /** A UTF-8 encoded string (1.5.3). */
  text(): string {
    const text = this.field();
    if (text.includes("\u0000")) throw new ClientFault("U+0000 in a string [MQTT-1.5.3-2]");
    return text;
  }

  /** Bytes behind their length; in this world they are always text. */
  field(): string {
    return this.#decode(this.u16());
  }

  rest(): string {
    return this.#decode(this.#endAt - this.#at);
  }

  #decode(length: number): string {
    const at = this.#at;
    if (at + length > this.#endAt) throw new ClientFault("a field that is longer than its packet");
    this.#at = at + length;
    try {
      return decodeText(this.#bytes, at, this.#at);
    } catch {
      throw new ClientFault("ill-formed UTF-8 [MQTT-1.5.3-1]");
    }
  }
}

/** Below this length a loop over ASCII is quicker than the decoder. */
const SHORT_LENGTH = 48;

function decodeText(bytes: Uint8Array, at: number, endAt: number): string {
  if (endAt - at <= SHORT_LENGTH) {
    let text = "";
    for (let index = at; index < endAt; index++) {
      const byte = bytes[index] as number;
      if (byte >= 0x80) return utf8.decode(bytes.subarray(at, endAt));
      text += String.fromCharCode(byte);
    }
    return text;
  }
  return utf8.decode(bytes.subarray(at, endAt));
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
