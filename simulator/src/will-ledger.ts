/** Which `offline` each device owes to the world, by its Last Will or its own goodbye, and what came of it. */

import { LatencyHistogram } from "./histogram.ts";
import type { WillCounts } from "./result.ts";
import type { FaultKind } from "./scenario.ts";

/** A Will that the broker must publish. Times are those of the run's clock, in milliseconds. */
export interface ExpectedWill {
  fault: FaultKind;
  /** When the device went. */
  atMs: number;
  /** Before this the broker cannot know, and after it has no excuse. */
  earliestMs: number;
  latestMs: number;
}

/** What one fault kind has led to. */
export interface FaultAccount {
  injected: number;
  wills: WillCounts;
  /** From the fault to the Will. */
  delivery: LatencyHistogram;
}

/** An `offline` that is to come. */
type Entry =
  | ({ kind: "will" } & ExpectedWill)
  /** The device says it itself; DISCONNECT suppresses the Will [MQTT-3.14.4-3]. */
  | { kind: "goodbye"; fault: FaultKind | undefined }
  /** Nobody can say: the connection was lost without a fault of the run. */
  | { kind: "tolerated"; untilMs: number };

/** Timers fire early by less than a millisecond; the network takes its time after `earliestMs` was set. */
const EARLY_TOLERANCE_MS = 5;

/** Devices are numbered from 0. */
export class WillLedger {
  readonly #devices: DeviceEntries[];
  readonly #faults = new Map<FaultKind, FaultAccount>();
  /** Of Wills that no fault explains. */
  #unexplained = 0;
  #goodbyes = 0;
  #online = 0;
  #offline = 0;

  constructor(deviceCount: number) {
    this.#devices = Array.from({ length: deviceCount }, () => new DeviceEntries());
  }

  /** A fault was injected that the broker must answer with a Will. */
  expectWill(device: number, will: ExpectedWill): void {
    this.#account(will.fault).injected++;
    this.#device(device).open.push({ kind: "will", ...will });
  }

  /** The device says goodbye; as the fault `clean`, or at the end of the run. */
  expectGoodbye(device: number, fault?: FaultKind): void {
    if (fault !== undefined) this.#account(fault).injected++;
    this.#device(device).open.push({ kind: "goodbye", fault });
  }

  /** The connection was lost without a fault: a Will may come or not, until `untilMs`. */
  tolerateWill(device: number, untilMs: number): void {
    this.#device(device).open.push({ kind: "tolerated", untilMs });
  }

  /**
   * A device that went silently connects again. If the broker has not noticed that it was gone, it must now: the new
   * connection throws the old one out [MQTT-3.1.4-2].
   */
  deviceReturned(device: number, atMs: number, graceMs: number): void {
    for (const entry of this.#device(device).open) {
      if (entry.kind !== "will") continue;
      entry.earliestMs = Math.min(entry.earliestMs, atMs);
      entry.latestMs = Math.min(entry.latestMs, Math.max(atMs, entry.earliestMs) + graceMs);
    }
  }

  /** The subscriber saw the device's birth. */
  online(device: number): void {
    this.#online++;
    this.#device(device).settled = undefined;
  }

  /** The subscriber saw `offline`: a Will, or a goodbye. */
  offline(device: number, atMs: number): void {
    this.#offline++;
    const entries = this.#device(device);
    const entry = entries.take(atMs);
    if (entry === undefined) this.#surplus(entries.settled);
    else this.#settle(entry, atMs);
    if (entry !== undefined) entries.settled = entry;
  }

