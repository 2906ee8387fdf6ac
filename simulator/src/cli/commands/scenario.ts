/** `wasmqtt scenario`: lists, shows and checks scenario files. */

import type { Command } from "commander";
import { action, type CliContext, type CommandCall } from "../../../../host/src/cli/command.ts";
import { ExitCode } from "../../../../host/src/cli/exit-code.ts";
import { deviceCount } from "../../scenario/scenario.ts";
import { shippedScenarioNames, shippedScenarioText } from "../../scenario/shipped-scenarios.ts";

export function registerScenario(program: Command, context: CliContext): void {
  const scenario = program.command("scenario").description("List, show and check scenarios.");
  scenario.command("ls").description("The scenarios that ship.").action(action(context, list));
  scenario
    .command("show")
    .argument("<name>")
    .description("The file of a scenario that ships: the start of one of your own.")
    .action(action(context, show));
  scenario
    .command("validate")
    .argument("<scenario>", "a file, or a scenario that ships")
    .description("Check a scenario without running it.")
    .action(action(context, validate));
  scenario
    .command("schema")
    .description("The JSON Schema of scenario files.")
    .action(action(context, schema));
}

async function list({ context, output }: CommandCall<unknown>): Promise<ExitCode> {
  const { loadScenario } = await import("../load-scenario.ts");
  const names = shippedScenarioNames();
  const width = Math.max(...names.map(({ length }) => length));
  for (const name of names) {
    output.result(`${name.padEnd(width)}  ${loadScenario(name, {}, context).description}`);
  }
  return ExitCode.Ok;
}

async function show({ output, args }: CommandCall<unknown>): Promise<ExitCode> {
  output.result(shippedScenarioText(args[0] ?? "").trimEnd());
  return ExitCode.Ok;
}

async function validate({ context, output, args }: CommandCall<unknown>): Promise<ExitCode> {
  const { loadScenario } = await import("../load-scenario.ts");
  const { name, groups, phases } = loadScenario(args[0] ?? "", {}, context);
  output.result(`${name} is valid: ${deviceCount(groups)} sensors, ${phases.length} phases`);
  return ExitCode.Ok;
}

async function schema({ output }: CommandCall<unknown>): Promise<ExitCode> {
  const { scenarioJsonSchema } = await import("../../json-schema.ts");
  output.json(scenarioJsonSchema());
  return ExitCode.Ok;
}
