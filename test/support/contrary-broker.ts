/**
 * Two brokers that do most things otherwise than they should, so that a test can see whether that is noticed. The
 * forgetful one keeps nothing, closes nothing and refuses nothing; the overzealous one keeps everything, doubles and
 * swaps it, and ends each connection at the first fault.
 */

import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { ServerPacketReader } from "../../host/src/probe/server-packets.ts";
import { type ClientPacket, ClientStream, type ConnectPacket } from "./client-stream.ts";
import * as packets from "./server-packets.ts";

export type Style = "forgetful" | "overzealous";

/** On a free port of 127.0.0.1. Stop it in the end. */
export async function startContraryBroker(style: Style): Promise<ContraryBroker> {
  const broker = new ContraryBroker(style);
  await broker.start();
  return broker;
}

/** How slow the forgetful one is. */
export const SLOW_MS = 20;
/** How many connections it takes at once. */
const CONNECTION_COUNT_MAX = 49;
/** Above this the forgetful one ends the connection. */
const PACKET_LENGTH_MAX = 100_000;
/** The forgetful one does not deliver the ten messages with the packet identifiers after this one. */
const PACKET_ID_MAX = 90;
/** The overzealous one throws away what goes beyond so many unacknowledged messages. */
const INFLIGHT_MAX = 7;
/** The probe asks with it for one PUBACK of its own. */
const UNANSWERED_PACKET_ID = 7777;

const IDENTIFIER_REJECTED = 2;

interface Message {
  topic: string;
  payload: Uint8Array;
  qos: number;
}

interface Kept {
  subscriptions: { filter: string; qos: number }[];
  /** Sent and not acknowledged, or never sent. */
  waiting: Map<number, Message>;
}

