/** What the charts over time show: the same on the live dashboard and in the report. */

import type { LatencySummary } from "../histogram.ts";
import type { LatencyName, RunCounters } from "../run/run-sample.ts";
import type { ChartDefinition, ChartRow } from "./page-data.ts";

/** A point of a result's timeline is one. */
export interface Moment {
  spanMs: number;
  connected: number;
  /** Since the start of the run. */
  counters: Readonly<RunCounters>;
  /** Of the span. */
  latencies: { readonly [Name in LatencyName]?: LatencySummary | undefined };
  cpuPercent: number;
  eventLoopDelayMs: number;
}

type Value = (moment: Moment, previous: Moment | undefined) => number | null;

interface Chart extends Omit<ChartDefinition, "series"> {
  series: readonly (readonly [label: string, value: Value])[];
}

/** Messages per second that the devices published; null if the span was too short to say. */
export const publishedPerSecond: Value = rate("published");

/** The values of one moment, in the order of `CHARTS`. */
export function chartRow(moment: Moment, previous: Moment | undefined): ChartRow {
  return charts.flatMap(({ series }) =>
    series.map(([, value]) => rounded(value(moment, previous))),
  );
}

const charts: readonly Chart[] = [
  {
    title: "Connected",
    note: "How many devices were connected at each moment.",
    unit: "devices",
    scale: "linear",
    series: [["connected", ({ connected }) => connected]],
  },
  {
    title: "Connections",
    note: "Accepted: the broker said yes. Failed: refused, or never answered. Lost: ended without our doing.",
    unit: "per second",
    scale: "linear",
    series: [
      ["accepted", rate("connected")],
      ["failed", rate("failed", "refused")],
      ["lost", rate("lost")],
    ],
  },
  {
    title: "Messages",
    note: "Published by the devices, acknowledged by the broker, received by the run's own subscriber.",
    unit: "per second",
    scale: "linear",
    series: [
      ["published", rate("published")],
      ["acknowledged", rate("acknowledged")],
      ["received", rate("received")],
      ["dropped", rate("dropped")],
    ],
  },
  {
    title: "Publish to acknowledgement",
    note: "From the time at which a reading was due until the broker took it over. Waiting counts.",
    unit: "ms",
    scale: "logarithmic",
    series: [
      ["QoS 1, median", latency("publishAckQos1", "p50Ms")],
      ["QoS 1, 99th percentile", latency("publishAckQos1", "p99Ms")],
      ["QoS 2, median", latency("publishAckQos2", "p50Ms")],
      ["QoS 2, 99th percentile", latency("publishAckQos2", "p99Ms")],
    ],
  },
  {
    title: "Device to subscriber",
    note: "From the device until the message is at a subscriber, through the broker.",
    unit: "ms",
    scale: "logarithmic",
    series: [
      ["median", latency("endToEnd", "p50Ms")],
      ["99th percentile", latency("endToEnd", "p99Ms")],
    ],
  },
  {
    title: "Connecting, and Last Wills",
    note: "How long the broker took to accept a connection, and to tell a subscriber that a device is gone.",
    unit: "ms",
    scale: "logarithmic",
    series: [
      ["connect, median", latency("connect", "p50Ms")],
      ["connect, 99th percentile", latency("connect", "p99Ms")],
      ["Last Will, median", latency("willDelivery", "p50Ms")],
      ["Last Will, longest", latency("willDelivery", "maxMs")],
    ],
  },
  {
    title: "Last Wills",
    note: "Between expected and delivered lie those that are still to come, or lost.",
    unit: "since the start",
    scale: "linear",
    series: [
      ["expected", ({ counters }) => counters.willsExpected],
      ["delivered", ({ counters }) => counters.willsDelivered],
      ["unexpected", ({ counters }) => counters.willsUnexpected],
    ],
  },
  {
    title: "Load generator: processor",
    note: "At 100 % one processor core is busy: then it may be this machine that is slow, not the broker.",
    unit: "% of one core",
    scale: "linear",
    series: [["processor", (moment) => (isShort(moment) ? null : moment.cpuPercent)]],
  },
  {
    title: "Load generator: delays",
    note: "How late this machine was: these times are part of every latency above.",
    unit: "ms",
    scale: "linear",
    series: [
      ["event loop, 99th percentile", ({ eventLoopDelayMs }) => eventLoopDelayMs],
      ["schedule lag, 99th percentile", latency("scheduleLag", "p99Ms")],
    ],
  },
];

export const CHARTS: readonly ChartDefinition[] = charts.map(({ series, ...chart }) => ({
  ...chart,
  series: series.map(([label]) => label),
}));

function rate(...names: (keyof RunCounters)[]): Value {
  const total = (moment: Moment | undefined) =>
    names.reduce((sum, name) => sum + (moment?.counters[name] ?? 0), 0);
  return (moment, previous) =>
    isShort(moment) ? null : (1000 * (total(moment) - total(previous))) / moment.spanMs;
}

/** Where a phase ends, or the run, a span may be so short that a rate says nothing. */
const SHORT_MS = 200;

function isShort({ spanMs }: Moment): boolean {
  return spanMs < SHORT_MS;
}

function latency(name: LatencyName, key: Exclude<keyof LatencySummary, "count">): Value {
  return ({ latencies }) => latencies[name]?.[key] ?? null;
}

/** Three digits behind the point: no screen shows more, and the page stays small. */
function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value * 1000) / 1000;
}
