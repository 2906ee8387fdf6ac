/** One client record behind a typed face. The one place where a Status becomes an Error. */

import {
  type ConnectionState,
  type Counter,
  EventField,
  MESSAGE_DUP,
  MESSAGE_QOS_SHIFT,
  MESSAGE_RETAIN,
  QOS_MASK,
  RETAIN_FLAG,
  Status,
  WhenFull,
} from "../../../firmware/core/abi.ts";
import type { Core, CoreExports } from "./core.ts";

export type Qos = 0 | 1 | 2;

/** Room for one client, in bytes; `incomingCount` counts unfinished incoming QoS 2 messages. */
export interface Capacities {
  /** The largest packet that is received whole. At least 16. */
  receive: number;
  /** The outbox: what is queued or unacknowledged. At least 64. */
  transmit: number;
  /** Client id, Will, user name and password with two bytes of length each. At least 32. */
  identity: number;
  incomingCount: number;
  /**
   * Bytes of what is to be stored next; 0 (if absent) keeps the session in memory only. At least 64: a message that is
   * published may have 24 bytes less, topic and headers included.
   */
  journal?: number;
}

/** A message as it is published: the topic may be empty nowhere, `payload` may be. */
export interface OutgoingMessage {
  topic: string;
  payload: Uint8Array | string;
  qos?: Qos;
  retain?: boolean;
}

/** A message as it arrived. */
export interface IncomingMessage {
  topic: string;
  payload: Uint8Array;
  qos: Qos;
  retain: boolean;
  dup: boolean;
}

/** One filter of a SUBSCRIBE. */
export interface Subscription {
  topicFilter: string;
  qos: Qos;
}

/** The core refused what it was asked to do; nothing has changed. `status` says why. */
export class CoreError extends Error {
  override readonly name = "CoreError";
  readonly status: Status;

  constructor(action: string, status: Status) {
    super(`${action}: ${refusals[status] ?? `Status ${status}`}`);
    this.status = status;
  }
}

const refusals: Partial<Record<Status, string>> = {
  [Status.InvalidArgument]: "a value is out of its range",
  [Status.NotAClient]: "there is no client at this address",
  [Status.WrongState]: "not possible in this state of the connection",
  [Status.BufferFull]: "the outbox is full; try again when something was acknowledged",
  [Status.InvalidText]: "ill-formed UTF-8, U+0000, an empty topic, or a wildcard out of its place",
  [Status.TooLarge]: "larger than the client's buffer; give it a larger one",
  [Status.DamagedImage]: "this batch is not whole, or does not follow the one before",
  [Status.ForeignImage]: "it is the session of another client id",
  [Status.UnknownVersion]: "it has another version of the journal's format",
};

/** What CONNECT needs besides what the setters stored. */
export interface ConnectOptions {
  cleanSession: boolean;
  /** 0 to 65535; 0 turns the keep alive off. */
  keepAliveSeconds: number;
  /** How long to wait for CONNACK, PINGRESP, SUBACK and UNSUBACK; 0 waits for ever. */
  responseTimeoutMs: number;
}

/**
 * The client at one address of a core. Every method is one call of the ABI (docs/abi.md); one that the core refuses
 * throws a CoreError and has changed nothing. Times are milliseconds of any clock that does not go back.
 */
export class Session<Exports extends CoreExports = CoreExports> {
  readonly core: Core<Exports>;
  readonly at: number;
  readonly #exports: Exports;
  readonly #eventAt: number;
  readonly #imageLengthMax: number;

  /** Makes a fresh record in the core's arena. */
  constructor(core: Core<Exports>, capacities: Capacities) {
    const sizes = sizesOf(capacities);
    const exports = core.exports;
    const size = check("clientSize", exports.clientSize(...sizes));
    this.core = core;
    this.#exports = exports;
    this.at = core.arena.take(size);
    check("clientInit", exports.clientInit(this.at, ...sizes));
    this.#eventAt = exports.eventAt(this.at);
    this.#imageLengthMax =
      capacities.transmit + INCOMING_RECORD_LENGTH * capacities.incomingCount + IMAGE_FRAME_LENGTH;
  }

