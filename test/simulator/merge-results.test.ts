import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LatencyHistogram } from "../../simulator/src/histogram.ts";
import { expectations } from "../../simulator/src/run/expectations.ts";
import { mergeResults } from "../../simulator/src/run/merge-results.ts";
import { mergeTimelines } from "../../simulator/src/run/merge-timelines.ts";
import {
  latencyResult,
  type RunResult,
  resultSchema,
  type TimelinePoint,
} from "../../simulator/src/run/result.ts";
import { evaluateThresholds } from "../../simulator/src/run/thresholds.ts";
import { sampleResult } from "./sample-result.ts";

/** A result as a run writes it: judged. */
function judgedResult(changes: Partial<RunResult> = {}): RunResult {
  const result = { ...sampleResult(), ...changes };
  const demands = [
    { metric: "connect_duration", rule: "p(99)<500" },
    { metric: "will_missing", rule: "count<2" },
  ];
  return {
    ...result,
    expectations: expectations(result),
    thresholds: evaluateThresholds(demands, result),
  };
}

describe("a result of several runs", () => {
  test("of one run is that run", () => {
    expect(mergeResults([judgedResult()])).toEqual(judgedResult());
  });

  test("is a result, whatever the order", () => {
    const one = judgedResult();
    const other = judgedResult({ runId: "02", startedAt: "2026-11-23T01:02:05.456Z" });
    const merged = mergeResults([one, other]);
    expect(resultSchema.parse(JSON.parse(JSON.stringify(merged)))).toEqual(merged);
    expect(mergeResults([other, one])).toEqual(merged);
    expect(merged).toMatchObject({
      runId: "01JD3Z5W8K+02",
      startedAt: one.startedAt,
      durationMs: 22_400,
      devices: { count: 100, connected: 100 },
      messages: { published: 2480 },
      latencies: { connect: { count: 170, maxMs: one.latencies.connect?.maxMs } },
      scenario: one.scenario,
    });
  });

  test("judges again: what holds for each may fail for all, and the other way round", () => {
    const one = judgedResult();
    const other = judgedResult({ runId: "02" });
    expect(one.thresholds.map(({ ok }) => ok)).toEqual([true, true]);
    const merged = mergeResults([one, other]);
    expect(merged.thresholds).toMatchObject([
      { metric: "connect_duration", ok: true },
      { metric: "will_missing", rule: "count<2", value: "count=2", ok: false },
    ]);
    expect(merged.expectations.find(({ name }) => name === "wills_delivered")?.value).toBe(
      "90.00% (18 of 20)",
    );
    const demands = [{ metric: "will_delivered", rule: "rate>0.5" }];
    expect(mergeResults([one, other], demands).thresholds).toMatchObject([
      { metric: "will_delivered", value: "rate=90.00% (18 of 20)", ok: true },
    ]);
    expect(mergeResults([one, other], []).thresholds).toEqual([]);
  });

  test("a threshold that ended one of the runs has failed", () => {
    const aborted = judgedResult({ runId: "02" });
    aborted.thresholds = [
      {
        metric: "connect_duration",
        rule: "p(99)<500",
        value: "p(99)=800.0ms after 5s",
        ok: false,
        aborted: true,
      },
    ];
    expect(mergeResults([judgedResult(), aborted]).thresholds[0]).toEqual(aborted.thresholds[0]);
  });

  test("says where it comes from", () => {
    const other = judgedResult({
      runId: "02",
      scenario: { name: "demo", seed: 1, text: "version: 1\nname: demo\nseed: 2\n" },
      environment: { node: "22.1.0", platform: "linux", cpuCount: 8 },
      broker: { url: "mqtt://other:1883", protocol: "3.1.1", embedded: false },
      interrupted: true,
      problems: ["It rained."],
    });
    expect(
      mergeResults([other, judgedResult({ problems: ["It rained.", "It snowed."] })]),
    ).toMatchObject({
      scenario: { text: "version: 1\nname: demo\n---\nversion: 1\nname: demo\nseed: 2\n" },
      environment: { node: "20.19.2, 22.1.0", platform: "linux", cpuCount: 8 },
      broker: { url: "mqtt://localhost:1883, mqtt://other:1883", embedded: true },
      interrupted: true,
      problems: ["It rained.", "It snowed."],
    });
  });

  test("has the busiest generator, and the mean of what a message and a device cost", () => {
    const generator = {
      ...sampleResult().generator,
      threads: 3,
      warnings: ["Slow."],
      cpuPercent: 95,
      eventLoopDelayP99Ms: null,
      cpuUsPerMessage: 43.14,
      rssBytes: 1,
      memoryPerDeviceBytes: null,
    };
    const merged = mergeResults([
      judgedResult(),
      judgedResult({ runId: "02", generator }),
    ]).generator;
    expect(merged).toMatchObject({
      threads: 4,
      warnings: ["Slow."],
      cpuPercent: 95,
      eventLoopDelayP99Ms: 4.2,
      rssBytes: 123_456_789,
      memoryPerDeviceBytes: 4321,
    });
    expect(merged.cpuUsPerMessage).toBeCloseTo(33.14, 9);
    expect(merged.scheduleLag?.count).toBe(2480);
  });

  test("of costs that nobody measured knows none", () => {
    const generator = {
      ...sampleResult().generator,
      cpuPercent: null,
      eventLoopDelayP99Ms: null,
      cpuUsPerMessage: null,
      memoryPerDeviceBytes: null,
    };
    expect(
      mergeResults([judgedResult({ generator }), judgedResult({ runId: "02", generator })])
        .generator,
    ).toMatchObject({ cpuPercent: null, eventLoopDelayP99Ms: null, cpuUsPerMessage: null });
  });

  test("has each phase that several were in from its first start to its last end", () => {
    const other = judgedResult({ runId: "02", startedAt: "2026-11-23T01:02:04.456Z" });
    expect(mergeResults([judgedResult(), other]).phases).toEqual([
      { name: "connect", kind: "connect", startMs: 0, endMs: 2200 },
      { name: "steady", kind: "steady", startMs: 1200, endMs: 21_400 },
    ]);
  });

  test("has the phases of runs one after the other one after the other", () => {
    const other = judgedResult({ runId: "02", startedAt: "2026-11-23T01:03:03.456Z" });
    expect(mergeResults([judgedResult(), other]).phases).toEqual([
      { name: "connect", kind: "connect", startMs: 0, endMs: 1200 },
      { name: "steady", kind: "steady", startMs: 1200, endMs: 20_400 },
      { name: "connect", kind: "connect", startMs: 60_000, endMs: 61_200 },
      { name: "steady", kind: "steady", startMs: 61_200, endMs: 80_400 },
    ]);
  });

  test("needs a result", () => {
    expect(() => mergeResults([])).toThrow(/no result/);
  });
});

