/** The grammar of thresholds, which is k6's: what is asked of a metric, a comparison, and a number. */

import { didYouMean } from "../did-you-mean.ts";
import type { Measurement, Metric, MetricKind } from "./metric.ts";

/** `p(99)<250`, read. */
export interface ThresholdRule {
  aggregation: Aggregation;
  /** Of `p`: 0 to 100. Of the others 0. */
  percentile: number;
  comparison: Comparison;
  limit: number;
}

const AGGREGATIONS = ["avg", "min", "med", "max", "p", "count", "rate", "value"] as const;
type Aggregation = (typeof AGGREGATIONS)[number];

/** What fits which kind of metric. */
const AGGREGATIONS_OF: Readonly<Record<MetricKind, readonly Aggregation[]>> = {
  trend: ["avg", "min", "med", "max", "p"],
  rate: ["rate"],
  counter: ["count", "rate"],
  gauge: ["value"],
};

/** In k6 `==` and `===` are the same. */
const COMPARISONS = {
  "<": (value: number, limit: number) => value < limit,
  "<=": (value: number, limit: number) => value <= limit,
  ">": (value: number, limit: number) => value > limit,
  ">=": (value: number, limit: number) => value >= limit,
  "==": (value: number, limit: number) => value === limit,
  "===": (value: number, limit: number) => value === limit,
  "!=": (value: number, limit: number) => value !== limit,
} as const;
type Comparison = keyof typeof COMPARISONS;

/** Characters of a rule; the longest sensible one has about 20. */
export const RULE_LENGTH_MAX = 64;

/** An aggregation, perhaps with an argument, a comparison, and the rest. */
const RULE_PARTS = /^([a-z]\w*)\s*(?:\(\s*([^()]*?)\s*\))?\s*(===|==|!=|<=|>=|<|>)\s*(\S.*)$/iu;
/** What people write between two rules. */
const SEVERAL = /[&|,;]/u;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/iu;

/** Reads a rule about `metric`. A problem is the rest of a sentence that begins with the place of the rule. */
export function parseThresholdRule(
  text: string,
  metric: Pick<Metric, "name" | "kind" | "unit">,
): ThresholdRule | { problem: string } {
  const parts = RULE_PARTS.exec(text.trim());
  if (parts === null || text.length > RULE_LENGTH_MAX || SEVERAL.test(text))
    return { problem: noRule(text, metric) };
  const [, word = "", argument, comparison = "", limitText = ""] = parts;

  const aggregation = AGGREGATIONS.find((known) => known === word);
  if (aggregation === undefined) return { problem: unknownAggregation(word, metric) };
  if (!AGGREGATIONS_OF[metric.kind].includes(aggregation)) {
    return { problem: `asks for ${word}, but ${fitting(metric)}` };
  }
  const argumentProblem = wrongArgument(aggregation, argument);
  if (argumentProblem !== undefined) return { problem: argumentProblem };
  const limit = NUMBER.test(limitText) ? Number(limitText) : Number.NaN;
  if (Number.isNaN(limit) || (metric.kind === "rate" && (limit < 0 || limit > 1))) {
    return { problem: wrongLimit(limitText, metric) };
  }
  return {
    aggregation,
    percentile: Number(argument ?? 0),
    comparison: comparison as Comparison,
    limit,
  };
}

/** What the rule compares with its limit. The rule must have been read for a metric of the same kind. */
export function aggregate(rule: ThresholdRule, measurement: Measurement): number {
  switch (measurement.kind) {
    case "rate":
      return measurement.part / measurement.whole;
    case "counter":
      return rule.aggregation === "rate" ? measurement.perSecond : measurement.count;
    case "gauge":
      return measurement.value;
    case "trend":
      if (rule.aggregation === "avg") return measurement.avgMs;
      if (rule.aggregation === "min") return measurement.minMs;
      if (rule.aggregation === "max") return measurement.maxMs;
      return measurement.percentileMs(rule.aggregation === "med" ? 50 : rule.percentile);
  }
}

export function holds({ comparison, limit }: ThresholdRule, value: number): boolean {
  return COMPARISONS[comparison](value, limit);
}

/** As it was written, but in one way: `p(99)`. */
export function aggregationText({ aggregation, percentile }: ThresholdRule): string {
  return aggregation === "p" ? `p(${percentile})` : aggregation;
}

const EXAMPLES: Readonly<Record<MetricKind, string>> = {
  trend: "p(99)<250",
  rate: "rate>0.99",
  counter: "count==0",
  gauge: "value<80",
};

function noRule(text: string, { kind }: Pick<Metric, "kind">): string {
  const shown = text.length > RULE_LENGTH_MAX ? `${text.slice(0, RULE_LENGTH_MAX)}...` : text;
  const problem = SEVERAL.test(shown) ? "is not one rule" : "is no rule";
  const comparisons = Object.keys(COMPARISONS).join(" ");
  return `${problem}: ${JSON.stringify(shown)}. Write each as in ${EXAMPLES[kind]}; comparisons are ${comparisons}`;
}

function unknownAggregation(word: string, metric: Pick<Metric, "name" | "kind">): string {
  const percentile = /^p(\d+)$/iu.exec(word)?.[1];
  const guess =
    percentile === undefined ? didYouMean(word, AGGREGATIONS_OF[metric.kind]) : `p(${percentile})`;
  const question = guess === undefined ? "" : `Did you mean ${guess}? `;
  return `asks for ${JSON.stringify(word)}, which is unknown. ${question}Here ${fitting(metric)}`;
}

function wrongArgument(aggregation: Aggregation, argument: string | undefined): string | undefined {
  if (aggregation !== "p") {
    if (argument === undefined) return undefined;
    return `has (${argument}) after ${aggregation}; only p takes a number, as in p(99)`;
  }
  const isPercentile =
    argument !== undefined &&
    NUMBER.test(argument) &&
    Number(argument) >= 0 &&
    Number(argument) <= 100;
  return isPercentile ? undefined : "must name a percentile from 0 to 100, as in p(99) or p(99.9)";
}

function fitting({ name, kind }: Pick<Metric, "name" | "kind">): string {
  const words = AGGREGATIONS_OF[kind].map((word) => (word === "p" ? "p(N)" : word));
  return `${name} is a ${kind}: use ${words.join(", ")}`;
}

function wrongLimit(text: string, { kind, unit }: Pick<Metric, "kind" | "unit">): string {
  const shown = JSON.stringify(text);
  if (kind === "rate") return `must compare with a number from 0 to 1 such as 0.99, not ${shown}`;
  const inUnits = unit === "1" ? "" : ` of ${UNIT_WORDS[unit]}`;
  return `must compare with a number${inUnits}, without a unit, not with ${shown}`;
}

const UNIT_WORDS = {
  ms: "milliseconds",
  us: "microseconds",
  "%": "percent",
  bytes: "bytes",
} as const;
