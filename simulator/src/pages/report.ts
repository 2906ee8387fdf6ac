/** A run's result as one HTML file that needs nothing else: no network, no other file. */

import { createHash } from "node:crypto";
import { formatDuration } from "../duration.ts";
import { LatencyHistogram } from "../histogram.ts";
import type { LatencyResult, RunResult } from "../run/result.ts";
import { verdictOf } from "../run/verdict.ts";
import { CHARTS, chartRow } from "./chart-data.ts";
import { curveFigure, timeFigures } from "./chart-figures.ts";
import { Html, html, jsonBlock } from "./html.ts";
import type { PercentileCurve, ReportData } from "./page-data.ts";
import { pageScript, pageStyle, uplotScript } from "./page-files.ts";
import { phaseTable } from "./phase-table.ts";
import {
  checksSection,
  countsSection,
  generatorSection,
  latencySection,
  originSection,
  problemsSection,
  willsSection,
} from "./report-sections.ts";
import { countText, facts, mark, msText } from "./tables.ts";

/**
 * The report of a run. Everything in it that comes from the result is escaped, and its Content Security Policy lets no other
 * script run than the two that belong to it. Throws a UsageError where the scripts are not built.
 */
export function htmlReport(result: RunResult): string {
  const style = pageStyle();
  const scripts = [uplotScript(), pageScript("charts.js")];
  const policy = [
    "default-src 'none'",
    `style-src ${sourceHash(style)}`,
    `script-src ${scripts.map(sourceHash).join(" ")}`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${new Html(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="wasmqtt ${result.tool.version}">
<title>${result.scenario.name}: report of a run of wasmqtt</title>
<style>${new Html(style)}</style>
</head>
<body>
<a class="skip" href="#main">To the content</a>
${header(result)}
<main id="main" tabindex="-1">
${problemsSection(result)}
${checksSection(result)}
${latencySection(result, curveFigure())}
${timeSection(result)}
${willsSection(result)}
${countsSection(result)}
${generatorSection(result)}
${originSection(result)}
</main>
<footer><p>Made by wasmqtt ${result.tool.version} from the result of run ${result.runId}. This file needs no network.</p></footer>
${jsonBlock("run-data", reportData(result))}
<script>${new Html(scripts[0] ?? "")}</script>
<script type="module">${new Html(scripts[1] ?? "")}</script>
</body>
</html>
`;
  return page.text;
}

/** As a Content Security Policy names an inline script or style. */
function sourceHash(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}

function header(result: RunResult): Html {
  const { scenario, devices, broker, messages, latencies, wills, audit } = result;
  const { tone, text } = verdictOf(result);
  const brokerText = broker.embedded ? `its own broker, ${broker.url}` : broker.url;
  return html`<header>
<p class="kind">Report of a run</p>
<h1>${scenario.name}</h1>
<p>${countText(devices.count)} devices against ${brokerText} (MQTT ${broker.protocol}), ${formatDuration(result.durationMs)}</p>
<p class="verdict ${tone}">${mark(tone, text)}</p>
${facts([
  ["Connected", `${countText(devices.connected)} of ${countText(devices.count)}`],
  ["Messages published", countText(messages.published)],
  ["Lost by the broker", audit === null ? "nobody looked" : countText(audit.lost)],
  ["99\u00a0% acknowledged within", percentile99(latencies.publishAck)],
  ["99\u00a0% at a subscriber within", percentile99(latencies.endToEnd)],
  [
    "Last Wills delivered",
    wills === null
      ? "nobody looked"
      : `${countText(wills.delivered)} of ${countText(wills.expected)}`,
  ],
])}
</header>`;
}

function percentile99(latency: LatencyResult | null): string {
  return latency === null ? "not measured" : `${msText(latency.p99Ms)} ms`;
}

function timeSection(result: RunResult): Html {
  return html`<section aria-labelledby="time"><h2 id="time">Over time</h2>
${result.phases.length === 0 ? undefined : phaseTable(result)}
${
  result.timeline.length === 0
    ? html`<p>The run was too short for charts.</p>`
    : [
        html`<p class="hint screen">The bands are the phases, numbered as above. Point at a chart to read its values, or go to it with the Tab key and
use the arrow keys. Drag across a chart to look closer; a double click shows everything again.</p>`,
        timeFigures(),
      ]
}
</section>`;
}

function reportData({ timeline, phases, latencies }: RunResult): ReportData {
  return {
    charts: CHARTS,
    time: {
      atSeconds: timeline.map(({ atMs }) => atMs / 1000),
      rows: timeline.map((point, index) => chartRow(point, timeline[index - 1])),
      phases: phases.map(({ name, startMs, endMs }) => ({
        name,
        startSeconds: startMs / 1000,
        endSeconds: endMs / 1000,
      })),
    },
    curves: [
      curve("publish to acknowledgement", latencies.publishAck),
      curve("the same, uncorrected", latencies.publishAckUncorrected),
      curve("device to subscriber", latencies.endToEnd),
      curve("connect", latencies.connect),
    ].flat(),
  };
}

function curve(label: string, latency: LatencyResult | null): PercentileCurve[] {
  if (latency === null) return [];
  return [{ label, points: LatencyHistogram.decode(latency.histogram).curve() }];
}
