/** The summary of a simulation for people. */

import { formatDuration, HOUR_MS } from "../duration.ts";
import { EXCUSES, type Excuse } from "./checks/excuses.ts";
import { CHECKS } from "./failure.ts";
import type { Investigation } from "./investigate.ts";
import type { SimulationReport } from "./simulate.ts";
import { formatTime } from "./trace.ts";

/** `cpuSeconds` is what the run took. */
export function simulationText(report: SimulationReport, cpuSeconds: number): string {
  const { messages, wills, flash, excuses, failure } = report;
  const rate = report.deviceHours / cpuSeconds;
  const rows: [label: string, text: string][] = [
    ["devices", `${report.deviceCount}: ${counted(report.deviceKinds)}`],
    ["time", `${formatDuration(report.virtualMs)} virtual, ${count(report.stepCount)} steps`],
    ["speed", `${count(Math.round(rate))} device-hours a second (${cpuSeconds.toFixed(1)} s CPU)`],
    ["connections", count(report.connectionCount)],
    ["faults", counted(report.faults)],
    ["power losses", count(report.powerLossCount)],
    ["from devices", arrivals(messages.up, messages.upRepeated)],
    ["to devices", arrivals(messages.down, messages.downRepeated)],
    ["Wills", `${count(wills.published)} published, ${count(wills.suppressed)} suppressed`],
    ["flash", `${count(flash.programmedBytes)} bytes, ${count(flash.erasures)} erasures`],
    ["excused", excused(excuses)],
    ["checks", failure === undefined ? `all ${Object.keys(CHECKS).length} hold` : "FAILED"],
  ];
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, text]) => `${label.padEnd(width)}  ${text}`).join("\n");
}

export function failureText(investigation: Investigation): string {
  const { failure, flags, trace, runCount } = investigation;
  const { check, deviceIndex, deviceKind, atMs, problem } = failure;
  const who = deviceIndex === undefined ? "" : ` (device ${deviceIndex}, ${deviceKind})`;
  return [
    `FAILED  ${check}: ${CHECKS[check]}`,
    `        ${problem}${who}`,
    `        at ${formatTime(atMs)} of virtual time, shrunk in ${runCount} runs`,
    "",
    ...trace,
    "",
    "Replay:",
    `  wasmqtt simulate ${flags}`,
  ].join("\n");
}

/** One line while it goes on. */
export function progressText(nowMs: number, endMs: number, deviceHoursPerSecond: number): string {
  const done = `${(nowMs / HOUR_MS).toFixed(1)} of ${(endMs / HOUR_MS).toFixed(1)} hours`;
  return `simulating: ${done}, ${Math.round(deviceHoursPerSecond)} device-hours a second`;
}

function counted(counts: Readonly<Record<string, number>>): string {
  const parts = Object.entries(counts).map(([name, number]) => `${count(number)} ${name}`);
  return parts.length === 0 ? "none" : parts.join(", ");
}

function arrivals(first: number, repeated: number): string {
  return `${count(first)} messages, ${count(repeated)} repeated at QoS 1`;
}

function excused(excuses: Readonly<Record<Excuse, number>>): string {
  const parts = (Object.keys(EXCUSES) as Excuse[])
    .filter((excuse) => excuses[excuse] > 0)
    .map((excuse) => `${count(excuses[excuse])} ${excuse}`);
  return parts.length === 0 ? "nothing" : parts.join(", ");
}

function count(number: number): string {
  return number.toLocaleString("en-US");
}
