/** `wasmqtt report`: several results become one, which is judged again. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { ExitCode } from "../../host/src/cli/exit-code.ts";
import { runCli } from "../../host/src/cli/program.ts";
import { registerReport } from "../../simulator/src/cli/commands/report.ts";
import { expectations } from "../../simulator/src/run/expectations.ts";
import { type RunResult, resultSchema } from "../../simulator/src/run/result.ts";
import { RecordingContext } from "../support/run-cli.ts";
import { sampleResult } from "./sample-result.ts";

let context: RecordingContext;

beforeEach(() => {
  context = new RecordingContext();
});

/** A run in which all went well. */
function goodResult(changes: Partial<RunResult> = {}): RunResult {
  const result = { ...sampleResult(), ...changes };
  result.wills = { ...noWills, expected: 10, delivered: 10 };
  result.thresholds = [
    { metric: "connects", rule: "count>100", value: "count=85", ok: false, aborted: false },
  ];
  return { ...result, expectations: expectations(result) };
}

const noWills = {
  expected: 0,
  delivered: 0,
  missing: 0,
  early: 0,
  late: 0,
  doubled: 0,
  unexpected: 0,
  unjudged: 0,
};

function report(files: Record<string, unknown>, ...flags: string[]): Promise<ExitCode> {
  for (const [path, content] of Object.entries(files)) {
    context.files.set(path, typeof content === "string" ? content : JSON.stringify(content));
  }
  return runCli(["report", ...Object.keys(files), ...flags], context, [registerReport]);
}

const two = () => ({ "a.json": goodResult({ runId: "a" }), "b.json": goodResult({ runId: "b" }) });

test("two results become one, and what failed in each may hold for both", async () => {
  expect(await report(two(), "--json")).toBe(ExitCode.Ok);
  const merged = resultSchema.parse(JSON.parse(context.stdout.text));
  expect(merged).toMatchObject({ runId: "a+b", connections: { connected: 170 } });
  expect(merged.thresholds).toMatchObject([{ rule: "count>100", value: "count=170", ok: true }]);
  expect(context.stderr.text).toBe("");
});

test("one result is printed and judged again", async () => {
  expect(await report({ "a.json": goodResult() })).toBe(ExitCode.ExpectationFailed);
  expect(context.stdout.text).toContain("✗ connects  count>100  count=85");
  expect(context.stdout.text).toContain("1 of 1 thresholds failed.");
});

test("an expectation that does not hold for all is exit code 99 too", async () => {
  const files = two();
  Object.assign(files["b.json"].wills ?? {}, { delivered: 9, missing: 1 });
  expect(await report(files)).toBe(ExitCode.ExpectationFailed);
  expect(context.stdout.text).toContain("95.00% (19 of 20)");
});