/** `spansMs.length` points, each with a latency and ten messages more than the one before. */
function timelineOf(spansMs: readonly number[], latencyMs: number): TimelinePoint[] {
  const [shape] = sampleResult().timeline;
  if (shape === undefined) throw new RangeError("The sample has a timeline");
  let atMs = 0;
  return spansMs.map((spanMs, index) => {
    atMs += spanMs;
    const histogram = new LatencyHistogram();
    histogram.record(latencyMs);
    const connect = latencyResult(histogram);
    if (connect === null) throw new RangeError("A histogram has a value");
    return {
      ...shape,
      atMs,
      spanMs,
      phase: `phase ${index}`,
      connected: 50,
      counters: { ...shape.counters, published: 10 * (index + 1) },
      latencies: { connect },
      cpuPercent: latencyMs,
    };
  });
}

const seconds = (count: number) => Array<number>(count).fill(1000);

/** Of each point: time, span, connected devices, messages, latencies. */
function digest(timeline: readonly TimelinePoint[]): number[][] {
  return timeline.map(({ atMs, spanMs, connected, counters, latencies }) => [
    atMs,
    spanMs,
    connected,
    counters.published,
    latencies.connect?.count ?? 0,
  ]);
}

describe("timelines are laid over each other", () => {
  test("of runs that started together", () => {
    const merged = mergeTimelines([
      { startMs: 0, timeline: timelineOf(seconds(3), 5) },
      { startMs: 0, timeline: timelineOf(seconds(2), 7) },
    ]);
    expect(digest(merged)).toEqual([
      [1000, 1000, 100, 20, 2],
      [2000, 1000, 100, 40, 2],
      [3000, 1000, 50, 50, 1],
    ]);
    expect(merged[0]).toMatchObject({ cpuPercent: 7, phase: "phase 0" });
    expect(merged[0]?.latencies.connect).toMatchObject({ minMs: 5, maxMs: 7 });
  });

  test("of runs that started less than half a span apart, span by span", () => {
    const merged = mergeTimelines([
      { startMs: 0, timeline: timelineOf([1001, 999, 1002, 998], 5) },
      { startMs: 480, timeline: timelineOf([999, 1001, 998, 1002], 5) },
    ]);
    expect(digest(merged)).toEqual([
      [1479, 1479, 100, 20, 2],
      [2480, 1001, 100, 40, 2],
      [3478, 998, 100, 60, 2],
      [4480, 1002, 100, 80, 2],
    ]);
  });

  test("of runs one after the other, with nobody connected in between", () => {
    const merged = mergeTimelines([
      { startMs: 0, timeline: timelineOf(seconds(2), 5) },
      { startMs: 10_000, timeline: timelineOf(seconds(2), 5) },
    ]);
    expect(digest(merged)).toEqual([
      [1000, 1000, 50, 10, 1],
      [2000, 1000, 50, 20, 1],
      [11_000, 1000, 50, 30, 1],
      [12_000, 1000, 50, 40, 1],
    ]);
  });

  test("with the longer spans, if they differ", () => {
    const merged = mergeTimelines([
      { startMs: 0, timeline: timelineOf(seconds(4), 5) },
      { startMs: 0, timeline: timelineOf([2000, 2000], 5) },
    ]);
    expect(digest(merged)).toEqual([
      [2000, 2000, 100, 30, 3],
      [4000, 2000, 100, 60, 3],
    ]);
  });

  test("in at most 601 points, and none is lost", () => {
    const merged = mergeTimelines([
      { startMs: 0, timeline: timelineOf(seconds(500), 5) },
      { startMs: 600_000, timeline: timelineOf(seconds(500), 5) },
    ]);
    expect(merged.length).toBeLessThanOrEqual(601);
    expect(merged.at(-1)?.counters.published).toBe(10_000);
    expect(digest(merged).reduce((sum, [, , , , count = 0]) => sum + count, 0)).toBe(1000);
  });

  test("of nobody are empty", () => {
    expect(mergeTimelines([])).toEqual([]);
    expect(
      mergeTimelines([
        { startMs: 5, timeline: [] },
        { startMs: 0, timeline: [] },
      ]),
    ).toEqual([]);
  });

  test("so that time goes on, no latency is lost, and the last counts are those of all", () => {
    const span = fc.integer({ min: 1, max: 3000 });
    const run = fc.record({
      startMs: fc.nat(5000),
      spansMs: fc.array(span, { minLength: 1, maxLength: 8 }),
    });
    fc.assert(
      fc.property(fc.array(run, { minLength: 1, maxLength: 4 }), (runs) => {
        const merged = mergeTimelines(
          runs.map(({ startMs, spansMs }) => ({ startMs, timeline: timelineOf(spansMs, 5) })),
        );
        const pointCount = runs.reduce((sum, { spansMs }) => sum + spansMs.length, 0);
        const latencyCount = digest(merged).reduce((sum, [, , , , count = 0]) => sum + count, 0);
        expect(latencyCount).toBe(pointCount);
        expect(merged.at(-1)?.counters.published).toBe(10 * pointCount);
        const ends = runs.map(({ startMs, spansMs }) =>
          spansMs.reduce((sum, spanMs) => sum + spanMs, startMs),
        );
        expect(merged.at(-1)?.atMs).toBe(Math.max(...ends));
        for (const [index, point] of merged.entries()) {
          expect(point.atMs - point.spanMs).toBeGreaterThanOrEqual(merged[index - 1]?.atMs ?? 0);
          expect(point.connected).toBeLessThanOrEqual(50 * runs.length);
        }
      }),
      { numRuns: 50 },
    );
  });
});
