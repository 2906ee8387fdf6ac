/** Judges the thresholds of a scenario: when the run is over, and while it goes on. */

import { formatDuration } from "../duration.ts";
import type { Scenario, Threshold } from "../scenario/scenario.ts";
import { formatBytes, formatCount, formatShare } from "../summary/text-format.ts";
import type { Measurement, Metric } from "./metric.ts";
import { findMetric } from "./metrics.ts";
import type { RunResult, ThresholdResult } from "./result.ts";
import type { RunSample } from "./run-sample.ts";
import {
  aggregate,
  aggregationText,
  holds,
  parseThresholdRule,
  type ThresholdRule,
} from "./threshold-rule.ts";

/** A threshold that another version of wasmqtt wrote may be unknown here: then it does not hold. */
export function evaluateThresholds(
  thresholds: readonly Pick<Threshold, "metric" | "rule">[],
  result: RunResult,
): ThresholdResult[] {
  return thresholds.map((threshold) => {
    const read = readThreshold(threshold);
    if ("problem" in read) return judged(threshold, read.problem, false);
    return judge(threshold, read, read.metric.measure(result));
  });
}

/** Ends a run whose thresholds with `abortOnFail` do not hold any more. */
export class ThresholdWatch {
  readonly #thresholds: readonly Threshold[];
  readonly #phaseCount: number;
  readonly #abort: (which: ThresholdResult) => void;
  #hasAborted = false;

  /** `abort` is called at most once, with the threshold and what was measured when it failed. */
  constructor(
    { thresholds, phases }: Pick<Scenario, "thresholds" | "phases">,
    abort: (which: ThresholdResult) => void,
  ) {
    this.#thresholds = thresholds.filter(({ abortOnFail }) => abortOnFail);
    this.#phaseCount = phases.length;
    this.#abort = abort;
  }

  sample(sample: RunSample): void {
    // Behind the last phase there is nothing left to end, and the devices leave.
    if (sample.phaseIndex >= this.#phaseCount) return;
    for (const threshold of this.#thresholds) {
      if (this.#hasAborted) return;
      if (sample.atMs >= threshold.delayAbortEvalMs) this.#judge(threshold, sample);
    }
  }

  #judge(threshold: Threshold, sample: RunSample): void {
    const read = readThreshold(threshold);
    if ("problem" in read) return;
    const measurement = read.metric.measureLive?.(sample);
    if (measurement === undefined) return;
    const result = judge(threshold, read, measurement);
    if (result.ok) return;
    this.#hasAborted = true;
    const value = `${result.value} after ${formatDuration(Math.round(sample.atMs))}`;
    this.#abort({ ...result, value, aborted: true });
  }
}

/** A threshold that has ended its run does not hold, even if its value was better when the devices had said goodbye. */
export function withAborted(
  results: readonly ThresholdResult[],
  aborted: ThresholdResult | undefined,
): ThresholdResult[] {
  return results.map((result) =>
    result.metric === aborted?.metric && result.rule === aborted.rule ? aborted : result,
  );
}

function readThreshold({
  metric: name,
  rule: text,
}: Pick<Threshold, "metric" | "rule">):
  | { metric: Metric; rule: ThresholdRule }
  | { problem: string } {
  const metric = findMetric(name);
  if (metric === undefined) return { problem: "this version has no such metric" };
  const rule = parseThresholdRule(text, metric);
  return "problem" in rule ? { problem: "this version cannot read this rule" } : { metric, rule };
}

function judge(
  threshold: Pick<Threshold, "metric" | "rule">,
  { metric, rule }: { metric: Metric; rule: ThresholdRule },
  measurement: Measurement | undefined,
): ThresholdResult {
  // What was never measured is no success: k6 lets "p(99)<500" of nothing pass.
  if (measurement === undefined) return judged(threshold, "nothing was measured", false);
  const value = aggregate(rule, measurement);
  const text = `${aggregationText(rule)}=${valueText(rule, metric, measurement)}`;
  return judged(threshold, text, holds(rule, value));
}

function judged(
  { metric, rule }: Pick<Threshold, "metric" | "rule">,
  value: string,
  ok: boolean,
): ThresholdResult {
  return { metric, rule, value, ok, aborted: false };
}

function valueText(rule: ThresholdRule, metric: Metric, measurement: Measurement): string {
  if (measurement.kind === "rate") {
    const { part, whole } = measurement;
    return `${formatShare(part, whole)} (${formatCount(part)} of ${formatCount(whole)})`;
  }
  if (measurement.kind === "counter" && rule.aggregation === "count") {
    return formatCount(measurement.count);
  }
  const value = aggregate(rule, measurement);
  if (metric.unit === "bytes") return `${formatCount(Math.round(value))} (${formatBytes(value)})`;
  return `${shownNumber(rule, value)}${measurement.kind === "counter" ? "/s" : metric.unit}`;
}

/** Rounded for people, unless that would put it on the other side of the limit. */
function shownNumber(rule: ThresholdRule, value: number): string {
  const rounded = value.toFixed(value < 10 ? 2 : 1);
  return holds(rule, Number(rounded)) === holds(rule, value) ? rounded : String(value);
}
