/** The live dashboard in the browser: takes the server's events, and shows them. */

import type {
  Arrival,
  DashboardState,
  DeviceStates,
  Figures,
  PhaseBand,
  SampleEvent,
  TimeData,
  Verdict,
} from "../src/pages/page-data.ts";
import { showTimeCharts, type TimeCharts, timeText } from "./charts.ts";
import { showDevices } from "./device-tiles.ts";
import { place } from "./place.ts";
import { showPublishForm } from "./publish-form.ts";

const devices = showDevices();
const form = showPublishForm(place("publish-form") as HTMLFormElement);

let charts: TimeCharts | undefined;
let time: TimeData = { atSeconds: [], rows: [], phases: [] };
let pointCountMax = 0;
let deviceNames: readonly string[] = [];
let verdict: Verdict | null = null;

const events = new EventSource("events");
on<DashboardState>("state", showState);
on<SampleEvent>("sample", showSample);
on<DeviceStates>("devices", (states) => devices.update(states, deviceNames));
on<Arrival>("arrival", (arrival) => form.arrived([arrival]));
on<Verdict>("verdict", showVerdict);
events.addEventListener("error", onStreamError);

function on<Data>(event: string, listener: (data: Data) => void): void {
  events.addEventListener(event, ({ data }: MessageEvent<string>) => listener(JSON.parse(data)));
}

/** Everything, when the stream begins, has broken, or was too slow. */
function showState(state: DashboardState): void {
  charts ??= showTimeCharts(state.charts, { zoom: false });
  time = state.time;
  pointCountMax = state.pointCountMax;
  deviceNames = state.deviceNames;
  if (state.brokerUrl !== "") place("about").textContent = `Broker: ${state.brokerUrl}`;
  if (state.devices !== null) devices.update(state.devices, deviceNames);
  form.clear();
  form.arrived(state.arrivals);
  showTime();
  if (state.figures !== null) showFigures(state.figures);
  if (state.verdict !== null) showVerdict(state.verdict);
  else if (state.brokerUrl !== "") say("", "● Live: the run is under way.");
  else say("", "Waiting for the run…");
}

function showSample({ atSeconds, row, phases, figures }: SampleEvent): void {
  time.atSeconds.push(atSeconds);
  time.rows.push(row);
  time.phases = phases;
  while (time.rows.length > pointCountMax) {
    time.atSeconds.shift();
    time.rows.shift();
  }
  showTime();
  showFigures(figures);
}

function showTime(): void {
  charts?.update(time);
  place("phases").textContent = phasesText(time.phases);
}

function phasesText(phases: readonly PhaseBand[]): string {
  if (phases.length === 0) return "none so far";
  return phases.map(({ name }, index) => `${index + 1} ${name}`).join(", ");
}

function showFigures(figures: Figures): void {
  const count = (value: number) => value.toLocaleString("en").replaceAll(",", "\u202f");
  const { ackP99Ms, problems, problemCount } = figures;
  const texts = {
    phase: figures.phaseName,
    elapsed: timeText(Math.floor(figures.elapsedMs / 1000)),
    connected: `${count(figures.connectedCount)} of ${count(figures.deviceCount)}`,
    rate: count(Math.round(figures.publishedPerSecond * 10) / 10),
    ack: ackP99Ms === null ? "–" : `${count(Number(ackP99Ms.toFixed(ackP99Ms < 10 ? 2 : 1)))} ms`,
    wills: `${count(figures.willsDeliveredCount)} of ${count(figures.willsExpectedCount)}`,
  };
  for (const [id, text] of Object.entries(texts)) place(id).textContent = text;
  place("problems-section").hidden = problemCount === 0;
  place("problem-count").textContent =
    problemCount > problems.length ? `the last ${problems.length} of ${count(problemCount)}` : "";
  place("problem-list").replaceChildren(...problems.map(problemItem));
}

function problemItem(problem: string): HTMLElement {
  const item = document.createElement("li");
  const mark = document.createElement("span");
  mark.className = "mark bad";
  mark.textContent = "✗ Problem: ";
  item.append(mark, problem);
  return item;
}

const SIGNS = { good: "✓", doubtful: "!", bad: "✗" } as const;

function showVerdict(given: Verdict): void {
  verdict = given;
  const link = document.createElement("a");
  link.href = "report";
  // This page stays: without it, the run's process would end.
  link.target = "_blank";
  link.textContent = "Open the report (in a new tab)";
  const text = `${SIGNS[given.tone]} The run is over. ${given.text} `;
  say(given.tone, text, given.hasReport ? link : undefined);
  form.close();
}

/** The browser connects again by itself, unless the server has refused it or the run is over. */
function onStreamError(): void {
  if (verdict !== null) {
    events.close();
    const { tone, text } = verdict;
    say(tone, `${SIGNS[tone]} ${text} wasmqtt has ended; this page shows what it showed last.`);
  } else if (events.readyState === EventSource.CLOSED) {
    say("bad", "✗ The dashboard gives no events: load this page again, or close other ones.");
  } else say("doubtful", "! The connection to wasmqtt is lost. Trying again…");
}

function say(tone: Verdict["tone"] | "", text: string, link?: HTMLElement): void {
  const status = place("status");
  status.className = `verdict ${tone}`;
  status.replaceChildren(text, ...(link === undefined ? [] : [link]));
}
