/** One part of a fleet from its first connection to its last goodbye, with its own books. */

import { Counter } from "../../../firmware/core/abi.ts";
import type { Core, ThermometerExports } from "../../../host/src/core/core.ts";
import type { Qos } from "../../../host/src/core/session.ts";
import type { OpenTransport } from "../../../host/src/transport/transport.ts";
import type { World } from "../../../host/src/world.ts";
import { mergeLatencies, type Tally } from "../run/merge-tallies.ts";
import { latencyResult } from "../run/result.ts";
import type { RunBreakdown, RunCounters } from "../run/run-sample.ts";
import type { DeviceGroup, Scenario } from "../scenario/scenario.ts";
import { pause, until } from "../waiting.ts";
import { Fleet } from "./fleet.ts";
import { type FleetPart, partSize, placesOf } from "./fleet-part.ts";
import { forgetSessions } from "./forget-sessions.ts";
import { LatencyMeter } from "./latency-meter.ts";
import { arrivedCount, runPhase, type Stage, sayGoodbye } from "./phases.ts";
import { isAudited } from "./sensor-kind.ts";
import { TelemetryAudit } from "./telemetry-audit.ts";
import type { Together } from "./together.ts";
import { missedSentences, pressedSentences } from "./unpublished-readings.ts";
import { WillLedger } from "./will-ledger.ts";

export interface PartRunOptions {
  scenario: Scenario;
  part: FleetPart;
  coreOf: (group: DeviceGroup) => Core<ThermometerExports>;
  world: World;
  openTransport: OpenTransport;
  /** The text of `passwordFile`. */
  password: string | undefined;
  startedAtMs: number;
  hasOwnBroker: boolean;
  together: Together;
  interrupt: AbortSignal;
  /** Where the state of each device is kept, a byte each, for others to see. */
  stateBytes: Uint8Array;
}

/** What a run does when the scenario is over: waits for the Wills that are still to come, and lets the devices leave. */
const WAITING_PHASE = "waiting for Last Wills";
export const GOODBYE_PHASE = "goodbye";

/** How long the devices may take to say goodbye: so long, and a little for each. */
const GOODBYE_MS = 5_000;
const GOODBYE_EACH_MS = 2;

/** So many say goodbye at once. Brokers have queues: mosquitto keeps no more than 1,000 messages for one subscriber. */
const GOODBYE_COUNT = 250;

/** After the last goodbye, what is on its way to the observer is given up when nothing of it has come for so long. */
const ARRIVAL_MS_MAX = 5_000;

/** A repeated message or Will follows the first within this, if it comes at all. */
const SECOND_COPY_MS = 100;

export class PartRun {
  readonly fleet: Fleet;
  readonly ledger: WillLedger;
  readonly latencies = new LatencyMeter();
  readonly #audit: TelemetryAudit;
  readonly #options: PartRunOptions;
  readonly #stage: Stage;

