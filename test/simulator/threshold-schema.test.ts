import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { UsageError } from "../../host/src/errors.ts";
import { scenarioJsonSchema } from "../../simulator/src/json-schema.ts";
import { METRICS } from "../../simulator/src/run/metrics.ts";
import type { ScenarioOverrides } from "../../simulator/src/scenario/override-draft.ts";
import type { Threshold } from "../../simulator/src/scenario/scenario.ts";
import { readScenario } from "../../simulator/src/scenario/scenario-file.ts";

function read(yaml: string, overrides: ScenarioOverrides = {}): Threshold[] {
  return readScenario(`version: 1\n${yaml}`, "my.yaml", overrides).thresholds;
}

/** The mistakes that are reported for a text, one a line, without the sentence above them. */
function mistakes(yaml: string, overrides: ScenarioOverrides = {}): string[] {
  try {
    read(yaml, overrides);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return error.message.split("\n  ").slice(1);
  }
  return [];
}

const plain = { abortOnFail: false, delayAbortEvalMs: 0 };

test("thresholds are read as k6 has them", () => {
  const thresholds = read(`
thresholds:
  connect_duration: ["p(99)<500"]
  publish_ack_duration:
    - p(99)<250
    - " p(99.9) < 1000 "
    - { threshold: "max<5000", abortOnFail: true, delayAbortEval: 10s }
  publish_ack_duration{qos:2}: ["avg<80"]
  will_delivered: ["rate==1"]
  will_unexpected: ["count==0"]
  publish_dropped: ["count==0"]
`);
  expect(thresholds).toEqual([
    { metric: "connect_duration", rule: "p(99)<500", ...plain },
    { metric: "publish_ack_duration", rule: "p(99)<250", ...plain },
    { metric: "publish_ack_duration", rule: "p(99.9) < 1000", ...plain },
    {
      metric: "publish_ack_duration",
      rule: "max<5000",
      abortOnFail: true,
      delayAbortEvalMs: 10_000,
    },
    { metric: "publish_ack_duration{qos:2}", rule: "avg<80", ...plain },
    { metric: "publish_dropped", rule: "count==0", ...plain },
    { metric: "will_delivered", rule: "rate==1", ...plain },
    { metric: "will_unexpected", rule: "count==0", ...plain },
  ]);
});

test("every metric takes a rule of its kind", () => {
  const rules = { trend: "p(99)<1", rate: "rate<1", counter: "count<1", gauge: "value<1" };
  const yaml = METRICS.map(({ name, kind }) => `  "${name}": ["${rules[kind]}"]`).join("\n");
  expect(read(`thresholds:\n${yaml}`).map(({ metric }) => metric)).toEqual(
    METRICS.map(({ name }) => name),
  );
});

test("the published schema knows both forms and every metric", () => {
  const schema = z.fromJSONSchema(scenarioJsonSchema() as Parameters<typeof z.fromJSONSchema>[0]);
  const isValid = (thresholds: unknown) => schema.safeParse({ version: 1, thresholds }).success;
  expect(isValid(Object.fromEntries(METRICS.map(({ name }) => [name, ["count<1"]])))).toBe(true);
  expect(isValid({ connects: [{ threshold: "count<1", delayAbortEval: "5s" }] })).toBe(true);
  expect(isValid({ conects: ["count<1"] })).toBe(false);
  expect(isValid({ connects: [{ threshold: "count<1", abortOnFial: true }] })).toBe(false);
  expect(isValid({ connects: [5] })).toBe(false);
});

test("the example of docs/metrics.md is read", () => {
  const manual = readFileSync(new URL("../../docs/metrics.md", import.meta.url), "utf8");
  const [, yaml = ""] = /```yaml\n(.*?)```/su.exec(manual) ?? [];
  expect(read(yaml).length).toBe(yaml.match(/[<>=]+\d/gu)?.length);
});

