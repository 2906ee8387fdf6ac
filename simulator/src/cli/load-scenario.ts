/** Finds the scenario that a person names. */

import { extname } from "node:path";
import { type CliContext, readUserFile } from "../../../host/src/cli/command.ts";
import type { ScenarioOverrides } from "../scenario/override-draft.ts";
import type { Scenario } from "../scenario/scenario.ts";
import { readScenario } from "../scenario/scenario-file.ts";
import { shippedScenarioText } from "../scenario/shipped-scenarios.ts";

/** A file's path has an extension; a scenario that ships has a name. */
export function loadScenario(
  nameOrPath: string,
  overrides: ScenarioOverrides,
  context: Pick<CliContext, "readFile">,
): Scenario {
  if (extname(nameOrPath) === "") {
    return readScenario(shippedScenarioText(nameOrPath), nameOrPath, overrides);
  }
  const text = readUserFile(context, nameOrPath, "scenario").toString("utf8");
  return readScenario(text, nameOrPath, overrides);
}
