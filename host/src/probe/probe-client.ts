/** One raw connection of a probe: sends any bytes, keeps all that comes back, and acknowledges only if it is told to. */

import { Deferred } from "../client/deferred.ts";
import type { ConnectionError } from "../errors.ts";
import type { OpenTransport, Transport } from "../transport/transport.ts";
import type { World } from "../world.ts";
import {
  DISCONNECT,
  type PublishFields,
  pubackPacket,
  pubcompPacket,
  publishPacket,
  pubrecPacket,
  pubrelPacket,
  subscribePacket,
  unsubscribePacket,
} from "./client-packets.ts";
import {
  type ProbeMessage,
  readMessage,
  type ServerPacket,
  ServerPacketReader,
  type ServerPacketType,
} from "./server-packets.ts";

/** A question has no answer; the text says why. */
export class NotFoundOut extends Error {
  override readonly name = "NotFoundOut";
}

export interface ProbeClientOptions {
  readonly open: OpenTransport;
  readonly world: World;
  /** How long an answer may take. */
  readonly answerMs: number;
}

/** A broker that does not end the connection by then is cut off. */
const GOODBYE_LIMIT_MS = 1_000;

/** SUBACK's code for a refused filter (3.9.3). */
const SUBSCRIBE_FAILURE = 0x80;

export class ProbeClient {
  /** Every PUBLISH that came, repetitions too. */
  readonly messages: ProbeMessage[] = [];
  /** PUBACK, PUBREC and PUBCOMP for what comes. */
  acknowledges = true;
  readonly #options: ProbeClientOptions;
  readonly #transport: Transport;
  readonly #reader = new ServerPacketReader();
  /** All but PUBLISH, and what was acknowledged by itself, until somebody takes them. */
  readonly #packets: ServerPacket[] = [];
  /** Look whether what they wait for is there. */
  readonly #watchers = new Set<() => void>();
  readonly #closed = new Deferred<void>();
  #isOpen = false;
  #isClosed = false;
  #reason: ConnectionError | undefined;
  #stopText: string | undefined;
  #lastPacketId = 0;

