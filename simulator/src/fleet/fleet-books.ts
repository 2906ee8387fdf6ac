/** What a fleet has counted and measured, as its sensors tell it. */

import type { EndReason } from "../../../host/src/client/driver.ts";
import { ConnectionError, ProtocolError, RefusedError } from "../../../host/src/errors.ts";
import type { World } from "../../../host/src/world.ts";
import type { LatencyHistogram } from "../histogram.ts";
import { ConnectionTroubles } from "./connection-troubles.ts";
import type { LatencyMeter } from "./latency-meter.ts";
import type { PublishTimes } from "./publish-times.ts";
import type { Sensor, SensorLog } from "./sensor.ts";
import type { TelemetryAudit } from "./telemetry-audit.ts";
import { UnpublishedReadings } from "./unpublished-readings.ts";
import type { WillLedger } from "./will-ledger.ts";

export interface BooksOptions {
  world: World;
  audit: TelemetryAudit;
  ledger: WillLedger;
  latencies: LatencyMeter;
  times: PublishTimes;
  willMs: number;
  /** What the counts alone would not say, in a plain sentence. */
  problem: (sentence: string) => void;
  /** The broker has taken a device's new connection. */
  connected: (sensor: Sensor) => void;
}

/** Counts since the start. */
export class FleetBooks implements SensorLog {
  attemptedCount = 0;
  connectedCount = 0;
  reconnectedCount = 0;
  lostCount = 0;
  /** Connections without CONNACK, by reason, and those refused, by return code. */
  readonly failures = new Map<string, number>();
  readonly refusals = new Map<string, number>();
  publishedCount = 0;
  /** By QoS. */
  readonly sentCounts: [number, number, number] = [0, 0, 0];
  acknowledgedCount = 0;
  /** Readings that were due and not published: the outbox had no room, or the process no time. */
  #refusedCount = 0;
  missedCount = 0;
  /** Of the refused, those of devices that were connected: the broker did not take what waited. */
  pressedCount = 0;
  /** Telemetry that the run's own subscriber received. */
  receivedCount = 0;
  /** While it is true, connections that are lost were to be lost. */
  isBrokerStopped = false;
  readonly #options: BooksOptions;
  readonly #troubles: ConnectionTroubles;
  readonly #unpublished = new UnpublishedReadings();
  /** Commands that arrived, of the devices to which any did. */
  readonly #commandCounts = new Map<number, number>();

  constructor(options: BooksOptions) {
    this.#options = options;
    this.#troubles = new ConnectionTroubles(options.problem);
  }

  get droppedCount(): number {
    return this.#refusedCount + this.missedCount;
  }

  /** Commands that have arrived at a device since the start. */
  commandCount(index: number): number {
    return this.#commandCounts.get(index) ?? 0;
  }

  connecting({ index, outstandingCount }: Sensor): void {
    const { ledger, world } = this.#options;
    this.attemptedCount++;
    if (outstandingCount === 0) this.#unpublished.forget(index);
    ledger.deviceReturns(index, world.nowMs());
  }

  connected(sensor: Sensor, latencyMs: number): void {
    const { ledger, world, latencies, connected } = this.#options;
    this.connectedCount++;
    if (sensor.wasConnected) this.reconnectedCount++;
    latencies.span.connect.record(latencyMs);
    ledger.deviceReturned(sensor.index, world.nowMs());
    connected(sensor);
  }

  failed({ index }: Sensor, reason: EndReason): void {
    if (!this.isBrokerStopped) this.#troubles.failed(reason);
    if (reason instanceof RefusedError) countOne(this.refusals, String(reason.returnCode));
    else countOne(this.failures, failureText(reason));
    if (mayBeAccepted(reason)) this.#lostConnection(index);
  }

  ignored({ index }: Sensor): void {
    const { ledger, world, willMs } = this.#options;
    ledger.faultIgnored(index, world.nowMs() + willMs);
  }

  lost({ index, isOff }: Sensor, reason: EndReason): void {
    if (!this.isBrokerStopped) {
      this.lostCount++;
      if (isOff) this.#troubles.unheard(reason);
      else this.#troubles.lost(reason);
    }
    this.#lostConnection(index);
  }

  measured(_sensor: Sensor, lagMs: number): void {
    this.#options.latencies.span.scheduleLag.record(lagMs);
  }

  published({ index, kind }: Sensor, seq: number): void {
    this.publishedCount++;
    if (kind.isAudited) this.#options.audit.accepted(index, seq);
  }