  /** Starts anew at the same address, as after a loss of power: nothing of the Session State is left. */
  reset(capacities: Capacities): void {
    check("clientInit", this.#exports.clientInit(this.at, ...sizesOf(capacities)));
  }

  setLimits(inflightMax: number, whenFull: WhenFull = WhenFull.Refuse): void {
    check("setLimits", this.#exports.setLimits(this.at, inflightMax, whenFull));
  }

  setNextPacketId(packetId: number): void {
    check("setNextPacketId", this.#exports.setNextPacketId(this.at, packetId));
  }

  setClientId(clientId: string): void {
    const [text] = this.#lend(clientId);
    check("client id", this.#exports.setClientId(this.at, text.at, text.length));
  }

  setWill(will: OutgoingMessage | undefined): void {
    if (will === undefined) {
      check("clearWill", this.#exports.clearWill(this.at));
      return;
    }
    const [topic, payload] = this.#lend(will.topic, will.payload);
    const flags = flagsOf(will);
    check(
      "Will",
      this.#exports.setWill(this.at, topic.at, topic.length, payload.at, payload.length, flags),
    );
  }

  setCredentials(username: string | undefined, password: string | Uint8Array | undefined): void {
    check("clearCredentials", this.#exports.clearCredentials(this.at));
    const [name, secret] = this.#lend(username ?? "", password ?? "");
    if (username !== undefined) {
      check("user name", this.#exports.setUserName(this.at, name.at, name.length));
    }
    if (password !== undefined) {
      check("password", this.#exports.setPassword(this.at, secret.at, secret.length));
    }
  }

  connect(options: ConnectOptions, nowMs: number): void {
    const { cleanSession, keepAliveSeconds, responseTimeoutMs } = options;
    check(
      "connect",
      this.#exports.connect(
        this.at,
        cleanSession ? 1 : 0,
        keepAliveSeconds,
        responseTimeoutMs,
        nowMs,
      ),
    );
  }

  connectionLost(): void {
    check("connectionLost", this.#exports.connectionLost(this.at));
  }

  disconnect(nowMs: number): void {
    check("disconnect", this.#exports.disconnect(this.at, nowMs));
  }

  get state(): ConnectionState {
    return this.#exports.connectionState(this.at);
  }

  /** Takes as much of `chunk` from `offset` on as there is room for; returns how many bytes. */
  receive(chunk: Uint8Array, offset: number): number {
    const length = Math.min(this.#exports.receiveRoom(this.at), chunk.length - offset);
    if (length === 0) return 0;
    const isWhole = length === chunk.length;
    this.core.memory.write(
      this.#exports.receiveAt(this.at),
      isWhole ? chunk : chunk.subarray(offset, offset + length),
    );
    check("received", this.#exports.received(this.at, length));
    return length;
  }

  /** The next Event, or a Status below zero, which has ended the connection. */
  poll(nowMs: number): number {
    return this.#exports.poll(this.at, nowMs);
  }

  /** Does what is due; answers as `poll` does. */
  tick(nowMs: number): number {
    return this.#exports.tick(this.at, nowMs);
  }

  /** Milliseconds until `tick` has work, or NEVER_MS. */
  nextDeadlineMs(nowMs: number): number {
    return this.#exports.nextDeadlineMs(this.at, nowMs) >>> 0;
  }

  /** The Packet Identifier of the last event, 0 if it has none. */
  get packetId(): number {
    return this.#field(EventField.PacketId);
  }

  /** Session Present, return code, or the QoS of an acknowledgement, as the last event has it. */
  get eventValue(): number {
    return this.#field(EventField.Value);
  }

  /** A copy of the message of the last event. The payload is empty if it was skipped. */
  message(): IncomingMessage {
    const flags = this.#field(EventField.Value);
    return {
      topic: this.topic(),
      payload: this.payload(),
      qos: ((flags >> MESSAGE_QOS_SHIFT) & QOS_MASK) as Qos,
      retain: (flags & MESSAGE_RETAIN) !== 0,
      dup: (flags & MESSAGE_DUP) !== 0,
    };
  }

  topic(): string {
    return this.core.memory.text(
      this.#field(EventField.TopicAt),
      this.#field(EventField.TopicLength),
    );
  }

  /** A copy of the last event's payload: of a message, or the codes of a SUBACK. */
  payload(): Uint8Array {
    const at = this.#field(EventField.PayloadAt);
    return this.core.memory.copy(at, at === 0 ? 0 : this.payloadLength);
  }

  get payloadLength(): number {
    return this.#field(EventField.PayloadLength);
  }

  /** Queues a message; returns its Packet Identifier, 0 at QoS 0. */
  publish(message: OutgoingMessage): number {
    const [topic, payload] = this.#lend(message.topic, message.payload);
    const flags = flagsOf(message);
    return check(
      "publish",
      this.#exports.publish(this.at, topic.at, topic.length, payload.at, payload.length, flags),
    );
  }

  subscribe(subscriptions: Subscription[], nowMs: number): number {
    const [filters] = this.#lend(encodeFilters(subscriptions));
    return check("subscribe", this.#exports.subscribe(this.at, filters.at, filters.length, nowMs));
  }

  unsubscribe(topicFilters: string[], nowMs: number): number {
    const [filters] = this.#lend(
      encodeFilters(topicFilters.map((topicFilter) => ({ topicFilter }))),
    );
    return check(
      "unsubscribe",
      this.#exports.unsubscribe(this.at, filters.at, filters.length, nowMs),
    );
  }

  /** After Dropped: sends the message again as a new one. */
  requeue(): void {
    check("requeue", this.#exports.requeue(this.at));
  }

  get transmitLength(): number {
    return this.#exports.transmitLength(this.at);
  }

  /** What may go now. The view is valid until the next call of anything. */
  toTransmit(length = this.transmitLength): Uint8Array {
    return this.core.memory.view(this.#exports.transmitAt(this.at), length);
  }

  transmitted(length: number, nowMs: number): void {
    check("transmitted", this.#exports.transmitted(this.at, length, nowMs));
  }

  /** The batch that must be stored, valid until the next call of anything; empty if nothing is urgent. */
  batch(): Uint8Array {
    const length = this.#exports.storeLength(this.at);
    return this.core.memory.view(this.#exports.storeAt(this.at), length);
  }

  /** The last `batch()` survives from now on. */
  batchStored(): void {
    check("stored", this.#exports.stored(this.at, this.#exports.storeAt(this.at)));
  }

  /** Puts `bytes` into the batch that is stored next: all of it survives, or nothing. Only the last note counts. */
  note(bytes: Uint8Array): void {
    const [lent] = this.#lend(bytes);
    check("note", this.#exports.note(this.at, lent.at, lent.length));
  }

  /**
   * Calls `store` with the whole session as one batch, valid during that call, and takes it as stored when `store`
   * returns. An application module puts its own note in, and ignores this one.
   */
  saveImage(generation: number, note: Uint8Array, store: (image: Uint8Array) => void): void {
    const capacity = this.#imageLengthMax + note.length;
    this.core.lending.beginLength(note.length + capacity);
    const lent = this.core.lending.put(note);
    const at = this.core.lending.leave(capacity);
    const length = check(
      "saveImage",
      this.#exports.saveImage(this.at, generation, at, capacity, lent.at, lent.length),
    );
    store(this.core.memory.view(at, length));
    check("stored", this.#exports.stored(this.at, at));
  }

  /**
   * Takes a stored batch back, an image first; returns a copy of its last note, if it has one. Set the client id
   * before, connect after. Throws a CoreError: DamagedImage has changed nothing; after ForeignImage, UnknownVersion and
   * TooLarge the session is empty.
   */
  restore(batch: Uint8Array): Uint8Array | undefined {
    const [lent] = this.#lend(batch);
    check("restore", this.#exports.restore(this.at, lent.at, lent.length));
    return this.#field(EventField.PayloadAt) === 0 ? undefined : this.payload();
  }

  get inflightCount(): number {
    return this.#exports.inflightCount(this.at);
  }

  counter(which: Counter): number {
    return this.#exports.counter(this.at, which) >>> 0;
  }

  #field(offset: EventField): number {
    return this.core.memory.u32(this.#eventAt + offset);
  }

  #lend<Parts extends (string | Uint8Array)[]>(...parts: Parts): { [K in keyof Parts]: Lent } {
    this.core.lending.begin(...parts);
    return parts.map((part) => this.core.lending.put(part)) as { [K in keyof Parts]: Lent };
  }
}

/** In the order of clientSize and clientInit. */
function sizesOf({ receive, transmit, identity, incomingCount, journal = 0 }: Capacities) {
  return [receive, transmit, identity, incomingCount, journal] as const;
}

/** docs/abi.md: what an image takes besides the outbox and the note. */
const INCOMING_RECORD_LENGTH = 4;
const IMAGE_FRAME_LENGTH = 32;

interface Lent {
  at: number;
  length: number;
}

const encoder = new TextEncoder();

function flagsOf(message: OutgoingMessage): number {
  return (message.qos ?? 0) | (message.retain === true ? RETAIN_FLAG : 0);
}

/** Filters as they lie in SUBSCRIBE (3.8.3), or in UNSUBSCRIBE where there is no QoS (3.10.3). */
function encodeFilters(filters: { topicFilter: string; qos?: Qos }[]): Uint8Array {
  const bytes: number[] = [];
  for (const { topicFilter, qos } of filters) {
    const text = encoder.encode(topicFilter);
    if (text.length > 0xffff) throw new CoreError("topic filter", Status.InvalidText); // [MQTT-4.7.3-3]
    bytes.push(text.length >> 8, text.length & 0xff, ...text);
    if (qos !== undefined) bytes.push(qos);
  }
  return Uint8Array.from(bytes);
}

/** `answer`, unless it is a Status below zero: that is thrown. */
export function check(action: string, answer: number): number {
  if (answer < 0) throw new CoreError(action, answer);
  return answer;
}
