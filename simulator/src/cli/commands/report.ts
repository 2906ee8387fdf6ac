/** `wasmqtt report`: what several runs found out together, judged again. */

import type { Command } from "commander";
import {
  action,
  type CliContext,
  type CommandCall,
  readUserFile,
} from "../../../../host/src/cli/command.ts";
import { ExitCode } from "../../../../host/src/cli/exit-code.ts";
import { UsageError } from "../../../../host/src/errors.ts";
import { formatDuration } from "../../duration.ts";
import type { Demand } from "../../run/merge-results.ts";
import type { RunResult } from "../../run/result.ts";
import { scenarioDifference } from "../../scenario/scenario-difference.ts";

interface ReportFlags {
  json?: boolean;
  out?: string[];
  threshold?: string[];
  scenario?: string;
  allowPartial?: boolean;
}

export function registerReport(program: Command, context: CliContext): void {
  program
    .command("report")
    .argument("<result...>", "files that run --json or --out json=FILE has written")
    .description("Merge the results of several runs exactly, and judge them again.")
    .option("--json", "print the merged result as JSON (result.v1)")
    .option(
      "--out <kind=target>",
      "write json, hgrm, html, junit or md to a file (repeatable)",
      (text: string, before: string[] = []) => [...before, text],
    )
    .option(
      "--threshold <metric: rule>",
      'demand this instead, as in "publish_ack_duration: p(99)<250" (repeatable)',
      (text: string, before: string[] = []) => [...before, text],
    )
    .option("--scenario <scenario>", "demand what this scenario demands instead")
    .option("--allow-partial", "merge different scenarios and firmware, accept incomplete runs")
    .addHelpText(
      "after",
      "\nWithout --threshold and --scenario the thresholds are those of the results.",
    )
    .action(action(context, report));
}

interface NamedResult {
  path: string;
  result: RunResult;
}

async function report(call: CommandCall<ReportFlags>): Promise<ExitCode> {
  const { context, output, flags, args } = call;
  const { mergeResults } = await import("../../run/merge-results.ts");
  const { readResult } = await import("../../run/read-result.ts");
  const { exitCodeOf } = await import("../print-result.ts");
  const named = args.map((path): NamedResult => {
    const text = readUserFile(context, path, "result").toString("utf8");
    return { path, result: readResult(text, path) };
  });
  refuseTwice(named);
  const demands = await demandsOf(flags, context);
  const isPartialAllowed = flags.allowPartial === true;
  const mixture = mixtureOf(named);
  if (mixture !== undefined && !isPartialAllowed) {
    output.error(mixture, "Merge what belongs together, or add --allow-partial");
    return ExitCode.Incomplete;
  }
  const merged = mergeResults(
    named.map(({ result }) => result),
    demands,
  );
  const isWritten = await writeOut(merged, call);

  const gaps = named.flatMap(gapsOf);
  for (const sentence of mixture === undefined ? gaps : [mixture, ...gaps]) output.warn(sentence);
  if (exitCodeOf(merged) === ExitCode.ExpectationFailed) return ExitCode.ExpectationFailed;
  const isComplete = isWritten && (gaps.length === 0 || isPartialAllowed);
  return isComplete ? ExitCode.Ok : ExitCode.Incomplete;
}

/** Prints the merged result and writes what `--out` asks for; false if some of it could not be written. */
async function writeOut(
  merged: RunResult,
  { context, output, flags }: CommandCall<ReportFlags>,
): Promise<boolean> {
  const { openOutputs } = await import("../../outputs/outputs.ts");
  const { outputsContext } = await import("../outputs-context.ts");
  const { printResult } = await import("../print-result.ts");
  const specs = flags.out ?? [];
  await refuseLiveKinds(specs);
  const { scenario } = merged;
  const json = flags.json === true;
  const outputs = await openOutputs(specs, outputsContext({ scenario, context, output, json }));
  const problems = await outputs.finish(merged);
  if (!outputs.usesStdout) printResult(merged, output, json);
  for (const { problem, remedy } of problems) output.error(problem, remedy);
  return problems.length === 0;
}

/** These are written while a run goes on. */
const LIVE_KINDS: ReadonlySet<string> = new Set(["ndjson", "csv", "prometheus"]);

async function refuseLiveKinds(specs: readonly string[]): Promise<void> {
  const { parseOutputSpec } = await import("../../outputs/output-spec.ts");
  const live = specs.map(parseOutputSpec).find(({ kind }) => LIVE_KINDS.has(kind));
  if (live === undefined) return;
  throw new UsageError(
    `--out ${live.kind} is written while a run goes on, and these have ended`,
    "Give it to wasmqtt run; a report has json, hgrm, html, junit and md",
  );
}

/** Undefined: what the results themselves demand. */
async function demandsOf(
  { threshold, scenario }: ReportFlags,
  context: CliContext,
): Promise<Demand[] | undefined> {
  if (scenario !== undefined) {
    const { loadScenario } = await import("../load-scenario.ts");
    return loadScenario(scenario, { thresholds: threshold }, context).thresholds;
  }
  if (threshold === undefined) return undefined;
  const { readScenario } = await import("../../scenario/scenario-file.ts");
  return readScenario("version: 1", "of the command line", { thresholds: threshold }).thresholds;
}

/** A run that is counted twice would look like two. A merged result has the names of all its runs. */
function refuseTwice(named: readonly NamedResult[]): void {
  const paths = new Map<string, string>();
  for (const { path, result } of named) {
    for (const runId of result.runId.split("+")) {
      const before = paths.get(runId);
      if (before !== undefined) {
        throw new UsageError(
          `${before} and ${path} both have the run ${runId} in them`,
          "Give each run once",
        );
      }
      paths.set(runId, path);
    }
  }
}

/** Why the results do not belong together. */
function mixtureOf([first, ...others]: readonly NamedResult[]): string | undefined {
  for (const other of others) {
    if (first === undefined) return undefined;
    const between = `${first.path} and ${other.path}`;
    const [one, two] = [first.result, other.result];
    if (one.scenario.name !== two.scenario.name) {
      return `${between} are of different scenarios: ${one.scenario.name} and ${two.scenario.name}`;
    }
    const path = scenarioDifference(one.scenario.text, two.scenario.text);
    if (path !== undefined) {
      return `${between} are of different scenarios: ${path} is not the same`;
    }
    if (one.firmware.sha256 !== two.firmware.sha256) {
      const texts = [one, two].map(
        ({ firmware }) => `${firmware.name} ${firmware.sha256.slice(0, 12)}`,
      );
      return `${between} ran different firmware: ${texts.join(" and ")}`;
    }
  }
  return undefined;
}

/** What a result does not tell of its run. */
function gapsOf({ path, result }: NamedResult): string[] {
  const { interrupted, thresholds, observer } = result;
  const gaps: string[] = [];
  // What a threshold has ended has told enough.
  if (interrupted && !thresholds.some(({ aborted }) => aborted)) {
    gaps.push(`${path}: the run was interrupted`);
  }
  if (observer.lost > 0) {
    const away = formatDuration(Math.round(observer.awayMs));
    gaps.push(`${path}: the run's own subscriber was away for ${away}`);
  }
  return gaps;
}
