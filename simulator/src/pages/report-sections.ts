/** The sections of the report that are tables and text. */

import { formatDuration } from "../duration.ts";
import type { LatencyResult, RunResult, WillCounts } from "../run/result.ts";
import { FAULT_KINDS } from "../scenario/scenario.ts";
import { formatBytes } from "../summary/text-format.ts";
import { type Html, type HtmlValue, html } from "./html.ts";
import { countText, facts, mark, msText, table } from "./tables.ts";

/** What stands where nothing was measured. */
const NOTHING = "–";

export function checksSection({ thresholds, expectations }: RunResult): Html {
  const what = (name: string, ok: boolean, explanation: string | undefined) => [
    ok ? mark("good", "holds:") : mark("bad", "fails:"),
    ` ${name}`,
    explanation === undefined ? undefined : html`<p>${explanation}</p>`,
  ];
  const ofThresholds = thresholds.map(({ metric, rule, value, ok, aborted }) => [
    what(metric, ok, aborted ? "It ended the run before its time." : undefined),
    html`<code>${rule}</code>`,
    value,
  ]);
  const ofExpectations = expectations.map(({ name, rule, value, ok, explanation }) => [
    what(name, ok, explanation),
    html`<code>${rule}</code>`,
    value,
  ]);
  const columns = ["What", "Must be", "Was"];
  const checks = (caption: string, rows: HtmlValue[][]) =>
    rows.length === 0 ? undefined : table({ caption, columns, rows, isText: true });
  return html`<section aria-labelledby="checks"><h2 id="checks">What must hold</h2>
${checks("Thresholds: what this scenario demands", ofThresholds)}
${checks("Expectations: what must hold in every run", ofExpectations)}
${thresholds.length === 0 ? html`<p class="hint">The scenario has no thresholds of its own.</p>` : undefined}
</section>`;
}

const LATENCY_COLUMNS = [
  ["Mean", "meanMs"],
  ["Median", "p50Ms"],
  ["90\u00a0%", "p90Ms"],
  ["99\u00a0%", "p99Ms"],
  ["99.9\u00a0%", "p999Ms"],
  ["Longest", "maxMs"],
] as const;

/** The curve's figure stands between the tables. */
export function latencySection({ latencies }: RunResult, curveFigure: Html): Html {
  const named: [string, LatencyResult | null | undefined][] = [
    ["Connect: from the first packet to the broker's yes", latencies.connect],
    ["Publish to acknowledgement, QoS 1", latencies.publishAckQos1],
    ["Publish to acknowledgement, QoS 2", latencies.publishAckQos2],
    ["Device to subscriber", latencies.endToEnd],
    ...FAULT_KINDS.map((kind): [string, LatencyResult | undefined] => [
      `Last Will after ${kind}`,
      latencies.willDelivery[kind],
    ]),
  ];
  const rows = named.flatMap(([name, latency]) =>
    latency == null
      ? []
      : [
          [
            name,
            countText(latency.count),
            ...LATENCY_COLUMNS.map(([, key]) => msText(latency[key])),
          ],
        ],
  );
  const columns = ["From when to when", "Count", ...LATENCY_COLUMNS.map(([column]) => column)];
  return html`<section aria-labelledby="latency"><h2 id="latency">Latency</h2>
${
  rows.length === 0
    ? html`<p>Nothing was measured.</p>`
    : [
        table({ caption: "All latencies, in milliseconds", columns, rows }),
        html`<p class="hint">“99 %” means: 99 of 100 took so long or less, one of 100 took longer.</p>`,
      ]
}
${correctionTable(latencies)}
${curveFigure}
</section>`;
}

function correctionTable({ publishAck, publishAckUncorrected }: RunResult["latencies"]) {
  if (publishAck === null || publishAckUncorrected === null) return undefined;
  const rows = LATENCY_COLUMNS.map(([column, key]) => [
    column,
    msText(publishAck[key]),
    msText(publishAckUncorrected[key]),
    msText(Math.max(0, publishAck[key] - publishAckUncorrected[key])),
  ]);
  return html`<h3>Waiting counts</h3>
<p>A device has to publish when a reading is due, not when the broker has time for it. The corrected latency starts
at the moment at which the reading was due, so the time it had to wait is in it. The uncorrected one starts when the message was really sent,
as many tools measure: it hides that wait. Where the two differ, believe the corrected one.</p>
${table({
  caption: "Publish to acknowledgement, all QoS, in milliseconds",
  columns: ["", "Corrected: since it was due", "Uncorrected: since it was sent", "Hidden wait"],
  rows,
})}`;
}

