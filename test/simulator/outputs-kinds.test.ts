/** What stands in each kind of output, also where names and problems contain what could break or misuse it. */

import { join } from "node:path";
import { decodeFromCompressedBase64 } from "hdr-histogram-js";
import { describe, expect, test } from "vitest";
import { LatencyHistogram } from "../../simulator/src/histogram.ts";
import { CsvFormat } from "../../simulator/src/outputs/csv.ts";
import { hgrmDocuments } from "../../simulator/src/outputs/hgrm.ts";
import { reportPage } from "../../simulator/src/outputs/html.ts";
import { junitXml } from "../../simulator/src/outputs/junit.ts";
import { summaryMarkdown } from "../../simulator/src/outputs/md.ts";
import { NdjsonFormat, type SampleLine } from "../../simulator/src/outputs/ndjson.ts";
import type { RunResult } from "../../simulator/src/run/result.ts";
import { LATENCY_NAMES } from "../../simulator/src/run/run-sample.ts";
import { HOSTILE_NAMES, RecordingOutputs, sampleAt } from "./outputs-support.ts";
import { sampleResult } from "./sample-result.ts";

/** With a check of each sort. */
function checkedResult(changes: Partial<RunResult> = {}): RunResult {
  return {
    ...sampleResult(),
    expectations: [
      { name: "telemetry_lost", rule: "count==0", value: "0", ok: true },
      {
        name: "wills_delivered",
        rule: "rate==1",
        value: "90% (9 of 10)",
        ok: false,
        explanation:
          "Devices that vanished, but whose Last Will never came [MQTT-3.1.2-8]: 1 of 10.",
      },
    ],
    thresholds: [
      {
        metric: "connect_duration",
        rule: "p(99)<500",
        value: "p(99)=22",
        ok: true,
        aborted: false,
      },
      {
        metric: "publish_ack_duration",
        rule: "p(99)<1",
        value: "p(99)=12",
        ok: false,
        aborted: true,
      },
    ],
    problems: ["The observer was away for 120 ms."],
    ...changes,
  };
}

/** In every place where a name or a text of others can stand. */
function hostileResult(text: string): RunResult {
  const result = checkedResult({ problems: [text] });
  result.scenario = { ...result.scenario, name: text, text };
  result.broker = { ...result.broker, embedded: false, url: `mqtt://${text}` };
  result.generator = { ...result.generator, warnings: [text] };
  result.expectations = [{ name: text, rule: text, value: text, ok: false, explanation: text }];
  result.thresholds = [{ metric: text, rule: text, value: text, ok: false, aborted: true }];
  return result;
}

describe("ndjson", () => {
  const lineOf = (text: string) => {
    expect(text).toMatch(/^[^\n]*\n$/u);
    return JSON.parse(text);
  };

  test("begins with what it is and whose it is", () => {
    expect(lineOf(new NdjsonFormat(new RecordingOutputs()).begin())).toEqual({
      type: "header",
      schema: "urn:wasmqtt:samples.v1",
      tool: { name: "wasmqtt", version: "1.2.3" },
      scenario: { name: "storm", seed: 7 },
      startedAt: "2026-11-23T01:02:03.456Z",
    });
  });

  test("has a line for each sample, and each problem once", () => {
    const format = new NdjsonFormat(new RecordingOutputs());
    const first = lineOf(format.sample(sampleAt(0, { problems: ["one"] })));
    const { latencies, ...rest } = first as SampleLine;
    expect(rest).toEqual({
      type: "sample",
      atMs: 1000.1234,
      spanMs: 1000,
      phase: "steady",
      phaseIndex: 1,
      devices: 100,
      connected: 90,
      counters: sampleAt(0).counters,
      cpuPercent: 31.25,
      rssBytes: 123_456_789,
      eventLoopDelayMs: 4.5,
      problems: ["one"],
    });
    expect(Object.keys(latencies)).toEqual(["connect", "publishAckQos1"]);
    expect(latencies.connect).toMatchObject({ count: 2, minMs: 1, maxMs: 2.5 });
    expect(lineOf(format.sample(sampleAt(1, { problems: ["one"] }))).problems).toEqual([]);
    expect(lineOf(format.sample(sampleAt(2, { problems: ["one", "two"] }))).problems).toEqual([
      "two",
    ]);
    expect(lineOf(format.end(checkedResult({ problems: ["one", "two", "three"] })))).toEqual({
      type: "end",
      runId: "01JD3Z5W8K",
      durationMs: 20_400,
      interrupted: false,
      sampleCount: 3,
      expectations: checkedResult().expectations,
      thresholds: checkedResult().thresholds,
      problems: ["three"],
    });
  });

  test("loses nothing: the histograms of the lines together are the histogram of the run", () => {
    const format = new NdjsonFormat(new RecordingOutputs());
    const whole = new LatencyHistogram();
    const merged = new LatencyHistogram();
    const maximaMs: number[] = [];
    for (let index = 0; index < 5; index++) {
      const publishAckQos2 = Array.from({ length: 200 }, (_, count) => 0.1 * 1.05 ** count + index);
      for (const latencyMs of publishAckQos2) whole.record(latencyMs);
      const line: SampleLine = lineOf(
        format.sample(sampleAt(index, {}, { span: { publishAckQos2 } })),
      );
      const { histogram = "", maxMs = 0 } = line.latencies.publishAckQos2 ?? {};
      merged.merge(LatencyHistogram.decode(histogram));
      maximaMs.push(maxMs);
    }
    expect(merged.encode()).toBe(whole.encode());
    // The format keeps the longest only as near as any other; beside it stands the exact one.
    expect(Math.max(...maximaMs)).toBe(whole.summary()?.maxMs);
  });

  test.each(HOSTILE_NAMES)("keeps the name %j in one line of JSON", (phaseName) => {
    const format = new NdjsonFormat(new RecordingOutputs());
    expect(lineOf(format.sample(sampleAt(0, { phaseName }))).phase).toBe(phaseName);
  });
});

