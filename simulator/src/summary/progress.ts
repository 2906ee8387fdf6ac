/** What a run looks like while it goes on: one line for a log, a block for a terminal. */

import picocolors from "picocolors";
import { formatDuration } from "../duration.ts";
import { formatCount, formatMs, oneLine } from "./text-format.ts";

/** A run at one moment. */
export interface ProgressSnapshot {
  scenarioName: string;
  elapsedMs: number;
  /** How long the run should take, if that can be known. */
  plannedMs: number | undefined;
  phaseName: string;
  /** Counts from 0; `phaseCount` and more when the scenario is over. */
  phaseIndex: number;
  phaseCount: number;
  deviceCount: number;
  connectedCount: number;
  /** Telemetry messages so far. */
  publishedCount: number;
  /** Since the last snapshot. */
  publishedPerSecond: number;
  /** Undefined until something was acknowledged. */
  ackP99Ms: number | undefined;
  /** Undefined if nobody watches the Wills. */
  wills: { expectedCount: number; deliveredCount: number } | undefined;
  /** The latest of what went wrong, in a plain sentence. */
  latestProblem: string | undefined;
  problemCount: number;
}

/** One line without line feed. */
export function progressLine(snapshot: ProgressSnapshot): string {
  const { wills, problemCount } = snapshot;
  const parts = [
    formatDuration(snapshot.elapsedMs),
    phaseText(snapshot),
    connectedText(snapshot),
    messageText(snapshot),
    ackText(snapshot),
  ];
  if (wills !== undefined) parts.push(`Last Wills ${willText(wills)}`);
  if (problemCount > 0) parts.push(`problems ${formatCount(problemCount)}`);
  return parts.join("  ");
}

const BAR_WIDTH = 24;

/** Lines to draw over the last ones; none is wider than `width` columns, so that none is wrapped. */
export function progressBlock(
  snapshot: ProgressSnapshot,
  { color, width }: { color: boolean; width: number },
): string[] {
  const paint = picocolors.createColors(color);
  const { elapsedMs, plannedMs, wills, latestProblem } = snapshot;
  const time =
    plannedMs === undefined
      ? formatDuration(elapsedMs)
      : `${bar(elapsedMs / plannedMs)}  ${formatDuration(elapsedMs)} of about ${formatDuration(plannedMs)}`;
  const rows: [string, string][] = [
    [snapshot.scenarioName, time],
    ["phase", phaseText(snapshot)],
    ["sensors", connectedText(snapshot)],
    ["messages", `${messageText(snapshot)}  ${ackText(snapshot)}`],
  ];
  if (wills !== undefined) rows.push(["Last Wills", willText(wills)]);
  if (latestProblem !== undefined) {
    rows.push([
      "problems",
      `${formatCount(snapshot.problemCount)}, the latest: ${oneLine(latestProblem)}`,
    ]);
  }
  const titleWidth = Math.max(...rows.map(([title]) => title.length));
  return rows.map(([title, text], index) => {
    const line = `  ${title.padEnd(titleWidth)}  ${text}`.slice(0, width);
    const head = line.slice(0, titleWidth + 2);
    const isProblem = index > 0 && title === "problems";
    return `${isProblem ? paint.red(head) : paint.bold(head)}${line.slice(head.length)}`;
  });
}

function bar(share: number): string {
  const filled = Math.round(BAR_WIDTH * Math.min(1, share));
  return `[${"=".repeat(filled)}${" ".repeat(BAR_WIDTH - filled)}]`;
}

function phaseText({ phaseIndex, phaseCount, phaseName }: ProgressSnapshot): string {
  return phaseIndex < phaseCount ? `${phaseIndex + 1}/${phaseCount} ${phaseName}` : phaseName;
}

function connectedText({ connectedCount, deviceCount }: ProgressSnapshot): string {
  return `${formatCount(connectedCount)} of ${formatCount(deviceCount)} connected`;
}

function messageText({ publishedCount, publishedPerSecond }: ProgressSnapshot): string {
  return `${formatCount(publishedCount)} published (${publishedPerSecond.toFixed(1)}/s)`;
}

function ackText({ ackP99Ms }: ProgressSnapshot): string {
  return `ack p99 ${ackP99Ms === undefined ? "n/a" : `${formatMs(ackP99Ms)} ms`}`;
}

function willText(wills: { expectedCount: number; deliveredCount: number }): string {
  return `${formatCount(wills.deliveredCount)} of ${formatCount(wills.expectedCount)} delivered`;
}
