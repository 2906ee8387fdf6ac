/** The tables of a summary: counts, latencies, Last Wills, and the load generator itself. */

import type { LatencyResult, RunResult, WillCounts } from "../run/result.ts";
import { FAULT_KINDS } from "../scenario/scenario.ts";
import { alignColumns, formatBytes, formatCount, formatMs } from "./text-format.ts";

/** Left out of the summary if it has no lines. */
export interface TextBlock {
  title: string;
  lines: string[];
}

/** What stands where nothing was measured. */
const NOTHING = "n/a";

export function countRows(result: RunResult): TextBlock {
  const { connections, messages, statusMessages, audit, commands } = result;
  const rows: [string, string][] = [
    [
      "connections",
      pairs({
        attempted: connections.attempted,
        connected: connections.connected,
        reconnected: connections.reconnected,
        failed: sum(connections.failed),
        refused: sum(connections.refused),
        lost: connections.lost,
      }),
    ],
    ...reasonRows(connections),
    [
      "messages",
      `${pairs({ published: messages.published })} (${perSecond(result)})   ${sentText(messages.sent)}`,
    ],
    [
      "",
      pairs({
        acknowledged: messages.acknowledged,
        "in doubt": messages.inDoubt,
        "sent again": messages.requeued,
        dropped: messages.discarded + messages.refusedFull,
      }),
    ],
    ...auditRows(audit),
    ["status", statusMessages === null ? NOTHING : statusText(statusMessages, result.goodbyes)],
  ];
  if (commands !== null) rows.push(["commands", pairs(commands)]);
  return { title: "COUNTS", lines: alignColumns(rows, new Set([0, 1])) };
}

function pairs(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([label, count]) => `${label} ${formatCount(count)}`)
    .join("   ");
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

function perSecond({ messages, durationMs }: RunResult): string {
  return durationMs === 0 ? NOTHING : `${((1000 * messages.published) / durationMs).toFixed(1)}/s`;
}

function statusText(
  { online, offline, lost }: NonNullable<RunResult["statusMessages"]>,
  goodbyes: number,
): string {
  const ofThese = `(goodbyes ${formatCount(goodbyes)}, the others Last Wills)`;
  return `${pairs({ online, offline })} ${ofThese}   ${pairs({ lost })}`;
}

function sentText({ qos0, qos1, qos2 }: RunResult["messages"]["sent"]): string {
  return `sent ${[qos0, qos1, qos2].map(formatCount).join(" / ")} at QoS 0 / 1 / 2`;
}

/** What a Connect Return code means (3.2.2.3). */
const RETURN_CODES: Readonly<Record<string, string>> = {
  1: "unacceptable protocol version",
  2: "client id rejected",
  3: "server unavailable",
  4: "bad user name or password",
  5: "not authorized",
};

function reasonRows({ failed, refused }: RunResult["connections"]): [string, string][] {
  return [
    ...Object.entries(failed).map(([reason, count]) => `failed: ${formatCount(count)} ${reason}`),
    ...Object.entries(refused).map(
      ([code, count]) => `refused: ${formatCount(count)} ${RETURN_CODES[code] ?? `code ${code}`}`,
    ),
  ].map((text) => ["", text]);
}

function auditRows(audit: RunResult["audit"]): [string, string][] {
  if (audit === null) return [["received", NOTHING]];
  const { delivered, lost, unjudged, outOfOrder, unknown, inDoubtDelivered } = audit;
  const rest = { "out of order": outOfOrder, unknown, "of those in doubt": inDoubtDelivered };
  return [
    ["received", `${pairs({ messages: delivered, lost })}   doubled ${doubledText(audit)}`],
    ["", pairs(unjudged > 0 ? { ...rest, unjudged } : rest)],
  ];
}

function doubledText({ doubledAtQos1, doubledAtQos2 }: NonNullable<RunResult["audit"]>): string {
  return `${formatCount(doubledAtQos1)} / ${formatCount(doubledAtQos2)} at QoS 1 / 2`;
}

const LATENCY_COLUMNS = ["count", "mean", "p50", "p90", "p99", "p99.9", "max"];

