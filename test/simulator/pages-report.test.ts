/** The report: complete, self-contained, and safe whatever the names in a result are. */

import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import type { ReportData } from "../../simulator/src/pages/page-data.ts";
import { htmlReport } from "../../simulator/src/pages/report.ts";
import { type RunResult, resultSchema } from "../../simulator/src/run/result.ts";
import { pagesResult } from "../support/pages-run.ts";
import { sampleResult } from "./sample-result.ts";

const report = htmlReport(pagesResult());

function scriptsOf(page: string): { attributes: string; text: string }[] {
  return [...page.matchAll(/<script([^>]*)>([\s\S]*?)<\/script>/gu)].map(
    ([, attributes = "", text = ""]) => ({ attributes, text }),
  );
}

function dataOf(page: string): ReportData {
  const block = scriptsOf(page).find(({ attributes }) => attributes.includes("run-data"));
  return JSON.parse(block?.text ?? "") as ReportData;
}

/** As a browser shows it, without markup. */
function textOf(page: string): string {
  return page
    .replace(/<(script|style)[\s\S]*?<\/\1>/gu, "")
    .replace(/<[^>]+>/gu, " ")
    .replace(/[\s\u00a0]+/gu, " ");
}

test("the result of the tests is a result", () => {
  expect(resultSchema.parse(pagesResult())).toBeDefined();
});

test("it takes nothing from elsewhere", () => {
  const markup = report.replace(/<(script|style)[\s\S]*?<\/\1>/gu, "");
  expect(markup).not.toMatch(/\ssrc=|<link|<iframe|<img|url\(|@import/iu);
  expect(report).toContain("default-src 'none'");
});

test("its Content Security Policy allows its own style and two scripts, by their hashes alone", () => {
  const policy = /http-equiv="Content-Security-Policy" content="([^"]+)"/u.exec(report)?.[1] ?? "";
  const hash = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  const programs = scriptsOf(report).filter(({ attributes }) => !attributes.includes("json"));
  expect(programs).toHaveLength(2);
  expect(policy).toContain(`script-src ${programs.map(({ text }) => hash(text)).join(" ")};`);
  const style = /<style>([\s\S]*?)<\/style>/u.exec(report)?.[1] ?? "";
  expect(policy).toContain(`style-src ${hash(style)};`);
  expect(policy).not.toContain("unsafe");
});

test("it says what was run: scenario, seed, versions, and the module that is flashed", () => {
  const text = textOf(report);
  const { scenario, firmware, runId } = pagesResult();
  for (const line of scenario.text.trim().split("\n")) expect(text).toContain(line.trim());
  expect(text).toContain(firmware.sha256);
  expect(text).toContain("they are the same bytes");
  expect(text).toContain(runId);
  expect(text).toContain("Seed 42");
  expect(text).toContain("wasmqtt 0.1.0");
  expect(text).toContain("20.19.2");
});

test("it says what holds and what does not, in words", () => {
  const text = textOf(report);
  expect(text).toContain("1 of 2 expectations and 1 of 2 thresholds failed.");
  expect(text).toMatch(/✓ holds: publish_ack_duration p\(99\)&lt;250 p\(99\)=19\.8 ms/u);
  expect(text).toMatch(/✗ fails: will_delivered rate==1 99\.8 %/u);
  expect(text).toContain("The broker did not announce a device that vanished.");
  expect(text).toContain("The broker closed 3 connections without a reason.");
});

test("corrected and uncorrected latency stand side by side", () => {
  const { publishAck, publishAckUncorrected } = pagesResult().latencies;
  expect(textOf(report)).toContain(
    `99 % ${publishAck?.p99Ms.toFixed(1)} ${publishAckUncorrected?.p99Ms.toFixed(1)}`,
  );
});

test("a phase's percentiles are those of all its messages, and its counts those of its time", () => {
  const text = textOf(report);
  // 500 of 1,000 vanish at 76 s; 496 - 1 Wills come until 86 s.
  expect(text).toMatch(/3 the tower dies 1m10s 20s 700 [\d.]+ [\d.]+ [\d.]+ 495/u);
  expect(text).toMatch(/1 connect 0s 20s 1 000/u);
});

