/** Makes the program that broke a promise as small as it can be, for a person to read. */

import { Finding, type Machine } from "./machine.ts";
import { minimise } from "./mutator.ts";
import { formatProgram, type Program } from "./program.ts";
import { runProgram } from "./run-program.ts";

/** The finding with the smallest program that shows it. */
export function tellFinding(machine: Machine, where: string, program: Program): Finding {
  const problem = problemOf(machine, program);
  const kind = kindOf(problem);
  const isSame = (candidate: Program) => kindOf(problemOf(machine, candidate)) === kind;
  const small = machine.hasGrown ? program : minimise(program, isSame);
  return new Finding(`${problemOf(machine, small)} (${where})\n${formatProgram(small)}`);
}

/** What is wrong with the program, "" if nothing. */
function problemOf(machine: Machine, program: Program): string {
  try {
    runProgram(machine, program);
    return "";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** The problem without its numbers and the number of the step. */
function kindOf(problem: string): string {
  return problem.replace(/^step \d+, /u, "").replaceAll(/-?\d+/gu, "");
}
