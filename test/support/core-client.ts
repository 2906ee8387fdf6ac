/** The raw exports of the core for tests: guarded records in one memory, bytes in and out, events in words. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  ConnectionState,
  Counter,
  Event,
  EventField,
  MESSAGE_DUP,
  MESSAGE_QOS_SHIFT,
  MESSAGE_RETAIN,
  QOS_MASK,
  RETAIN_FLAG,
  Status,
  WhenFull,
} from "../../firmware/core/abi.ts";
import { bytesOf, concat, hex, lengthPrefixed, splitPackets, textOf } from "./bytes.ts";

/** The documented functions of core.wasm and how many numbers each takes. */
export const CORE_FUNCTIONS = {
  abiVersion: 0,
  memoryGrown: 1,
  clientSize: 5,
  clientInit: 6,
  setLimits: 3,
  setNextPacketId: 2,
  setClientId: 3,
  setWill: 6,
  clearWill: 1,
  setUserName: 3,
  setPassword: 3,
  clearCredentials: 1,
  connect: 5,
  connectionLost: 1,
  disconnect: 2,
  connectionState: 1,
  receiveAt: 1,
  receiveRoom: 1,
  received: 2,
  poll: 2,
  eventAt: 1,
  transmitAt: 1,
  transmitLength: 1,
  transmitted: 3,
  publish: 6,
  subscribe: 4,
  unsubscribe: 4,
  requeue: 1,
  storeLength: 1,
  storeAt: 1,
  stored: 2,
  note: 3,
  saveImage: 6,
  restore: 3,
  inflightCount: 1,
  transmitRoom: 1,
  counter: 2,
  tick: 2,
  nextDeadlineMs: 2,
} as const;

export type CoreFunctionName = keyof typeof CORE_FUNCTIONS;

export type CoreExports = { readonly [name in CoreFunctionName]: (...args: number[]) => number } & {
  readonly memory: WebAssembly.Memory;
  readonly __heap_base: { readonly value: number };
  readonly __data_end: { readonly value: number };
};

export interface RecordSpec {
  receiveCapacity: number;
  transmitCapacity: number;
  identityCapacity: number;
  incomingCount: number;
  journalCapacity: number;
}

const DEFAULT_RECORD: RecordSpec = {
  receiveCapacity: 128,
  transmitCapacity: 512,
  identityCapacity: 128,
  incomingCount: 4,
  journalCapacity: 0,
};

export interface ConnectOptions {
  cleanSession?: boolean;
  keepAliveSeconds?: number;
  responseTimeoutMs?: number;
}

export interface MessageOptions {
  qos?: 0 | 1 | 2;
  retain?: boolean;
}

/** A message as `Message`, `MessageSkipped` and `Dropped` describe it; a topic that is not there is "". */
export interface DescribedMessage {
  topic: string;
  payload: string;
  qos: number;
  packetId: number;
  dup: boolean;
  retain: boolean;
}

/** What `poll` or `tick` answered, with all that the accessors tell of it. */
export type CoreEvent =
  | { kind: "Connected"; sessionPresent: boolean }
  | { kind: "Refused"; returnCode: number }
  | { kind: "Published"; packetId: number; qos: number }
  | { kind: "Subscribed"; packetId: number; granted: number[] }
  | { kind: "Unsubscribed"; packetId: number }
  | ({ kind: "Message" } & DescribedMessage)
  | ({ kind: "MessageSkipped"; payloadLength: number } & Omit<DescribedMessage, "payload">)
  | ({ kind: "Dropped" } & DescribedMessage)
  | { kind: "Failed"; status: string };

/** What one exchange gave: the events, and the outgoing bytes packet by packet in hexadecimal. */
export interface Exchange {
  events: CoreEvent[];
  packets: string[];
}

const GUARD_BYTE = 0xa5;
const GUARD_LENGTH = 64;
const PAGE_LENGTH = 0x10000;
/** Where tests put the arguments of a call; a record never lies here. */
const SCRATCH_LENGTH = 0x4000;
/** More polls in one exchange than any test has packets: the core would be going round in circles. */
const POLL_COUNT_MAX = 100_000;

