/** The page of the live dashboard; its scripts fill it. */

import { timeFigures } from "./chart-figures.ts";
import { html } from "./html.ts";

export interface DashboardPageOptions {
  scenarioName: string;
  /** Of wasmqtt. */
  version: string;
  /** Without it nothing is published. */
  token: string;
}

export function dashboardPage({ scenarioName, version, token }: DashboardPageOptions): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${scenarioName}: wasmqtt, live</title>
<link rel="icon" href="favicon.svg">
<link rel="stylesheet" href="page.css">
<script src="uplot.js" defer></script>
<script src="dashboard.js" type="module"></script>
</head>
<body>
<a class="skip" href="#main">To the content</a>
<header>
<p class="kind">Live dashboard</p>
<h1>${scenarioName}</h1>
<p id="about">&nbsp;</p>
<p id="status" role="status" class="verdict">Waiting for the run…</p>
<dl class="facts">
${FIGURES.map(([id, name]) => html`<div><dt>${name}</dt><dd id="${id}">–</dd></div>`)}
</dl>
</header>
<main id="main" tabindex="-1">
<section aria-labelledby="problems" id="problems-section" hidden>
<h2 id="problems">Problems <span id="problem-count" class="unit"></span></h2>
<ul class="sentences" id="problem-list"></ul>
</section>
<div class="side-by-side">
${devicesSection()}
${publishSection(token)}
</div>
<section aria-labelledby="time"><h2 id="time">Over time</h2>
<p class="hint">The bands are the phases of the scenario: <span id="phases">none so far</span>. Point at a chart to read its values, or go to it with the
Tab key and use the arrow keys.</p>
${timeFigures()}
</section>
</main>
<footer><p>wasmqtt ${version}. This page comes from the process that runs the test, and ends with it.</p></footer>
</body>
</html>
`.text;
}

const FIGURES = [
  ["phase", "Phase"],
  ["elapsed", "Running for"],
  ["connected", "Connected"],
  ["rate", "Published per second"],
  ["ack", "99\u00a0% acknowledged within"],
  ["wills", "Last Wills delivered"],
] as const;

function devicesSection() {
  return html`<section aria-labelledby="devices" id="device-section"><h2 id="devices">Devices</h2>
<ul class="legend" id="device-counts"></ul>
<div id="device-bar" class="bar" aria-hidden="true" hidden></div>
<div id="device-tiles" hidden><canvas tabindex="0" role="img" aria-label="Tiles, one for each device. The arrow keys go from one to the next." aria-describedby="device-counts"></canvas>
<p id="device-name" class="hint" aria-live="polite">Point at a tile, or use the arrow keys, to see which device it is.</p></div>
</section>`;
}

function publishSection(token: string) {
  return html`<section aria-labelledby="publish"><h2 id="publish">Publish a message</h2>
<form id="publish-form" data-token="${token}" autocomplete="off">
<label for="topic">Topic</label>
<input id="topic" name="topic" value="wasmqtt/hello" required maxlength="1024" spellcheck="false" autocapitalize="off">
<label for="payload">Message</label>
<input id="payload" name="payload" value="Hello" maxlength="16384">
<div class="row">
<div><label for="qos">Quality of service</label>
<select id="qos" name="qos"><option value="0">0, at most once</option><option value="1" selected>1, at least once</option><option value="2">2, exactly once</option></select></div>
<label class="check"><input type="checkbox" name="retain" checked> Retain</label>
<button type="submit">Publish</button>
</div>
<p class="hint">The broker keeps a retained message for those who come later; an empty one deletes it.</p>
<p id="publish-answer" role="status"></p>
</form>
<h3 id="arrivals-title">What came back</h3>
<p class="hint" id="no-arrivals">Whatever comes on a topic that you published to is listed here.</p>
<ol id="arrivals" class="arrivals" role="log" aria-labelledby="arrivals-title"></ol>
</section>`;
}