  sent({ group }: Sensor, count: number): void {
    this.sentCounts[group.publish.qos] += count;
  }

  acknowledged(sensor: Sensor, place: number, nowMs: number): void {
    const { index, group, kind } = sensor;
    const { audit, times, latencies } = this.#options;
    const publishAck = this.#publishAckOf(group);
    this.acknowledgedCount++;
    if (kind.isAudited) audit.acknowledged(index, times.seq(place));
    publishAck.record(nowMs - times.dueAtMs(place));
    latencies.span.publishAckUncorrected.record(nowMs - times.publishedAtMs(place));
    if (this.droppedCount === 0) return;
    this.#unpublished.acknowledged(index, sensor.outstandingCount, (dueAtMs) =>
      publishAck.record(nowMs - dueAtMs),
    );
  }

  /**
   * The run is over for a connected device, whose messages the broker has not acknowledged: they count with the time that
   * they have waited, and so do the readings behind them. Without them a broker that stops would have no bad latencies.
   */
  unanswered({ index, group }: Sensor): void {
    const { times, latencies, world } = this.#options;
    const publishAck = this.#publishAckOf(group);
    const nowMs = world.nowMs();
    times.eachWaiting(index, (dueAtMs, publishedAtMs) => {
      publishAck.record(nowMs - dueAtMs);
      latencies.span.publishAckUncorrected.record(nowMs - publishedAtMs);
    });
    this.#unpublished.acknowledged(index, 0, (dueAtMs) => publishAck.record(nowMs - dueAtMs));
  }

  statusAcknowledged({ index }: Sensor, status: "birth" | "goodbye"): void {
    const { ledger } = this.#options;
    if (status === "birth") ledger.birthAcknowledged(index);
    else ledger.goodbyeAcknowledged(index);
  }

  refused({ index, outstandingCount, isConnected }: Sensor, dueAtMs: number): void {
    this.#refusedCount++;
    if (isConnected) this.pressedCount++;
    this.#unpublished.add(index, dueAtMs, outstandingCount);
  }

  missed({ index, outstandingCount }: Sensor, count: number, dueAtMs: number, intervalMs: number) {
    const { latencies, world } = this.#options;
    const lagMs = world.nowMs() - dueAtMs;
    this.missedCount += count;
    for (let before = 0; before < count; before++) {
      latencies.span.scheduleLag.record(lagMs - before * intervalMs);
      // They would have gone with the reading that is taken now.
      this.#unpublished.add(index, dueAtMs + before * intervalMs, outstandingCount + 1);
    }
  }

  command({ index }: Sensor): void {
    countOne(this.#commandCounts, index);
  }

  /** The run's own subscriber has telemetry; `seq` and `measuredUnixMs` are what the message says of itself, if it does. */
  received(
    index: number,
    seq: number | undefined,
    atMs: number,
    measuredUnixMs: number | undefined,
  ): void {
    const { audit, times, latencies, world } = this.#options;
    this.receivedCount++;
    if (seq === undefined) return;
    audit.delivered(index, seq);
    const place = times.find(index, seq);
    if (place !== undefined) latencies.span.endToEnd.record(atMs - times.dueAtMs(place));
    else if (measuredUnixMs !== undefined) {
      // The stamp has whole milliseconds: it serves for what is too old to be remembered exactly.
      const atUnixMs = world.unixMs() - world.nowMs() + atMs;
      latencies.span.endToEnd.record(Math.max(0, atUnixMs - measuredUnixMs));
    }
  }

  #publishAckOf({ publish }: Sensor["group"]): LatencyHistogram {
    const { publishAckQos1, publishAckQos2 } = this.#options.latencies.span;
    return publish.qos === 1 ? publishAckQos1 : publishAckQos2;
  }

  #lostConnection(index: number): void {
    const { ledger, world, willMs } = this.#options;
    const nowMs = world.nowMs();
    ledger.connectionLost(index, nowMs, nowMs + willMs);
  }
}

/** The broker may have had the CONNECT, and lost the connection before its CONNACK came: then it owes that Will. */
function mayBeAccepted(reason: EndReason): boolean {
  if (reason instanceof ConnectionError) return reason.failure === "lost";
  return !(reason instanceof RefusedError);
}

function countOne<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function failureText(reason: EndReason): string {
  if (reason instanceof ConnectionError) return reason.failure;
  if (reason instanceof ProtocolError) return reason.message;
  return "the broker closed the connection without an answer";
}
