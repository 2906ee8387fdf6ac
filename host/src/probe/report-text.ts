/** A probe's report as text for people: a table for each subject, with an explanation of what deviates. */

import { type Colors, printable } from "../cli/output.ts";
import { SUBJECTS } from "./probe.ts";
import type { Finding, ProbeReport } from "./report.ts";

/** The lines of the report. `verbose` explains every finding, not only those that deviate. */
export function reportLines(report: ProbeReport, colors: Colors, verbose: boolean): string[] {
  const width = Math.max(0, ...report.findings.map(({ question }) => question.length));
  const lines = SUBJECTS.flatMap((subject) => {
    const findings = report.findings.filter((finding) => finding.subject === subject);
    const rows = findings.flatMap((finding) => findingLines(finding, width, colors, verbose));
    return rows.length === 0 ? [] : [colors.bold(subject), ...rows, ""];
  });
  return [...lines, ...summaryLines(report, colors)];
}

function findingLines(finding: Finding, width: number, colors: Colors, verbose: boolean): string[] {
  const { verdict, question, found, did, clause } = finding;
  const got = printable(finding.got);
  const clauseText = clause === null ? "" : ` [${clause}]`;
  const line = `  ${mark(verdict, colors)} ${question.padEnd(width)}  ${printable(found)}`;
  if (verdict === "unknown") return [`${line}: ${got}`, ...(verbose ? [explain(did, "")] : [])];
  if (verdict === "deviates") return [`${line}${colors.red(clauseText)}`, explain(did, got)];
  return verbose ? [`${line}${colors.dim(clauseText)}`, explain(did, got)] : [line];
}

function explain(did: string, got: string): string {
  return `      ${did}${got === "" ? "" : ` -> ${got}`}`;
}

function mark(verdict: Finding["verdict"], colors: Colors): string {
  const marks = {
    conforms: colors.green("✓"),
    deviates: colors.red("✗"),
    free: "·",
    unknown: colors.yellow("?"),
  };
  return marks[verdict];
}

function summaryLines(report: ProbeReport, colors: Colors): string[] {
  const { findings, broker, durationMs, leftOver, interrupted } = report;
  const count = (wanted: Finding["verdict"]) =>
    findings.filter(({ verdict }) => verdict === wanted).length;
  const time = `${(durationMs / 1000).toFixed(1)} s`;
  const end = interrupted ? ", ended before its time" : "";
  return [
    `${broker.url}: ${findings.length} questions in ${time}${end}`,
    `  ${colors.green("✓")} ${count("conforms")} as MQTT 3.1.1 demands`,
    `  ${colors.red("✗")} ${count("deviates")} otherwise, against the clause in brackets`,
    `  · ${count("free")} left to the broker`,
    `  ${colors.yellow("?")} ${count("unknown")} not found out`,
    ...leftOver.map((text) => `  ${colors.yellow("!")} ${printable(text)}`),
  ];
}
