import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { expectations } from "../../simulator/src/run/expectations.ts";
import type { RunResult } from "../../simulator/src/run/result.ts";
import { summaryText } from "../../simulator/src/summary/summary.ts";
import {
  alignColumns,
  formatBytes,
  formatCount,
  formatMs,
} from "../../simulator/src/summary/text-format.ts";
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
      publishAckQos1: null,
      publishAckQos2: null,
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
      threads: 1,
      warnings: [],
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

test("a generator that was too slow says so, in lines that fit", () => {
  const result = sampleResult();
  const warning = `The load generator did not keep up. ${"It was busy with many things. ".repeat(4).trim()}`;
  const generator = { ...result.generator, threads: 4, warnings: [warning] };
  const lines = text({ ...result, generator }).split("\n");
  expect(lines.join("\n")).toContain("  threads 4   memory 118 MiB");
  const from = lines.findIndex((line) => line.includes("did not keep up"));
  expect(
    lines
      .slice(from, from + 2)
      .map((line) => line.trim())
      .join(" "),
  ).toBe(warning);
  expect(Math.max(...lines.slice(from, from + 2).map(({ length }) => length))).toBeLessThan(101);
});

describe("thresholds stand first", () => {
  const thresholds = [
    ["connect_duration", "p(99)<500", "p(99)=22.0ms", true, false],
    ["will_delivered", "rate==1", "rate=90.00% (9 of 10)", false, false],
    ["publish_ack_duration", "p(99)<5", "p(99)=12.7ms after 5s", false, true],
  ] as const;
  const result: RunResult = {
    ...sampleResult(),
    thresholds: thresholds.map(([metric, rule, value, ok, aborted]) => ({
      metric,
      rule,
      value,
      ok,
      aborted,
    })),
  };

  test("with what was measured, and with the one that ended the run", () => {
    expect(text(result).split("\n").slice(2, 9)).toEqual([
      "",
      "  THRESHOLDS",
      "    ✓ connect_duration      p(99)<500  p(99)=22.0ms",
      "    ✗ will_delivered        rate==1    rate=90.00% (9 of 10)",
      "    ✗ publish_ack_duration  p(99)<5    p(99)=12.7ms after 5s",
      "        It ended the run.",
      "",
    ]);
  });

  test("and the verdict counts them", () => {
    const verdictOf = (changes: Partial<RunResult>) =>
      summaryText({ ...result, ...changes }, { color: false })
        .trim()
        .split("\n")
        .at(-1)
        ?.trim();
    const [kept, missed] = result.thresholds;
    if (kept === undefined || missed === undefined) throw new RangeError("There are three");
    expect(verdictOf({ interrupted: true })).toBe(
      "A threshold ended the run. 2 of 3 thresholds failed.",
    );
    expect(verdictOf({ thresholds: [kept, missed] })).toBe("1 of 2 thresholds failed.");
    expect(verdictOf({ thresholds: [kept] })).toBe(
      "All 0 expectations hold, and so do the thresholds (1).",
    );
    expect(verdictOf({ thresholds: [kept, missed], expectations: expectations(result) })).toBe(
      "2 of 12 expectations and 1 of 2 thresholds failed.",
    );
  });
});

test("where both QoS 1 and 2 are published, each has its row", () => {
  const result = sampleResult();
  const { connect, publishAckQos1 } = result.latencies;
  expect(text(result)).not.toContain("at QoS 2  ");
  const latencies = { ...result.latencies, publishAckQos2: connect };
  const rows = text({ ...result, latencies })
    .split("\n")
    .filter((line) => /^ {6}at QoS [12] /u.test(line));
  expect(rows).toHaveLength(2);
  expect(rows[0]).toContain(
    `at QoS 1                   ${formatCount(publishAckQos1?.count ?? 0)}  `,
  );
  expect(rows[1]).toContain(`at QoS 2                      ${connect?.count}  `);
});

test("a result of several runs says of how many", () => {
  expect(text({ ...sampleResult(), runId: "a+b+c" })).toContain("   3 runs   seed 1\n");
});

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
