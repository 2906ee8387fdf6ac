/** A compiled module, records side by side in its memory, and the promises that hold after every step. */

import { ConnectionState, Event, EventField, Status } from "../../firmware/core/abi.ts";
import { CHECKSUM_BASIS } from "../support/journal.ts";
import { FUEL_PER_CALL, PROBE_AT } from "./instrument.ts";
import { checksumOf } from "./journal-forge.ts";
import { RECORD_COUNT } from "./program.ts";

export type ModuleExports = Record<string, (...args: number[]) => number> & {
  memory: WebAssembly.Memory;
  __heap_base: { value: number };
};

export interface MachineOptions {
  /** The module counts and burns fuel: see instrument.ts. */
  isInstrumented?: boolean;
  /** Makes what reads each connection from its first byte, and throws at a fault. */
  newServer?: () => Server;
  /** The block that each new client of reporter.wasm is given. It lies at the end of the memory. */
  profile?: Uint8Array;
  /** Hears of each answer. */
  onAnswer?: (name: string, answer: number, state: number) => void;
}

/** Reads what the core sends. */
export interface Server {
  read(bytes: Uint8Array): unknown;
}

/** What the machine knows of one record. */
export interface Slot {
  readonly at: number;
  /** 0 before the first `clientInit`. */
  size: number;
  sizes: number[];
  inflightMax: number;
  inflightCount: number;
  /** Reads what goes on this connection. */
  server: Server | undefined;
  /** What survives a loss of power: an image and the batches behind it. */
  medium: Uint8Array[];
  /** Something was stored or restored otherwise than an embedder does it. */
  isMediumForged: boolean;
  /** The client id is not CLIENT_ID any more: its images are another client's. */
  isRenamed: boolean;
}

/** A promise was broken. The program that shows it is printed with it. */
export class Finding extends Error {
  override readonly name = "Finding";
}

export const PAGE_LENGTH = 0x10000;
export const SCRATCH_LENGTH = 4096;
export const SLOT_LENGTH = 3072;
export const GUARD_LENGTH = 64;
const GUARD_BYTE = 0xa5;
/** More events than a buffer can hold: each takes two bytes of it. */
const POLL_COUNT_MAX = SLOT_LENGTH;
const DRAIN_COUNT_MAX = SLOT_LENGTH;

/** Exports that are called only by the machine: their arguments are the embedder's word. */
const NOT_CALLED = new Set(["memoryGrown", "clientInit"]);

/** One memory with RECORD_COUNT records, a guard zone on both sides of each, in one instance of a module. */
export class Machine {
  readonly exports: ModuleExports;
  readonly functionNames: string[];
  readonly scratchAt: number;
  readonly slots: Slot[];
  nowMs = 0;
  /** Bytes that were received while the connection was open. */
  fedLength = 0;
  stepCount = 0;
  eventCount = 0;
  /** Most fuel that one call took. */
  fuelMax = 0;
  readonly #options: MachineOptions;
  readonly #profile: Uint8Array;
  readonly #memory: Buffer;
  readonly #pristine: Buffer;
  readonly #mirror: Buffer;
  readonly #probe: DataView | undefined;
  /** An application composes topics and payloads in its own first bytes. */
  readonly #ownEnd: number;

  constructor(module: WebAssembly.Module, options: MachineOptions = {}) {
    this.#options = options;
    this.#profile = options.profile ?? new Uint8Array(0);
    this.exports = new WebAssembly.Instance(module, {}).exports as unknown as ModuleExports;
    const { memory } = this.exports;
    if (options.isInstrumented === true) memory.grow(1);
    this.#memory = Buffer.from(memory.buffer, 0, PAGE_LENGTH);
    if (options.isInstrumented === true) {
      this.#probe = new DataView(memory.buffer, PROBE_AT);
      this.#probe.setUint32(0, FUEL_PER_CALL, true);
    }
    this.exports["memoryGrown"]?.(PAGE_LENGTH);
    this.functionNames = Object.keys(this.exports)
      .filter((name) => typeof this.exports[name] === "function" && !NOT_CALLED.has(name))
      .sort();
    this.#ownEnd = this.exports["blockAt"]?.() ?? 0;
    this.scratchAt = this.exports.__heap_base.value;
    const firstAt = this.scratchAt + SCRATCH_LENGTH + GUARD_LENGTH;
    this.#memory.fill(GUARD_BYTE, this.scratchAt);
    this.#memory.set(this.#profile, PAGE_LENGTH - this.#profile.length);
    this.#pristine = Buffer.from(this.#memory);
    this.#mirror = Buffer.from(this.#memory);
    this.slots = Array.from({ length: RECORD_COUNT }, (_, index) =>
      newSlot(firstAt + index * (SLOT_LENGTH + GUARD_LENGTH)),
    );
  }

