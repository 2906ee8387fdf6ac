/** `wasmqtt probe`: finds out by asking what a broker does with MQTT. */

import type { Command } from "commander";
import type { ProbeReport } from "../../probe/report.ts";
import { brokerUrlText } from "../../transport/broker-url.ts";
import { openTransport } from "../../transport/open-transport.ts";
import { action, type CliContext, type CommandCall } from "../command.ts";
import { ExitCode } from "../exit-code.ts";
import {
  addBrokerOptions,
  type BrokerFlags,
  type ConnectionFlags,
  connectionSettings,
  readSeconds,
} from "../options.ts";

interface ProbeFlags extends BrokerFlags {
  username?: string;
  password?: string;
  passwordFile?: string;
  timeout: string;
  verbose?: boolean;
  json?: boolean;
}

export function registerProbe(program: Command, context: CliContext): void {
  const command = program
    .command("probe")
    .description("Ask a broker what it does: Wills, QoS, sessions, retained messages, limits.")
    .option("--timeout <seconds>", "for all questions together", "25")
    .option("-v, --verbose", "print what was done and what came back, for each question")
    .option("--json", "print the report as JSON (probe.v1)");
  addBrokerOptions(command)
    .optionsGroup("Client:")
    .option("-u, --username <name>", "user name [WASMQTT_USERNAME]")
    .option("-P, --password <password>", "password; others on this machine can see it in the list")
    .option("--password-file <file>", "password from a file [or WASMQTT_PASSWORD]")
    .optionsGroup("")
    .addHelpText("after", NOTES)
    .action(action(context, probe));
}

const NOTES = `

It connects some hundred clients, some of which send what no client may send: the broker's log will say so. It uses
topics below wasmqtt-probe-…/ and removes what it has left, after Ctrl-C too. Exit code 0 whatever the broker does.`;

async function probe(call: CommandCall<ProbeFlags>): Promise<ExitCode> {
  // Only here: all other commands start without it.
  const { runProbe } = await import("../../probe/run-probe.ts");
  const { PROBE_SCHEMA_ID } = await import("../../probe/report.ts");
  const { context, output, flags } = call;
  const { world, interrupt, system } = context;
  const settings = connectionSettings(withoutWill(flags), context, output);
  const { url, tls, username, password } = settings;
  const where = brokerUrlText({ ...url, topic: undefined });
  output.note(`Asking ${where}: this takes up to ${flags.timeout} seconds.`);
  const startedAt = new Date(world.unixMs()).toISOString();
  const startMs = world.nowMs();
  const { findings, leftOver } = await runProbe({
    open: openTransport(url, world, { tls }),
    username,
    password,
    world,
    interrupt,
    timeoutMs: readSeconds(flags.timeout, "--timeout", 1000, 600_000),
    onProgress: (doneCount, totalCount) => {
      const line = `${doneCount} of ${totalCount} questions answered`;
      output.progress([line], line);
    },
  });
  output.progress([], `${findings.length} questions answered`);
  const report: ProbeReport = {
    schema: PROBE_SCHEMA_ID,
    tool: { name: "wasmqtt", version: system.version },
    broker: { url: where },
    startedAt,
    durationMs: Math.round(world.nowMs() - startMs),
    interrupted: interrupt.aborted,
    findings: [...findings],
    leftOver: [...leftOver],
  };
  await print(report, call);
  return ExitCode.Ok;
}

async function print(report: ProbeReport, { output, flags }: CommandCall<ProbeFlags>) {
  if (flags.json === true) {
    output.json(report);
    return;
  }
  const { reportLines } = await import("../../probe/report-text.ts");
  for (const line of reportLines(report, output.colors, flags.verbose === true)) {
    output.result(line);
  }
}

/** A probe has client ids and Wills of its own. */
function withoutWill(flags: ProbeFlags): ConnectionFlags {
  return { ...flags, id: "" };
}
