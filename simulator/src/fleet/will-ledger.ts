/** Which births, Last Wills and goodbyes the world must see of each device, and what came of it. */

import { LatencyHistogram } from "../histogram.ts";
import type { RunResult, WillCounts } from "../run/result.ts";
import type { FaultKind } from "../scenario/scenario.ts";

/** A Will that the broker must publish. Times are those of the run's clock, in milliseconds. */
export interface ExpectedWill {
  fault: FaultKind;
  /** When the device went. */
  atMs: number;
  /** Before this the broker cannot know; from then on it has the grace. */
  earliestMs: number;
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
  | ({ kind: "will"; latestMs: number; isPast: boolean } & ExpectedWill)
  /** The device says it itself; DISCONNECT suppresses the Will [MQTT-3.14.4-3]. */
  | { kind: "goodbye"; fault: FaultKind | undefined; state: GoodbyeState; isPast: boolean }
  /** Nobody can say whether it comes: the connection was lost, or a Will was excused. */
  | { kind: "tolerated"; untilMs: number };

type GoodbyeState =
  | "under way"
  /** The broker has acknowledged it. */
  | "owed"
  /** Whether it was seen cannot be judged. */
  | "excused";

/** Timers fire early by less than a millisecond; the network takes its time after `earliestMs` was set. */
const EARLY_TOLERANCE_MS = 5;

/** A subscriber may hear so much sooner than the device itself that the broker has ended its connection. */
const LATE_NEWS_MS = 1_000;

/** Devices are numbered from 0. */
export class WillLedger {
  /**
   * Of each device: births that the broker has acknowledged and nobody has seen; below zero, births of this connection that
   * were seen, or excused, before their acknowledgement.
   */
  readonly #owedBirths: Float64Array;
  /** Of the devices of which anything is open or just settled: in a large fleet these are few. */
  readonly #devices = new Map<number, DeviceEntries>();
  readonly #graceMs: number;
  readonly #spanDelivery: LatencyHistogram;
  readonly #faults = new Map<FaultKind, FaultAccount>();
  /** Wills that no fault explains. */
  readonly #unexplained = noWills();
  #goodbyes = 0;
  #lostGoodbyes = 0;
  #online = 0;
  #offline = 0;

  /**
   * `graceMs`: so much later than it could a Will may come and still be in time. `spanDelivery` is told of each delivery,
   * too, whatever the fault.
   */
  constructor(deviceCount: number, graceMs: number, spanDelivery = new LatencyHistogram()) {
    this.#owedBirths = new Float64Array(deviceCount);
    this.#graceMs = graceMs;
    this.#spanDelivery = spanDelivery;
  }

