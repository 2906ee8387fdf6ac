import { expect, test } from "vitest";
import {
  type ProgressSnapshot,
  progressBlock,
  progressLine,
} from "../../simulator/src/summary/progress.ts";

const snapshot: ProgressSnapshot = {
  scenarioName: "demo",
  elapsedMs: 12_300,
  plannedMs: 20_000,
  phaseName: "the power goes",
  phaseIndex: 2,
  phaseCount: 10,
  deviceCount: 50,
  connectedCount: 45,
  publishedCount: 1204,
  publishedPerSecond: 97.14,
  ackP99Ms: 4.2,
  wills: { expectedCount: 15, deliveredCount: 12 },
  latestProblem: undefined,
  problemCount: 0,
};

/** The first moment of a run in which nobody watches the Wills. */
const start: ProgressSnapshot = {
  ...snapshot,
  elapsedMs: 0,
  plannedMs: undefined,
  phaseIndex: 0,
  connectedCount: 0,
  publishedCount: 0,
  publishedPerSecond: 0,
  ackP99Ms: undefined,
  wills: undefined,
};

test("what comes behind the last phase has no number", () => {
  const ending = { ...snapshot, phaseIndex: 10, phaseName: "goodbye" };
  expect(progressLine(ending)).toMatch(/^12\.3s {2}goodbye {2}45 of 50/u);
});

test("a log gets one line", () => {
  expect(progressLine(snapshot)).toBe(
    "12.3s  3/10 the power goes  45 of 50 connected  1 204 published (97.1/s)  ack p99 4.20 ms  Last Wills 12 of 15 delivered",
  );
  expect(progressLine({ ...start, problemCount: 3 })).toBe(
    "0s  1/10 the power goes  0 of 50 connected  0 published (0.0/s)  ack p99 n/a  problems 3",
  );
});

test("a terminal gets a block", () => {
  expect(progressBlock(snapshot, { color: false, width: 80 })).toEqual([
    "  demo        [===============         ]  12.3s of about 20s",
    "  phase       3/10 the power goes",
    "  sensors     45 of 50 connected",
    "  messages    1 204 published (97.1/s)  ack p99 4.20 ms",
    "  Last Wills  12 of 15 delivered",
  ]);
  expect(progressBlock(start, { color: false, width: 80 })).toEqual([
    "  demo      0s",
    "  phase     1/10 the power goes",
    "  sensors   0 of 50 connected",
    "  messages  0 published (0.0/s)  ack p99 n/a",
  ]);
});

test("the latest problem is shown on one line, without control characters", () => {
  const problem = { ...start, problemCount: 2, latestProblem: "first\n\u001b[2Jsecond" };
  const lines = progressBlock(problem, { color: false, width: 80 });
  expect(lines.at(-1)).toBe("  problems  2, the latest: first [2Jsecond");
});

test("a run that takes longer than planned has a full bar", () => {
  const [first] = progressBlock({ ...snapshot, elapsedMs: 60_000 }, { color: false, width: 80 });
  expect(first).toContain(`[${"=".repeat(24)}]  1m of about 20s`);
});

test.each([0, 1, 10, 30, 79])("no line is wider than %d columns, coloured or not", (width) => {
  const long = { ...snapshot, latestProblem: "x".repeat(500), problemCount: 1 };
  const plain = progressBlock(long, { color: false, width });
  for (const line of plain) expect(line.length).toBeLessThanOrEqual(width);

  const coloured = progressBlock(long, { color: true, width });
  const colourCode = new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, "g");
  expect(coloured.map((line) => line.replace(colourCode, ""))).toEqual(plain);
  if (width > 0) expect(coloured.join("")).toMatch(colourCode);
});