describe("csv", () => {
  const row = (changes = {}, lists = {}) => {
    const format = new CsvFormat();
    const [names = [], cells = []] = parseCsv(
      format.begin() + format.sample(sampleAt(1, changes, lists)),
    );
    expect(cells).toHaveLength(names.length);
    expect(new Set(names).size).toBe(names.length);
    return Object.fromEntries(names.map((name, index) => [name, cells[index]]));
  };

  test("has a row of names, with their units", () => {
    const [names = []] = parseCsv(new CsvFormat().begin());
    expect(names.slice(0, 5)).toEqual(["at_ms", "span_ms", "phase", "devices", "connected"]);
    expect(names).toHaveLength(5 + 15 + 8 * LATENCY_NAMES.length + 4);
    for (const name of names) expect(name).toMatch(/^[a-z][a-z0-9_]*$/u);
  });

  test("has each value under its name, and empty cells where nothing was measured", () => {
    expect(row()).toMatchObject({
      at_ms: "2000.123",
      span_ms: "1000",
      phase: "steady",
      devices: "100",
      connected: "90",
      connects_attempted_total: "20",
      connects_accepted_total: "22",
      connects_refused_total: "28",
      published_total: "32",
      dropped_total: "40",
      wills_unexpected_total: "48",
      connect_count: "2",
      connect_min_ms: "1",
      connect_p50_ms: "1",
      connect_max_ms: "2.5",
      publish_ack_qos1_p99_ms: expect.stringMatching(/^250(\.\d+)?$/u),
      publish_ack_qos2_count: "0",
      publish_ack_qos2_p99_ms: "",
      schedule_lag_count: "0",
      cpu_percent: "31.25",
      rss_bytes: "123456789",
      event_loop_delay_p99_ms: "4.5",
      problems_total: "0",
    });
  });

  test("takes the time of the span, not of the run", () => {
    const lists = { span: { endToEnd: [1] }, totals: { endToEnd: [1, 100] } };
    expect(row({}, lists)).toMatchObject({ end_to_end_count: "1", end_to_end_max_ms: "1" });
  });

  test.each(HOSTILE_NAMES)(
    "keeps %j in one cell that no spreadsheet takes for a formula",
    (name) => {
      const { phase } = row({ phaseName: name });
      expect(phase).not.toMatch(/^[=+\-@\t\r]/u);
      expect(phase?.replace(/^'/u, "")).toBe(name);
    },
  );

  test("ends each row with CR LF and has nothing behind the last one (RFC 4180, 2.1)", () => {
    const format = new CsvFormat();
    expect(format.begin()).toMatch(/^[^\r\n]*\r\n$/u);
    expect(format.sample(sampleAt(0))).toMatch(/^[^\r\n]*\r\n$/u);
    expect(format.end()).toBe("");
  });
});

/** Rows of cells; throws where RFC 4180 is not kept. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  const token = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/uy;
  while (token.lastIndex < text.length) {
    const at = token.lastIndex;
    const [, quoted, bare, end] = token.exec(text) ?? [];
    if (end === undefined) throw new Error(`no CSV from here on: ${text.slice(at)}`);
    rows.at(-1)?.push(quoted?.replaceAll('""', '"') ?? bare ?? "");
    if (end === "\r\n") rows.push([]);
  }
  return rows.slice(0, -1);
}

describe("hgrm", () => {
  test("has a file for each latency, in a folder or beside each other", () => {
    const inFolder = hgrmDocuments("out", true).map(({ path }) => path);
    expect(inFolder.slice(0, 3)).toEqual(
      ["connect.hgrm", "publish-ack.hgrm", "publish-ack-qos1.hgrm"].map((name) =>
        join("out", name),
      ),
    );
    expect(inFolder).toContain(join("out", "will-delivery-power-loss.hgrm"));
    const beside = hgrmDocuments("a/run.hgrm", false).map(({ path }) => path);
    expect(beside[0]).toBe("a/run-connect.hgrm");
    expect(hgrmDocuments("run", false)[0]?.path).toBe("run-connect.hgrm");
    expect(beside).toHaveLength(inFolder.length);
  });

  test("leaves out what was not measured", async () => {
    const result = sampleResult();
    const written: string[] = [];
    for (const { path, render } of hgrmDocuments("x", false)) {
      if ((await render(result)) !== undefined) written.push(path);
    }
    expect(written).toContain("x-connect.hgrm");
    expect(written).toContain("x-will-delivery-tcp-close.hgrm");
    expect(written).not.toContain("x-end-to-end.hgrm");
    expect(written).not.toContain("x-will-delivery-hang.hgrm");
  });

  test("is what HdrHistogram's plotters read: columns, percentiles that rise to 1, and a trailer", async () => {
    const [connect] = hgrmDocuments("x", false);
    const text = (await connect?.render(sampleResult())) ?? "";
    const [head, blank, ...lines] = text.split("\n");
    expect(head?.trim().split(/ +/u)).toEqual([
      "Value",
      "Percentile",
      "TotalCount",
      "1/(1-Percentile)",
    ]);
    expect(blank).toBe("");
    const rows = lines
      .filter((line) => /^ *\d/u.test(line))
      .map((line) => line.trim().split(/ +/u).map(Number));
    const [first, last] = [rows[0] ?? [], rows.at(-1) ?? []];
    // 85 connections in steps of 0.25 ms, from 1 ms on.
    expect(first.slice(0, 2)).toEqual([1, 0]);
    expect(last).toEqual([expect.closeTo(22, 1), 1, 85]);
    for (const [index, [value = 0, percentile = 0, count = 0]] of rows.entries()) {
      const [valueBefore = 0, percentileBefore = 0, countBefore = 0] = rows[index - 1] ?? [];
      expect(value).toBeGreaterThanOrEqual(valueBefore);
      expect(percentile).toBeGreaterThanOrEqual(percentileBefore);
      expect(count).toBeGreaterThanOrEqual(countBefore);
    }
    expect(lines.filter((line) => line.startsWith("#["))).toHaveLength(3);
    const mean = decodeFromCompressedBase64(sampleResult().latencies.connect?.histogram ?? "").mean;
    expect(text).toContain(`#[Mean    = ${(mean / 1000).toFixed(3).padStart(12)},`);
  });
});

describe("junit", () => {
  test("has a test case for each expectation and threshold, and a failure for each that does not hold", () => {
    const suites = parseXml(junitXml(checkedResult())).children;
    expect(suites.map(({ attributes }) => attributes)).toEqual([
      {
        name: "expectations",
        package: "wasmqtt.demo",
        id: "0",
        timestamp: "2026-11-23T01:02:03",
        hostname: "localhost",
        tests: "2",
        failures: "1",
        errors: "0",
        skipped: "0",
        time: "20.4",
      },
      expect.objectContaining({ name: "thresholds", id: "1", tests: "2", failures: "1" }),
    ]);
    const cases = suites.flatMap(({ children }) =>
      children.filter(({ name }) => name === "testcase"),
    );
    expect(cases.map(({ attributes, children }) => [attributes["name"], children])).toEqual([
      ["telemetry_lost count==0", []],
      [
        "wills_delivered rate==1",
        [
          {
            name: "failure",
            attributes: {
              message: "wills_delivered is 90% (9 of 10), but must be rate==1",
              type: "wasmqtt",
            },
            children: [],
            text: "Devices that vanished, but whose Last Will never came [MQTT-3.1.2-8]: 1 of 10.",
          },
        ],
      ],
      ["connect_duration p(99)<500", []],
      [
        "publish_ack_duration p(99)<1",
        [
          {
            name: "failure",
            attributes: {
              message: "publish_ack_duration has p(99)=12, but must have p(99)<1",
              type: "wasmqtt",
            },
            children: [],
            text: "This threshold ended the run before its time.",
          },
        ],
      ],
    ]);
  });

  test("carries the summary and the problems", () => {
    const [suite] = parseXml(junitXml(checkedResult())).children;
    const textOf = (name: string) => suite?.children.find((child) => child.name === name)?.text;
    expect(textOf("system-out")).toContain("COUNTS");
    expect(textOf("system-err")).toBe("The observer was away for 120 ms.\n");
  });

  test.each([
    checkedResult(),
    checkedResult({ expectations: [], thresholds: [], problems: [] }),
    ...HOSTILE_NAMES.map(hostileResult),
  ])("keeps to the schema of Ant's JUnit task, result %#", (result) => {
    const root = parseXml(junitXml(result));
    expect(root.name).toBe("testsuites");
    expect(root.attributes).toEqual({});
    for (const suite of root.children) {
      const names = suite.children.map(({ name }) => name);
      expect(names.join(" ")).toMatch(/^properties( testcase)* system-out system-err$/u);
      expect(Number(suite.attributes["tests"])).toBe(names.length - 3);
      expect(suite.attributes["time"]).toMatch(/^\d+(\.\d+)?$/u);
      expect(suite.attributes["timestamp"]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/u);
      for (const testCase of suite.children.slice(1, -2)) {
        expect(Object.keys(testCase.attributes)).toEqual(["name", "classname", "time"]);
        for (const failure of testCase.children) {
          expect(failure.name).toBe("failure");
          expect(Object.keys(failure.attributes)).toEqual(["message", "type"]);
        }
      }
    }
  });

  test.each(HOSTILE_NAMES)("keeps the name %j", (text) => {
    const [suite] = parseXml(junitXml(hostileResult(text))).children;
    const testCase = suite?.children[1];
    expect(testCase?.attributes["name"]).toBe(`${text} ${text}`);
    expect(testCase?.children[0]?.text).toBe(text);
  });

  test("replaces what XML cannot hold at all (XML 1.0, 2.2), and line ends in attributes", () => {
    const text = "a\u0000b\u001bc\ufffed\ud800e\nf";
    const [suite] = parseXml(junitXml(hostileResult(text))).children;
    const failure = suite?.children[1]?.children[0];
    expect(failure?.text).toBe("a\ufffdb\ufffdc\ufffdd\ufffde\nf");
    expect(failure?.attributes["message"]).toContain("a\ufffdb\ufffdc\ufffdd\ufffde f is ");
  });
});

interface XmlElement {
  name: string;
  attributes: Record<string, string>;
  children: XmlElement[];
  /** Of an element without children. */
  text: string;
}

/** The root of a document of elements, attributes and text; throws where it is not well-formed. */
function parseXml(document: string): XmlElement {
  expect(document).not.toMatch(/[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/u);
  const [head = "", ...rest] = document.split(/(?<=\?>)\n/u);
  expect(head).toBe('<?xml version="1.0" encoding="UTF-8"?>');
  const top: XmlElement = { name: "", attributes: {}, children: [], text: "" };
  const open = [top];
  const token =
    /<\/(?<closed>\w[\w-]*)>|<(?<opened>[\w-]+)(?<attributes>(?: [\w-]+="[^"<]*")*)(?<empty>\/?)>|[^<]+/uy;
  const body = rest.join("\n");
  while (token.lastIndex < body.length) {
    const at = token.lastIndex;
    const match = token.exec(body);
    if (match === null) throw new Error(`no XML from here on: ${body.slice(at, at + 200)}`);
    takeToken(match, open);
  }
  expect(open).toEqual([top]);
  const [root] = top.children;
  if (root === undefined) throw new Error("no root");
  return root;
}

/** `open` are the elements that are not closed yet, from the outside in. */
function takeToken({ 0: text, groups = {} }: RegExpExecArray, open: XmlElement[]): void {
  const { closed, opened, attributes = "", empty } = groups;
  const parent = open.at(-1);
  if (parent === undefined) throw new Error("text behind the root");
  if (closed !== undefined) {
    expect(closed).toBe(open.pop()?.name);
  } else if (opened !== undefined) {
    const element = {
      name: opened,
      attributes: parseAttributes(attributes),
      children: [],
      text: "",
    };
    parent.children.push(element);
    if (empty === "") open.push(element);
  } else if (parent.children.length === 0) {
    parent.text = unescaped(text);
  }
}

function parseAttributes(text: string): Record<string, string> {
  const pairs = [...text.matchAll(/ ([\w-]+)="([^"]*)"/gu)];
  const attributes = Object.fromEntries(
    pairs.map(([, name, value]) => [name, unescaped(value ?? "")]),
  );
  expect(Object.keys(attributes)).toHaveLength(pairs.length);
  return attributes;
}

function unescaped(text: string): string {
  expect(text).not.toMatch(/&(?!(amp|lt|gt|quot);)/u);
  const characters: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"' };
  return text.replace(/&(\w+);/gu, (_, name: string) => characters[name] ?? "");
}

describe("md", () => {
  const tables = (markdown: string) =>
    markdown.split("\n\n").filter((part) => part.startsWith("|"));

  test("says first whether all is well, then why not", () => {
    const markdown = summaryMarkdown(checkedResult());
    expect(markdown).toMatch(/^### wasmqtt <code>demo<\/code>\n/u);
    expect(markdown).toContain(
      "**❌ A threshold ended the run. 1 of 2 expectations and 1 of 2 thresholds failed.**",
    );
    expect(markdown).toContain(
      "| ❌ | <code>wills_delivered</code> | <code>rate==1</code> | <code>90% (9 of 10)</code> |",
    );
    expect(markdown).toContain("- <code>publish_ack_duration</code> ended the run");
    expect(markdown).toContain("whose Last Will never came &#91;MQTT-3.1.2-8&#93;");
    expect(markdown).toContain("- The observer was away for 120 ms.");
  });

  test("says that all is well, that it was interrupted, and that not all was seen", () => {
    const well = checkedResult({ expectations: [], thresholds: [] });
    expect(summaryMarkdown(well)).toContain("**✅ All 0 expectations hold.**");
    expect(summaryMarkdown({ ...well, interrupted: true })).toContain(
      "**⚠️ The run was interrupted. What could be checked until then holds.**",
    );
    const blind = summaryMarkdown({ ...well, observer: { lost: 1, awayMs: 10 } });
    expect(blind).toContain("⚠️ What could be seen is well, but not all could");
  });

  test("has the latencies that were measured, and the Last Wills of each fault", () => {
    const markdown = summaryMarkdown(checkedResult());
    expect(markdown).toMatch(/^\| connect \| 85 \| 11\.5 \|.* 22\.0 \|$/mu);
    expect(markdown).toMatch(/^\| Last Will after power-loss \| 4 \|/mu);
    expect(markdown).not.toContain("Last Will after hang");
    expect(markdown).toContain("| power-loss | 5 | 4 | 1 | 0 | 1 | 0 | 0 | 0 |");
  });

  test.each([checkedResult(), ...HOSTILE_NAMES.map(hostileResult)])(
    "has as many cells in each row of a table as it has columns, result %#",
    (result) => {
      for (const table of tables(summaryMarkdown(result))) {
        const [head = "", ...rows] = table.split("\n");
        const count = (row: string) => row.match(/(?<!\\)\|/gu)?.length;
        for (const row of rows) expect(count(row)).toBe(count(head));
      }
    },
  );

  test.each(HOSTILE_NAMES)("means nothing by %j, and mentions nobody", (text) => {
    const markdown = summaryMarkdown(hostileResult(text));
    const ours = summaryMarkdown(hostileResult("x"));
    const marks = (source: string) =>
      source.replace(/&#\d+;(<!-- -->)?/gu, "").match(/[!#$*[\\\]^_`{}~@]|<[^>]*>|\w+:\/\//gu);
    expect(marks(markdown)).toEqual(marks(ours));
  });

  test("has each text of others in one line", () => {
    const lineCount = (result: RunResult) => summaryMarkdown(result).split("\n").length;
    expect(lineCount(hostileResult("a\r\n\n# b\u2028c"))).toBe(lineCount(hostileResult("x")));
    expect(summaryMarkdown(hostileResult("a\u202eb"))).not.toContain("\u202e");
  });
});

test("html is the page of the report", async () => {
  expect(await reportPage(checkedResult())).toMatch(/^<!doctype html>/iu);
});
