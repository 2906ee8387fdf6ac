/** `wasmqtt scenario`: lists, shows and checks scenario files. */

import type { Command } from "commander";
import { action, type CliContext } from "../../../../host/src/cli/command.ts";
import { ExitCode } from "../../../../host/src/cli/exit-code.ts";
import { scenarioJsonSchema } from "../../json-schema.ts";
import { deviceCount } from "../../scenario.ts";
import { readScenario } from "../../scenario-file.ts";
import { shippedScenarioNames, shippedScenarioText } from "../../shipped-scenarios.ts";
import { loadScenario } from "../load-scenario.ts";

export function registerScenario(program: Command, context: CliContext): void {
  const scenario = program.command("scenario").description("List, show and check scenarios.");

  scenario
    .command("ls")
    .description("The scenarios that ship.")
    .action(
      action(context, async ({ output }) => {
        const names = shippedScenarioNames();
        const width = Math.max(...names.map(({ length }) => length));
        for (const name of names) {
          const { description } = readScenario(shippedScenarioText(name), name);
          output.result(`${name.padEnd(width)}  ${description}`);
        }
        return ExitCode.Ok;
      }),
    );

  scenario
    .command("show")
    .argument("<name>")
    .description("The file of a scenario that ships: the start of one of your own.")
    .action(
      action(context, async ({ output, args }) => {
        output.result(shippedScenarioText(args[0] ?? "").trimEnd());
        return ExitCode.Ok;
      }),
    );

  scenario
    .command("validate")
    .argument("<scenario>", "a file, or a scenario that ships")
    .description("Check a scenario without running it.")
    .action(
      action(context, async ({ output, args }) => {
        const { name, groups, phases } = loadScenario(args[0] ?? "", {}, context);
        output.result(`${name} is valid: ${deviceCount(groups)} sensors, ${phases.length} phases`);
        return ExitCode.Ok;
      }),
    );

  scenario
    .command("schema")
    .description("The JSON Schema of scenario files.")
    .action(
      action(context, async ({ output }) => {
        output.json(scenarioJsonSchema());
        return ExitCode.Ok;
      }),
    );
}
