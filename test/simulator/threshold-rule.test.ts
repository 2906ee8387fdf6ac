import { describe, expect, test } from "vitest";
import type { Measurement, MetricKind } from "../../simulator/src/run/metric.ts";
import { aggregate, holds, parseThresholdRule } from "../../simulator/src/run/threshold-rule.ts";

const METRICS = {
  trend: { name: "connect_duration", kind: "trend", unit: "ms" },
  rate: { name: "will_delivered", kind: "rate", unit: "1" },
  counter: { name: "connects", kind: "counter", unit: "1" },
  gauge: { name: "rss_bytes", kind: "gauge", unit: "bytes" },
} as const;

function read(text: string, kind: MetricKind) {
  const rule = parseThresholdRule(text, METRICS[kind]);
  if ("problem" in rule) throw new RangeError(rule.problem);
  return rule;
}

function problemOf(text: string, kind: MetricKind): string {
  const rule = parseThresholdRule(text, METRICS[kind]);
  return "problem" in rule ? rule.problem : "no problem";
}

test.each<[string, MetricKind, number | undefined, string, string, number]>([
  ["p(99)<500", "trend", 99, "p", "<", 500],
  ["p(99.9) <= 1000", "trend", 99.9, "p", "<=", 1000],
  [" p( 0 )>0.5 ", "trend", 0, "p", ">", 0.5],
  ["p(100)<1e3", "trend", 100, "p", "<", 1000],
  ["avg<200", "trend", 0, "avg", "<", 200],
  ["min >= 1", "trend", 0, "min", ">=", 1],
  ["med<.5", "trend", 0, "med", "<", 0.5],
  ["max<2000", "trend", 0, "max", "<", 2000],
  ["count==0", "counter", 0, "count", "==", 0],
  ["rate>100", "counter", 0, "rate", ">", 100],
  ["rate===1", "rate", 0, "rate", "===", 1],
  ["rate!=0", "rate", 0, "rate", "!=", 0],
  ["value<500000000", "gauge", 0, "value", "<", 500_000_000],
])("%s is read", (text, kind, percentile, aggregation, comparison, limit) => {
  expect(read(text, kind)).toEqual({ aggregation, percentile, comparison, limit });
});

describe("a rule that cannot be read says what to write", () => {
  test.each<[string, MetricKind, string]>([
    [
      "",
      "trend",
      'is no rule: "". Write each as in p(99)<250; comparisons are < <= > >= == === !=',
    ],
    ["<500", "trend", 'is no rule: "<500"'],
    ["p(99)", "trend", 'is no rule: "p(99)"'],
    ["p(99<5", "trend", 'is no rule: "p(99<5"'],
    ["p(99)=5", "trend", "comparisons are <"],
    ["p(99)=>5", "trend", "comparisons are <"],
    [
      "count==0",
      "trend",
      "asks for count, but connect_duration is a trend: use avg, min, med, max",
    ],
    ["p(99)<5", "counter", "asks for p, but connects is a counter: use count, rate"],
    ["value<5", "rate", "asks for value, but will_delivered is a rate: use rate"],
    ["rate<5", "gauge", "asks for rate, but rss_bytes is a gauge: use value"],
    ["p99<500", "trend", 'asks for "p99", which is unknown. Did you mean p(99)?'],
    ["mad<500", "trend", 'asks for "mad", which is unknown. Did you mean med?'],
    ["wobble<500", "trend", "Here connect_duration is a trend: use"],
    ["p<500", "trend", "must name a percentile from 0 to 100, as in p(99) or p(99.9)"],
    ["p()<500", "trend", "must name a percentile"],
    ["p(101)<500", "trend", "must name a percentile"],
    ["p(-1)<500", "trend", "must name a percentile"],
    ["p(x)<500", "trend", "must name a percentile"],
    ["avg(5)<500", "trend", "has (5) after avg; only p takes a number"],
    ["p(99)<500ms", "trend", 'a number of milliseconds, without a unit, not with "500ms"'],
    ["value<1GiB", "gauge", 'a number of bytes, without a unit, not with "1GiB"'],
    ["count<many", "counter", 'must compare with a number, without a unit, not with "many"'],
    ["rate>95%", "rate", 'must compare with a number from 0 to 1 such as 0.99, not "95%"'],
    ["rate>95", "rate", "from 0 to 1"],
    ["rate>-1", "rate", "from 0 to 1"],
    ["p(99)<Infinity", "trend", "must compare with a number"],
    ["p(99)<5 && max<7", "trend", 'is not one rule: "p(99)<5 && max<7". Write each as in'],
    [`max<${"9".repeat(70)}`, "trend", 'is no rule: "max<99'],
  ])("%s for a %s", (text, kind, problem) => {
    expect(problemOf(text, kind)).toContain(problem);
  });
});

describe("what is compared", () => {
  const trend: Measurement = {
    kind: "trend",
    avgMs: 1,
    minMs: 2,
    maxMs: 3,
    percentileMs: (percentile) => 1000 + percentile,
  };

  test.each<[string, MetricKind, Measurement, number]>([
    ["avg<1", "trend", trend, 1],
    ["min<1", "trend", trend, 2],
    ["max<1", "trend", trend, 3],
    ["med<1", "trend", trend, 1050],
    ["p(99.9)<1", "trend", trend, 1099.9],
    ["rate<1", "rate", { kind: "rate", part: 3, whole: 4 }, 0.75],
    ["count<1", "counter", { kind: "counter", count: 7, perSecond: 3.5 }, 7],
    ["rate<1", "counter", { kind: "counter", count: 7, perSecond: 3.5 }, 3.5],
    ["value<1", "gauge", { kind: "gauge", value: 42 }, 42],
  ])("%s of a %s", (text, kind, measurement, value) => {
    expect(aggregate(read(text, kind), measurement)).toBe(value);
  });

  test.each<[string, boolean, boolean, boolean]>([
    ["<", true, false, false],
    ["<=", true, true, false],
    [">", false, false, true],
    [">=", false, true, true],
    ["==", false, true, false],
    ["===", false, true, false],
    ["!=", true, false, true],
  ])("%s, of less than the limit, the limit and more", (comparison, less, same, more) => {
    const rule = read(`value${comparison}5`, "gauge");
    expect([4.9, 5, 5.1].map((value) => holds(rule, value))).toEqual([less, same, more]);
  });
});
