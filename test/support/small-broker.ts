/**
 * A small broker that a test can make break its promises: it drops, doubles, delays or invents what it should deliver.
 * On sockets, or in memory with a clock of the test's.
 */

import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import mqtt, { type Packet, type QoS } from "mqtt-packet";
import { memoryListener } from "../../host/src/transport/memory.ts";
import type { OpenTransport, Transport } from "../../host/src/transport/transport.ts";
import { realWorld, type Timer, type World } from "../../host/src/world.ts";

/** A message on its way to one subscriber. */
export interface Delivery {
  topic: string;
  payload: string;
  isWill: boolean;
  /** Client id of the subscriber. */
  to: string;
}

export interface Misbehaviour {
  /** When each copy of a message goes out, in milliseconds from now: [] drops it, [0] is honest, [0, 0] doubles it. */
  copies?: (delivery: Delivery) => number[];
  /** False: this PUBLISH of a client is delivered, but never acknowledged. */
  acknowledges?: (topic: string, payload: string) => boolean;
  /** The code that answers a subscription, or no answer but the end of the connection; the QoS asked for, if absent. */
  grants?: (topicFilter: string) => number | "close";
  /** Return code of CONNACK; 0 if absent. */
  returnCode?: (clientId: string) => number;
  /** Messages of earlier runs that a new subscription to this filter brings, one each 10 ms [MQTT-3.3.1-8]. */
  retained?: { topicFilter: string; messages: { topic: string; payload: string }[] };
  /** Gives up a silent client after so many times its keep alive; 1.5 if absent. */
  keepAliveFactor?: number;
}

/** On a free port of 127.0.0.1. Stop it in the end. */
export async function startSmallBroker(misbehaviour: Misbehaviour = {}): Promise<SocketBroker> {
  const broker = new SocketBroker(realWorld, misbehaviour);
  await broker.start();
  return broker;
}

/** The bytes to one client. */
type Wire = Pick<Transport, "write" | "reset">;

export class SmallBroker {
  readonly world: World;
  readonly misbehaviour: Misbehaviour;
  /** With which each client has logged in, by client id. */
  readonly userNames = new Map<string, string | undefined>();
  readonly #clients = new Map<string, BrokerClient>();
  /** What has left the broker and is not yet at its subscriber. */
  readonly #timers = new Set<Timer>();
  /** Subscriptions of clients that connected without a clean session, and what waits for them. */
  readonly #sessions = new Map<string, Session>();

  constructor(world: World, misbehaviour: Misbehaviour = {}) {
    this.world = world;
    this.misbehaviour = misbehaviour;
  }

  /** Opens connections to it that exist in memory only. */
  get openTransport(): OpenTransport {
    return memoryListener(this.world, (server) => {
      let wire: Transport;
      const client = new BrokerClient(this, {
        write: (bytes) => wire.write(bytes),
        reset: () => wire.close(),
      });
      wire = server({
        opened: () => {},
        received: (bytes) => client.received(bytes),
        drained: () => {},
        closed: () => client.end(),
      });
    });
  }