  constructor(options: PartRunOptions) {
    const { scenario, part, world, together, interrupt, hasOwnBroker } = options;
    const qosOfDevice = Array.from(placesOf(scenario, part), ({ group }): Qos => group.publish.qos);
    const { willDelivery } = this.latencies.span;
    this.#options = options;
    this.#audit = new TelemetryAudit(qosOfDevice);
    this.ledger = new WillLedger(partSize(scenario, part), scenario.observe.graceMs, willDelivery);
    const { ledger, latencies } = this;
    const { problem } = together;
    this.fleet = new Fleet({ ...options, audit: this.#audit, ledger, latencies, problem });
    this.#stage = {
      world,
      interrupt,
      scenario,
      part,
      together,
      fleet: this.fleet,
      ledger: this.ledger,
      hasOwnBroker,
      commands: new Map(),
      connectedCount: 0,
      unansweredCount: 0,
    };
  }

  /** All phases, and the goodbyes. */
  async run(): Promise<void> {
    const { scenario, together, interrupt } = this.#options;
    for (const phase of scenario.phases) {
      if ((await together.sum(interrupt.aborted ? 1 : 0)) > 0) break;
      together.phaseBegins(phase.name, phase.kind);
      await runPhase(phase, this.#stage);
    }
    await this.#awaitWills();
    await this.#leave();
  }

  /** The subscriber saw a device's birth. */
  online(index: number): void {
    this.ledger.online(index);
  }

  /** The subscriber saw `offline`. */
  offline(index: number, atMs: number): void {
    this.ledger.offline(index, atMs);
  }

  telemetry(
    index: number,
    seq: number | undefined,
    atMs: number,
    measuredUnixMs: number | undefined,
  ): void {
    this.fleet.books.received(index, seq, atMs, measuredUnixMs);
  }

  /** The subscriber was away until `nowMs`. */
  excuse(nowMs: number): void {
    this.ledger.excuse(nowMs, nowMs + this.#options.scenario.observe.graceMs);
    this.#audit.excuse();
  }

  /** Ends everything at once. */
  stop(): void {
    this.fleet.stop();
    this.ledger.close(this.#options.world.nowMs());
  }

  /** What devices have left at a broker of somebody else would wait there for ever, and for the next run. */
  async forgetSessions(): Promise<number> {
    const { hasOwnBroker, openTransport, world, scenario } = this.#options;
    if (hasOwnBroker) return 0;
    const left = this.fleet.sensors.filter(
      ({ wasConnected, group }) => wasConnected && !group.cleanSession,
    );
    const { responseTimeoutMs } = scenario.broker;
    return await forgetSessions(left, { openTransport, world, responseTimeoutMs });
  }

  get counters(): RunCounters {
    const { books } = this.fleet;
    const isWatched = this.#options.scenario.observe.wills;
    const { expected, delivered, unexpected } = this.ledger.total;
    return {
      attempted: books.attemptedCount,
      connected: books.connectedCount,
      reconnected: books.reconnectedCount,
      failed: sum(books.failures.values()),
      refused: sum(books.refusals.values()),
      lost: books.lostCount,
      published: books.publishedCount,
      sent: sum(books.sentCounts),
      acknowledged: books.acknowledgedCount,
      received: books.receivedCount,
      dropped: books.droppedCount,
      faults: sum(Array.from(this.ledger.faults.values(), ({ injected }) => injected)),
      willsExpected: isWatched ? expected + this.ledger.pendingWillCount : 0,
      willsDelivered: delivered,
      willsUnexpected: unexpected,
    };
  }

  get breakdown(): RunBreakdown {
    const [qos0, qos1, qos2] = this.fleet.books.sentCounts;
    return { sentByQos: [qos0, qos1, qos2], faults: this.#faults() };
  }

  /** What this part has counted and measured. Call it at the end, once. */
  tally(): Tally {
    this.latencies.turn();
    const { scenario } = this.#options;
    const { fleet, ledger } = this;
    const { books } = fleet;
    const { connect, publishAckQos1, publishAckQos2, publishAckUncorrected, endToEnd } =
      this.latencies.totals;
    const [qos1, qos2] = [latencyResult(publishAckQos1), latencyResult(publishAckQos2)];
    return {
      devices: this.#devices(),
      connections: {
        attempted: books.attemptedCount,
        connected: books.connectedCount,
        reconnected: books.reconnectedCount,
        failed: Object.fromEntries(books.failures),
        refused: Object.fromEntries(books.refusals),
        lost: books.lostCount,
      },
      messages: this.#messages(),
      latencies: {
        connect: latencyResult(connect),
        publishAck: mergeLatencies([qos1, qos2]),
        publishAckQos1: qos1,
        publishAckQos2: qos2,
        publishAckUncorrected: latencyResult(publishAckUncorrected),
        endToEnd: latencyResult(endToEnd),
        willDelivery: this.#willDelivery(),
      },
      faults: this.#faults(),
      wills: scenario.observe.wills ? ledger.total : null,
      goodbyes: ledger.goodbyes,
      statusMessages: scenario.observe.wills ? ledger.statusMessages : null,
      observer: { lost: 0, awayMs: 0 },
      audit: scenario.groups.some((group) => isAudited(scenario, group))
        ? this.#audit.result()
        : null,
      commands: this.#commands(),
      generator: { scheduleLag: latencyResult(this.latencies.totals.scheduleLag) },
    };
  }

  async #awaitWills(): Promise<void> {
    const { world, interrupt, together, scenario } = this.#options;
    const untilMs = scenario.observe.wills ? this.ledger.pendingUntilMs : undefined;
    const isPending = untilMs !== undefined && !interrupt.aborted;
    if ((await together.sum(isPending ? 1 : 0)) === 0) return;
    together.phaseBegins(WAITING_PHASE, "end");
    const isSettled = () => this.ledger.pendingWillCount === 0;
    if (untilMs !== undefined) await until(isSettled, world, untilMs - world.nowMs(), interrupt);
  }

  /** Lets the devices say goodbye, and waits for what is on its way. */
  async #leave(): Promise<void> {
    const { world, together, scenario } = this.#options;
    const { responseTimeoutMs } = scenario.broker;
    const { fleet } = this;
    await together.sum(0);
    together.phaseBegins(GOODBYE_PHASE, "end");
    // An interrupted run says goodbye all the same; only a second Ctrl-C ends it at once.
    const uninterrupted = new AbortController().signal;
    fleet.settle();
    await until(() => fleet.connectingCount === 0, world, responseTimeoutMs, uninterrupted);
    for (const sensor of fleet.sensors) sensor.quiet();
    await until(() => fleet.outstandingCount === 0, world, responseTimeoutMs, uninterrupted);
    this.#stage.unansweredCount = fleet.outstandingCount;
    const waiting = fleet.sensors.filter(
      (sensor) => sensor.isConnected && sensor.outstandingCount > 0,
    );
    await this.#sayGoodbyes(uninterrupted);
    await this.#awaitArrivals(uninterrupted);
    for (const sensor of waiting) fleet.books.unanswered(sensor);
    // What comes twice comes at once: a moment for a second copy of the last message.
    await pause(world, SECOND_COPY_MS, uninterrupted);
    await this.#tellDropped();
  }

  /** What a broker delivers slowly is not lost: as long as some of it comes, the rest may be on its way. */
  async #awaitArrivals(uninterrupted: AbortSignal): Promise<void> {
    const { world, scenario } = this.#options;
    const { wills, graceMs } = scenario.observe;
    const owedCount = () => this.#audit.owedCount + (wills ? this.ledger.pendingStatusCount : 0);
    let beforeCount = Number.POSITIVE_INFINITY;
    while (owedCount() > 0 && owedCount() < beforeCount) {
      beforeCount = owedCount();
      const patienceMs = Math.min(graceMs, ARRIVAL_MS_MAX);
      await until(() => owedCount() === 0, world, patienceMs, uninterrupted);
    }
  }

  /** Readings that are in no message. */
  async #tellDropped(): Promise<void> {
    const { together, part } = this.#options;
    const { pressedCount, missedCount } = this.fleet.books;
    const sentences = [
      ...pressedSentences(await together.sum(pressedCount)),
      ...missedSentences(await together.sum(missedCount)),
    ];
    if (part.index === 0) for (const sentence of sentences) together.problem(sentence);
  }

  async #sayGoodbyes(uninterrupted: AbortSignal): Promise<void> {
    const { world, part } = this.#options;
    const sensors = this.fleet.sensors.filter(({ isConnected }) => isConnected);
    const batchCount = Math.ceil(GOODBYE_COUNT / part.count);
    const endMs = world.nowMs() + GOODBYE_MS + GOODBYE_EACH_MS * sensors.length * part.count;
    for (let start = 0; start < sensors.length; start += batchCount) {
      const some = sensors.slice(start, start + batchCount);
      for (const sensor of some) sayGoodbye(sensor, this.#stage);
      const areGone = () =>
        some.every(({ isBusy }) => !isBusy) && this.ledger.pendingStatusCount < batchCount;
      await until(areGone, world, endMs - world.nowMs(), uninterrupted);
    }
  }

  #devices(): Tally["devices"] {
    const counts = new Map<DeviceGroup, number>();
    for (const { group } of this.fleet.sensors) counts.set(group, (counts.get(group) ?? 0) + 1);
    return {
      count: this.fleet.sensors.length,
      connected: this.#stage.connectedCount,
      groups: this.#options.scenario.groups.map((group) => ({
        name: group.name,
        count: counts.get(group) ?? 0,
        qos: group.publish.qos,
        cleanSession: group.cleanSession,
        intervalMs: group.publish.intervalMs,
      })),
    };
  }

  #messages(): Tally["messages"] {
    const { fleet } = this;
    const { publishedCount, sentCounts, acknowledgedCount, droppedCount } = fleet.books;
    const [qos0, qos1, qos2] = sentCounts;
    return {
      published: publishedCount,
      sent: { qos0, qos1, qos2 },
      acknowledged: acknowledgedCount,
      inDoubt: Math.max(0, qos1 + qos2 - acknowledgedCount),
      unanswered: this.#stage.unansweredCount,
      requeued: fleet.counter(Counter.Requeued),
      discarded: fleet.counter(Counter.Discarded),
      refusedFull: droppedCount,
    };
  }

  #willDelivery(): Tally["latencies"]["willDelivery"] {
    const willDelivery: Tally["latencies"]["willDelivery"] = {};
    for (const [fault, { delivery }] of this.ledger.faults) {
      const latency = latencyResult(delivery);
      if (latency !== null) willDelivery[fault] = latency;
    }
    return willDelivery;
  }

  #faults(): Tally["faults"] {
    const isWatched = this.#options.scenario.observe.wills;
    const faults: Tally["faults"] = {};
    for (const [fault, { injected, wills }] of this.ledger.faults) {
      faults[fault] = { injected, wills: isWatched ? { ...wills } : null };
    }
    return faults;
  }

  /** Null if none were sent. */
  #commands(): Tally["commands"] {
    if (this.#stage.commands.size === 0) return null;
    const commands = { sent: 0, arrived: 0, lost: 0, doubled: 0 };
    for (const [sensor, { sent }] of this.#stage.commands) {
      const arrived = arrivedCount(sensor, this.#stage);
      commands.sent += sent;
      commands.arrived += Math.min(arrived, sent);
      commands.lost += Math.max(0, sent - arrived);
      commands.doubled += Math.max(0, arrived - sent);
    }
    return commands;
  }
}

function sum(counts: Iterable<number>): number {
  let total = 0;
  for (const count of counts) total += count;
  return total;
}
