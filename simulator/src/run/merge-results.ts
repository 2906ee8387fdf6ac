/** Makes one result of several: of the shards of a fleet, of several hosts, or of runs one after the other. */

import type { Threshold } from "../scenario/scenario.ts";
import { expectations } from "./expectations.ts";
import { mergeTallies } from "./merge-tallies.ts";
import { mergeTimelines } from "./merge-timelines.ts";
import type { RunResult } from "./result.ts";
import { evaluateThresholds } from "./thresholds.ts";

/** What a threshold demands, without when it ends a run. */
export type Demand = Pick<Threshold, "metric" | "rule">;

/**
 * Counts and histograms are added exactly; expectations and thresholds are judged again. `demands` take the place of the
 * results' own thresholds. Whether the results belong together is the caller's business. Throws a RangeError if there is
 * no result, or if a histogram in one cannot be read.
 */
export function mergeResults(
  results: readonly RunResult[],
  demands?: readonly Demand[],
): RunResult {
  const runs = results.toSorted(
    (one, other) => startOf(one) - startOf(other) || (one.runId < other.runId ? -1 : 1),
  );
  const [first] = runs;
  if (first === undefined) throw new RangeError("There is no result to merge");
  const offsetMs = (run: RunResult) => startOf(run) - startOf(first);
  const tally = mergeTallies(runs);
  const merged: RunResult = {
    ...first,
    ...tally,
    runId: runs.map(({ runId }) => runId).join("+"),
    scenario: {
      ...first.scenario,
      text: distinct(runs.map(({ scenario }) => scenario.text)).join("---\n"),
    },
    environment: mergeEnvironments(runs),
    durationMs: Math.max(...runs.map((run) => offsetMs(run) + run.durationMs)),
    interrupted: runs.some(({ interrupted }) => interrupted),
    broker: {
      ...first.broker,
      url: distinct(runs.map(({ broker }) => broker.url)).join(", "),
      embedded: runs.some(({ broker }) => broker.embedded),
    },
    brokerRestarts: runs.reduce((sum, run) => sum + run.brokerRestarts, 0),
    generator: mergeGenerators(runs, tally.generator.scheduleLag),
    phases: mergePhases(runs, offsetMs),
    timeline: mergeTimelines(
      runs.map((run) => ({ startMs: offsetMs(run), timeline: run.timeline })),
    ),
    problems: distinct(runs.flatMap(({ problems }) => problems)),
  };
  merged.expectations = expectations(merged);
  merged.thresholds = judgeAgain(runs, merged, demands);
  return merged;
}

function startOf({ startedAt }: RunResult): number {
  return Date.parse(startedAt);
}

function distinct(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}

function mergeEnvironments(runs: readonly RunResult[]): RunResult["environment"] {
  const environments = runs.map(({ environment }) => environment);
  return {
    node: distinct(environments.map(({ node }) => node)).join(", "),
    platform: distinct(environments.map(({ platform }) => platform)).join(", "),
    cpuCount: Math.max(...environments.map(({ cpuCount }) => cpuCount)),
  };
}

type Generator = RunResult["generator"];

/** The busiest generator counts: it is the one that may have been too slow. What a message or a device costs is the mean. */
function mergeGenerators(
  runs: readonly RunResult[],
  scheduleLag: Generator["scheduleLag"],
): Generator {
  const generators = runs.map(({ generator }) => generator);
  return {
    scheduleLag,
    eventLoopDelayP99Ms: largest(generators.map((generator) => generator.eventLoopDelayP99Ms)),
    threads: generators.reduce((sum, { threads }) => sum + threads, 0),
    warnings: distinct(generators.flatMap(({ warnings }) => warnings)),
    cpuPercent: largest(generators.map(({ cpuPercent }) => cpuPercent)),
    cpuUsPerMessage: weightedMean(
      runs.map(({ generator, messages }) => [generator.cpuUsPerMessage, messages.published]),
    ),
    rssBytes: Math.max(...generators.map(({ rssBytes }) => rssBytes)),
    memoryPerDeviceBytes: weightedMean(
      runs.map(({ generator, devices }) => [generator.memoryPerDeviceBytes, devices.count]),
    ),
  };
}

function largest(values: readonly (number | null)[]): number | null {
  const measured = values.filter((value) => value !== null);
  return measured.length === 0 ? null : Math.max(...measured);
}

function weightedMean(values: readonly [value: number | null, weight: number][]): number | null {
  const measured = values.filter((pair): pair is [number, number] => pair[0] !== null);
  const [only] = measured;
  if (only !== undefined && measured.length === 1) return only[0];
  const weightSum = measured.reduce((sum, [, weight]) => sum + weight, 0);
  if (weightSum === 0) return null;
  return measured.reduce((sum, [value, weight]) => sum + value * weight, 0) / weightSum;
}

/** A phase that several runs were in at the same time is one, from its first start to its last end. */
function mergePhases(
  runs: readonly RunResult[],
  offsetMs: (run: RunResult) => number,
): RunResult["phases"] {
  const all = runs.flatMap((run) =>
    run.phases.map(({ name, kind, startMs, endMs }) => {
      const moved = offsetMs(run);
      return { name, kind, startMs: moved + startMs, endMs: moved + endMs };
    }),
  );
  const merged: RunResult["phases"] = [];
  for (const phase of all.sort((one, other) => one.startMs - other.startMs)) {
    const same = merged.find(
      ({ name, kind, endMs }) =>
        name === phase.name && kind === phase.kind && phase.startMs < endMs,
    );
    if (same === undefined) merged.push(phase);
    else same.endMs = Math.max(same.endMs, phase.endMs);
  }
  return merged;
}

/** Each threshold once. One that has ended a run does not hold, whatever the others say. */
function judgeAgain(
  runs: readonly RunResult[],
  merged: RunResult,
  demands: readonly Demand[] | undefined,
): RunResult["thresholds"] {
  const own = runs.flatMap(({ thresholds }) => thresholds);
  const byText = new Map(
    (demands ?? own).map((demand) => [JSON.stringify([demand.metric, demand.rule]), demand]),
  );
  const judged = evaluateThresholds([...byText.values()], merged);
  return judged.map(
    (result) =>
      own.find(
        ({ metric, rule, aborted }) => aborted && metric === result.metric && rule === result.rule,
      ) ?? result,
  );
}
