import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Measurement } from "../../simulator/src/run/metric.ts";
import { findMetric, METRICS } from "../../simulator/src/run/metrics.ts";
import type { RunResult } from "../../simulator/src/run/result.ts";
import { sampleResult } from "./sample-result.ts";
import { emptySample, sampleSample } from "./sample-sample.ts";

/** The numbers of a measurement: of a trend the average, median and maximum. */
function numbersOf(measurement: Measurement | undefined): number[] | undefined {
  switch (measurement?.kind) {
    case "trend":
      return [measurement.avgMs, measurement.percentileMs(50), measurement.maxMs];
    case "rate":
      return [measurement.part, measurement.whole];
    case "counter":
      return [measurement.count, measurement.perSecond];
    case "gauge":
      return [measurement.value];
    default:
      return undefined;
  }
}

function measured(name: string, result: RunResult): number[] | undefined {
  return numbersOf(findMetric(name)?.measure(result));
}

function live(name: string, sample = sampleSample()): number[] | undefined {
  return numbersOf(findMetric(name)?.measureLive?.(sample));
}

/** Of `sampleResult`, which took 20.4 s. A counter's second number follows from its first. */
const MEASURED: Readonly<Record<string, number[] | undefined>> = {
  connect_duration: [11.5, 11.503, 22],
  connected: [50, 50],
  connects: [85],
  reconnects: [35],
  connects_failed: [2],
  connects_refused: [1],
  connections_lost: [0],
  faults: [15],
  publish_ack_duration: [6.675, 6.675, 12.85],
  "publish_ack_duration{qos:1}": [6.675, 6.675, 12.85],
  "publish_ack_duration{qos:2}": undefined,
  publish_ack_duration_uncorrected: [6.575, 6.575, 12.75],
  end_to_end_duration: undefined,
  messages_published: [1240],
  messages_sent: [1238],
  messages_acked: [1236],
  publish_dropped: [1],
  messages_received: [1240],
  telemetry_delivered: [1238, 1240],
  telemetry_lost: [0],
  telemetry_doubled: [2],
  "telemetry_doubled{qos:1}": [2],
  "telemetry_doubled{qos:2}": [0],
  telemetry_out_of_order: [0],
  commands_lost: [0],
  will_delivery_duration: [1407, 4, 3310],
  "will_delivery_duration{fault:tcp-close}": [3, 3, 4],
  "will_delivery_duration{fault:tcp-reset}": undefined,
  "will_delivery_duration{fault:power-loss}": [3160, 3110, 3310],
  "will_delivery_duration{fault:hang}": undefined,
  "will_delivery_duration{fault:takeover}": undefined,
  "will_delivery_duration{fault:protocol-error}": undefined,
  will_delivered: [9, 10],
  will_expected: [10],
  will_missing: [1],
  will_unexpected: [0],
  will_early: [0],
  will_late: [1],
  will_doubled: [0],
  schedule_lag: [0.72, 0.72, 1.339],
  event_loop_delay: [4.2],
  cpu_percent: [31.4],
  cpu_us_per_message: [23.14],
  rss_bytes: [123_456_789],
  memory_per_device_bytes: [4321],
};

test("every metric is measured of a run that is over", () => {
  expect(METRICS.map(({ name }) => name)).toEqual(Object.keys(MEASURED));
});

test.each(Object.entries(MEASURED))("%s", (name, numbers) => {
  const values = measured(name, sampleResult());
  if (numbers === undefined) {
    expect(values).toBeUndefined();
    return;
  }
  for (const [index, number] of numbers.entries()) {
    // A histogram has three significant digits.
    expect(Math.abs((values?.[index] ?? Number.NaN) - number)).toBeLessThanOrEqual(number / 500);
  }
  if (findMetric(name)?.kind === "counter") {
    expect(values?.[1]).toBeCloseTo((numbers[0] ?? 0) / 20.4, 9);
  }
});

test("a trend has the extremes that were really measured, not those of a bucket", () => {
  const result = sampleResult();
  const { connect } = result.latencies;
  const trend = findMetric("connect_duration")?.measure(result);
  if (trend?.kind !== "trend") throw new RangeError("connect_duration is a trend");
  expect([trend.minMs, trend.maxMs]).toEqual([connect?.minMs, connect?.maxMs]);
  expect(trend.percentileMs(100)).toBe(connect?.maxMs);
  expect(trend.percentileMs(99.9)).toBe(connect?.p999Ms);
});

