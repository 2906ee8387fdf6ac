/** The summary of a run as text for people: first whether all is well, then what was counted and measured. */

import picocolors from "picocolors";
import { formatDuration } from "../duration.ts";
import type { Expectation, RunResult, ThresholdResult } from "../run/result.ts";
import { verdictOf } from "../run/verdict.ts";
import {
  countRows,
  generatorRows,
  latencyRows,
  type TextBlock,
  willRows,
} from "./summary-blocks.ts";
import { alignColumns, formatCount, oneLine, wrapText } from "./text-format.ts";

/** Characters of a line of prose; two blocks of blanks stand before it. */
const PROSE_WIDTH = 92;

/** Starts with an empty line and ends with a line feed. The caller knows the terminal and NO_COLOR. */
export function summaryText(result: RunResult, { color }: { color: boolean }): string {
  const paint = picocolors.createColors(color);
  const generator = generatorRows(result);
  const blocks: TextBlock[] = [
    { title: "THRESHOLDS", lines: thresholdLines(result.thresholds, paint) },
    { title: "EXPECTATIONS", lines: expectationLines(result.expectations, paint) },
    countRows(result),
    latencyRows(result),
    willRows(result),
    { ...generator, lines: [...generator.lines, ...warningLines(result.generator, paint)] },
    { title: "PROBLEMS", lines: result.problems.map((problem) => `- ${oneLine(problem)}`) },
  ];
  const parts = blocks
    .filter(({ lines }) => lines.length > 0)
    .map(({ title, lines }) => [paint.bold(title), ...lines.map((line) => `  ${line}`)]);
  return [[headline(result, paint)], ...parts, [verdict(result, paint)]]
    .map((lines) => `\n${lines.map((line) => `  ${line}\n`).join("")}`)
    .join("");
}

type Paint = ReturnType<typeof picocolors.createColors>;

function headline(result: RunResult, paint: Paint): string {
  const { broker, devices, scenario, runId } = result;
  const runCount = runId.split("+").length;
  return [
    paint.bold(scenario.name),
    `${formatCount(devices.count)} sensors`,
    `${broker.embedded ? "embedded broker" : broker.url} (MQTT ${broker.protocol})`,
    formatDuration(result.durationMs),
    paint.dim(runCount === 1 ? `run ${runId}` : `${runCount} runs`),
    paint.dim(`seed ${scenario.seed}`),
  ].join("   ");
}

function thresholdLines(thresholds: readonly ThresholdResult[], paint: Paint): string[] {
  const rows = thresholds.map(({ metric, rule, value }) => [metric, rule, value]);
  const lines = alignColumns(rows, new Set([0, 1, 2]));
  return thresholds.flatMap(({ ok, aborted }, index) => {
    const row = `${mark(ok, paint)} ${lines[index]}`;
    return aborted ? [row, `    ${paint.red("It ended the run.")}`] : [row];
  });
}

function expectationLines(expectations: readonly Expectation[], paint: Paint): string[] {
  const rows = expectations.map(({ name, rule, value }) => [name, rule, value]);
  const lines = alignColumns(rows, new Set([0, 1, 2]));
  return expectations.flatMap(({ ok, explanation }, index) => {
    const row = `${mark(ok, paint)} ${lines[index]}`;
    return explanation === undefined ? [row] : [row, `    ${paint.red(explanation)}`];
  });
}

function mark(ok: boolean, paint: Paint): string {
  return ok ? paint.green("✓") : paint.red("✗");
}

function warningLines({ warnings }: RunResult["generator"], paint: Paint): string[] {
  return warnings.flatMap((warning) =>
    wrapText(oneLine(warning), PROSE_WIDTH).map((line) => paint.yellow(line)),
  );
}

function verdict(result: RunResult, paint: Paint): string {
  const { tone, text } = verdictOf(result);
  if (tone === "bad") return paint.red(text);
  return tone === "doubtful" ? paint.yellow(text) : paint.green(text);
}
