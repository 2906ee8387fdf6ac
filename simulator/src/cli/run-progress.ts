/** Shows a person what is going on in a run, from its samples. */

import type { Output } from "../../../host/src/cli/output.ts";
import type { RunSample } from "../run/run-sample.ts";
import { plannedDurationMs, type Scenario } from "../scenario/scenario.ts";
import { progressBlock, progressLine } from "../summary/progress.ts";

/** A terminal's width is not known to a stream of text; no line of ours is longer. */
const WIDTH = 100;

export class RunProgress {
  readonly #scenario: Scenario;
  readonly #output: Output;
  #lastPublishedCount = 0;

  constructor(scenario: Scenario, output: Output) {
    this.#scenario = scenario;
    this.#output = output;
  }

  sample(sample: RunSample): void {
    const { name, phases, observe } = this.#scenario;
    const { counters, totals } = sample;
    const publishedInSpan = counters.published - this.#lastPublishedCount;
    this.#lastPublishedCount = counters.published;
    const snapshot = {
      scenarioName: name,
      elapsedMs: sample.atMs,
      plannedMs: plannedDurationMs(this.#scenario),
      phaseName: sample.phaseName,
      phaseIndex: sample.phaseIndex,
      phaseCount: phases.length,
      deviceCount: sample.deviceCount,
      connectedCount: sample.connectedCount,
      publishedCount: counters.published,
      publishedPerSecond: sample.spanMs > 0 ? (1000 * publishedInSpan) / sample.spanMs : 0,
      ackP99Ms: totals.publishAckUncorrected.summary()?.p99Ms,
      wills: observe.wills
        ? { expectedCount: counters.willsExpected, deliveredCount: counters.willsDelivered }
        : undefined,
      latestProblem: sample.problems.at(-1),
      problemCount: sample.problems.length,
    };
    const color = this.#output.colors.isColorSupported;
    this.#output.progress(progressBlock(snapshot, { color, width: WIDTH }), progressLine(snapshot));
  }
}
