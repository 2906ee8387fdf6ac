/** Probes a broker in this process, as `wasmqtt probe` does, and reads the report. */

import { readFileSync } from "node:fs";
import { registerProbe } from "../../host/src/cli/commands/probe.ts";
import { runCli } from "../../host/src/cli/program.ts";
import { type Finding, type ProbeReport, probeReportSchema } from "../../host/src/probe/report.ts";
import { realWorld, type World } from "../../host/src/world.ts";
import { RecordingContext } from "./run-cli.ts";

/** Brokers that keep no time of their own can be asked in a shorter one. */
const HASTE = 5;

/** A clock that runs faster by `HASTE`. */
export const hastyWorld: World = {
  ...realWorld,
  nowMs: () => realWorld.nowMs() * HASTE,
  setTimer: (delayMs, callback) => realWorld.setTimer(delayMs / HASTE, callback),
};

export interface Probing {
  readonly exitCode: number;
  readonly stderr: string;
  /** Throws if there is none. */
  readonly report: ProbeReport;
}

/** `begun` gets the context while the probe goes on. */
export async function probing(
  port: number,
  { args = [] as string[], world = realWorld, begun = (_: RecordingContext) => {} } = {},
): Promise<Probing> {
  const context = new RecordingContext();
  context.world = world;
  begun(context);
  // More than the default, for a machine with much else to do.
  const place = ["-h", "127.0.0.1", "-p", `${port}`, "--json", "--timeout", "60"];
  const exitCode = await runCli(["probe", ...place, ...args], context, [registerProbe]);
  const stderr = context.stderr.text;
  return {
    exitCode,
    stderr,
    get report() {
      if (context.stdout.text === "")
        throw new Error(`no report, exit code ${exitCode}: ${stderr}`);
      return probeReportSchema.parse(JSON.parse(context.stdout.text));
    },
  };
}

/** The finding with this id. */
export function findingOf({ findings }: ProbeReport, id: string): Finding {
  const finding = findings.find((each) => each.id === id);
  if (finding === undefined) throw new Error(`no finding ${id}`);
  return finding;
}

/** The ids of all findings with this verdict. */
export function idsOf({ findings }: ProbeReport, verdict: Finding["verdict"]): string[] {
  return findings.filter((finding) => finding.verdict === verdict).map(({ id }) => id);
}

/** What the page says otherwise than the report; the product begins the head of its column. */
export function notAsDocumented(report: ProbeReport, product: string): string[] {
  const page = readFileSync(new URL("../../docs/brokers.md", import.meta.url), "utf8");
  const rows = page.split("\n").map((line) => line.split(" | ").map((cell) => cell.trim()));
  const column = rows
    .find(([head]) => head === "| Question")
    ?.findIndex((head) => head.startsWith(product));
  return report.findings.flatMap(({ id, question, verdict, found }) => {
    if (id.startsWith("latency.") || id === "will.keep-alive") return []; // as busy as the machine is
    const cells = rows.find(([head]) => head === `| ${question}`);
    const expected = verdict === "deviates" ? `**✗** ${found}` : found;
    return cells?.[column ?? 0] === expected ? [] : [`${id}: ${expected}`];
  });
}