/** Where the modules lie: `npm run mutants` names a folder with faulty ones. */
export const MODULES_FOLDER =
  process.env["WASMQTT_TEST_MODULES"] ?? fileURLToPath(new URL("../../dist", import.meta.url));

const modules = new Map<string, WebAssembly.Module>();

/** The compiled module of this build, read once. */
function coreModule(build: "release" | "debug" = "release"): WebAssembly.Module {
  const file = build === "release" ? "core.wasm" : "core.debug.wasm";
  const known = modules.get(file);
  if (known !== undefined) return known;
  const module = new WebAssembly.Module(readFileSync(join(MODULES_FOLDER, file)));
  modules.set(file, module);
  return module;
}

/** One instance of the core; its memory grows as records are made. */
export class Core {
  readonly exports: CoreExports;
  readonly scratchAt: number;
  readonly #scratchLength: number;
  readonly #records: { at: number; length: number }[] = [];
  #freeAt: number;

  constructor(build: "release" | "debug" = "release", scratchLength = SCRATCH_LENGTH) {
    const instance = new WebAssembly.Instance(coreModule(build), {});
    this.exports = instance.exports as unknown as CoreExports;
    this.scratchAt = this.exports.__heap_base.value;
    this.#scratchLength = scratchLength;
    this.#freeAt = this.scratchAt + scratchLength;
    this.#growTo(this.#freeAt);
  }

  get memory(): Uint8Array {
    return new Uint8Array(this.exports.memory.buffer);
  }

  /** A copy of `length` bytes at `at`. */
  bytes(at: number, length: number): Uint8Array {
    return this.memory.slice(at, at + length);
  }

  /** Copies the pieces one after the other into the scratch area and returns where each lies. */
  put(...pieces: Uint8Array[]): number[] {
    let at = this.scratchAt;
    return pieces.map((piece) => {
      const pieceAt = at;
      at += piece.length;
      if (at > this.scratchAt + this.#scratchLength)
        throw new Error("the scratch area is too small");
      this.memory.set(piece, pieceAt);
      return pieceAt;
    });
  }

  /** Reserves room for a record with a guard zone on both sides and returns its address. */
  place(length: number): number {
    const at = this.#freeAt + GUARD_LENGTH;
    this.#freeAt = (at + length + GUARD_LENGTH + 7) & ~7;
    this.#growTo(this.#freeAt);
    this.memory.fill(GUARD_BYTE, at - GUARD_LENGTH, this.#freeAt);
    this.#records.push({ at, length });
    return at;
  }

  /** Makes a client in a record of its own. */
  client(spec: Partial<RecordSpec> = {}): CoreClient {
    return new CoreClient(this, { ...DEFAULT_RECORD, ...spec });
  }

  /** Throws if a byte beside a record was written. */
  checkGuards(): void {
    for (const { at, length } of this.#records) {
      const before = this.bytes(at - GUARD_LENGTH, GUARD_LENGTH);
      const after = this.bytes(at + length, GUARD_LENGTH);
      if ([...before, ...after].some((byte) => byte !== GUARD_BYTE)) {
        throw new Error(`a byte beside the record at ${at} was written`);
      }
    }
  }

  #growTo(byteLength: number): void {
    const missing = byteLength - this.exports.memory.buffer.byteLength;
    if (missing > 0) this.exports.memory.grow(Math.ceil(missing / PAGE_LENGTH));
    this.exports.memoryGrown(this.exports.memory.buffer.byteLength);
  }
}

/** One record and the clock that its calls are given. Each method is one export unless it says more. */
export class CoreClient {
  readonly core: Core;
  readonly at: number;
  readonly size: number;
  readonly spec: RecordSpec;
  nowMs = 0;
  /** Where `drain` stores what is urgent before it asks for bytes to transmit; without it the test does that. */
  journal: Uint8Array[] | undefined;