test("the curves end with the longest, and the charts have a point of each second", () => {
  const { curves, time, charts } = dataOf(report);
  const { publishAck } = pagesResult().latencies;
  expect(curves[0]?.points[0]?.oneIn).toBe(1);
  const last = curves[0]?.points.at(-1);
  expect(last?.oneIn).toBe(publishAck?.count);
  expect((last?.valueMs ?? 0) / (publishAck?.maxMs ?? 0)).toBeCloseTo(1, 2);
  expect(time.rows).toHaveLength(120);
  const seriesCount = charts.reduce((sum, { series }) => sum + series.length, 0);
  expect(new Set(time.rows.map(({ length }) => length))).toEqual(new Set([seriesCount]));
  expect(time.rows[19]?.slice(0, 4)).toEqual([1000, 50, 2, 0]);
});

const HOSTILE = `</script><script>alert(1)</script><img src=x onerror="alert(2)">'"&<!--`;

/** Every text that others choose, made hostile. */
function hostileResult(): RunResult {
  const result = pagesResult();
  const fixed = new Set(["schema", "histogram", "sha256", "url", "startedAt"]);
  const poison = (value: unknown, key: string): unknown => {
    if (typeof value === "string") return fixed.has(key) ? value : `${value}${HOSTILE}`;
    if (Array.isArray(value)) return value.map((one) => poison(one, key));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => [
        key === "failed" ? name + HOSTILE : name,
        poison(inner, name),
      ]),
    );
  };
  const poisoned = poison(result, "") as RunResult;
  return { ...poisoned, broker: { ...poisoned.broker, url: `mqtt://x/${HOSTILE}` } };
}

test("names with markup stay text", () => {
  const page = htmlReport(hostileResult());
  expect(page).toContain("&lt;/script&gt;&lt;script&gt;alert(1)");
  expect(page).not.toContain("<script>alert");
  expect(page).not.toMatch(/<img/iu);
  expect(page.match(/<script/gu)).toHaveLength(report.match(/<script/gu)?.length ?? 0);
  expect(page.match(/<!--/gu)).toBeNull();
  expect(dataOf(page).time.phases[0]?.name).toBe(`connect${HOSTILE}`);
});

test("control characters and those that turn the direction of text are shown as what they are", () => {
  const page = htmlReport({ ...sampleResult(), problems: ["a\u001b[31m\u202eb"] });
  expect(page).toContain("a\\u{1b}[31m\\u{202e}b");
});

test("a run that measured nothing has a report, too", () => {
  const result = sampleResult();
  const nothing: RunResult = {
    ...result,
    interrupted: true,
    latencies: {
      connect: null,
      publishAck: null,
      publishAckQos1: null,
      publishAckQos2: null,
      publishAckUncorrected: null,
      endToEnd: null,
      willDelivery: {},
    },
    faults: {},
    wills: null,
    audit: null,
    commands: null,
    statusMessages: null,
    phases: [],
    timeline: [],
  };
  const text = textOf(htmlReport(nothing));
  expect(text).toContain("Nothing was measured.");
  expect(text).toContain("The run was too short for charts.");
  expect(text).toContain("The run was interrupted.");
  expect(text).not.toContain("Waiting counts");
});

test("headings are in order, and every table has a caption and named columns", () => {
  const levels = [...report.matchAll(/<h([1-6])/gu)].map(([, level]) => Number(level));
  expect(levels[0]).toBe(1);
  expect(levels.filter((level) => level === 1)).toHaveLength(1);
  for (const [index, level] of levels.entries()) {
    expect(level - (levels[index - 1] ?? 0)).toBeLessThanOrEqual(1);
  }
  const tables = [...report.matchAll(/<table[\s\S]*?<\/table>/gu)].map(([table]) => table);
  expect(tables.length).toBeGreaterThan(6);
  for (const table of tables)
    expect(table).toMatch(/<caption>[^<]+<\/caption>\s*<thead><tr><th scope="col">/u);
});
