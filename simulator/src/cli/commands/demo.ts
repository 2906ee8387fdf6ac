/** `wasmqtt demo`: the first thing to run. It needs nothing: no broker, no board, no file. */

import type { Command } from "commander";
import { action, type CliContext, type CommandCall } from "../../../../host/src/cli/command.ts";
import type { ExitCode } from "../../../../host/src/cli/exit-code.ts";
import type { Output } from "../../../../host/src/cli/output.ts";
import { deviceCount, type Scenario } from "../../scenario/scenario.ts";
import type { DashboardHooks } from "../with-dashboard.ts";

interface DemoFlags {
  dashboard?: string | true;
  json?: boolean;
  seed?: string;
}

export function registerDemo(program: Command, context: CliContext): void {
  program
    .command("demo")
    .description("Watch 50 virtual sensors vanish in seven ways, and their Last Wills at work.")
    .option("--seed <number>", "the same seed gives the same fleet and the same faults")
    .option("--dashboard <host:port>", "where the dashboard listens (default: a free port)")
    .option("--json", "print the result as JSON (result.v1)")
    .action(action(context, demo));
}

async function demo(call: CommandCall<DemoFlags>): Promise<ExitCode> {
  const { loadScenario } = await import("../load-scenario.ts");
  const { withDashboard } = await import("../with-dashboard.ts");
  const { context, output, flags } = call;
  const scenario = loadScenario("demo", { seed: flags.seed }, context);
  const { dashboard: flag = true } = flags;
  const isOptional = flags.dashboard === undefined;
  return withDashboard(
    { flag, isOptional, scenarioName: scenario.name, context, output },
    async (dashboard) => {
      const exitCode = await runDemo(call, scenario, dashboard);
      output.note("");
      output.note("Next: the same against your own broker, then a scenario of your own:");
      output.note("  wasmqtt run last-will-all-kinds -h my-broker --dashboard");
      output.note("  wasmqtt scenario show steady > my.yaml && wasmqtt run my.yaml");
      return exitCode;
    },
  );
}

async function runDemo(
  { context, output, flags }: CommandCall<DemoFlags>,
  scenario: Scenario,
  dashboard: DashboardHooks,
): Promise<ExitCode> {
  const { runAndReport } = await import("../run-and-report.ts");
  const { firmwareFor } = await import("../run-firmware.ts");
  return runAndReport({
    scenario,
    context,
    output,
    json: flags.json === true,
    dashboard,
    firmwareOf: await firmwareFor(undefined, scenario, context),
    onStart: ({ brokerUrl }) => welcome(output, brokerUrl, deviceCount(scenario.groups)),
    onPhase: (name) => output.note(`- ${name}`),
  });
}

function welcome(output: Output, brokerUrl: string, sensorCount: number): void {
  const { hostname, port } = new URL(brokerUrl);
  output.note(
    `${sensorCount} virtual sensors connect to a broker inside this process, ${brokerUrl}.`,
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