  constructor(options: ProbeClientOptions) {
    this.#options = options;
    this.#transport = options.open({
      opened: () => {
        this.#isOpen = true;
        this.#look();
      },
      received: (chunk) => this.#received(chunk),
      drained: () => {},
      closed: (reason) => {
        this.#isClosed = true;
        this.#reason = reason;
        this.#closed.resolve();
        this.#look();
      },
    });
  }

  /** Resolves when bytes may be sent. */
  async opened(): Promise<void> {
    await this.until(() => this.#isOpen || this.#isClosed);
    if (this.#isOpen) return;
    throw new NotFoundOut(this.#reason?.message ?? "no connection could be made in time");
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  send(...packets: Uint8Array[]): void {
    for (const bytes of packets) this.#transport.write(bytes);
  }

  /** The next packet of these types that nobody has taken; undefined if the connection ends or the time is up. */
  async next(...types: ServerPacketType[]): Promise<ServerPacket | undefined> {
    const isWanted = ({ type }: ServerPacket) => types.includes(type);
    await this.until(() => this.#isClosed || this.#packets.some(isWanted));
    const index = this.#packets.findIndex(isWanted);
    return index < 0 ? undefined : this.#packets.splice(index, 1)[0];
  }

  /** The same, where a question cannot go on without it. */
  async expect(...types: ServerPacketType[]): Promise<ServerPacket> {
    const packet = await this.next(...types);
    if (packet !== undefined) return packet;
    const how = this.#isClosed ? "the broker closed the connection" : "nothing came";
    throw new NotFoundOut(`${how} where ${types.join(" or ")} was expected`);
  }

  /** True as soon as so many messages are there; false when the time is up. */
  hasMessages(count: number, limitMs?: number): Promise<boolean> {
    return this.until(() => this.messages.length >= count, limitMs);
  }

  /** True as soon as the broker has ended the connection; false when the time is up. */
  hasEnded(limitMs?: number): Promise<boolean> {
    return this.until(() => this.#isClosed, limitMs);
  }

  /** The granted QoS. A refusal ends the question. */
  async subscribe(filter: string, qos: number): Promise<number> {
    this.send(subscribePacket(this.nextPacketId(), [[filter, qos]]));
    const granted = (await this.expect("SUBACK")).body[2] ?? SUBSCRIBE_FAILURE;
    if (granted <= 2) return granted;
    throw new NotFoundOut(`the broker refuses the subscription to ${filter}`);
  }

  async unsubscribe(filter: string): Promise<void> {
    this.send(unsubscribePacket(this.nextPacketId(), filter));
    await this.expect("UNSUBACK");
  }

  /** Resolves when the broker has taken the message over: at QoS 2 a PUBACK will do, since some answer so. */
  async publish(fields: PublishFields): Promise<void> {
    const packetId = fields.packetId ?? this.nextPacketId();
    this.send(publishPacket({ ...fields, packetId }));
    if (fields.qos === 1) await this.expect("PUBACK");
    if (fields.qos === 2) await this.finishQos2(packetId);
  }

  /** What the broker answered to a PUBLISH at QoS 2; after PUBREC the exchange is brought to its end. */
  async finishQos2(packetId: number): Promise<ServerPacketType> {
    const { type } = await this.expect("PUBREC", "PUBACK");
    if (type === "PUBACK") return type;
    this.send(pubrelPacket(packetId));
    await this.expect("PUBCOMP");
    return type;
  }

  nextPacketId(): number {
    this.#lastPacketId++;
    return this.#lastPacketId;
  }

  /** Says goodbye, and waits for the end. */
  async disconnect(): Promise<void> {
    this.send(DISCONNECT);
    this.#transport.close();
    await this.hasEnded();
  }

  /** FIN without DISCONNECT. */
  close(): void {
    this.#transport.close();
  }

  /** RST. */
  reset(): void {
    this.#transport.reset();
  }

  /** Says goodbye, ends every wait with this reason, and resolves when the connection is over. */
  async stop(reason: string): Promise<void> {
    this.#stopText ??= reason;
    this.#look();
    if (this.#isClosed) return;
    if (this.#isOpen) this.send(DISCONNECT);
    this.#transport.close();
    const timer = this.#options.world.setTimer(GOODBYE_LIMIT_MS, () => this.#transport.reset());
    await this.#closed.promise;
    timer.clear();
  }

  /** True as soon as `isTrue`, false after `limitMs`. Rejects after `stop`. */
  until(isTrue: () => boolean, limitMs = this.#options.answerMs): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (this.#stopText !== undefined) finish(() => reject(new NotFoundOut(this.#stopText)));
        else if (isTrue()) finish(() => resolve(true));
      };
      const finish = (settle: () => void) => {
        timer.clear();
        this.#watchers.delete(look);
        settle();
      };
      const timer = this.#options.world.setTimer(limitMs, () => finish(() => resolve(isTrue())));
      this.#watchers.add(look);
      look();
    });
  }

  #received(chunk: Uint8Array): void {
    try {
      for (const packet of this.#reader.read(chunk)) this.#take(packet);
    } catch {
      this.#transport.reset(); // no MQTT
    }
    this.#look();
  }

  #take(packet: ServerPacket): void {
    const { type, packetId } = packet;
    if (type !== "PUBLISH") this.#packets.push(packet);
    else this.messages.push(readMessage(packet));
    if (!this.acknowledges) return;
    if (type === "PUBREL") this.send(pubcompPacket(packetId));
    if (type !== "PUBLISH" || packetId === 0) return;
    const qos = (packet.firstByte >> 1) & 3;
    this.send(qos === 1 ? pubackPacket(packetId) : pubrecPacket(packetId));
  }

  #look(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}