  /** Gives a new client its profile, if there is one. */
  giveProfile(slot: Slot): void {
    const { length } = this.#profile;
    if (length > 0) this.call("setProfile", slot, PAGE_LENGTH - length, length);
  }

  /** As after the module's start: no record, and nothing stored. */
  reset(): void {
    this.#pristine.copy(this.#memory);
    this.#pristine.copy(this.#mirror);
    this.nowMs = 0;
    this.slots.forEach((slot, index) => {
      this.slots[index] = newSlot(slot.at);
    });
  }

  /** What holds at the end of a program. */
  checkAll(): void {
    if (!this.#memory.equals(this.#mirror)) throw new Finding("bytes behind the records changed");
    // What an application composes in is 0 at the start; its texts are not.
    for (let at = 0; at < this.#ownEnd; at++) {
      if (this.#pristine[at] !== 0 && this.#memory[at] !== this.#pristine[at])
        throw new Finding(`the module's own text at ${at} changed`);
    }
  }

  /** The machine cannot be used any more: all views of the memory are gone. */
  get hasGrown(): boolean {
    return this.#memory.length === 0;
  }

  /** A copy of the memory that the module was told of. */
  snapshot(): Uint8Array {
    return this.bytes(0, PAGE_LENGTH);
  }

  /** Calls an export on a record. */
  call(name: string, slot: Slot, ...args: number[]): number {
    const answer = this.exports[name]?.(slot.at, ...args) ?? 0;
    if (this.hasGrown) throw new Finding("the memory has grown by itself");
    this.#refuel();
    if (this.#options.onAnswer !== undefined) {
      this.#options.onAnswer(name, answer, this.exports["connectionState"]?.(slot.at) ?? 0);
    }
    return answer;
  }

  /** Writes as the embedder does. */
  put(at: number, bytes: Uint8Array): void {
    this.#memory.set(bytes, at);
    this.#mirror.set(bytes, at);
  }

  /** The bytes that the core has just been asked to write outside of its record are as they should be. */
  accept(at: number, length: number): void {
    this.#memory.copy(this.#mirror, at, at, at + length);
  }

  bytes(at: number, length: number): Uint8Array {
    if (at + length > PAGE_LENGTH) throw new Finding(`${length} bytes at ${at} are not there`);
    return new Uint8Array(this.exports.memory.buffer.slice(at, at + length));
  }

  /** Makes the slot's client anew, as after a loss of power. False if its sizes are refused. */
  init(slot: Slot, sizes: number[]): boolean {
    const size = this.exports["clientSize"]?.(...sizes) ?? 0;
    if (size > SLOT_LENGTH) return false;
    const status = this.call("clientInit", slot, ...sizes);
    if (size < 0 !== status < 0) throw new Finding(`clientSize ${size}, clientInit ${status}`);
    if (status < 0) return false;
    slot.size = size;
    slot.sizes = sizes;
    slot.inflightMax = 16;
    slot.inflightCount = 0;
    return true;
  }

  /** True if a new connection begins, whose bytes a new server reads. */
  connect(slot: Slot, args: number[]): boolean {
    const isNew = this.call("connect", slot, ...args) === Status.Ok && slot.size > 0;
    if (isNew) slot.server = this.#options.newServer?.();
    return isNew;
  }

  /** Copies in as much as there is room for; returns how much. */
  receive(slot: Slot, bytes: Uint8Array): number {
    const at = this.call("receiveAt", slot);
    const room = this.call("receiveRoom", slot);
    const length = Math.min(bytes.length, room);
    if (length === 0) return 0;
    this.#within(slot, "receiveAt", at, room);
    this.put(at, bytes.subarray(0, length));
    const state = this.call("connectionState", slot);
    if (state === ConnectionState.Connecting || state === ConnectionState.Connected)
      this.fedLength += length;
    const status = this.call("received", slot, length);
    if (status !== Status.Ok) throw new Finding(`received: ${status}`);
    return length;
  }

  /** Polls until there is no event; the Status if the connection failed. */
  pollAll(slot: Slot): number {
    for (let count = 0; count < POLL_COUNT_MAX; count++) {
      const answer = this.call("poll", slot, this.nowMs);
      this.checkEvent(slot, answer);
      if (answer <= 0) return answer;
      this.eventCount++;
    }
    throw new Finding("poll does not come to an end");
  }

  /** Stores what is due, and gives away what may go. */
  drain(slot: Slot, pieceLength: number): void {
    for (let count = 0; count < DRAIN_COUNT_MAX; count++) {
      this.store(slot);
      const length = this.call("transmitLength", slot);
      if (length === 0) return;
      const status = this.transmit(slot, Math.min(length, pieceLength || length));
      if (status !== Status.Ok) throw new Finding(`transmitted: ${status}`);
    }
    throw new Finding("transmitLength does not come to an end");
  }

  /** Stores the batch that is due on the medium. */
  store(slot: Slot): void {
    const length = this.call("storeLength", slot);
    if (length === 0) return;
    const at = this.call("storeAt", slot);
    this.#within(slot, "storeAt", at, length);
    slot.medium.push(this.bytes(at, length));
    const status = this.call("stored", slot, at);
    if (status !== Status.Ok) throw new Finding(`stored: ${status}`);
  }

  /** Reports as transmitted; what it was goes to the strict server. */
  transmit(slot: Slot, length: number): number {
    const at = this.call("transmitAt", slot);
    const offered = this.call("transmitLength", slot);
    this.#within(slot, "transmitAt", at, offered);
    const bytes = length >= 0 && length <= offered ? this.bytes(at, length) : undefined;
    const status = this.call("transmitted", slot, length, this.nowMs);
    if (bytes !== undefined) slot.server?.read(bytes);
    return status;
  }

  /** What holds after every step that was done on this record. */
  check(slot: Slot): void {
    const from = slot.at;
    const end = slot.at + slot.size;
    this.accept(0, this.#ownEnd);
    const isSame =
      this.#memory.compare(this.#mirror, 0, from, 0, from) === 0 &&
      this.#memory.compare(this.#mirror, end, this.#usedEnd, end, this.#usedEnd) === 0;
    if (!isSame) throw new Finding(`wrote beside its record of ${slot.size} bytes at ${from}`);
    this.#memory.copy(this.#mirror, from, from, end);
    if (slot.size === 0) return;

    const inflightCount = this.exports["inflightCount"]?.(from) ?? 0;
    if (inflightCount > Math.max(slot.inflightMax, slot.inflightCount))
      throw new Finding(`${inflightCount} messages under way, the limit is ${slot.inflightMax}`);
    slot.inflightCount = inflightCount;
    const transmitLength = this.exports["transmitLength"]?.(from) ?? 0;
    this.#within(slot, "transmitAt", this.exports["transmitAt"]?.(from) ?? 0, transmitLength);
    const receiveRoom = this.exports["receiveRoom"]?.(from) ?? 0;
    if (receiveRoom < 0 || receiveRoom > (slot.sizes[0] ?? 0))
      throw new Finding(`room for ${receiveRoom} bytes`);
  }

  /** What `poll` describes lies in the record. */
  checkEvent(slot: Slot, answer: number): void {
    const isKnown = answer < 0 ? Status[answer] : Event[answer];
    if (isKnown === undefined) throw new Finding(`${answer} is no event and no status`);
    if (slot.size === 0 || answer <= 0) return;
    const at = this.exports["eventAt"]?.(slot.at) ?? 0;
    this.#within(slot, "eventAt", at, 24);
    const field = (offset: EventField) => this.#memory.readUInt32LE(at + offset);
    const topicAt = field(EventField.TopicAt);
    const payloadAt = field(EventField.PayloadAt);
    if (topicAt !== 0) this.#within(slot, "TopicAt", topicAt, field(EventField.TopicLength));
    if (payloadAt !== 0)
      this.#within(slot, "PayloadAt", payloadAt, field(EventField.PayloadLength));
  }

  #within(slot: Slot, what: string, at: number, length: number): void {
    if (length === 0) return;
    if (at < slot.at || length < 0 || at + length > slot.at + slot.size)
      throw new Finding(`${what}: ${length} bytes at ${at - slot.at} of a record of ${slot.size}`);
  }

  get #usedEnd(): number {
    const [first] = this.slots;
    return (first?.at ?? 0) + RECORD_COUNT * (SLOT_LENGTH + GUARD_LENGTH);
  }

  #refuel(): void {
    if (this.#probe === undefined) return;
    this.fuelMax = Math.max(this.fuelMax, FUEL_PER_CALL - this.#probe.getUint32(0, true));
    this.#probe.setUint32(0, FUEL_PER_CALL, true);
  }

  /** What an exception says about the module. */
  explain(error: unknown): string {
    if (error instanceof WebAssembly.RuntimeError) {
      const isHang = this.#probe?.getUint32(0, true) === 0;
      this.#refuel();
      return isHang ? "a loop without an end" : `a trap, ${error.message}`;
    }
    return error instanceof Error ? error.message : String(error);
  }
}

function newSlot(at: number): Slot {
  return {
    at,
    size: 0,
    sizes: [],
    inflightMax: 16,
    inflightCount: 0,
    server: undefined,
    medium: [],
    isMediumForged: false,
    isRenamed: false,
  };
}

/** The checksum that the next batch on this medium continues. */
export function lastChecksum(slot: Slot): number {
  const last = slot.medium.at(-1);
  return last === undefined ? CHECKSUM_BASIS : checksumOf(last);
}
