/**
 * `--out junit=FILE`: each expectation and each threshold as a test case, in the XML of Ant's JUnit task, which every
 * server for continuous integration reads.
 */

import type { Expectation, RunResult, ThresholdResult } from "../run/result.ts";
import { summaryText } from "../summary/summary.ts";

/** Valid against the strictest schema in use, which also demands what others leave out, such as `hostname`. */
export function junitXml(result: RunResult): string {
  const suites = [
    suiteXml(0, "expectations", result.expectations.map(expectationCase), result),
    suiteXml(1, "thresholds", result.thresholds.map(thresholdCase), result),
  ];
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n${suites.join("")}</testsuites>\n`;
}

interface TestCase {
  readonly name: string;
  /** Undefined if it holds. */
  readonly failure: { readonly message: string; readonly text: string } | undefined;
}

function expectationCase({ name, rule, value, ok, explanation }: Expectation): TestCase {
  const message = `${name} is ${value}, but must be ${rule}`;
  return {
    name: `${name} ${rule}`,
    failure: ok ? undefined : { message, text: explanation ?? "" },
  };
}

function thresholdCase({ metric, rule, value, ok, aborted }: ThresholdResult): TestCase {
  const message = `${metric} has ${value}, but must have ${rule}`;
  const text = aborted ? "This threshold ended the run before its time." : "";
  return { name: `${metric} ${rule}`, failure: ok ? undefined : { message, text } };
}

function suiteXml(
  id: number,
  kind: string,
  testCases: readonly TestCase[],
  result: RunResult,
): string {
  const failures = testCases.filter(({ failure }) => failure !== undefined).length;
  const suite = attributes({
    name: kind,
    package: `wasmqtt.${result.scenario.name}`,
    id,
    timestamp: result.startedAt.slice(0, "2026-11-23T01:02:03".length), // UTC; the schema allows no zone
    hostname: "localhost",
    tests: testCases.length,
    failures,
    errors: 0,
    skipped: 0,
    time: result.durationMs / 1000,
  });
  const className = `wasmqtt.${result.scenario.name}.${kind}`;
  const texts =
    id === 0 ? { out: summaryText(result, { color: false }), err: problemText(result) } : {};
  return [
    `  <testsuite${suite}>\n`,
    propertiesXml(result),
    ...testCases.map((testCase) => testCaseXml(testCase, className)),
    `    <system-out>${escaped(texts.out ?? "")}</system-out>\n`,
    `    <system-err>${escaped(texts.err ?? "")}</system-err>\n`,
    "  </testsuite>\n",
  ].join("");
}

function propertiesXml({
  runId,
  tool,
  scenario,
  broker,
  firmware,
  interrupted,
}: RunResult): string {
  const properties = Object.entries({
    runId,
    version: tool.version,
    scenario: scenario.name,
    seed: scenario.seed,
    broker: broker.url,
    firmware: firmware.name,
    firmwareSha256: firmware.sha256,
    interrupted,
  });
  const lines = properties.map(
    ([name, value]) => `      <property${attributes({ name, value })}/>\n`,
  );
  return `    <properties>\n${lines.join("")}    </properties>\n`;
}

function testCaseXml({ name, failure }: TestCase, className: string): string {
  const testCase = `    <testcase${attributes({ name, classname: className, time: 0 })}`;
  if (failure === undefined) return `${testCase}/>\n`;
  const { message, text } = failure;
  return [
    `${testCase}>\n`,
    `      <failure${attributes({ message, type: "wasmqtt" })}>${escaped(text)}</failure>\n`,
    "    </testcase>\n",
  ].join("");
}

function problemText({ problems }: RunResult): string {
  return problems.map((problem) => `${problem}\n`).join("");
}

function attributes(values: Readonly<Record<string, string | number | boolean>>): string {
  return Object.entries(values)
    .map(([name, value]) => ` ${name}="${escaped(String(value)).replace(/[\t\n\r]/gu, " ")}"`)
    .join("");
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
};

/** Text as XML 1.0 allows it (2.2, 2.4): other characters cannot even be written as a reference. */
function escaped(text: string): string {
  return text
    .replace(/[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu, "\u{fffd}")
    .replace(/[&<>"]/gu, (character) => ENTITIES[character] ?? character);
}
