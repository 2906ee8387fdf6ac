/** Puts together what a run has counted. */

import { ABI_VERSION } from "../../../firmware/core/abi.ts";
import type { Core } from "../../../host/src/core/core.ts";
import type { Scenario } from "../scenario/scenario.ts";
import { expectations } from "./expectations.ts";
import type { Tally } from "./merge-tallies.ts";
import { RESULT_SCHEMA_ID, type RunResult, type TimelinePoint } from "./result.ts";
import { evaluateThresholds } from "./thresholds.ts";

/** What is known when a run is over. */
export interface FinishedRun {
  scenario: Scenario;
  /** Of all parts together. */
  tally: Tally;
  observer: RunResult["observer"];
  firmware: Pick<Core, "sha256" | "byteLength"> & { name: string };
  generator: RunResult["generator"];
  environment: RunResult["environment"];
  runId: string;
  version: string;
  startedAt: string;
  durationMs: number;
  interrupted: boolean;
  broker: Pick<RunResult["broker"], "url" | "embedded">;
  brokerRestarts: number;
  phases: RunResult["phases"];
  timeline: TimelinePoint[];
  problems: string[];
}

export function resultOf(run: FinishedRun): RunResult {
  const { scenario, tally, firmware } = run;
  const { interrupted, brokerRestarts } = run;
  const result: RunResult = {
    schema: RESULT_SCHEMA_ID,
    runId: run.runId,
    tool: { name: "wasmqtt", version: run.version },
    scenario: { name: scenario.name, seed: scenario.seed, text: scenario.text },
    environment: run.environment,
    startedAt: run.startedAt,
    durationMs: run.durationMs,
    interrupted,
    broker: { ...run.broker, protocol: "3.1.1" },
    firmware: {
      name: firmware.name,
      sha256: firmware.sha256,
      byteLength: firmware.byteLength,
      abiVersion: ABI_VERSION,
    },
    brokerRestarts,
    ...tally,
    observer: run.observer,
    generator: run.generator,
    expectations: expectations({ interrupted, brokerRestarts, ...tally }),
    thresholds: [],
    phases: run.phases,
    timeline: run.timeline,
    problems: run.problems,
  };
  return { ...result, thresholds: evaluateThresholds(scenario.thresholds, result) };
}
