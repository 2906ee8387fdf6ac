/** `wasmqtt demo`: the first thing to run. It needs nothing: no broker, no board, no file. */

import type { Command } from "commander";
import { action, type CliContext, type CommandCall } from "../../../../host/src/cli/command.ts";
import type { ExitCode } from "../../../../host/src/cli/exit-code.ts";
import type { Output } from "../../../../host/src/cli/output.ts";
import type { RunView } from "../../run.ts";

interface DemoFlags {
  json?: boolean;
  seed?: string;
}

export function registerDemo(program: Command, context: CliContext): void {
  program
    .command("demo")
    .description("Watch 50 virtual sensors vanish in seven ways, and their Last Wills at work.")
    .option("--seed <number>", "the same seed gives the same fleet and the same faults")
    .option("--json", "print the result as JSON (result.v1)")
    .action(action(context, demo));
}

async function demo(call: CommandCall<DemoFlags>): Promise<ExitCode> {
  const { loadScenario } = await import("../load-scenario.ts");
  const { runAndReport } = await import("../run-and-report.ts");
  const { context, output, flags } = call;
  const scenario = loadScenario("demo", { seed: flags.seed }, context);
  const exitCode = await runAndReport({
    scenario,
    context,
    output,
    json: flags.json === true,
    onStart: (view) => welcome(output, view),
    onPhase: (name) => output.note(`- ${name}`),
  });
  output.note("");
  output.note("Next: the same against your own broker, then a scenario of your own:");
  output.note("  wasmqtt run last-will-all-kinds -h my-broker");
  output.note("  wasmqtt scenario show steady > my.yaml && wasmqtt run my.yaml");
  return exitCode;
}

function welcome(output: Output, { fleet, brokerUrl }: RunView): void {
  const { hostname, port } = new URL(brokerUrl);
  output.note(
    `${fleet.sensors.length} virtual sensors connect to a broker inside this process, ${brokerUrl}.`,
  );
  output.note(
    "Each runs the firmware module that a board would run. Each publishes its temperature,",
  );
  output.note(
    'and leaves a Last Will with the broker: "offline", to be published when it vanishes.',
  );
  output.note("Watch it in a second terminal:");
  output.note(`  wasmqtt sub -h ${hostname} -p ${port} -v -t 'motes/+/status'`);
  output.note("");
}
