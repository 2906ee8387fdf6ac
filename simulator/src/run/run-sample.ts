/** A run at one moment, and what happened since the moment before: what everybody is given who watches a run. */

import type { LatencyHistogram } from "../histogram.ts";
import type { RunResult } from "./result.ts";

/** What is measured as a time. All are milliseconds; docs/metrics.md says from when to when. */
export const LATENCY_NAMES = [
  "connect",
  "publishAckQos1",
  "publishAckQos2",
  "publishAckUncorrected",
  "endToEnd",
  "willDelivery",
  "scheduleLag",
] as const;

export type LatencyName = (typeof LATENCY_NAMES)[number];

/** One of each. */
export function byLatencyName<Value>(
  make: (name: LatencyName) => Value,
): Record<LatencyName, Value> {
  const entries = LATENCY_NAMES.map((name) => [name, make(name)]);
  return Object.fromEntries(entries) as Record<LatencyName, Value>;
}

export type Latencies = Readonly<Record<LatencyName, LatencyHistogram>>;

/** Counts since the start of the run. */
export interface RunCounters {
  /** Network Connections that were tried, accepted (CONNACK 0), and accepted but not a device's first. */
  attempted: number;
  connected: number;
  reconnected: number;
  /** Without CONNACK, refused by a return code, lost without a fault or goodbye of ours. */
  failed: number;
  refused: number;
  lost: number;
  /** Telemetry: made by devices, handed to a connection, acknowledged, received by the run's own subscriber. */
  published: number;
  sent: number;
  acknowledged: number;
  received: number;
  /** Readings that were due and not published. */
  dropped: number;
  faults: number;
  /** Last Wills that were or are owed, that came, and that nobody expected. */
  willsExpected: number;
  willsDelivered: number;
  willsUnexpected: number;
}

/** The same counts taken apart. */
export interface RunBreakdown {
  /** Telemetry handed to a connection, by QoS. */
  sentByQos: readonly [number, number, number];
  /** Wills that are still to come are among the injected only. */
  faults: RunResult["faults"];
}

export interface RunSample {
  /** Since the start of the run. */
  atMs: number;
  /** Since the sample before. */
  spanMs: number;
  /** The phase that is under way. */
  phaseName: string;
  /** Counts from 0; as many as the scenario has and more when it is over. */
  phaseIndex: number;
  deviceCount: number;
  connectedCount: number;
  counters: Readonly<RunCounters>;
  breakdown: RunBreakdown;
  /** Of the span. Valid during the call that hands the sample over. */
  latencies: Latencies;
  /** Since the start. Valid during the call that hands the sample over. */
  totals: Latencies;
  generator: {
    /** Of one processor core, of the span. */
    cpuPercent: number;
    rssBytes: number;
    /** 99th percentile of the span, the slowest thread. */
    eventLoopDelayMs: number;
  };
  /** In plain sentences, since the start. */
  problems: readonly string[];
}