const WILL_COLUMNS: readonly (readonly [column: string, key: keyof WillCounts])[] = [
  ["Expected", "expected"],
  ["Delivered", "delivered"],
  ["Missing", "missing"],
  ["Early", "early"],
  ["Late", "late"],
  ["Doubled", "doubled"],
  ["Unexpected", "unexpected"],
  ["Unjudged", "unjudged"],
];

/** Nothing if there was no fault, and nobody watched. */
export function willsSection({ faults, wills, latencies }: RunResult): Html | undefined {
  const row = (
    name: string,
    injected: number,
    counts: WillCounts | null,
    latency?: LatencyResult,
  ) => [
    name,
    countText(injected),
    ...WILL_COLUMNS.map(([, key]) => (counts === null ? NOTHING : countText(counts[key]))),
    latency === undefined ? NOTHING : msText(latency.p50Ms),
    latency === undefined ? NOTHING : msText(latency.maxMs),
  ];
  const rows = FAULT_KINDS.flatMap((kind) => {
    const fault = faults[kind];
    if (fault === undefined) return [];
    return [row(kind, fault.injected, fault.wills, latencies.willDelivery[kind])];
  });
  if (rows.length === 0 && wills === null) return undefined;
  const injectedCount = FAULT_KINDS.reduce((sum, kind) => sum + (faults[kind]?.injected ?? 0), 0);
  rows.push(row("all", injectedCount, wills));
  return html`<section aria-labelledby="wills"><h2 id="wills">Last Wills</h2>
<p>A device leaves its Last Will with the broker when it connects. When the device vanishes without a goodbye, the
broker has to publish it; after a goodbye (clean) it must not.</p>
${table({
  caption: "Last Wills by the way in which the devices vanished; times in milliseconds since then",
  columns: ["Fault", "Faults", ...WILL_COLUMNS.map(([column]) => column), "Median", "Longest"],
  rows,
})}
</section>`;
}

export function countsSection(result: RunResult): Html {
  return html`<section aria-labelledby="counts"><h2 id="counts">Counts</h2>
<div class="columns">${countTables(result).map(([caption, rows]) =>
    table({
      caption,
      columns: ["What", "Count"],
      rows: rows.map(([name, count]) => [name, countText(count)]),
    }),
  )}</div>
</section>`;
}

type Count = readonly [name: string, count: number];

function countTables(result: RunResult): [caption: string, rows: Count[]][] {
  const { connections, messages, audit, commands, statusMessages } = result;
  const reasons = (counts: Readonly<Record<string, number>>, prefix: string): Count[] =>
    Object.entries(counts).map(([reason, count]) => [`${prefix}: ${reason}`, count]);
  const tables: [string, Count[]][] = [
    [
      "Connections",
      [
        ["tried", connections.attempted],
        ["accepted by the broker", connections.connected],
        ["of these, not a device's first", connections.reconnected],
        ...reasons(connections.failed, "failed"),
        ...reasons(connections.refused, "refused with return code"),
        ["lost without our doing", connections.lost],
        ["restarts of the broker", result.brokerRestarts],
      ],
    ],
    [
      "Messages",
      [
        ["published by the devices", messages.published],
        ["sent at QoS 0", messages.sent.qos0],
        ["sent at QoS 1", messages.sent.qos1],
        ["sent at QoS 2", messages.sent.qos2],
        ["acknowledged by the broker", messages.acknowledged],
        ["sent, never acknowledged", messages.inDoubt],
        ["sent again as a new message", messages.requeued],
        ["dropped, the outbox was full", messages.discarded + messages.refusedFull],
      ],
    ],
  ];
  if (audit !== null) tables.push(["What the subscriber received", auditRows(audit)]);
  if (statusMessages !== null) {
    tables.push([
      "Messages about the devices",
      [
        ["online", statusMessages.online],
        ["offline: Last Wills and goodbyes", statusMessages.offline],
        ["of these, goodbyes", result.goodbyes],
        ["lost", statusMessages.lost],
      ],
    ]);
  }
  if (commands !== null) tables.push(["Commands to the devices", Object.entries(commands)]);
  return tables;
}