  /** A fault was injected that the broker must answer with a Will. */
  expectWill(device: number, will: ExpectedWill): void {
    this.#account(will.fault).injected++;
    const entries = this.#device(device);
    const latestMs = will.earliestMs + this.#graceMs;
    const entry: Entry = { kind: "will", latestMs, isPast: false, ...will };
    // The broker ended the connection just before, and the device did not know yet: this is that Will.
    if (this.#explainSurplus(entries, will.atMs)) this.#settle(entry, will.earliestMs);
    else entries.open.push(entry);
  }

  /** The device says goodbye; as the fault `clean`, or at the end of the run. */
  expectGoodbye(device: number, fault?: FaultKind): void {
    if (fault !== undefined) this.#account(fault).injected++;
    this.#device(device).open.push({ kind: "goodbye", fault, state: "under way", isPast: false });
  }

  /** The broker has acknowledged the device's goodbye: now it must be seen. */
  goodbyeAcknowledged(device: number): void {
    for (const entry of this.#open(device)) {
      if (entry.kind === "goodbye" && entry.state === "under way") entry.state = "owed";
    }
  }

  /** The broker has acknowledged the device's birth: now it must be seen. */
  birthAcknowledged(device: number): void {
    this.#count(device, 1);
  }

  /**
   * The connection was lost without a fault: a Will may come or not until `untilMs`, and a goodbye that was under way as
   * well. It may have come already, for a broker may tell others first.
   */
  connectionLost(device: number, atMs: number, untilMs: number): void {
    const entries = this.#device(device);
    entries.loseConnection(atMs);
    if (!this.#explainSurplus(entries, atMs)) entries.open.push({ kind: "tolerated", untilMs });
  }

  /**
   * The broker has not noticed the last fault at all, and the device now ends the connection itself: that Will is missing,
   * and the one that may come for this end until `untilMs` is not it.
   */
  faultIgnored(device: number, untilMs: number): void {
    const entries = this.#device(device);
    const entry = entries.open.findLast(({ kind }) => kind === "will");
    if (entry?.kind !== "will") return;
    const { wills } = this.#account(entry.fault);
    wills.expected++;
    wills.missing++;
    entries.open[entries.open.indexOf(entry)] = { kind: "tolerated", untilMs };
  }

  /**
   * The device connects again. If the broker has not noticed that it was gone, it does now: the new connection throws the
   * old one out [MQTT-3.1.4-2].
   */
  deviceReturns(device: number, atMs: number): void {
    this.#owedBirths[device] = Math.max(0, this.#owedBirths[device] as number);
    for (const entry of this.#open(device)) {
      if (entry.kind === "will") entry.earliestMs = Math.min(entry.earliestMs, atMs);
      if (entry.kind === "goodbye") entry.isPast = true;
    }
  }

  /** The broker has accepted the new connection: the old one is history. */
  deviceReturned(device: number, atMs: number): void {
    const latestMs = atMs + this.#graceMs;
    for (const entry of this.#open(device)) {
      if (entry.kind === "will") entry.latestMs = Math.min(entry.latestMs, latestMs);
      if (entry.kind === "tolerated") entry.untilMs = Math.min(entry.untilMs, latestMs);
    }
  }

  /**
   * Nobody can judge what was due until `dueUntilMs`: the broker was stopped and its Wills with it, or the subscriber was
   * away. It may still come, until `untilMs`.
   */
  excuse(dueUntilMs: number, untilMs: number): void {
    this.#owedBirths.fill(Number.NEGATIVE_INFINITY);
    for (const entries of this.#devices.values()) {
      for (const fault of entries.excuse(dueUntilMs, untilMs))
        this.#account(fault).wills.unjudged++;
    }
  }

  /** The subscriber saw the device's birth. */
  online(device: number): void {
    this.#online++;
    this.#count(device, -1);
    const entries = this.#devices.get(device);
    if (entries === undefined) return;
    this.#lostGoodbyes += entries.beOnline();
    if (entries.open.length === 0) this.#devices.delete(device);
  }

  /** The subscriber saw `offline`: a Will, or a goodbye. */
  offline(device: number, atMs: number): void {
    this.#offline++;
    const entries = this.#device(device);
    const entry = entries.take(atMs);
    if (entry === undefined) this.#surplus(entries, atMs);
    else {
      this.#settle(entry, atMs);
      entries.settled = entry;
    }
  }

  /** When the last Will that is still to come is late; undefined if there is none. */
  get pendingUntilMs(): number | undefined {
    let untilMs: number | undefined;
    for (const { open } of this.#devices.values()) {
      for (const entry of open) {
        if (entry.kind === "will") untilMs = Math.max(untilMs ?? entry.latestMs, entry.latestMs);
      }
    }
    return untilMs;
  }

  /** Wills that are owed and have not come. */
  get pendingWillCount(): number {
    return this.#sum(({ willCount }) => willCount);
  }

  /** Births and goodbyes that the broker has acknowledged, and that have not been seen. */
  get pendingStatusCount(): number {
    const births = this.#owedBirths.reduce((sum, count) => sum + Math.max(0, count), 0);
    return births + this.#sum(({ owedGoodbyes }) => owedGoodbyes);
  }

  /** Closes the books at the end: what was due and has not come is missing. Call it once. */
  close(atMs: number): void {
    for (const { open } of this.#devices.values()) {
      for (const entry of open) {
        if (entry.kind !== "will") continue;
        const { wills } = this.#account(entry.fault);
        if (entry.latestMs > atMs) wills.unjudged++;
        else {
          wills.expected++;
          wills.missing++;
        }
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
    total.unexpected += this.#unexplained.unexpected;
    return total;
  }

  /** Births, and goodbyes and Wills together, as a subscriber of `motes/+/status` counts them; and what it missed. */
  get statusMessages(): NonNullable<RunResult["statusMessages"]> {
    const lost = this.#lostGoodbyes + this.pendingStatusCount;
    return { online: this.#online, offline: this.#offline, lost };
  }

  /** Goodbyes that were seen, those of the fault `clean` included. */
  get goodbyes(): number {
    return this.#goodbyes;
  }

  #sum(countOf: (entries: DeviceEntries) => number): number {
    let sum = 0;
    for (const entries of this.#devices.values()) sum += countOf(entries);
    return sum;
  }

  #settle(entry: Entry, atMs: number): void {
    if (entry.kind === "goodbye") this.#goodbyes++;
    if (entry.kind !== "will") return;
    const { wills, delivery } = this.#account(entry.fault);
    wills.expected++;
    wills.delivered++;
    if (atMs < entry.earliestMs - EARLY_TOLERANCE_MS) wills.early++;
    if (atMs > entry.latestMs) wills.late++;
    const latencyMs = Math.max(0, atMs - entry.atMs);
    delivery.record(latencyMs);
    this.#spanDelivery.record(latencyMs);
  }

  /** One `offline` more than the device owes. */
  #surplus(entries: DeviceEntries, atMs: number): void {
    const { settled } = entries;
    const fault = settled?.kind === "tolerated" ? undefined : settled?.fault;
    const wills = fault === undefined ? this.#unexplained : this.#account(fault).wills;
    const count = fault !== undefined && settled?.kind === "will" ? "doubled" : "unexpected";
    wills[count]++;
    entries.surplus = { atMs, withdraw: () => wills[count]-- };
  }

  /** True if an `offline` came shortly before that nothing had explained: now something does. */
  #explainSurplus(entries: DeviceEntries, atMs: number): boolean {
    const { surplus } = entries;
    entries.surplus = undefined;
    if (surplus === undefined || atMs - surplus.atMs > LATE_NEWS_MS) return false;
    surplus.withdraw();
    return true;
  }

  #account(fault: FaultKind): FaultAccount {
    let account = this.#faults.get(fault);
    if (account === undefined) {
      account = { injected: 0, wills: noWills(), delivery: new LatencyHistogram() };
      this.#faults.set(fault, account);
    }
    return account;
  }

  #count(device: number, births: 1 | -1): void {
    this.#owedBirths[device] = (this.#owedBirths[device] as number) + births;
  }