  constructor(core: Core, spec: RecordSpec) {
    const sizes = [
      spec.receiveCapacity,
      spec.transmitCapacity,
      spec.identityCapacity,
      spec.incomingCount,
      spec.journalCapacity,
    ];
    this.core = core;
    this.spec = spec;
    this.size = core.exports.clientSize(...sizes);
    if (this.size < 0) throw new Error(`clientSize: ${Status[this.size]}`);
    this.at = core.place(this.size);
    const status = core.exports.clientInit(this.at, ...sizes);
    if (status !== Status.Ok) throw new Error(`clientInit: ${Status[status]}`);
  }

  /** Calls any export on this record. */
  call(name: CoreFunctionName, ...args: number[]): number {
    return this.core.exports[name](this.at, ...args);
  }

  /** A copy of the whole record. */
  snapshot(): Uint8Array {
    return this.core.bytes(this.at, this.size);
  }

  setClientId(text: string | Uint8Array): number {
    return this.#callWithBytes("setClientId", [bytesOf(text)], []);
  }

  setUserName(text: string | Uint8Array): number {
    return this.#callWithBytes("setUserName", [bytesOf(text)], []);
  }

  setPassword(bytes: string | Uint8Array): number {
    return this.#callWithBytes("setPassword", [bytesOf(bytes)], []);
  }

  setWill(
    topic: string | Uint8Array,
    payload: string | Uint8Array,
    options: MessageOptions = {},
  ): number {
    return this.#callWithBytes("setWill", [bytesOf(topic), bytesOf(payload)], [flagsOf(options)]);
  }

  connect(options: ConnectOptions = {}): number {
    const { cleanSession = true, keepAliveSeconds = 60, responseTimeoutMs = 0 } = options;
    return this.call(
      "connect",
      cleanSession ? 1 : 0,
      keepAliveSeconds,
      responseTimeoutMs,
      this.nowMs,
    );
  }

  connectionLost(): number {
    return this.call("connectionLost");
  }

  disconnect(): number {
    return this.call("disconnect", this.nowMs);
  }

  get state(): string {
    return ConnectionState[this.call("connectionState")] ?? "unknown";
  }

  publish(
    topic: string | Uint8Array,
    payload: string | Uint8Array,
    options: MessageOptions = {},
  ): number {
    return this.#callWithBytes("publish", [bytesOf(topic), bytesOf(payload)], [flagsOf(options)]);
  }

  subscribe(...filters: [filter: string, qos: number][]): number {
    const packed = filters.map(([filter, qos]) =>
      concat(lengthPrefixed(filter), Uint8Array.of(qos)),
    );
    return this.#callWithBytes("subscribe", [concat(...packed)], [this.nowMs]);
  }

  unsubscribe(...filters: string[]): number {
    const packed = concat(...filters.map(lengthPrefixed));
    return this.#callWithBytes("unsubscribe", [packed], [this.nowMs]);
  }

  counter(which: keyof typeof Counter): number {
    return this.call("counter", Counter[which]);
  }

  setLimits(inflightMax: number, whenFull: keyof typeof WhenFull = "Refuse"): number {
    return this.call("setLimits", inflightMax, WhenFull[whenFull]);
  }

  nextDeadlineMs(): number {
    return this.call("nextDeadlineMs", this.nowMs) >>> 0;
  }

  get storeLength(): number {
    return this.call("storeLength");
  }

  /** A copy of the batch that must be stored, empty if nothing is urgent. */
  batch(): Uint8Array {
    const length = this.storeLength;
    return this.core.bytes(this.call("storeAt"), length);
  }

  /** Reports the batch as stored. */
  stored(): number {
    return this.call("stored", this.call("storeAt"));
  }

  /** Stores what is urgent, if anything is, in `journal`; returns it. */
  keep(journal: Uint8Array[] = this.journal ?? []): Uint8Array {
    const batch = this.batch();
    if (batch.length === 0) return batch;
    journal.push(batch);
    const status = this.stored();
    if (status !== Status.Ok) throw new Error(`stored: ${Status[status]}`);
    return batch;
  }