export function latencyRows({ latencies }: RunResult): TextBlock {
  const rows: [string, LatencyResult | null][] = [
    ["connect", latencies.connect],
    ["reading due to acknowledged", latencies.publishAck],
    ...qosRows(latencies),
    ["published to acknowledged", latencies.publishAckUncorrected],
    ["sensor to subscriber", latencies.endToEnd],
  ];
  for (const kind of FAULT_KINDS) {
    const latency = latencies.willDelivery[kind];
    if (latency !== undefined) rows.push([`Last Will after ${kind}`, latency]);
  }
  const cells = rows.map(([name, latency]) => [name, ...latencyCells(latency)]);
  const [columns = "", ...lines] = alignColumns([["", ...LATENCY_COLUMNS], ...cells]);
  return { title: "LATENCY in ms", lines: [columns, ...lines] };
}

/** Only where both occur; else the row above says it all. */
function qosRows({
  publishAckQos1,
  publishAckQos2,
}: RunResult["latencies"]): [string, LatencyResult][] {
  if (publishAckQos1 === null || publishAckQos2 === null) return [];
  return [
    ["  at QoS 1", publishAckQos1],
    ["  at QoS 2", publishAckQos2],
  ];
}

function latencyCells(latency: LatencyResult | null): string[] {
  if (latency === null) return ["0", ...LATENCY_COLUMNS.slice(1).map(() => NOTHING)];
  const { meanMs, p50Ms, p90Ms, p99Ms, p999Ms, maxMs } = latency;
  const times = [meanMs, p50Ms, p90Ms, p99Ms, p999Ms, maxMs];
  return [formatCount(latency.count), ...times.map(formatMs)];
}

const WILL_COLUMNS = [
  "expected",
  "delivered",
  "missing",
  "early",
  "late",
  "doubled",
  "unexpected",
] as const satisfies readonly (keyof WillCounts)[];

export function willRows({ faults, wills }: RunResult): TextBlock {
  const columns = [...WILL_COLUMNS, ...(wills?.unjudged ? (["unjudged"] as const) : [])];
  const row = (name: string, injected: number, counts: WillCounts | null) => {
    const cells = columns.map((key) => (counts === null ? NOTHING : formatCount(counts[key])));
    return [name, formatCount(injected), ...cells];
  };
  const rows = FAULT_KINDS.flatMap((kind) => {
    const fault = faults[kind];
    return fault === undefined ? [] : [row(kind, fault.injected, fault.wills)];
  });
  if (rows.length === 0 && wills === null) return { title: "LAST WILLS", lines: [] };
  const injected = FAULT_KINDS.reduce((total, kind) => total + (faults[kind]?.injected ?? 0), 0);
  rows.push(row("all", injected, wills));
  return { title: "LAST WILLS", lines: alignColumns([["", "faults", ...columns], ...rows]) };
}

export function generatorRows({ generator, broker }: RunResult): TextBlock {
  const { scheduleLag, eventLoopDelayP99Ms, cpuPercent, cpuUsPerMessage } = generator;
  const { threads, rssBytes, memoryPerDeviceBytes } = generator;
  const or = (value: number | null, text: (value: number) => string) =>
    value === null ? NOTHING : text(value);
  const lines = [
    [
      `schedule lag p99 ${or(scheduleLag?.p99Ms ?? null, (ms) => `${formatMs(ms)} ms`)}`,
      `event loop p99 ${or(eventLoopDelayP99Ms, (ms) => `${formatMs(ms)} ms`)}`,
      `cpu ${or(cpuPercent, (percent) => `${Math.round(percent)}%`)}`,
      `cpu per message ${or(cpuUsPerMessage, (us) => `${us.toFixed(1)} us`)}`,
    ].join("   "),
    [
      `threads ${threads}`,
      `memory ${formatBytes(rssBytes)}`,
      `per sensor ${or(memoryPerDeviceBytes, formatBytes)}`,
    ].join("   "),
  ];
  if (broker.embedded)
    lines.push("The embedded broker is part of this process: its work is in it.");
  return { title: "GENERATOR", lines };
}