test("what nobody observed was not measured", () => {
  const blind = { ...sampleResult(), wills: null, audit: null, commands: null };
  const names = METRICS.filter((metric) => metric.measure(blind) === undefined);
  const unmeasured = names.map(({ name }) => name).filter((name) => MEASURED[name] !== undefined);
  expect(unmeasured).toEqual([
    "messages_received",
    "telemetry_delivered",
    "telemetry_lost",
    "telemetry_doubled",
    "telemetry_doubled{qos:1}",
    "telemetry_doubled{qos:2}",
    "telemetry_out_of_order",
    "commands_lost",
    "will_delivered",
    "will_expected",
    "will_missing",
    "will_unexpected",
    "will_early",
    "will_late",
    "will_doubled",
  ]);
});

test("of no Wills there is no share", () => {
  const result = sampleResult();
  Object.assign(result.wills ?? {}, { expected: 0, delivered: 0, missing: 0 });
  expect(measured("will_delivered", result)).toBeUndefined();
  expect(measured("will_missing", result)).toEqual([0, 0]);
});

test("what nobody can judge is no part of the share that was delivered", () => {
  const result = sampleResult();
  Object.assign(result.audit ?? {}, { accepted: 100, delivered: 90, unjudged: 10 });
  expect(measured("telemetry_delivered", result)).toEqual([90, 90]);
});

test("a run without a duration has counts, but no rate", () => {
  expect(measured("connects", { ...sampleResult(), durationMs: 0 })).toEqual([85, 0]);
});

describe("while a run goes on", () => {
  test.each<[string, number[]]>([
    ["connect_duration", [10, 10, 10]],
    ["connected", [40, 50]],
    ["connects", [90, 18]],
    ["reconnects", [45, 9]],
    ["connects_failed", [7, 1.4]],
    ["connects_refused", [3, 0.6]],
    ["connections_lost", [2, 0.4]],
    ["faults", [20, 4]],
    ["publish_ack_duration", [25, 20, 30]],
    ["publish_ack_duration{qos:1}", [20, 20, 20]],
    ["publish_ack_duration{qos:2}", [30, 30, 30]],
    ["publish_ack_duration_uncorrected", [40, 40, 40]],
    ["end_to_end_duration", [50, 50, 50]],
    ["messages_published", [1000, 200]],
    ["messages_sent", [990, 198]],
    ["messages_acked", [980, 196]],
    ["publish_dropped", [5, 1]],
    ["messages_received", [970, 194]],
    ["will_delivery_duration", [60, 60, 60]],
    ["will_unexpected", [1, 0.2]],
    ["schedule_lag", [70, 70, 70]],
    ["event_loop_delay", [3.25]],
    ["cpu_percent", [55.5]],
    ["rss_bytes", [123_456_789]],
  ])("%s is known", (name, numbers) => {
    const values = live(name);
    expect(values).toHaveLength(numbers.length);
    for (const [index, number] of numbers.entries()) {
      expect(Math.abs((values?.[index] ?? 0) - number)).toBeLessThanOrEqual(number / 500);
    }
  });

  test("the others are known only at the end", () => {
    const late = METRICS.filter(({ measureLive }) => measureLive === undefined);
    expect(late.map(({ name }) => name)).toEqual([
      "telemetry_delivered",
      "telemetry_lost",
      "telemetry_doubled",
      "telemetry_doubled{qos:1}",
      "telemetry_doubled{qos:2}",
      "telemetry_out_of_order",
      "commands_lost",
      ...Object.keys(MEASURED).filter((name) => name.startsWith("will_delivery_duration{")),
      "will_delivered",
      "will_expected",
      "will_missing",
      "will_early",
      "will_late",
      "will_doubled",
      "cpu_us_per_message",
      "memory_per_device_bytes",
    ]);
  });

  test("a trend of nothing is not measured", () => {
    const trends = METRICS.filter(({ kind }) => kind === "trend");
    expect(trends.flatMap(({ name }) => live(name, emptySample()) ?? [])).toEqual([]);
  });
});

test("docs/metrics.md has every metric, with its kind and its unit", () => {
  const manual = readFileSync(new URL("../../docs/metrics.md", import.meta.url), "utf8");
  const rows = manual.split("\n").flatMap((line) => {
    const [, name, kind, unit] = /^\| `([^`]+)` \| (\w+) \| ([^ |]*) \|/u.exec(line) ?? [];
    return name === undefined ? [] : [[name, kind, unit]];
  });
  expect(rows).toEqual(METRICS.map(({ name, kind, unit }) => [name, kind, unit]));
});
