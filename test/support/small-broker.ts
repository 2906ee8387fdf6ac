/** A small broker that a test can make break its promises: it drops, doubles, delays or invents what it should deliver. */

import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import mqtt, { type Packet, type QoS } from "mqtt-packet";

/** A message on its way to one subscriber. */
export interface Delivery {
  topic: string;
  payload: string;
  isWill: boolean;
  /** Client id of the subscriber. */
  to: string;
  /** 1 for the first message of this topic, payload and subscriber, then 2, 3 … */
  time: number;
}

export interface Misbehaviour {
  /** When each copy of a message goes out, in milliseconds from now: [] drops it, [0] is honest, [0, 0] doubles it. */
  copies?: (delivery: Delivery) => number[];
  /** False: this PUBLISH of a client is delivered, but never acknowledged. */
  acknowledges?: (topic: string, payload: string) => boolean;
  /** The code that answers a subscription; the QoS that was asked for, if absent. */
  grants?: (topicFilter: string) => number | "close";
  /** Gives up a silent client after so many times its keep alive; 1.5 if absent. */
  keepAliveFactor?: number;
}

/** Starts it on a free port of 127.0.0.1. Stop it in `afterEach`. */
export async function startSmallBroker(misbehaviour: Misbehaviour = {}): Promise<SmallBroker> {
  const broker = new SmallBroker(misbehaviour);
  await broker.start();
  return broker;
}

export class SmallBroker {
  readonly misbehaviour: Misbehaviour;
  readonly #clients = new Map<string, BrokerClient>();
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #times = new Map<string, number>();
  readonly #server = createServer({ noDelay: true }, (socket) => {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    new BrokerClient(this, socket);
  });

  constructor(misbehaviour: Misbehaviour) {
    this.misbehaviour = misbehaviour;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async start(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  /** Ends the connections of all clients whose id begins so, as a broker that cleans up. */
  throwOut(idPrefix: string): void {
    for (const [id, client] of this.#clients) if (id.startsWith(idPrefix)) client.end();
  }

  /** A new client takes the place of one with the same id [MQTT-3.1.4-2]. */
  admit(client: BrokerClient): void {
    this.#clients.get(client.id)?.end();
    this.#clients.set(client.id, client);
  }

  forget(client: BrokerClient): void {
    if (this.#clients.get(client.id) === client) this.#clients.delete(client.id);
  }

  /** Delivers to all subscribers, as far as the test lets it. */
  publish(topic: string, payload: string, qos: QoS, isWill = false): void {
    for (const client of this.#clients.values()) {
      const granted = client.subscribedQos(topic);
      if (granted === undefined) continue;
      const key = JSON.stringify([topic, payload, client.id]);
      const time = (this.#times.get(key) ?? 0) + 1;
      this.#times.set(key, time);
      const delivery = { topic, payload, isWill, to: client.id, time };
      const delaysMs = this.misbehaviour.copies?.(delivery) ?? [0];
      for (const delayMs of delaysMs) {
        this.#later(delayMs, () => client.deliver(topic, payload, Math.min(qos, granted) as QoS));
      }
    }
  }

  #later(delayMs: number, callback: () => void): void {
    if (delayMs === 0) {
      callback();
      return;
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      callback();
    }, delayMs);
    this.#timers.add(timer);
  }
}

class BrokerClient {
  id = "";
  readonly #broker: SmallBroker;
  readonly #socket: Socket;
  readonly #subscriptions = new Map<string, QoS>();
  #will: { topic: string; payload: string; qos: QoS } | undefined;
  #lastPacketId = 0;

  constructor(broker: SmallBroker, socket: Socket) {
    this.#broker = broker;
    this.#socket = socket;
    const parser = mqtt.parser();
    parser.on("packet", (packet) => this.#onPacket(packet));
    parser.on("error", () => this.end());
    socket.on("data", (bytes) => parser.parse(bytes));
    socket.on("error", () => {});
    socket.on("timeout", () => this.end());
    socket.on("close", () => this.end());
  }

  subscribedQos(topic: string): QoS | undefined {
    for (const [filter, qos] of this.#subscriptions) {
      const levels = filter.split("/");
      const names = topic.split("/");
      const isMatch = levels.every((level, index) => level === "+" || level === names[index]);
      if (isMatch && levels.length === names.length) return qos;
    }
    return undefined;
  }

  deliver(topic: string, payload: string, qos: QoS): void {
    this.#lastPacketId = (this.#lastPacketId % 65_535) + 1;
    const messageId = this.#lastPacketId;
    this.#send({ cmd: "publish", topic, payload, qos, messageId, dup: false, retain: false });
  }

  /** The Network Connection is over; without DISCONNECT the Will goes out [MQTT-3.1.2-8]. */
  end(): void {
    const will = this.#will;
    this.#will = undefined;
    this.#broker.forget(this);
    this.#subscriptions.clear();
    this.#socket.destroy();
    if (will !== undefined) this.#broker.publish(will.topic, will.payload, will.qos, true);
  }

  #onPacket(packet: Packet): void {
    switch (packet.cmd) {
      case "connect": {
        this.id = packet.clientId;
        const { will, keepalive = 0 } = packet;
        if (will !== undefined) {
          const { topic, payload, qos = 0 } = will;
          this.#will = { topic, payload: `${payload}`, qos };
        }
        const { keepAliveFactor = 1.5 } = this.#broker.misbehaviour;
        this.#socket.setTimeout(1000 * keepalive * keepAliveFactor);
        this.#broker.admit(this);
        this.#send({ cmd: "connack", returnCode: 0, sessionPresent: false });
        break;
      }
      case "publish":
        this.#onPublish(packet.topic, `${packet.payload}`, packet.qos, packet.messageId ?? 0);
        break;
      case "pubrel":
        this.#send({ cmd: "pubcomp", messageId: packet.messageId ?? 0 });
        break;
      case "pubrec":
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
        break;
    }
  }

  #onPublish(topic: string, payload: string, qos: QoS, messageId: number): void {
    const isAcknowledged = this.#broker.misbehaviour.acknowledges?.(topic, payload) ?? true;
    if (isAcknowledged && qos === 1) this.#send({ cmd: "puback", messageId });
    if (isAcknowledged && qos === 2) this.#send({ cmd: "pubrec", messageId });
    this.#broker.publish(topic, payload, qos);
  }

  #onSubscribe({ subscriptions, messageId = 0 }: mqtt.ISubscribePacket): void {
    const granted: number[] = [];
    for (const { topic, qos } of subscriptions) {
      const code = this.#broker.misbehaviour.grants?.(topic) ?? qos;
      if (code === "close") {
        this.end();
        return;
      }
      granted.push(code);
      if (code <= 2) this.#subscriptions.set(topic, Math.min(code, qos) as QoS);
    }
    this.#send({ cmd: "suback", messageId, granted });
  }

  #send(packet: Packet): void {
    if (!this.#socket.destroyed) this.#socket.write(mqtt.generate(packet));
  }
}
