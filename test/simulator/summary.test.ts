import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { expectations } from "../../simulator/src/expectations.ts";
import type { RunResult } from "../../simulator/src/result.ts";
import { summaryText } from "../../simulator/src/summary.ts";
import {
  alignColumns,
  formatBytes,
  formatCount,
  formatMs,
} from "../../simulator/src/text-format.ts";
import { sampleResult } from "./sample-result.ts";

function text(result: RunResult): string {
  return summaryText({ ...result, expectations: expectations(result) }, { color: false });
}

function golden(name: string): string {
  return readFileSync(new URL(`golden/${name}.txt`, import.meta.url), "utf8");
}

/** A run that came to nothing: everything that can be null is null. */
function emptyResult(): RunResult {
  return {
    ...sampleResult(),
    durationMs: 0,
    interrupted: true,
    broker: { url: "mqtts://broker.example:8883", protocol: "3.1.1", embedded: false },
    devices: { count: 50, connected: 0, groups: [] },
    connections: {
      attempted: 50,
      connected: 0,
      reconnected: 0,
      failed: { unreachable: 50 },
      refused: {},
      lost: 0,
    },
    messages: {
      published: 0,
      sent: { qos0: 0, qos1: 0, qos2: 0 },
      acknowledged: 0,
      inDoubt: 0,
      unanswered: 0,
      requeued: 0,
      discarded: 0,
      refusedFull: 0,
    },
    latencies: {
      connect: null,
      publishAck: null,
      publishAckUncorrected: null,
      endToEnd: null,
      willDelivery: {},
    },
    faults: {},
    wills: null,
    goodbyes: 0,
    statusMessages: null,
    audit: null,
    commands: null,
    generator: {
      scheduleLag: null,
      eventLoopDelayP99Ms: null,
      cpuPercent: null,
      cpuUsPerMessage: null,
      rssBytes: 52_428_800,
      memoryPerDeviceBytes: null,
    },
    problems: ["Nobody listens at broker.example:8883.\nStart the broker."],
  };
}

test("the summary of a run", () => {
  expect(text(sampleResult())).toBe(golden("summary-demo"));
});

test("the summary of a run that came to nothing says n/a, what was wrong, and that it was interrupted", () => {
  expect(text(emptyResult())).toBe(golden("summary-nothing"));
});

test("with colour it is the same text with colours in it", () => {
  const result = { ...sampleResult(), expectations: expectations(sampleResult()) };
  const coloured = summaryText(result, { color: true });
  // Everything that picocolors writes: ESC [ digits m.
  const colourCode = new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, "g");
  expect(coloured.match(colourCode)?.length).toBeGreaterThan(20);
  expect(coloured.replace(colourCode, "")).toBe(summaryText(result, { color: false }));
});

test.each<[string, Partial<RunResult["generator"]>]>([
  ["the processor", { cpuPercent: 97 }],
  ["the event loop", { eventLoopDelayP99Ms: 80 }],
])(
  "a generator that was too busy (%s) says that its latencies are not the broker's",
  (_title, busy) => {
    const result = sampleResult();
    expect(text(result)).not.toContain("too busy");
    expect(text({ ...result, generator: { ...result.generator, ...busy } })).toContain("too busy");
  },
);

test("lines fit a terminal of 100 columns", () => {
  const longest = text(sampleResult())
    .split("\n")
    .filter((line) => !line.includes("[MQTT-"))
    .map((line) => line.length);
  expect(Math.max(...longest)).toBeLessThanOrEqual(100);
});

describe("numbers for people", () => {
  test.each([
    [0, "0"],
    [999, "999"],
    [1000, "1 000"],
    [1_234_567, "1 234 567"],
  ])("%d is %s", (count, shown) => {
    expect(formatCount(count)).toBe(shown);
  });

  test.each([
    [0, "0.00"],
    [0.153, "0.15"],
    [9.999, "10.00"],
    [41.25, "41.3"],
    [999.96, "1 000.0"],
    [12_345.6, "12 345.6"],
  ])("%d ms is %s", (valueMs, shown) => {
    expect(formatMs(valueMs)).toBe(shown);
  });

  test.each([
    [0, "0 bytes"],
    [1023, "1023 bytes"],
    [1024, "1.0 KiB"],
    [4321, "4.2 KiB"],
    [123_456_789, "118 MiB"],
    [1024 ** 3 - 1, "1.0 GiB"],
    [1024 ** 5, "1024 TiB"],
  ])("%d bytes are %s", (byteCount, shown) => {
    expect(formatBytes(byteCount)).toBe(shown);
  });

  test("columns stand under each other, without blanks at the end of a line", () => {
    expect(
      alignColumns([
        ["a", "1", ""],
        ["long", "1000", "x"],
      ]),
    ).toEqual(["a        1", "long  1000  x"]);
  });
});