describe("a mistake has its place and says what to write", () => {
  test.each<[string, string, string]>([
    [
      "connect_durations: []",
      "3:3",
      'an unknown metric "connect_durations". Did you mean "connect_duration"?',
    ],
    [
      "publish_ack: []",
      "3:3",
      'an unknown metric "publish_ack". Did you mean "publish_ack_duration"?',
    ],
    ["latency: []", "3:3", 'an unknown metric "latency". They are connect_duration, connected,'],
    [
      "connect_duration: p(99)<5",
      "3:21",
      'must be a list of at most 20 rules, such as ["p(99)<250"], but is "p(99)<5"',
    ],
    [
      "connect_duration: [p99<5]",
      "3:22",
      'thresholds.connect_duration[0] asks for "p99", which is unknown. Did you mean p(99)?',
    ],
    ["connects: [p(99)<5]", "3:14", "connects is a counter: use count, rate"],
    ["connects: [5]", "3:14", "must be a rule such as p(99)<250, but is 5"],
    [
      "connects: [{ threshold: count<x }]",
      "3:27",
      'thresholds.connects[0].threshold must compare with a number, without a unit, not with "x"',
    ],
    [
      "connects: [{ threshold: count<1, abortOnFial: true }]",
      "3:36",
      'unknown key "abortOnFial". Did you mean "abortOnFail"?',
    ],
    [
      "connects: [{ threshold: count<1, delayAbortEval: soon }]",
      "3:52",
      "must be a duration from 0s to 24h",
    ],
    [
      "will_missing: [{ threshold: count<1, abortOnFail: true }]",
      "3:53",
      "cannot end the run: will_missing is known only when it is over",
    ],
  ])("%s", (yaml, place, message) => {
    const [mistake, ...others] = mistakes(`thresholds:\n  ${yaml}`);
    expect(others).toEqual([]);
    expect(mistake?.startsWith(`my.yaml:${place}  thresholds`)).toBe(true);
    expect(mistake).toContain(message);
  });

  test("what is not observed cannot be demanded", () => {
    const yaml =
      "thresholds: { telemetry_lost: [count==0], will_late: [count==0] }\nobserve: { audit: false, wills: false }";
    expect(mistakes(yaml)).toEqual([
      "my.yaml:2:31  thresholds.telemetry_lost cannot be measured with observe.audit: false",
      "my.yaml:2:54  thresholds.will_late cannot be measured with observe.wills: false",
    ]);
  });
});

describe("--threshold", () => {
  test("joins the file's, and its metric may have braces", () => {
    const thresholds = read("thresholds: { connects: [count>5] }", {
      thresholds: [
        "connects: rate>1",
        "publish_ack_duration{qos:1}: p(99)<250",
        "will_delivery_duration{fault:tcp-reset}:max<9",
        "publish_ack_duration{qos:1}:max<999",
      ],
    });
    expect(thresholds.map(({ metric, rule }) => `${metric}: ${rule}`)).toEqual([
      "connects: count>5",
      "connects: rate>1",
      "publish_ack_duration{qos:1}: p(99)<250",
      "publish_ack_duration{qos:1}: max<999",
      "will_delivery_duration{fault:tcp-reset}: max<9",
    ]);
  });

  test("is part of the text of the scenario", () => {
    const { text } = readScenario("version: 1", "my.yaml", { thresholds: ["connects: count>5"] });
    expect(text).toContain("thresholds:\n  connects:\n    - count>5\n");
  });

  test.each<[string, string, string]>([
    [
      "p(99)<5",
      "",
      '--threshold  must be METRIC: RULE, such as "publish_ack_duration: p(99)<250", not "p(99)<5"',
    ],
    ["connect: count>5", "", '--threshold  thresholds has an unknown metric "connect"'],
    ["conects: count>5", "", 'Did you mean "connects"?'],
    [
      "connects: p(9)<5",
      "",
      "--threshold  thresholds.connects[0] asks for p, but connects is a counter",
    ],
    [
      "connects: p(9)<5",
      "thresholds: { connects: [count>5] }",
      "--threshold  thresholds.connects[1] asks for p",
    ],
    ["connects:", "", '--threshold  thresholds.connects[0] is no rule: ""'],
  ])("%s is a mistake of the flag", (flag, yaml, message) => {
    const [mistake, ...others] = mistakes(yaml, { thresholds: [flag] });
    expect(others).toEqual([]);
    expect(mistake).toContain(message);
    expect(mistake).toMatch(/^--threshold/u);
  });

  test("a mistake of the file stays the file's", () => {
    const [mistake] = mistakes("thresholds: { connects: [p(9)<5] }", {
      thresholds: ["connects: count>5"],
    });
    expect(mistake).toMatch(/^my\.yaml:2:26 /u);
  });
});