export class ContraryBroker {
  readonly style: Style;
  readonly clients = new Set<ContraryClient>();
  /** The overzealous one's. */
  readonly sessions = new Map<string, Kept>();
  readonly retained: Message[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  #deliveries: (() => void)[] = [];
  #answers: (() => void)[] = [];

  constructor(style: Style) {
    this.style = style;
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
      new ContraryClient(this, socket);
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async start(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  publish(message: Message): void {
    const topic = this.style === "overzealous" ? message.topic.replaceAll(".", "/") : message.topic;
    for (const client of this.clients) {
      for (const { filter, qos } of client.kept.subscriptions) {
        if (!this.matches(filter, message.topic)) continue;
        this.#deliveries.push(() => client.deliver({ ...message, topic }, qos));
      }
    }
    for (const [id, session] of this.sessions) {
      const isAway = ![...this.clients].some((client) => client.id === id);
      const isWanted = session.subscriptions.some(({ filter }) => this.matches(filter, topic));
      if (isAway && isWanted) session.waiting.set(10_000 + session.waiting.size, message);
    }
    this.flushLater();
  }

  answer(send: () => void): void {
    this.#answers.push(send);
    this.flushLater();
  }

  /** The forgetful one is slow; the overzealous one has all at once, the last first. */
  flushLater(): void {
    const flush = () => {
      const work = [...this.#deliveries, ...this.#answers];
      if (this.style === "overzealous") {
        work.splice(0, work.length, ...this.#deliveries.reverse(), ...this.#answers.reverse());
      }
      this.#deliveries = [];
      this.#answers = [];
      for (const send of work) send();
    };
    if (this.style === "forgetful") setTimeout(flush, SLOW_MS);
    else setImmediate(flush);
  }

  matches(filter: string, topic: string): boolean {
    const levels = filter.split("/");
    const names = topic.split("/");
    const isDeep = levels.at(-1) === "#";
    // The standard: "a/#" matches "a", and "+" does not match "$SYS".
    if (isDeep && names.length < levels.length) return false;
    if (!isDeep && names.length !== levels.length) return false;
    if (this.style === "forgetful" && topic.startsWith("$") && !filter.startsWith("$"))
      return false;
    return levels.every((level, index) => level === "#" || level === "+" || level === names[index]);
  }
}

class ContraryClient {
  id = "";
  kept: Kept = { subscriptions: [], waiting: new Map() };
  readonly #broker: ContraryBroker;
  readonly #socket: Socket;
  readonly #isOverzealous: boolean;
  readonly #read: (bytes: Uint8Array) => ClientPacket[];
  /** Identifiers of QoS 2 messages that it has ever seen. */
  readonly #seen = new Set<number>();
  #will: ConnectPacket["will"];
  #nextId = 1;

  constructor(broker: ContraryBroker, socket: Socket) {
    this.#broker = broker;
    this.#socket = socket;
    this.#isOverzealous = broker.style === "overzealous";
    const strict = new ClientStream();
    const lax = new LaxStream(() => socket.destroy());
    this.#read = this.#isOverzealous ? (bytes) => strict.read(bytes) : (bytes) => lax.read(bytes);
    socket.on("data", (bytes) => this.#received(bytes));
    socket.on("close", () => this.#lost());
  }

  deliver(message: Message, granted: number): void {
    const { topic, payload } = message;
    const qos = Math.max(this.#isOverzealous ? 1 : 0, Math.min(message.qos, granted));
    if (qos > 0 && this.kept.waiting.size >= INFLIGHT_MAX) return;
    const packetId = this.#nextId++;
    if (qos > 0) this.kept.waiting.set(packetId, message);
    const retain = this.#isOverzealous;
    this.#send(packets.publish({ topic, payload, qos, packetId, retain }));
  }

  #send(bytes: Uint8Array): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes);
  }

  #received(bytes: Uint8Array): void {
    try {
      for (const packet of this.#read(bytes)) this.#onPacket(packet);
    } catch {
      this.#socket.destroy();
    }
  }

  #lost(): void {
    this.#broker.clients.delete(this);
    const { topic, payload } = this.#will ?? {};
    if (!this.#isOverzealous || topic === undefined || payload === undefined) return;
    for (let count = 0; count < 2; count++) this.#publish({ topic, payload, qos: 0 });
  }

  #publish(message: Message): void {
    if (this.#isOverzealous && message.payload.length > 0) this.#broker.retained.push(message);
    this.#broker.publish(message);
  }

  #onPacket(packet: ClientPacket): void {
    switch (packet.type) {
      case "CONNECT":
        this.#onConnect(packet);
        break;
      case "PUBLISH":
        this.#onPublish(packet);
        break;
      case "PUBACK":
      case "PUBCOMP":
        this.kept.waiting.delete(packet.packetId);
        break;
      case "PUBREC":
        this.#send(packets.pubrel(packet.packetId));
        break;
      case "PUBREL":
        if (this.#seen.has(packet.packetId)) this.#send(packets.pubcomp(packet.packetId));
        break;
      case "SUBSCRIBE":
        this.#onSubscribe(packet);
        break;
      case "UNSUBSCRIBE":
        if (this.#isKnown(packet.filters)) this.#send(packets.unsuback(packet.packetId));
        break;
      case "PINGREQ":
        this.#send(packets.pingresp());
        break;
      case "DISCONNECT":
        this.#socket.end();
        break;
    }
  }

  #onConnect({ clientId, cleanSession, will }: ConnectPacket): void {
    // A client of ours would not put up with a wrong Session Present.
    const isPresent = this.#isOverzealous && clientId.startsWith("wqp");
    this.#broker.answer(() => {
      const code = this.#returnCode(clientId, cleanSession);
      this.#send(packets.connack(isPresent && code === 0, code));
      if (code !== 0) this.#socket.end();
      else this.#admit(clientId, cleanSession);
    });
    this.id = clientId;
    this.#will = will;
  }

  #returnCode(clientId: string, cleanSession: boolean): number {
    const isOdd = !/^[\w-]{1,22}$/.test(clientId);
    if (this.#isOverzealous) return isOdd ? IDENTIFIER_REJECTED : 0;
    if (clientId === UNKNOWN_VERSION) return 1;
    if (clientId === "" && !cleanSession) return IDENTIFIER_REJECTED;
    return this.#broker.clients.size >= CONNECTION_COUNT_MAX ? 3 : 0;
  }

  #admit(clientId: string, cleanSession: boolean): void {
    this.#broker.clients.add(this);
    if (!this.#isOverzealous || cleanSession) return;
    this.kept = this.#broker.sessions.get(clientId) ?? this.kept;
    this.#broker.sessions.set(clientId, this.kept);
    this.#nextId = 1 + Math.max(0, ...[...this.kept.waiting.keys()].filter((id) => id < 10_000));
    for (const [id, { topic, payload }] of [...this.kept.waiting]) {
      const isNew = id >= 10_000;
      const packetId = isNew ? this.#nextId++ : id;
      this.kept.waiting.delete(id);
      this.kept.waiting.set(packetId, { topic, payload, qos: 1 });
      this.#send(packets.publish({ topic, payload, qos: 1, dup: !isNew, packetId }));
    }
  }

  #onPublish({ topic, payload, qos, packetId }: Extract<ClientPacket, { type: "PUBLISH" }>): void {
    const isKnown = qos === 2 && this.#seen.has(packetId);
    if (qos === 2 && this.#isOverzealous) this.#seen.add(packetId);
    const isSwallowed = this.#isOverzealous
      ? isKnown || payload.length === 0
      : packetId > PACKET_ID_MAX && packetId <= 100;
    if (!isSwallowed) this.#publish({ topic, payload, qos });
    if (qos === 0 || packetId === UNANSWERED_PACKET_ID) return;
    const isExact = qos === 2 && this.#isOverzealous;
    const answer = isExact ? packets.pubrec(packetId) : packets.puback(packetId);
    this.#broker.answer(() => this.#send(answer));
  }

  #onSubscribe({ packetId, filters }: Extract<ClientPacket, { type: "SUBSCRIBE" }>): void {
    const codes = filters.map(({ filter, qos }) => this.#grant(filter, qos));
    this.#send(packets.suback(packetId, ...(this.#isOverzealous ? codes : codes.slice(0, 1))));
    if (!this.#isOverzealous) return;
    for (const { filter, qos } of filters) {
      if (filter === "$SYS/#" || filter === "+/about") {
        this.deliver({ topic: "$SYS/about", payload: Buffer.from("me"), qos: 0 }, 0);
      }
      for (const message of this.#broker.retained) {
        if (this.#broker.matches(filter, message.topic)) this.deliver(message, qos);
      }
    }
  }

  #grant(filter: string, qos: number): number {
    const isShared = filter.startsWith("$share/");
    if (isShared && !this.#isOverzealous) return 0x80;
    const granted = this.#isOverzealous ? qos : 0;
    const plain = isShared ? filter.split("/").slice(2).join("/") : filter;
    this.kept.subscriptions.push({ filter: plain, qos: granted });
    return granted;
  }

  /** The overzealous one forgets nobody, and the forgetful one says so without doing it. */
  #isKnown(filters: string[]): boolean {
    if (!this.#isOverzealous) return true;
    return this.kept.subscriptions.some(({ filter }) => filters.includes(filter));
  }
}

/** Stands for the client id of a CONNECT whose protocol level is higher than 5. */
const UNKNOWN_VERSION = "unknown version";

/** Takes what looks like a packet, and looks away from all that is wrong with it. */
class LaxStream {
  readonly #reader = new ServerPacketReader();
  readonly #onTooLarge: () => void;

  constructor(onTooLarge: () => void) {
    this.#onTooLarge = onTooLarge;
  }

  read(bytes: Uint8Array): ClientPacket[] {
    try {
      return this.#reader.read(bytes).flatMap(({ firstByte, body }) => {
        if (body.length > PACKET_LENGTH_MAX) this.#onTooLarge();
        return laxPacket(firstByte, Buffer.from(body)) ?? [];
      });
    } catch {
      return [{ type: "PINGREQ" }]; // whatever that was
    }
  }
}

function laxPacket(firstByte: number, body: Buffer): ClientPacket | undefined {
  const u16 = (at: number) => (at + 2 <= body.length ? body.readUInt16BE(at) : 0);
  const text = (at: number) => body.subarray(at + 2, at + 2 + u16(at)).toString();
  switch (firstByte >> 4) {
    case 1:
      return laxConnect(body, text);
    case 3: {
      const qos = Math.min(2, (firstByte >> 1) & 3);
      const idAt = 2 + u16(0);
      const packetId = qos > 0 ? u16(idAt) : 0;
      const payload = body.subarray(qos > 0 ? idAt + 2 : idAt);
      return { type: "PUBLISH", topic: text(0), payload, qos, packetId, dup: false, retain: false };
    }
    case 8: {
      const filters: { filter: string; qos: number }[] = [];
      for (let at = 2; at < body.length; at += 3 + u16(at)) {
        filters.push({ filter: text(at), qos: 0 });
      }
      return { type: "SUBSCRIBE", packetId: u16(0), filters };
    }
    case 10:
      return { type: "UNSUBSCRIBE", packetId: u16(0), filters: [] };
    case 12:
      return { type: "PINGREQ" };
    case 14:
      return { type: "DISCONNECT" };
    default:
      return undefined;
  }
}

function laxConnect(body: Buffer, text: (at: number) => string): ConnectPacket {
  const nameEnd = 2 + text(0).length;
  const level = body[nameEnd] ?? 0;
  const cleanSession = ((body[nameEnd + 1] ?? 0) & 2) !== 0;
  const clientId = level > 5 ? UNKNOWN_VERSION : text(nameEnd + (level === 5 ? 5 : 4));
  return { type: "CONNECT", clientId, cleanSession, keepAliveSeconds: 0 };
}