function auditRows(audit: NonNullable<RunResult["audit"]>): Count[] {
  return [
    ["messages, each counted once", audit.delivered],
    ["acknowledged, but lost", audit.lost],
    ["doubled at QoS 1: allowed", audit.doubledAtQos1],
    ["doubled at QoS 2: forbidden", audit.doubledAtQos2],
    ["out of order", audit.outOfOrder],
    ["unknown", audit.unknown],
    ["never acknowledged, but received", audit.inDoubtDelivered],
    ["nobody can say: the subscriber was away", audit.unjudged],
  ];
}

export function generatorSection({ generator, broker }: RunResult): Html {
  const { scheduleLag, eventLoopDelayP99Ms, cpuPercent, cpuUsPerMessage } = generator;
  const or = (value: number | null | undefined, text: (value: number) => string) =>
    value == null ? NOTHING : text(value);
  return html`<section aria-labelledby="generator"><h2 id="generator">The load generator</h2>
${
  generator.warnings.length === 0
    ? html`<p>${mark("good", "This machine kept up: what was slow was the broker or the network.")}</p>`
    : list(generator.warnings, "doubtful")
}
${broker.embedded ? html`<p class="hint">The broker was part of this process: its work is in these numbers.</p>` : undefined}
${facts([
  ["Processor", or(cpuPercent, (percent) => `${Math.round(percent)} % of one core`)],
  ["Processor time per message", or(cpuUsPerMessage, (us) => `${us.toFixed(1)} µs`)],
  ["Schedule lag, 99th percentile", or(scheduleLag?.p99Ms, (ms) => `${msText(ms)} ms`)],
  ["Event-loop delay, 99th percentile", or(eventLoopDelayP99Ms, (ms) => `${msText(ms)} ms`)],
  ["Memory", formatBytes(generator.rssBytes)],
  ["Memory per device", or(generator.memoryPerDeviceBytes, formatBytes)],
  ["Threads", generator.threads],
])}
</section>`;
}

/** Nothing if all went well. */
export function problemsSection({ problems, observer }: RunResult): Html | undefined {
  if (problems.length === 0) return undefined;
  const away =
    observer.lost === 0
      ? undefined
      : html`<p>The run's own subscriber was away for ${formatDuration(observer.awayMs)}: the result is incomplete.</p>`;
  return html`<section aria-labelledby="problems"><h2 id="problems">Problems</h2>
${away}${list(problems, "bad")}</section>`;
}

function list(sentences: readonly string[], tone: "doubtful" | "bad"): Html {
  const word = tone === "bad" ? "Problem:" : "Warning:";
  return html`<ul class="sentences">${sentences.map(
    (sentence) => html`<li>${mark(tone, word)} ${sentence}</li>`,
  )}</ul>`;
}

export function originSection(result: RunResult): Html {
  const { scenario, environment, firmware, devices, tool } = result;
  const text = scenario.text.replace(/\r\n?/gu, "\n").replaceAll("\t", "  ");
  return html`<section aria-labelledby="origin"><h2 id="origin">What was run</h2>
${table({
  caption: "Devices",
  columns: ["Group", "Devices", "QoS", "Every", "Session"],
  rows: devices.groups.map(({ name, count, qos, intervalMs, cleanSession }) => [
    name,
    countText(count),
    qos,
    formatDuration(intervalMs),
    cleanSession ? "clean" : "kept by the broker",
  ]),
})}
<h3>Firmware</h3>
<p>Each device ran the module <strong>${firmware.name}</strong> (${formatBytes(firmware.byteLength)}, ABI version
${firmware.abiVersion}). Its SHA-256 is the one of the module that is flashed to a board: they are the same bytes.</p>
<p class="hash"><code>${firmware.sha256}</code></p>
<h3>Run</h3>
${facts([
  ["Run", result.runId],
  ["Seed", scenario.seed],
  ["Started", result.startedAt],
  ["Took", formatDuration(result.durationMs)],
  ["Tool", `${tool.name} ${tool.version}`],
  ["Node", environment.node],
  ["System", `${environment.platform}, processor cores: ${environment.cpuCount}`],
])}
<h3>Scenario</h3>
<div class="scrolls" role="group" aria-label="Scenario as YAML"><pre><code>${text}</code></pre></div>
</section>`;
}