  #open(device: number): readonly Entry[] {
    return this.#devices.get(device)?.open ?? [];
  }

  #device(device: number): DeviceEntries {
    let entries = this.#devices.get(device);
    if (entries === undefined) {
      entries = new DeviceEntries();
      this.#devices.set(device, entries);
    }
    return entries;
  }
}

class DeviceEntries {
  /** In the order in which they were caused. */
  open: Entry[] = [];
  /** The last that came, until the device is online again. */
  settled: Entry | undefined;
  /** The last `offline` that nothing explains, until the device is online again. */
  surplus: { atMs: number; withdraw: () => void } | undefined;

  get willCount(): number {
    return this.open.reduce((count, { kind }) => count + (kind === "will" ? 1 : 0), 0);
  }

  get owedGoodbyes(): number {
    const isOwed = (entry: Entry) => entry.kind === "goodbye" && entry.state === "owed";
    return this.open.reduce((count, entry) => count + (isOwed(entry) ? 1 : 0), 0);
  }

  /**
   * The entry that an `offline` at `atMs` belongs to: what is due first, of this connection before those of earlier ones, then
   * what nobody expects for sure.
   */
  take(atMs: number): Entry | undefined {
    const isDue = (entry: Entry) =>
      entry.kind === "goodbye" || (entry.kind === "will" && isInTime(entry, atMs));
    const isTolerated = (entry: Entry) => entry.kind === "tolerated" && atMs <= entry.untilMs;
    const entry =
      this.open.find((candidate) => isDue(candidate) && !isPastWill(candidate)) ??
      this.open.find(isDue) ??
      this.open.find(isTolerated) ??
      this.open.find(({ kind }) => kind === "will");
    if (entry !== undefined) this.open.splice(this.open.indexOf(entry), 1);
    return entry;
  }

  /** Returns how many goodbyes are lost: those of earlier connections would have come before [MQTT-4.6.0-6]. */
  beOnline(): number {
    this.settled = undefined;
    this.surplus = undefined;
    for (const entry of this.open) if (entry.kind === "will") entry.isPast = true;
    const owedBefore = this.owedGoodbyes;
    this.open = this.open.filter((entry) => entry.kind !== "goodbye" || !entry.isPast);
    return owedBefore - this.owedGoodbyes;
  }

  /** A goodbye that was under way may never have been taken. */
  loseConnection(atMs: number): void {
    this.open = this.open.filter((entry) => entry.kind !== "tolerated" || entry.untilMs >= atMs);
    for (const entry of this.open) {
      if (entry.kind === "goodbye" && entry.state === "under way") entry.state = "excused";
    }
  }

  /** Returns the faults whose Wills were excused. */
  excuse(dueUntilMs: number, untilMs: number): FaultKind[] {
    const faults: FaultKind[] = [];
    this.open = this.open.map((entry) => {
      if (entry.kind === "goodbye") return { ...entry, state: "excused" };
      if (entry.kind === "tolerated" || entry.earliestMs > dueUntilMs) return entry;
      faults.push(entry.fault);
      return { kind: "tolerated", untilMs };
    });
    return faults;
  }
}

/** The device has been seen online since. */
function isPastWill(entry: Entry): boolean {
  return entry.kind === "will" && entry.isPast;
}

function isInTime(
  { earliestMs, latestMs }: { earliestMs: number; latestMs: number },
  atMs: number,
) {
  return atMs >= earliestMs - EARLY_TOLERANCE_MS && atMs <= latestMs;
}

function noWills(): WillCounts {
  return {
    expected: 0,
    delivered: 0,
    missing: 0,
    early: 0,
    late: 0,
    doubled: 0,
    unexpected: 0,
    unjudged: 0,
  };
}