  get clientIds(): string[] {
    return [...this.#clients.keys()];
  }

  /** Of clients that want to be remembered. */
  get sessionIds(): string[] {
    return [...this.#sessions.keys()];
  }

  /** Has a session of this client, and one message that waits for it, as an earlier run may have left them. */
  remember(clientId: string, topic: string, payload: string): void {
    const session = newSession();
    session.subscriptions.set(topic, 1);
    session.waiting.push({ topic, payload, qos: 1 });
    this.#sessions.set(clientId, session);
  }

  /** Ends the connections of all clients whose id begins so and who have not said goodbye, as a broker that cleans up. */
  throwOut(idPrefix: string): void {
    for (const [id, client] of this.#clients) {
      if (id.startsWith(idPrefix) && !client.hasSaidGoodbye) client.end();
    }
  }

  /** A new client takes the place of one with the same id [MQTT-3.1.4-2]. Returns its session, and whether it is old. */
  admit(client: BrokerClient, isClean: boolean): { session: Session; isPresent: boolean } {
    this.#clients.get(client.id)?.end();
    this.#clients.set(client.id, client);
    const kept = isClean ? undefined : this.#sessions.get(client.id);
    const session = kept ?? newSession();
    if (isClean) this.#sessions.delete(client.id);
    else this.#sessions.set(client.id, session);
    return { session, isPresent: kept !== undefined };
  }

  forget(client: BrokerClient): void {
    if (this.#clients.get(client.id) === client) this.#clients.delete(client.id);
  }

  /** Delivers to all subscribers, as far as the test lets it. */
  publish(topic: string, payload: string, qos: QoS, isWill = false): void {
    for (const [id, client] of this.#clients) {
      const granted = subscribedQos(client.session, topic);
      if (granted === undefined) continue;
      const message = { topic, payload, qos: Math.min(qos, granted) as QoS };
      const delaysMs = this.misbehaviour.copies?.({ topic, payload, isWill, to: id }) ?? [0];
      for (const delayMs of delaysMs) this.later(delayMs, () => client.deliver(message));
    }
    for (const [id, session] of this.#sessions) {
      if (this.#clients.has(id)) continue;
      const granted = subscribedQos(session, topic);
      if (granted === undefined || granted * qos === 0) continue;
      session.waiting.push({ topic, payload, qos: Math.min(qos, granted) as QoS });
    }
  }

  clearTimers(): void {
    for (const timer of this.#timers) timer.clear();
  }

  later(delayMs: number, callback: () => void): void {
    if (delayMs === 0) {
      callback();
      return;
    }
    const timer = this.world.setTimer(delayMs, () => {
      this.#timers.delete(timer);
      callback();
    });
    this.#timers.add(timer);
  }
}

export class SocketBroker extends SmallBroker {
  readonly #sockets = new Set<Socket>();
  readonly #server: Server = createServer({ noDelay: true }, (socket) => {
    this.#sockets.add(socket);
    const client = new BrokerClient(this, {
      write: (bytes) => socket.write(bytes),
      reset: () => socket.destroy(),
    });
    socket.on("data", (bytes) => client.received(bytes));
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#sockets.delete(socket);
      client.end();
    });
  });

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async start(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  async stop(): Promise<void> {
    this.clearTimers();
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

interface Message {
  topic: string;
  payload: string;
  qos: QoS;
}

interface Session {
  readonly subscriptions: Map<string, QoS>;
  /** For a client that is away, or was before it had acknowledged. */
  readonly waiting: Message[];
  /** Sent, and not acknowledged yet. */
  readonly underWay: Map<number, Message>;
  /** Identifiers of QoS 2 messages that were taken, until PUBREL [MQTT-4.3.3-2]. */
  readonly taken: Set<number>;
}

function newSession(): Session {
  return { subscriptions: new Map(), waiting: [], underWay: new Map(), taken: new Set() };
}

class BrokerClient {
  id = "";
  session = newSession();
  /** DISCONNECT is under way, and may be too late for who is thrown out now. */
  hasSaidGoodbye = false;
  readonly #broker: SmallBroker;
  readonly #wire: Wire;
  readonly #parser = mqtt.parser();
  #will: Message | undefined;
  #patienceMs = 0;
  #silenceTimer: Timer | undefined;
  #lastPacketId = 0;
  #isOver = false;

  constructor(broker: SmallBroker, wire: Wire) {
    this.#broker = broker;
    this.#wire = wire;
    this.#parser.on("packet", (packet) => this.#onPacket(packet));
    this.#parser.on("error", () => this.end());
  }

  received(bytes: Uint8Array): void {
    this.#parser.parse(Buffer.from(bytes));
  }

  deliver(message: Message): void {
    const { topic, payload, qos } = message;
    this.#lastPacketId = (this.#lastPacketId % 65_535) + 1;
    const messageId = this.#lastPacketId;
    if (qos > 0) this.session.underWay.set(messageId, message);
    this.#send({ cmd: "publish", topic, payload, qos, messageId, dup: false, retain: false });
  }

  /** The Network Connection is over; without DISCONNECT the Will goes out [MQTT-3.1.2-8]. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#silenceTimer?.clear();
    this.#broker.forget(this);
    this.#wire.reset();
    this.session.waiting.unshift(...this.session.underWay.values());
    this.session.underWay.clear();
    const will = this.#will;
    if (will !== undefined) this.#broker.publish(will.topic, will.payload, will.qos, true);
  }

  #onPacket(packet: Packet): void {
    if (this.#isOver) return;
    switch (packet.cmd) {
      case "connect":
        this.#onConnect(packet);
        break;
      case "publish":
        this.#onPublish(packet.topic, `${packet.payload}`, packet.qos, packet.messageId ?? 0);
        break;
      case "puback":
        this.session.underWay.delete(packet.messageId ?? 0);
        break;
      case "pubrel":
        this.session.taken.delete(packet.messageId ?? 0);
        this.#send({ cmd: "pubcomp", messageId: packet.messageId ?? 0 });
        break;
      case "pubrec":
        this.session.underWay.delete(packet.messageId ?? 0);
        this.#send({ cmd: "pubrel", messageId: packet.messageId ?? 0 });
        break;
      case "subscribe":
        this.#onSubscribe(packet);
        break;
      case "pingreq":
        this.#send({ cmd: "pingresp" });
        break;
      case "disconnect":
        this.#will = undefined; // [MQTT-3.14.4-3]
        this.end();
        return;
    }
    this.#listen();
  }

  /** Waits for the next packet, but not for ever [MQTT-3.1.2-24]. */
  #listen(): void {
    this.#silenceTimer?.clear();
    if (this.#isOver || this.#patienceMs === 0) return;
    this.#silenceTimer = this.#broker.world.setTimer(this.#patienceMs, () => this.end());
  }

  #onConnect(packet: mqtt.IConnectPacket): void {
    const { clientId, clean = true, keepalive = 0, will, username } = packet;
    this.#broker.userNames.set(clientId, username);
    const { returnCode = () => 0, keepAliveFactor = 1.5 } = this.#broker.misbehaviour;
    const code = returnCode(clientId);
    if (code !== 0) {
      this.#send({ cmd: "connack", returnCode: code, sessionPresent: false });
      this.end();
      return;
    }
    this.id = clientId;
    const { session, isPresent } = this.#broker.admit(this, clean);
    this.session = session;
    if (will !== undefined) {
      this.#will = { topic: will.topic, payload: `${will.payload}`, qos: will.qos ?? 0 };
    }
    this.#patienceMs = 1000 * keepalive * keepAliveFactor;
    this.#send({ cmd: "connack", returnCode: 0, sessionPresent: isPresent });
    for (const message of session.waiting.splice(0)) this.deliver(message);
  }

  #onPublish(topic: string, payload: string, qos: QoS, messageId: number): void {
    const isAcknowledged = this.#broker.misbehaviour.acknowledges?.(topic, payload) ?? true;
    if (isAcknowledged && qos === 1) this.#send({ cmd: "puback", messageId });
    if (isAcknowledged && qos === 2) this.#send({ cmd: "pubrec", messageId });
    if (qos === 2 && this.session.taken.has(messageId)) return;
    if (qos === 2) this.session.taken.add(messageId);
    if (payload === "offline") this.hasSaidGoodbye = true;
    this.#broker.publish(topic, payload, qos);
  }

  #onSubscribe({ subscriptions, messageId = 0 }: mqtt.ISubscribePacket): void {
    if (subscriptions.length === 0) {
      this.end(); // [MQTT-3.8.3-3]
      return;
    }
    const granted: number[] = [];
    for (const { topic, qos } of subscriptions) {
      const code = this.#broker.misbehaviour.grants?.(topic) ?? qos;
      if (code === "close") {
        this.end();
        return;
      }
      granted.push(code);
      if (code <= 2) this.session.subscriptions.set(topic, Math.min(code, qos) as QoS);
    }
    this.#send({ cmd: "suback", messageId, granted });
    for (const { topic } of subscriptions) this.#sendRetained(topic);
  }

  #sendRetained(subscribed: string): void {
    const { topicFilter, messages } = this.#broker.misbehaviour.retained ?? { messages: [] };
    if (topicFilter !== subscribed) return;
    for (const [index, { topic, payload }] of messages.entries()) {
      this.#broker.later(10 * index, () => {
        this.#send({ cmd: "publish", topic, payload, qos: 0, dup: false, retain: true });
      });
    }
  }

  #send(packet: Packet): void {
    if (!this.#isOver) this.#wire.write(mqtt.generate(packet));
  }
}

function subscribedQos({ subscriptions }: Session, topic: string): QoS | undefined {
  const names = topic.split("/");
  for (const [filter, qos] of subscriptions) {
    const levels = filter.split("/");
    const isMatch = levels.every((level, index) => level === "+" || level === names[index]);
    if (isMatch && levels.length === names.length) return qos;
  }
  return undefined;
}