  /** When the last Will that is still to come is late; undefined if there is none. */
  get pendingUntilMs(): number | undefined {
    const times = this.#devices.flatMap(({ open }) =>
      open.flatMap((entry) => (entry.kind === "will" ? [entry.latestMs] : [])),
    );
    return times.length === 0 ? undefined : times.reduce((a, b) => Math.max(a, b));
  }

  /** Wills that are owed and have not come. */
  get pendingWillCount(): number {
    return this.#pendingCount("will");
  }

  /** Goodbyes that were said and have not been seen. */
  get pendingGoodbyeCount(): number {
    return this.#pendingCount("goodbye");
  }

  /** Closes the books: a Will that has not come is missing. Call it once, at the end. */
  close(): void {
    for (const { open } of this.#devices) {
      for (const entry of open) {
        if (entry.kind !== "will") continue;
        const { wills } = this.#account(entry.fault);
        wills.expected++;
        wills.missing++;
      }
    }
  }

  get faults(): ReadonlyMap<FaultKind, FaultAccount> {
    return this.#faults;
  }

  /** All kinds together, and the Wills that no fault explains. */
  get total(): WillCounts {
    const total = noWills();
    for (const { wills } of this.#faults.values()) {
      for (const key of Object.keys(total) as (keyof WillCounts)[]) total[key] += wills[key];
    }
    total.unexpected += this.#unexplained;
    return total;
  }

  /** Births, and goodbyes and Wills together, as a subscriber of `motes/+/status` counts them. */
  get statusMessages(): { online: number; offline: number } {
    return { online: this.#online, offline: this.#offline };
  }

  /** Goodbyes that were seen, those of the fault `clean` included. */
  get goodbyes(): number {
    return this.#goodbyes;
  }

  #pendingCount(kind: Entry["kind"]): number {
    const isOfKind = (entry: Entry) => entry.kind === kind;
    return this.#devices.reduce((sum, { open }) => sum + open.filter(isOfKind).length, 0);
  }

  #settle(entry: Entry, atMs: number): void {
    if (entry.kind === "goodbye") this.#goodbyes++;
    if (entry.kind !== "will") return;
    const { wills, delivery } = this.#account(entry.fault);
    wills.expected++;
    wills.delivered++;
    if (atMs < entry.earliestMs - EARLY_TOLERANCE_MS) wills.early++;
    if (atMs > entry.latestMs) wills.late++;
    delivery.record(Math.max(0, atMs - entry.atMs));
  }

  /** One `offline` more than the device owes. */
  #surplus(settled: Entry | undefined): void {
    if (settled?.kind === "will") this.#account(settled.fault).wills.doubled++;
    else if (settled?.kind === "goodbye" && settled.fault !== undefined) {
      this.#account(settled.fault).wills.unexpected++;
    } else this.#unexplained++;
  }

  #account(fault: FaultKind): FaultAccount {
    let account = this.#faults.get(fault);
    if (account === undefined) {
      account = { injected: 0, wills: noWills(), delivery: new LatencyHistogram() };
      this.#faults.set(fault, account);
    }
    return account;
  }

  #device(device: number): DeviceEntries {
    const entries = this.#devices[device];
    if (entries === undefined) throw new RangeError(`There is no device ${device}`);
    return entries;
  }
}

class DeviceEntries {
  /** In the order in which they were caused. */
  readonly open: Entry[] = [];
  /** The last that came, until the device is online again. */
  settled: Entry | undefined;

  /** The entry that an `offline` at `atMs` belongs to. What nobody expects for sure comes last. */
  take(atMs: number): Entry | undefined {
    const isExpected = (entry: Entry) =>
      entry.kind === "goodbye" ||
      (entry.kind === "will" && atMs >= entry.earliestMs - EARLY_TOLERANCE_MS);
    const isTolerated = (entry: Entry) => entry.kind === "tolerated" && atMs <= entry.untilMs;
    const entry =
      this.open.find(isExpected) ??
      this.open.find(isTolerated) ??
      this.open.find(({ kind }) => kind === "will");
    if (entry !== undefined) this.open.splice(this.open.indexOf(entry), 1);
    return entry;
  }
}

function noWills(): WillCounts {
  return { expected: 0, delivered: 0, missing: 0, early: 0, late: 0, doubled: 0, unexpected: 0 };
}
