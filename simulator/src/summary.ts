/** The summary of a run as text for people: first whether all is well, then what was counted and measured. */

import picocolors from "picocolors";
import { formatDuration } from "./duration.ts";
import type { Expectation, RunResult } from "./result.ts";
import {
  countRows,
  generatorRows,
  latencyRows,
  type TextBlock,
  willRows,
} from "./summary-blocks.ts";
import { alignColumns, formatCount, oneLine } from "./text-format.ts";

/** Starts with an empty line and ends with a line feed. The caller knows the terminal and NO_COLOR. */
export function summaryText(result: RunResult, { color }: { color: boolean }): string {
  const paint = picocolors.createColors(color);
  const blocks: TextBlock[] = [
    { title: "EXPECTATIONS", lines: expectationLines(result.expectations, paint) },
    countRows(result),
    latencyRows(result),
    willRows(result),
    generatorRows(result),
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
  const { broker, devices, scenario } = result;
  return [
    paint.bold(scenario.name),
    `${formatCount(devices.count)} sensors`,
    `${broker.embedded ? "embedded broker" : broker.url} (MQTT ${broker.protocol})`,
    formatDuration(result.durationMs),
    paint.dim(`run ${result.runId}`),
    paint.dim(`seed ${scenario.seed}`),
  ].join("   ");
}

function expectationLines(expectations: readonly Expectation[], paint: Paint): string[] {
  const rows = alignColumns(
    expectations.map(({ name, rule, value }) => [name, rule, value]),
    new Set([0, 1, 2]),
  );
  return expectations.flatMap(({ ok, explanation }, index) => {
    const row = `${ok ? paint.green("✓") : paint.red("✗")} ${rows[index]}`;
    return explanation === undefined ? [row] : [row, `    ${paint.red(explanation)}`];
  });
}

function verdict({ expectations, interrupted, observer }: RunResult, paint: Paint): string {
  const prefix = interrupted ? "The run was interrupted. " : "";
  const failedCount = expectations.filter(({ ok }) => !ok).length;
  if (failedCount > 0) {
    return paint.red(`${prefix}${failedCount} of ${expectations.length} expectations failed.`);
  }
  if (observer.lost > 0) {
    return paint.yellow(`${prefix}What could be seen is well, but not all could: see PROBLEMS.`);
  }
  if (interrupted) return paint.yellow(`${prefix}What could be checked until then holds.`);
  return paint.green(`All ${expectations.length} expectations hold.`);
}