  note(bytes: string | Uint8Array): number {
    return this.#callWithBytes("note", [bytesOf(bytes)], []);
  }

  /** A copy of the session as one batch, which is not reported as stored. */
  saveImage(generation = 1, note: string | Uint8Array = ""): Uint8Array {
    return this.#saveImage(generation, bytesOf(note)).image;
  }

  /** Saves an image and reports it as stored; `journal` begins with it. */
  beginJournal(generation = 1, note: string | Uint8Array = ""): Uint8Array[] {
    const { at, image } = this.#saveImage(generation, bytesOf(note));
    const status = this.call("stored", at);
    if (status !== Status.Ok) throw new Error(`stored: ${Status[status]}`);
    this.journal = [image];
    return this.journal;
  }

  restore(batch: Uint8Array): number {
    return this.#callWithBytes("restore", [batch], []);
  }

  /** The note that `restore` described, or undefined if there was none. */
  get restoredNote(): Uint8Array | undefined {
    const at = this.field(EventField.PayloadAt);
    return at === 0 ? undefined : this.core.bytes(at, this.field(EventField.PayloadLength));
  }

  /** Moves the clock on, with its wrap at 2^32, and ticks once. */
  wait(elapsedMs: number): CoreEvent | undefined {
    this.nowMs = (this.nowMs + elapsedMs) >>> 0;
    return this.#describe(this.call("tick", this.nowMs));
  }

  /** Copies in as many of `bytes` as there is room for and returns how many. */
  receive(bytes: Uint8Array): number {
    const at = this.call("receiveAt");
    const length = Math.min(bytes.length, this.call("receiveRoom"));
    this.core.memory.set(bytes.subarray(0, length), at);
    const status = this.call("received", length);
    if (status !== Status.Ok) throw new Error(`received: ${Status[status]}`);
    return length;
  }

  /** The next event, or undefined when there is none for now. */
  poll(): CoreEvent | undefined {
    return this.#describe(this.call("poll", this.nowMs));
  }

  /** Polls until there is nothing more. */
  pollAll(): CoreEvent[] {
    const events: CoreEvent[] = [];
    for (let count = 0; count < POLL_COUNT_MAX; count++) {
      const event = this.poll();
      if (event === undefined) return events;
      events.push(event);
      if (event.kind === "Failed") return events;
    }
    throw new Error(`poll does not come to an end: ${JSON.stringify(events.slice(-2))}`);
  }

  /** Gives away everything that may go, at most `pieceLength` bytes at a time. Stores first if there is a journal. */
  drain(pieceLength = Number.POSITIVE_INFINITY): Uint8Array {
    if (this.journal !== undefined) this.keep();
    const pieces: Uint8Array[] = [];
    while (this.call("transmitLength") > 0) {
      const length = Math.min(pieceLength, this.call("transmitLength"));
      pieces.push(this.core.bytes(this.call("transmitAt"), length));
      const status = this.call("transmitted", length, this.nowMs);
      if (status !== Status.Ok) throw new Error(`transmitted: ${Status[status]}`);
    }
    return concat(...pieces);
  }

  /** Gives everything away and returns it packet by packet in hexadecimal. */
  sent(): string[] {
    return splitPackets(this.drain()).map(hex);
  }

  /**
   * Takes in `bytes` in pieces, polls after each and gives away what may go after each event. Ends
   * at the first failure. Throws if the core takes no more bytes.
   */
  exchange(bytes: Uint8Array, pieceLength = Number.POSITIVE_INFINITY): Exchange {
    const events: CoreEvent[] = [];
    const sent = [this.drain(pieceLength)];
    let from = 0;
    let idle = false;
    do {
      const taken = this.receive(bytes.subarray(from, from + pieceLength));
      from += taken;
      const event = this.poll();
      if (event !== undefined) events.push(event);
      const given = this.drain(pieceLength);
      sent.push(given);
      if (event?.kind === "Failed") break;
      idle = event === undefined && taken === 0 && given.length === 0;
      if (idle && from < bytes.length) throw new Error("the core takes no more bytes");
    } while (!idle);
    return { events, packets: splitPackets(concat(...sent)).map(hex) };
  }

