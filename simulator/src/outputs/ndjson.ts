/** `--out ndjson=FILE`: a line of JSON for each sample, between one that says what it is and one that says how it ended. */

import type { RunResult, TimelinePoint } from "../run/result.ts";
import type { RunSample } from "../run/run-sample.ts";
import { pointOf } from "../run/timeline.ts";
import type { OutputsContext } from "./output.ts";
import type { SampleFormat } from "./stream-output.ts";

/** Keys may be added under the same name; a key that changes its meaning makes a v2. */
const SAMPLES_SCHEMA_ID = "urn:wasmqtt:samples.v1";

/** The first line. */
export interface HeaderLine {
  type: "header";
  schema: typeof SAMPLES_SCHEMA_ID;
  tool: RunResult["tool"];
  scenario: { name: string; seed: number };
  startedAt: string;
}

/** A line a second, as the points of a result's timeline, and what only a live view needs. */
export interface SampleLine extends TimelinePoint {
  type: "sample";
  phaseIndex: number;
  devices: number;
  /** Since the line before, in plain sentences. */
  problems: string[];
}

/** The last line. Without it the run has not come to its end, or the file could not take it. */
export interface EndLine {
  type: "end";
  runId: string;
  durationMs: number;
  interrupted: boolean;
  sampleCount: number;
  expectations: RunResult["expectations"];
  thresholds: RunResult["thresholds"];
  /** Since the last sample, in plain sentences. */
  problems: string[];
}

type NdjsonLine = HeaderLine | SampleLine | EndLine;

export class NdjsonFormat implements SampleFormat {
  readonly #context: Pick<OutputsContext, "scenario" | "version" | "unixMs">;
  #sampleCount = 0;
  #problemCount = 0;

  constructor(context: Pick<OutputsContext, "scenario" | "version" | "unixMs">) {
    this.#context = context;
  }

  begin(): string {
    const { scenario, version, unixMs } = this.#context;
    return lineOf({
      type: "header",
      schema: SAMPLES_SCHEMA_ID,
      tool: { name: "wasmqtt", version },
      scenario: { name: scenario.name, seed: scenario.seed },
      startedAt: new Date(unixMs()).toISOString(),
    });
  }

  sample(sample: RunSample): string {
    this.#sampleCount++;
    return lineOf({
      type: "sample",
      ...pointOf(sample),
      phaseIndex: sample.phaseIndex,
      devices: sample.deviceCount,
      problems: this.#newProblems(sample.problems),
    });
  }

  end(result: RunResult): string {
    return lineOf({
      type: "end",
      runId: result.runId,
      durationMs: result.durationMs,
      interrupted: result.interrupted,
      sampleCount: this.#sampleCount,
      expectations: result.expectations,
      thresholds: result.thresholds,
      problems: this.#newProblems(result.problems),
    });
  }

  #newProblems(problems: readonly string[]): string[] {
    const added = problems.slice(this.#problemCount);
    this.#problemCount = Math.max(this.#problemCount, problems.length);
    return added;
  }
}

function lineOf(value: NdjsonLine): string {
  return `${JSON.stringify(value)}\n`;
}
