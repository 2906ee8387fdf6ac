/** What a metric is: a name under which a run can be asked for one kind of value. */

import { LatencyHistogram } from "../histogram.ts";
import type { LatencyResult, RunResult } from "./result.ts";
import type { RunCounters, RunSample } from "./run-sample.ts";

/** As k6 has them: times and their percentiles, shares of a whole, sums, and values that stand for themselves. */
export type MetricKind = "trend" | "rate" | "counter" | "gauge";

type MetricUnit = "ms" | "us" | "%" | "bytes" | "1";

export interface Metric {
  /** As in `publish_ack_duration{qos:1}`. */
  name: string;
  kind: MetricKind;
  /** 1: a plain number. */
  unit: MetricUnit;
  description: string;
  /** What has to be observed so that there is anything to measure. */
  needs: "wills" | "audit" | undefined;
  /** Of a run that is over; undefined if nothing was measured. */
  measure(result: RunResult): Measurement | undefined;
  /** Of a run that goes on. Absent where it cannot be told before the end. */
  measureLive?: (sample: RunSample) => Measurement | undefined;
}

export type Measurement =
  | TrendMeasurement
  | { kind: "rate"; part: number; whole: number }
  | { kind: "counter"; count: number; perSecond: number }
  | { kind: "gauge"; value: number };

interface TrendMeasurement {
  kind: "trend";
  avgMs: number;
  minMs: number;
  maxMs: number;
  /** `percentile` is 0 to 100. */
  percentileMs(percentile: number): number;
}

type Described = Pick<Metric, "name" | "description"> & { needs?: Metric["needs"] };

/** Latencies. `live` picks those that together are the trend from a sample's totals. */
export function trend(
  { needs, ...described }: Described,
  measure: (result: RunResult) => LatencyResult | null | undefined,
  live?: (totals: RunSample["totals"]) => LatencyHistogram[],
): Metric {
  const metric: Metric = {
    ...described,
    kind: "trend",
    unit: "ms",
    needs,
    measure: (result) => trendOfResult(measure(result)),
  };
  if (live !== undefined) metric.measureLive = ({ totals }) => trendOfHistograms(live(totals));
  return metric;
}

/** A share of a whole; of nothing there is no share. */
export function rate(
  { needs, ...described }: Described,
  measure: (result: RunResult) => { part: number; whole: number } | undefined,
  live?: (sample: RunSample) => { part: number; whole: number },
): Metric {
  const rateOf = (share: { part: number; whole: number } | undefined): Measurement | undefined =>
    share === undefined || share.whole === 0 ? undefined : { kind: "rate", ...share };
  const metric: Metric = {
    ...described,
    kind: "rate",
    unit: "1",
    needs,
    measure: (result) => rateOf(measure(result)),
  };
  if (live !== undefined) metric.measureLive = (sample) => rateOf(live(sample));
  return metric;
}

/** Something that is counted. `live` picks it from the counters of a sample. */
export function counter(
  { needs, ...described }: Described,
  measure: (result: RunResult) => number | undefined,
  live?: (counters: RunCounters) => number,
): Metric {
  const counterOf = (count: number | undefined, durationMs: number): Measurement | undefined =>
    count === undefined
      ? undefined
      : { kind: "counter", count, perSecond: durationMs > 0 ? (1000 * count) / durationMs : 0 };
  const metric: Metric = {
    ...described,
    kind: "counter",
    unit: "1",
    needs,
    measure: (result) => counterOf(measure(result), result.durationMs),
  };
  if (live !== undefined) {
    metric.measureLive = ({ counters, atMs }) => counterOf(live(counters), atMs);
  }
  return metric;
}

/** One value. */
export function gauge(
  described: Pick<Metric, "name" | "description" | "unit">,
  measure: (generator: RunResult["generator"]) => number | null,
  live?: (generator: RunSample["generator"]) => number,
): Metric {
  const gaugeOf = (value: number | null): Measurement | undefined =>
    value === null ? undefined : { kind: "gauge", value };
  const metric: Metric = {
    ...described,
    kind: "gauge",
    needs: undefined,
    measure: ({ generator }) => gaugeOf(measure(generator)),
  };
  if (live !== undefined) metric.measureLive = ({ generator }) => gaugeOf(live(generator));
  return metric;
}

function trendOfResult(latency: LatencyResult | null | undefined): Measurement | undefined {
  if (latency == null) return undefined;
  const { minMs, meanMs, maxMs } = latency;
  const histogram = LatencyHistogram.decode(latency.histogram);
  return {
    kind: "trend",
    minMs,
    avgMs: meanMs,
    maxMs,
    // An encoded histogram knows the largest value only as well as all values.
    percentileMs: (percentile) => Math.min(histogram.percentileMs(percentile), maxMs),
  };
}

function trendOfHistograms(parts: readonly LatencyHistogram[]): Measurement | undefined {
  const histogram = new LatencyHistogram();
  for (const part of parts) histogram.merge(part);
  const summary = histogram.summary();
  if (summary === undefined) return undefined;
  const { minMs, meanMs, maxMs } = summary;
  return {
    kind: "trend",
    minMs,
    avgMs: meanMs,
    maxMs,
    percentileMs: (percentile) => histogram.percentileMs(percentile),
  };
}
