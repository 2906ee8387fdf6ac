/** The scenarios that come with this package. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { UsageError } from "../../../host/src/errors.ts";

const EXTENSION = ".yaml";

/** Their names, in alphabetical order. */
export function shippedScenarioNames(): string[] {
  return readdirSync(folder())
    .filter((file) => file.endsWith(EXTENSION))
    .map((file) => file.slice(0, -EXTENSION.length))
    .sort();
}

/** The text of a scenario's file. Throws a UsageError if none is called `name`. */
export function shippedScenarioText(name: string): string {
  const names = shippedScenarioNames();
  if (names.includes(name)) return readFileSync(new URL(`${name}${EXTENSION}`, folder()), "utf8");
  throw new UsageError(
    `There is no scenario ${JSON.stringify(name)}`,
    `Choose one of ${names.join(", ")}, or give the path of a file that ends in .yaml or .json`,
  );
}

/** They lie beside the sources, whether this file runs from there or from dist/. */
function folder(): URL {
  const besideSource = new URL("../../scenarios/", import.meta.url);
  const besideDist = new URL("../../../../simulator/scenarios/", import.meta.url);
  return existsSync(fileURLToPath(besideSource)) ? besideSource : besideDist;
}
