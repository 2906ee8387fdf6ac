/** A run second by second, in no more points than a chart can show. */

import { mergeLatencies } from "./merge-tallies.ts";
import { latencyResult, type TimelinePoint } from "./result.ts";
import { LATENCY_NAMES, type RunSample } from "./run-sample.ts";

/** Points that are kept; from there on each stands for twice the time. */
export const POINT_COUNT_MAX = 600;

/** In a run of more than `POINT_COUNT_MAX` samples, neighbours are merged, as often as it takes; nothing is left out. */
export class Timeline {
  #points: TimelinePoint[] = [];
  /** Samples that make one point. */
  #sampleCount = 1;
  /** Of the last point, those that it stands for so far. */
  #lastCount = 0;

  add(sample: RunSample): void {
    const point = pointOf(sample);
    const last = this.#points.at(-1);
    if (last !== undefined && this.#lastCount < this.#sampleCount) {
      this.#points[this.#points.length - 1] = mergePoints(last, point);
      this.#lastCount++;
      return;
    }
    if (this.#points.length === POINT_COUNT_MAX) this.#halve();
    this.#points.push(point);
    this.#lastCount = 1;
  }

  get points(): TimelinePoint[] {
    return [...this.#points];
  }

  #halve(): void {
    const points: TimelinePoint[] = [];
    for (let index = 0; index < this.#points.length; index += 2) {
      const [first, second] = this.#points.slice(index, index + 2);
      if (first === undefined) continue;
      points.push(second === undefined ? first : mergePoints(first, second));
    }
    this.#points = points;
    this.#sampleCount *= 2;
  }
}

/** One point for the time of two that follow each other. */
function mergePoints(first: TimelinePoint, second: TimelinePoint): TimelinePoint {
  const latencies: TimelinePoint["latencies"] = {};
  for (const name of LATENCY_NAMES) {
    const merged = mergeLatencies([first.latencies[name], second.latencies[name]]);
    if (merged !== null) latencies[name] = merged;
  }
  const spanMs = first.spanMs + second.spanMs;
  const weighted = first.cpuPercent * first.spanMs + second.cpuPercent * second.spanMs;
  return {
    ...second,
    spanMs,
    phase: first.phase,
    latencies,
    cpuPercent: spanMs === 0 ? 0 : weighted / spanMs,
    eventLoopDelayMs: Math.max(first.eventLoopDelayMs, second.eventLoopDelayMs),
  };
}

/** A sample as it stands in a result. */
export function pointOf(sample: RunSample): TimelinePoint {
  const latencies: TimelinePoint["latencies"] = {};
  for (const name of LATENCY_NAMES) {
    const latency = latencyResult(sample.latencies[name]);
    if (latency !== null) latencies[name] = latency;
  }
  return {
    atMs: sample.atMs,
    spanMs: sample.spanMs,
    phase: sample.phaseName,
    connected: sample.connectedCount,
    counters: { ...sample.counters },
    latencies,
    cpuPercent: sample.generator.cpuPercent,
    rssBytes: sample.generator.rssBytes,
    eventLoopDelayMs: sample.generator.eventLoopDelayMs,
  };
}
