/** Lays the timelines of several runs over each other, as if one had watched them all. */

import { add, mergeLatencies } from "./merge-tallies.ts";
import type { TimelinePoint } from "./result.ts";
import { LATENCY_NAMES } from "./run-sample.ts";
import { POINT_COUNT_MAX } from "./timeline.ts";

export interface TimedRun {
  /** When it started, on the clock of the merged timeline. */
  startMs: number;
  timeline: readonly TimelinePoint[];
}

/**
 * Counts are added, histograms merged; of processor time, memory and event loop the run that had the most counts. Spans are
 * as long as those of the run that has the longest, and longer where there would be too many.
 */
export function mergeTimelines(runs: readonly TimedRun[]): TimelinePoint[] {
  const [only] = runs;
  if (only !== undefined && runs.length === 1 && only.startMs === 0) return [...only.timeline];
  const spans = spansOf(runs);
  const lastIndexOfRun = new Map(
    spans.flatMap(({ index, parts }) => parts.map(({ run }) => [run, index] as const)),
  );
  const latest = new Map<number, TimelinePoint>();
  let endMs = 0;
  return spans.map(({ index, parts }) => {
    for (const { run, point } of parts) latest.set(run, point);
    const startMs = Math.max(endMs, Math.min(...parts.map((part) => part.startMs)));
    endMs = Math.max(startMs, ...parts.map((part) => part.endMs));
    const present = [...latest].filter(([run]) => index <= (lastIndexOfRun.get(run) ?? 0));
    return {
      ...mergeSpan(parts.map(({ point }) => point)),
      atMs: endMs,
      spanMs: endMs - startMs,
      connected: present.reduce((sum, [, { connected }]) => sum + connected, 0),
      counters: add([...latest.values()].map(({ counters }) => counters)),
    };
  });
}

/** A point of one run, in the clock of all. */
interface Part {
  run: number;
  point: TimelinePoint;
  startMs: number;
  endMs: number;
}

interface Span {
  index: number;
  parts: Part[];
}

/** The points that fall into the same span, in the order of time and then of the runs. */
function spansOf(runs: readonly TimedRun[]): Span[] {
  const widthMs = widthOf(runs);
  const spans = new Map<number, Part[]>();
  for (const [run, { startMs, timeline }] of runs.entries()) {
    // The run's clock is moved by at most half a span, so that its spans fall together with the others'.
    const firstIndex = Math.round(startMs / widthMs);
    for (const point of timeline) {
      const index = firstIndex + Math.floor(Math.max(0, point.atMs - point.spanMs / 2) / widthMs);
      const endMs = startMs + point.atMs;
      const part = { run, point, startMs: endMs - point.spanMs, endMs };
      spans.set(index, [...(spans.get(index) ?? []), part]);
    }
  }
  return [...spans]
    .map(([index, parts]) => ({ index, parts }))
    .sort((one, other) => one.index - other.index);
}

function widthOf(runs: readonly TimedRun[]): number {
  const ends = runs.flatMap(({ startMs, timeline }) => timeline.map(({ atMs }) => startMs + atMs));
  const usual = runs.map(({ timeline }) => median(timeline.map(({ spanMs }) => spanMs)));
  return Math.max(1, ...usual, Math.max(0, ...ends) / POINT_COUNT_MAX);
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}

/** All but the times and what goes on from one span to the next. */
function mergeSpan(
  points: readonly TimelinePoint[],
): Omit<TimelinePoint, "atMs" | "spanMs" | "connected" | "counters"> {
  const latencies: TimelinePoint["latencies"] = {};
  for (const name of LATENCY_NAMES) {
    const latency = mergeLatencies(points.map((point) => point.latencies[name]));
    if (latency !== null) latencies[name] = latency;
  }
  return {
    phase: points[0]?.phase ?? "",
    latencies,
    cpuPercent: Math.max(...points.map(({ cpuPercent }) => cpuPercent)),
    rssBytes: Math.max(...points.map(({ rssBytes }) => rssBytes)),
    eventLoopDelayMs: Math.max(...points.map(({ eventLoopDelayMs }) => eventLoopDelayMs)),
  };
}
