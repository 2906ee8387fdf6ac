/** Runs a scenario for a person: progress while it goes on, then the summary or the JSON document. */

import type { CliContext } from "../../../host/src/cli/command.ts";
import { readUserFile } from "../../../host/src/cli/command.ts";
import { ExitCode } from "../../../host/src/cli/exit-code.ts";
import type { Output } from "../../../host/src/cli/output.ts";
import { type ProgressSnapshot, progressBlock, progressLine } from "../progress.ts";
import type { RunResult } from "../result.ts";
import { type RunView, runScenario } from "../run.ts";
import { plannedDurationMs, type Scenario } from "../scenario.ts";
import { summaryText } from "../summary.ts";

export interface ReportOptions {
  scenario: Scenario;
  context: CliContext;
  output: Output;
  /** Prints the result as JSON instead of the summary. */
  json: boolean;
  onStart?: (view: RunView) => void;
  onPhase?: (name: string) => void;
}

const PROGRESS_MS = 250;

/** A terminal's width is not known to a stream of text; no line of ours is longer. */
const WIDTH = 100;

/** Answers the exit code: 0, 99 if something that must hold does not, or 5 if not everything could be seen. */
export async function runAndReport(options: ReportOptions): Promise<ExitCode> {
  const { scenario, context, output, json } = options;
  const progress = new Progress(scenario, context, output);
  try {
    const result = await runScenario({
      scenario,
      firmware: { name: "thermometer", bytes: await context.system.readModule("thermometer") },
      world: context.world,
      interrupt: context.interrupt,
      meter: context.system,
      readFile: (path, what) => readUserFile(context, path, what),
      version: context.system.version,
      onStart: (view) => {
        options.onStart?.(view);
        progress.start(view);
      },
      onPhase: (name) => {
        options.onPhase?.(name);
        progress.phase(name);
      },
    });
    progress.stop();
    report(result, output, json);
    return exitCodeOf(result);
  } finally {
    progress.stop();
  }
}

function exitCodeOf({ expectations, observer }: RunResult): ExitCode {
  if (!expectations.every(({ ok }) => ok)) return ExitCode.ExpectationFailed;
  return observer.lost > 0 ? ExitCode.Incomplete : ExitCode.Ok;
}

function report(result: RunResult, output: Output, json: boolean): void {
  output.endProgress();
  if (json) output.json(result);
  else output.result(summaryText(result, { color: output.colors.isColorSupported }).trimEnd());
}

/** Shows what is going on, four times a second. */
class Progress {
  readonly #scenario: Scenario;
  readonly #context: CliContext;
  readonly #output: Output;
  readonly #startedAtMs: number;
  #view: RunView | undefined;
  #timer: { clear(): void } | undefined;
  #phaseName = "";
  #phaseIndex = -1;
  #lastPublishedCount = 0;
  #lastAtMs: number;

  constructor(scenario: Scenario, context: CliContext, output: Output) {
    this.#scenario = scenario;
    this.#context = context;
    this.#output = output;
    this.#startedAtMs = context.world.nowMs();
    this.#lastAtMs = this.#startedAtMs;
  }

  start(view: RunView): void {
    this.#view = view;
    this.#next();
  }

  phase(name: string): void {
    this.#phaseName = name;
    this.#phaseIndex++;
  }

  stop(): void {
    this.#timer?.clear();
    this.#timer = undefined;
    this.#view = undefined;
  }

  #next(): void {
    this.#timer = this.#context.world.setTimer(PROGRESS_MS, () => {
      const view = this.#view;
      if (view === undefined) return;
      const snapshot = this.#snapshot(view);
      const color = this.#output.colors.isColorSupported;
      this.#output.progress(
        progressBlock(snapshot, { color, width: WIDTH }),
        progressLine(snapshot),
      );
      this.#next();
    });
  }

  #snapshot({ fleet, ledger, problems }: RunView): ProgressSnapshot {
    const { counts } = fleet;
    const nowMs = this.#context.world.nowMs();
    const publishedCount = counts.published;
    const seconds = (nowMs - this.#lastAtMs) / 1000;
    const publishedPerSecond = (publishedCount - this.#lastPublishedCount) / seconds;
    this.#lastAtMs = nowMs;
    this.#lastPublishedCount = publishedCount;
    const { expected, delivered } = ledger.total;
    return {
      scenarioName: this.#scenario.name,
      elapsedMs: nowMs - this.#startedAtMs,
      plannedMs: plannedDurationMs(this.#scenario),
      phaseName: this.#phaseName,
      phaseIndex: Math.max(0, this.#phaseIndex),
      phaseCount: this.#scenario.phases.length,
      deviceCount: fleet.sensors.length,
      connectedCount: fleet.connectedCount,
      publishedCount,
      publishedPerSecond,
      ackP99Ms: counts.publishAck.summary()?.p99Ms,
      wills: this.#scenario.observe.wills
        ? { expectedCount: expected + ledger.pendingWillCount, deliveredCount: delivered }
        : undefined,
      latestProblem: problems.at(-1),
      problemCount: problems.length,
    };
  }
}