  /** Connects and takes in CONNACK; what is sent is thrown away. Throws if that fails. */
  establish(options: ConnectOptions & { sessionPresent?: boolean } = {}): CoreEvent[] {
    const status = this.connect(options);
    if (status !== Status.Ok) throw new Error(`connect: ${Status[status]}`);
    this.drain();
    const connack = Uint8Array.of(0x20, 2, options.sessionPresent === true ? 1 : 0, 0);
    this.receive(connack);
    const events = this.pollAll();
    if (this.journal !== undefined) this.keep();
    return events;
  }

  #saveImage(generation: number, note: Uint8Array): { at: number; image: Uint8Array } {
    const { transmitCapacity, incomingCount } = this.spec;
    const capacity = transmitCapacity + 4 * incomingCount + note.length + 32; // docs/abi.md
    const [noteAt = 0, at = 0] = this.core.put(note, new Uint8Array(capacity));
    const length = this.call("saveImage", generation, at, capacity, noteAt, note.length);
    if (length < 0) throw new Error(`saveImage: ${Status[length]}`);
    return { at, image: this.core.bytes(at, length) };
  }

  #callWithBytes(name: CoreFunctionName, pieces: Uint8Array[], rest: number[]): number {
    const places = this.core.put(...pieces);
    const args = pieces.flatMap((piece, index) => [places[index] ?? 0, piece.length]);
    return this.call(name, ...args, ...rest);
  }

  /** A number of the last event. */
  field(field: EventField): number {
    const at = this.call("eventAt") + field;
    return new DataView(this.core.exports.memory.buffer).getUint32(at, true);
  }

  #describe(answer: number): CoreEvent | undefined {
    if (answer < 0) return { kind: "Failed", status: Status[answer] ?? String(answer) };
    const packetId = this.field(EventField.PacketId);
    const value = this.field(EventField.Value);
    switch (answer) {
      case Event.None:
        return undefined;
      case Event.Connected:
        return { kind: "Connected", sessionPresent: value === 1 };
      case Event.Refused:
        return { kind: "Refused", returnCode: value };
      case Event.Published:
        return { kind: "Published", packetId, qos: value };
      case Event.Subscribed:
        return { kind: "Subscribed", packetId, granted: [...this.#payload()] };
      case Event.Unsubscribed:
        return { kind: "Unsubscribed", packetId };
      case Event.Message:
        return { kind: "Message", ...this.#message() };
      case Event.MessageSkipped: {
        const { payload: _, ...message } = this.#message();
        const payloadLength = this.field(EventField.PayloadLength);
        return { kind: "MessageSkipped", payloadLength, ...message };
      }
      case Event.Dropped:
        return { kind: "Dropped", ...this.#message() };
      default:
        throw new Error(`the core answered ${answer}, which is no event`);
    }
  }

  #payload(): Uint8Array {
    const at = this.field(EventField.PayloadAt);
    return this.core.bytes(at, at === 0 ? 0 : this.field(EventField.PayloadLength));
  }

  #message(): DescribedMessage {
    const flags = this.field(EventField.Value);
    const topicLength = this.field(EventField.TopicLength);
    return {
      topic: textOf(this.core.bytes(this.field(EventField.TopicAt), topicLength)),
      payload: textOf(this.#payload()),
      qos: (flags >> MESSAGE_QOS_SHIFT) & QOS_MASK,
      packetId: this.field(EventField.PacketId),
      dup: (flags & MESSAGE_DUP) !== 0,
      retain: (flags & MESSAGE_RETAIN) !== 0,
    };
  }
}

function flagsOf({ qos = 0, retain = false }: MessageOptions): number {
  return qos | (retain ? RETAIN_FLAG : 0);
}
