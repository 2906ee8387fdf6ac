/** What each phase of a run has brought, as a table: the charts over time in words and numbers. */

import { formatDuration } from "../duration.ts";
import { LatencyHistogram } from "../histogram.ts";
import type { RunResult, TimelinePoint } from "../run/result.ts";
import type { Html } from "./html.ts";
import { countText, msText, table } from "./tables.ts";

const COLUMNS = [
  "Phase",
  "Began at",
  "Took",
  "Connected at its end",
  "Published per second",
  "Acknowledged after, median (ms)",
  "99 % (ms)",
  "Last Wills delivered",
];

/** The counts are those of the timeline's points whose middle lies in the phase. */
export function phaseTable({ phases, timeline }: RunResult): Html {
  const rows = phases.map(({ name, startMs, endMs }, index) => {
    const start = firstAfter(timeline, startMs);
    const points = timeline.slice(start, firstAfter(timeline, endMs));
    return [
      `${index + 1} ${name}`,
      formatDuration(startMs),
      formatDuration(endMs - startMs),
      connectedAt(timeline, startMs, endMs),
      ...cells(points, timeline[start - 1]),
    ];
  });
  return table({
    caption: "The phases, as they are numbered in the charts",
    columns: COLUMNS,
    rows,
  });
}

/** The index of the first point whose middle lies behind `atMs`. */
function firstAfter(timeline: readonly TimelinePoint[], atMs: number): number {
  const index = timeline.findIndex((point) => point.atMs - point.spanMs / 2 >= atMs);
  return index === -1 ? timeline.length : index;
}

/** When the phase was last looked at. */
function connectedAt(timeline: readonly TimelinePoint[], startMs: number, endMs: number): string {
  const last = timeline.findLast(({ atMs }) => atMs > startMs && atMs <= endMs);
  return last === undefined ? "–" : countText(last.connected);
}

function cells(points: readonly TimelinePoint[], before: TimelinePoint | undefined): string[] {
  const last = points.at(-1);
  if (last === undefined) return ["–", "–", "–", "–"];
  const since = (key: "published" | "willsDelivered") =>
    last.counters[key] - (before?.counters[key] ?? 0);
  const seconds = points.reduce((sum, { spanMs }) => sum + spanMs, 0) / 1000;
  const ack = acknowledgements(points).summary();
  return [
    seconds === 0 ? "–" : (since("published") / seconds).toFixed(1),
    ack === undefined ? "–" : msText(ack.p50Ms),
    ack === undefined ? "–" : msText(ack.p99Ms),
    countText(since("willsDelivered")),
  ];
}

function acknowledgements(points: readonly TimelinePoint[]): LatencyHistogram {
  const merged = new LatencyHistogram();
  for (const { latencies } of points) {
    for (const latency of [latencies.publishAckQos1, latencies.publishAckQos2]) {
      if (latency !== undefined) merged.merge(LatencyHistogram.decode(latency.histogram));
    }
  }
  return merged;
}
