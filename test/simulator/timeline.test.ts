/** The points of a run of any length: few, and together exactly what the samples were. */

import { describe, expect, test } from "vitest";
import { LatencyHistogram } from "../../simulator/src/histogram.ts";
import type { TimelinePoint } from "../../simulator/src/run/result.ts";
import { LATENCY_NAMES, type RunSample } from "../../simulator/src/run/run-sample.ts";
import { POINT_COUNT_MAX, Timeline } from "../../simulator/src/run/timeline.ts";
import { sampleAt } from "./outputs-support.ts";

const BASE = sampleAt(0, {}, { span: {} });

/** Few latencies, for a histogram takes its time: some in each 50th sample. */
function latenciesAt(index: number): RunSample["latencies"] {
  if (index % 50 !== 7) return BASE.latencies;
  const connect = index < 200 ? [index] : [];
  const span = { publishAckQos1: [0.3 + index, 2 * index], connect };
  return sampleAt(index, {}, { span, totals: {} }).latencies;
}

/** No two neighbours are of the same length, or alike in anything else. */
function samples(count: number): RunSample[] {
  let atMs = 0;
  return Array.from({ length: count }, (_, index) => {
    const spanMs = 1_000 + (index % 7);
    atMs += spanMs;
    return {
      ...BASE,
      atMs,
      spanMs,
      phaseName: `phase ${index}`,
      connectedCount: index,
      counters: { ...BASE.counters, published: 10 * index },
      generator: { cpuPercent: index % 100, rssBytes: index, eventLoopDelayMs: 20 - (index % 13) },
      latencies: latenciesAt(index),
    };
  });
}

function timelineOf(all: readonly RunSample[]): TimelinePoint[] {
  const timeline = new Timeline();
  for (const sample of all) timeline.add(sample);
  return timeline.points;
}

const COUNTS = [0, 1, 599, 600, 601, 1_199, 1_200, 1_201, 1_202, 2_401, 3_000];

describe.each(COUNTS)("%i samples", (count) => {
  const all = samples(count);
  const points = timelineOf(all);

  test("make no more points than a chart can show, and no fewer than half of that", () => {
    expect(points.length).toBeLessThanOrEqual(POINT_COUNT_MAX);
    expect(points.length).toBeGreaterThanOrEqual(Math.min(count, POINT_COUNT_MAX / 2));
  });

  test("leave nothing out: spans, counts and each latency in its bucket", () => {
    const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
    expect(sum(points.map(({ spanMs }) => spanMs))).toBe(sum(all.map(({ spanMs }) => spanMs)));
    expect(points.at(-1)?.counters).toEqual(all.at(-1)?.counters);
    expect(points.at(-1)?.atMs).toBe(all.at(-1)?.atMs);
    for (const name of LATENCY_NAMES) {
      const expected = new LatencyHistogram();
      for (const sample of all) expected.merge(sample.latencies[name]);
      const merged = new LatencyHistogram();
      for (const { latencies } of points) {
        const text = latencies[name]?.histogram;
        if (text !== undefined) merged.merge(LatencyHistogram.decode(text));
      }
      expect(merged.encode()).toBe(expected.encode());
    }
  });

  test("follow one another without a gap", () => {
    const starts = points.map(({ atMs, spanMs }) => atMs - spanMs);
    const ends = points.map(({ atMs }) => atMs);
    expect(starts).toEqual(count === 0 ? [] : [0, ...ends.slice(0, -1)]);
  });
});

test("all points but the last stand for the same number of samples", () => {
  const lengths = timelineOf(samples(1_205)).map(({ spanMs }) => Math.round(spanMs / 1_000));
  expect(new Set(lengths.slice(0, -1))).toEqual(new Set([4]));
  expect(lengths.at(-1)).toBe(1);
});

test("two samples as one point have the mean of the CPU by time, the worst delay, and the phase they began in", () => {
  const all = samples(POINT_COUNT_MAX + 1);
  const [first, second] = all as [RunSample, RunSample];
  const spanMs = first.spanMs + second.spanMs;
  expect(timelineOf(all)[0]).toMatchObject({
    atMs: second.atMs,
    spanMs,
    cpuPercent: second.spanMs / spanMs,
    eventLoopDelayMs: 20,
    phase: "phase 0",
    connected: 1,
    rssBytes: 1,
    counters: second.counters,
  });
});

test("the points that were handed out do not change when more samples come", () => {
  const timeline = new Timeline();
  const [one, other] = samples(2) as [RunSample, RunSample];
  timeline.add(one);
  const { points } = timeline;
  timeline.add(other);
  expect(points).toHaveLength(1);
});
