/** `--out csv=FILE`: a row for each sample, for spreadsheets and statistics programs (RFC 4180). */

import type { LatencySummary } from "../histogram.ts";
import {
  LATENCY_NAMES,
  type LatencyName,
  type RunCounters,
  type RunSample,
} from "../run/run-sample.ts";
import type { SampleFormat } from "./stream-output.ts";

/** Names of columns are never changed; new columns come at the end. */
export class CsvFormat implements SampleFormat {
  begin(): string {
    return rowOf(COLUMNS);
  }

  sample(sample: RunSample): string {
    return rowOf(cellsOf(sample).map(cellText));
  }

  end(): string {
    return "";
  }
}

/** What has no value, as the percentiles of nothing, is an empty cell. */
type Cell = string | number | undefined;

const COUNTER_COLUMNS: Readonly<Record<keyof RunCounters, string>> = {
  attempted: "connects_attempted_total",
  connected: "connects_accepted_total",
  reconnected: "connects_repeated_total",
  failed: "connects_failed_total",
  refused: "connects_refused_total",
  lost: "connections_lost_total",
  published: "published_total",
  sent: "sent_total",
  acknowledged: "acknowledged_total",
  received: "received_total",
  dropped: "dropped_total",
  faults: "faults_total",
  willsExpected: "wills_expected_total",
  willsDelivered: "wills_delivered_total",
  willsUnexpected: "wills_unexpected_total",
};

const LATENCY_COLUMNS: Readonly<Record<LatencyName, string>> = {
  connect: "connect",
  publishAckQos1: "publish_ack_qos1",
  publishAckQos2: "publish_ack_qos2",
  publishAckUncorrected: "publish_ack_uncorrected",
  endToEnd: "end_to_end",
  willDelivery: "will_delivery",
  scheduleLag: "schedule_lag",
};

const SUMMARY_COLUMNS: readonly (readonly [suffix: string, key: keyof LatencySummary])[] = [
  ["count", "count"],
  ["min_ms", "minMs"],
  ["mean_ms", "meanMs"],
  ["p50_ms", "p50Ms"],
  ["p90_ms", "p90Ms"],
  ["p99_ms", "p99Ms"],
  ["p999_ms", "p999Ms"],
  ["max_ms", "maxMs"],
];

const COLUMNS: readonly string[] = [
  "at_ms",
  "span_ms",
  "phase",
  "devices",
  "connected",
  ...Object.values(COUNTER_COLUMNS),
  ...LATENCY_NAMES.flatMap((name) =>
    SUMMARY_COLUMNS.map(([suffix]) => `${LATENCY_COLUMNS[name]}_${suffix}`),
  ),
  "cpu_percent",
  "rss_bytes",
  "event_loop_delay_p99_ms",
  "problems_total",
];

/** In the order of `COLUMNS`. */
function cellsOf(sample: RunSample): Cell[] {
  const { counters, latencies, generator } = sample;
  return [
    sample.atMs,
    sample.spanMs,
    sample.phaseName,
    sample.deviceCount,
    sample.connectedCount,
    ...Object.keys(COUNTER_COLUMNS).map((key) => counters[key as keyof RunCounters]),
    ...LATENCY_NAMES.flatMap((name) => summaryCells(latencies[name].summary())),
    generator.cpuPercent,
    generator.rssBytes,
    generator.eventLoopDelayMs,
    sample.problems.length,
  ];
}

function summaryCells(summary: LatencySummary | undefined): Cell[] {
  return SUMMARY_COLUMNS.map(([, key]) => summary?.[key] ?? (key === "count" ? 0 : undefined));
}

function rowOf(cells: readonly string[]): string {
  return `${cells.join(",")}\r\n`;
}

function cellText(cell: Cell): string {
  if (cell === undefined) return "";
  if (typeof cell === "string") return quoted(inert(cell));
  return String(Math.round(cell * 1000) / 1000);
}

/** A spreadsheet takes a text that begins so for a formula, and runs it; an apostrophe makes it text again. */
function inert(text: string): string {
  return /^[=+\-@＝＋－＠\t\r\n]/u.test(text) ? `'${text}` : text;
}

function quoted(text: string): string {
  return /[",\r\n]/u.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
