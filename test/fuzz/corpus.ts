/** The programs that are kept because each reached something that no smaller one reaches. */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { formatPrograms, type Program, parsePrograms } from "./program.ts";

export type ModuleName = "core" | "thermometer";

/** The programs that are kept for a module. */
export function corpusOf(name: ModuleName): Program[] {
  const file = fileOf(name);
  return existsSync(file) ? parsePrograms(readFileSync(file, "utf8")) : [];
}

export function writeCorpus(name: ModuleName, programs: Program[]): void {
  writeFileSync(fileOf(name), formatPrograms(programs));
}

function fileOf(name: ModuleName): URL {
  return new URL(`corpus/${name}.txt`, import.meta.url);
}
