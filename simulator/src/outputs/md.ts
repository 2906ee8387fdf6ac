/** `--out md=FILE`: the summary as Markdown with tables, for a comment on a pull request or a job's summary page. */

import { printable } from "../../../host/src/cli/output.ts";
import { formatDuration } from "../duration.ts";
import type { LatencyResult, RunResult, WillCounts } from "../run/result.ts";
import { verdictOf } from "../run/verdict.ts";
import { FAULT_KINDS } from "../scenario/scenario.ts";
import { formatBytes, formatCount, formatMs, oneLine } from "../summary/text-format.ts";

/** GitHub's dialect; other renderers of tables read it as well. */
export function summaryMarkdown(result: RunResult): string {
  const parts = [
    headline(result),
    verdict(result),
    checkTable(result),
    explanations(result),
    countTable(result),
    latencyTable(result),
    willTable(result),
    list("Is the generator the slow one?", result.generator.warnings),
    list("Problems", result.problems),
    footer(result),
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function headline({ scenario, devices, broker, durationMs }: RunResult): string {
  const place = broker.embedded ? "the embedded broker" : code(broker.url);
  const fleet = `${formatCount(devices.count)} sensors, ${place} (MQTT ${broker.protocol})`;
  return `### wasmqtt ${code(scenario.name)}\n\n${fleet}, ${formatDuration(durationMs)}`;
}

const TONES = { good: "✅", doubtful: "⚠️", bad: "❌" } as const;

function verdict(result: RunResult): string {
  const { tone, text } = verdictOf(result);
  return `**${TONES[tone]} ${text}**`;
}

function checkTable({ expectations, thresholds }: RunResult): string {
  const checks = [
    ...thresholds.map(({ metric, ...rest }) => ({ name: metric, ...rest })),
    ...expectations,
  ];
  return table(
    ["", "Check", "must be", "is"],
    checks.map(({ ok, name, rule, value }) => [
      ok ? "✅" : "❌",
      code(name),
      code(rule),
      code(value),
    ]),
    "---",
  );
}

function explanations({ expectations, thresholds }: RunResult): string {
  const failed = expectations.flatMap(({ ok, name, explanation }) =>
    ok || explanation === undefined ? [] : [`- ${code(name)}: ${plain(explanation)}`],
  );
  const aborted = thresholds.flatMap(({ metric, aborted }) =>
    aborted ? [`- ${code(metric)} ended the run before its time.`] : [],
  );
  return [...failed, ...aborted].join("\n");
}

function countTable({ connections, messages, audit, generator }: RunResult): string {
  const { qos0, qos1, qos2 } = messages.sent;
  const rows: [string, number | undefined][] = [
    ["connections accepted", connections.connected],
    ["connections failed or refused", sum(connections.failed) + sum(connections.refused)],
    ["connections lost", connections.lost],
    ["messages published", messages.published],
    ["messages sent", qos0 + qos1 + qos2],
    ["messages acknowledged", messages.acknowledged],
    ["messages dropped", messages.discarded + messages.refusedFull],
    ["messages received", audit?.delivered],
    ["messages lost by the broker", audit?.lost],
  ];
  const cells = rows.map(([name, count]) => [
    name,
    count === undefined ? "n/a" : formatCount(count),
  ]);
  const { cpuPercent, rssBytes } = generator;
  if (cpuPercent !== null)
    cells.push(["processor of the generator", `${Math.round(cpuPercent)} %`]);
  cells.push(["memory of the generator", formatBytes(rssBytes)]);
  return table(["", "count"], cells);
}

function latencyTable({ latencies, generator }: RunResult): string {
  const rows: [string, LatencyResult | null | undefined][] = [
    ["connect", latencies.connect],
    ["reading due to acknowledged, QoS 1", latencies.publishAckQos1],
    ["reading due to acknowledged, QoS 2", latencies.publishAckQos2],
    ["published to acknowledged", latencies.publishAckUncorrected],
    ["sensor to subscriber", latencies.endToEnd],
    ...FAULT_KINDS.map((kind): [string, LatencyResult | undefined] => [
      `Last Will after ${kind}`,
      latencies.willDelivery[kind],
    ]),
    ["schedule lag of the generator", generator.scheduleLag],
  ];
  return table(
    ["Latency in ms", "count", "mean", "p50", "p90", "p99", "p99.9", "max"],
    rows.flatMap(([name, latency]) => (latency ? [[name, ...latencyCells(latency)]] : [])),
  );
}

function latencyCells(latency: LatencyResult): string[] {
  const { count, meanMs, p50Ms, p90Ms, p99Ms, p999Ms, maxMs } = latency;
  return [formatCount(count), ...[meanMs, p50Ms, p90Ms, p99Ms, p999Ms, maxMs].map(formatMs)];
}

const WILL_COLUMNS = [
  "expected",
  "delivered",
  "missing",
  "early",
  "late",
  "doubled",
  "unexpected",
  "unjudged",
] as const satisfies readonly (keyof WillCounts)[];

function willTable({ faults, wills }: RunResult): string {
  if (wills === null) return "";
  const row = (name: string, counts: WillCounts) => [
    name,
    ...WILL_COLUMNS.map((key) => formatCount(counts[key])),
  ];
  const rows = FAULT_KINDS.flatMap((kind) => {
    const counts = faults[kind]?.wills;
    return counts ? [row(kind, counts)] : [];
  });
  return table(["Last Wills", ...WILL_COLUMNS], [...rows, row("all", wills)]);
}

function list(title: string, sentences: readonly string[]): string {
  if (sentences.length === 0) return "";
  return [`**${title}**\n`, ...sentences.map((sentence) => `- ${plain(sentence)}`)].join("\n");
}

function footer({ runId, tool, scenario, firmware }: RunResult): string {
  const facts = `wasmqtt ${plain(tool.version)}, run ${code(runId)}, seed ${scenario.seed}`;
  return `<sub>${facts}, firmware ${code(firmware.name)} (SHA-256 ${code(firmware.sha256)})</sub>`;
}

/** The first column on the left, the others as `alignment` says; nothing without rows. */
function table(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  alignment = "---:",
): string {
  if (rows.length === 0) return "";
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const marks = columns.map((_, index) => (index === 0 ? "---" : alignment));
  return [line(columns), line(marks), ...rows.map(line)].join("\n");
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

/** Text of others in a fixed-width font. Within it, GitHub makes neither links nor mentions of people and issues. */
function code(text: string): string {
  return `<code>${inert(text)}</code>`;
}

/** Text of others that means nothing in Markdown and HTML, and mentions nobody. */
function plain(text: string): string {
  // An empty comment between the sign and the name: seen by nobody, and the name stays a name.
  return inert(text).replace(/&#(64|35);/gu, "&#$1;<!-- -->");
}

/** As references, which never are marks of Markdown: all that could be one, or make a word a link. */
function inert(text: string): string {
  return printable(oneLine(text)).replace(
    /[!#$&*+/:<>@[\\\]^`{|}~]|(?<![a-z0-9])_|_(?![a-z0-9])|\.(?!\d|\s|$)/giu,
    (character) => `&#${character.codePointAt(0)};`,
  );
}