describe("--out", () => {
  test("writes the merged result in other forms", async () => {
    const folder = mkdtempSync(join(tmpdir(), "wasmqtt-report-"));
    try {
      const path = join(folder, "merged.json");
      expect(await report(two(), "--out", `json=${path}`)).toBe(ExitCode.Ok);
      const written = resultSchema.parse(JSON.parse(readFileSync(path, "utf8")));
      expect(written.runId).toBe("a+b");
      expect(context.stdout.text).toContain("2 runs");

      context = new RecordingContext();
      expect(await report({ [path]: written }, "--json")).toBe(ExitCode.Ok);
      expect(JSON.parse(context.stdout.text)).toEqual(written);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("takes the place of the summary on stdout", async () => {
    expect(await report(two(), "--out", "junit=-")).toBe(ExitCode.Ok);
    expect(context.stdout.text).toMatch(/^<\?xml/u);
    expect(context.stdout.text).toMatch(/<\/testsuites>\s*$/u);
  });

  test("cannot be what is written while a run goes on", async () => {
    expect(await report(two(), "--out", "prometheus=:9464")).toBe(ExitCode.Usage);
    expect(context.stderr.text).toContain("--out prometheus is written while a run goes on");
  });

  test("that cannot be written is an error", async () => {
    expect(await report(two(), "--out", "json=/nowhere/at/all.json")).toBe(ExitCode.Usage);
    expect(context.stderr.text).toContain("/nowhere/at/all.json");
  });
});

describe("other thresholds", () => {
  test("of flags take the place of the results'", async () => {
    const flags = ["--threshold", "connects: count<100", "--threshold", "faults: count==30"];
    expect(await report(two(), "--json", ...flags)).toBe(ExitCode.ExpectationFailed);
    expect(JSON.parse(context.stdout.text).thresholds).toMatchObject([
      { metric: "connects", rule: "count<100", value: "count=170", ok: false },
      { metric: "faults", rule: "count==30", ok: true },
    ]);
  });

  test("of a scenario take the place of the results', and those of flags join them", async () => {
    context.files.set("my.yaml", "version: 1\nthresholds: { connects: [count<200] }");
    const flags = ["--scenario", "my.yaml", "--threshold", "connects: count>1"];
    expect(await report(two(), "--json", ...flags)).toBe(ExitCode.Ok);
    expect(JSON.parse(context.stdout.text).thresholds).toMatchObject([
      { rule: "count<200", ok: true },
      { rule: "count>1", ok: true },
    ]);
  });

  test("that cannot be read are a mistake of the flag", async () => {
    expect(await report(two(), "--threshold", "conects: count<5")).toBe(ExitCode.Usage);
    expect(context.stderr.text).toContain("--threshold  thresholds has an unknown metric");
    expect(context.stderr.text).toContain('Did you mean "connects"?');
    expect(context.stdout.text).toBe("");
  });
});

describe("what is no result says so, with its file", () => {
  test.each<[string, unknown, string]>([
    ["an empty file", "", "b.json is empty: its run may have ended before it was written"],
    ["no JSON", "{", "b.json is not one JSON document: "],
    [
      "several documents",
      '{"type":"header"}\n{"type":"sample"}',
      "b.json is not one JSON document",
    ],
    ["other JSON", [1], "b.json is no result of wasmqtt (urn:wasmqtt:result.v1)"],
    [
      "another version",
      { schema: "urn:wasmqtt:result.v2" },
      'its schema is "urn:wasmqtt:result.v2"',
    ],
    [
      "a part of a result",
      { ...goodResult(), devices: {} },
      "b.json is a damaged result: devices.count: ",
    ],
    [
      "a broken histogram",
      { ...goodResult(), latencies: brokenLatencies("AAAA") },
      "b.json is a damaged result: latencies.connect.histogram is no histogram of 85 values",
    ],
    [
      "a histogram of something else",
      {
        ...goodResult(),
        latencies: brokenLatencies(goodResult().latencies.publishAck?.histogram ?? ""),
      },
      "latencies.connect.histogram is no histogram of 85 values",
    ],
  ])("%s", async (_title, content, message) => {
    expect(await report({ "a.json": goodResult(), "b.json": content })).toBe(ExitCode.Usage);
    expect(context.stderr.text).toContain(message);
    expect(context.stderr.text).toContain("wasmqtt run --json or --out json=FILE");
    expect(context.stdout.text).toBe("");
  });

  function brokenLatencies(histogram: string): RunResult["latencies"] {
    const { latencies } = goodResult();
    if (latencies.connect === null) throw new RangeError("The sample has latencies");
    return { ...latencies, connect: { ...latencies.connect, histogram } };
  }

  test("a file that is not there", async () => {
    const exitCode = await runCli(["report", "nowhere.json"], context, [registerReport]);
    expect(exitCode).toBe(ExitCode.Usage);
    expect(context.stderr.text).toContain('The result "nowhere.json" cannot be read');
  });

  test("the same run twice", async () => {
    expect(await report({ "a.json": goodResult(), "b.json": goodResult() })).toBe(ExitCode.Usage);
    expect(context.stderr.text).toContain("a.json and b.json both have the run 01JD3Z5W8K in them");
  });

  test("a run that is already in a merged result", async () => {
    const files = { "ab.json": goodResult({ runId: "a+b" }), "b.json": goodResult({ runId: "b" }) };
    expect(await report(files)).toBe(ExitCode.Usage);
    expect(context.stderr.text).toContain("ab.json and b.json both have the run b in them");
  });
});

describe("what does not belong together is not merged", () => {
  const { scenario, firmware } = goodResult();

  test.each<[string, Partial<RunResult>, string]>([
    [
      "another scenario",
      { scenario: { ...scenario, name: "steady" } },
      "a.json and b.json are of different scenarios: demo and steady",
    ],
    [
      "the same scenario with other settings",
      { scenario: { ...scenario, text: `${scenario.text}observe: { grace: 9s }\n` } },
      "of different scenarios: observe.grace is not the same",
    ],
    [
      "another firmware",
      { firmware: { ...firmware, sha256: "1".repeat(64) } },
      "ran different firmware: thermometer 000000000000 and thermometer 111111111111",
    ],
  ])("%s", async (_title, changes, message) => {
    const files = { ...two(), "b.json": goodResult({ runId: "b", ...changes }) };
    expect(await report(files)).toBe(ExitCode.Incomplete);
    expect(context.stderr.text).toContain(message);
    expect(context.stderr.text).toContain("--allow-partial");
    expect(context.stdout.text).toBe("");

    context = new RecordingContext();
    expect(await report(files, "--allow-partial")).toBe(ExitCode.Ok);
    expect(context.stderr.text).toContain(message);
    expect(context.stdout.text).toContain("100 sensors");
  });
});

describe("runs that did not see everything", () => {
  test.each<[string, Partial<RunResult>, string]>([
    ["one that was interrupted", { interrupted: true }, "b.json: the run was interrupted"],
    [
      "one whose subscriber was away",
      { observer: { lost: 1, awayMs: 1500 } },
      "b.json: the run's own subscriber was away for 1.5s",
    ],
  ])("%s", async (_title, changes, message) => {
    const files = { ...two(), "b.json": goodResult({ runId: "b", ...changes }) };
    expect(await report(files)).toBe(ExitCode.Incomplete);
    expect(context.stderr.text).toContain(message);
    expect(context.stdout.text).toContain("100 sensors");

    context = new RecordingContext();
    expect(await report(files, "--allow-partial")).toBe(ExitCode.Ok);
    expect(context.stderr.text).toContain(message);
  });

  test("one that a threshold has ended has told enough: it has failed", async () => {
    const aborted = goodResult({ runId: "b", interrupted: true });
    aborted.thresholds = aborted.thresholds.map((threshold) => ({ ...threshold, aborted: true }));
    expect(await report({ "a.json": goodResult(), "b.json": aborted })).toBe(
      ExitCode.ExpectationFailed,
    );
    expect(context.stdout.text).toContain("A threshold ended the run.");
    expect(context.stderr.text).toBe("");
  });
});
