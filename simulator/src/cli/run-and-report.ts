/** Runs a scenario for a person: progress while it goes on, then the summary or the JSON document. */

import type { CliContext } from "../../../host/src/cli/command.ts";
import { readUserFile } from "../../../host/src/cli/command.ts";
import { ExitCode } from "../../../host/src/cli/exit-code.ts";
import type { Output } from "../../../host/src/cli/output.ts";
import type { FirmwareOf } from "../fleet/firmware-set.ts";
import { openOutputs } from "../outputs/outputs.ts";
import type { ThresholdResult } from "../run/result.ts";
import { type RunView, runScenario } from "../run/run.ts";
import { ThresholdWatch, withAborted } from "../run/thresholds.ts";
import type { Scenario } from "../scenario/scenario.ts";
import { outputsContext } from "./outputs-context.ts";
import { exitCodeOf, printResult } from "./print-result.ts";
import { RunProgress } from "./run-progress.ts";
import type { DashboardHooks } from "./with-dashboard.ts";

export interface ReportOptions {
  scenario: Scenario;
  context: CliContext;
  output: Output;
  /** Prints the result as JSON instead of the summary. */
  json: boolean;
  /** What the devices of each group run. */
  firmwareOf: FirmwareOf;
  /** Threads among which the devices are divided; 1 if absent. */
  threadCount?: number;
  /** As `--out` takes them: `kind=target`. */
  outputs?: readonly string[];
  dashboard?: DashboardHooks;
  onStart?: (view: RunView) => void;
  onPhase?: (name: string) => void;
}

/** Answers the exit code: 0, 99 if something that must hold does not, or 5 if not everything could be seen or written. */
export async function runAndReport(options: ReportOptions): Promise<ExitCode> {
  const { scenario, context, output, json, dashboard } = options;
  const outputs = await openOutputs(options.outputs ?? [], outputsContext(options));
  const progress = new RunProgress(scenario, output);
  const failure = new AbortController();
  const hurry = new AbortController();
  context.hurry = () => {
    output.note("Ending with what is known. Press Ctrl-C again to end without it.");
    hurry.abort();
  };
  let aborted: ThresholdResult | undefined;
  const watch = new ThresholdWatch(scenario, (which) => {
    aborted = which;
    output.warn(`${which.metric}: ${which.rule} does not hold (${which.value}): the run ends`);
    failure.abort();
  });
  const { nodeVersion, platform, cpuCount, version } = context.system;
  try {
    const result = await runScenario({
      scenario,
      firmwareOf: options.firmwareOf,
      world: context.world,
      interrupt: AbortSignal.any([context.interrupt, failure.signal]),
      hurry: hurry.signal,
      meter: context.system,
      readFile: (path, what) => readUserFile(context, path, what),
      version,
      environment: { node: nodeVersion, platform, cpuCount },
      threadCount: options.threadCount ?? 1,
      onStart: (view) => {
        options.onStart?.(view);
        dashboard?.onStart(view);
      },
      onPhase: (name) => options.onPhase?.(name),
      onSample: (sample) => {
        watch.sample(sample);
        progress.sample(sample);
        outputs.sample(sample);
        dashboard?.onSample(sample);
      },
    });
    result.thresholds = withAborted(result.thresholds, aborted);
    output.endProgress();
    const problems = await outputs.finish(result);
    if (!outputs.usesStdout) printResult(result, output, json);
    dashboard?.onResult(result);
    for (const { problem, remedy } of problems) output.error(problem, remedy);
    return exitCodeOf(result) || (problems.length > 0 ? ExitCode.Incomplete : ExitCode.Ok);
  } finally {
    context.hurry = undefined;
    await outputs.close();
  }
}
