/** Coverage-guided fuzzing: what reaches something new is made small, kept, and changed again. */

import { RandomStream } from "../../simulator/src/random.ts";
import type { CoverageMachine } from "./coverage.ts";
import { anyProgram, type Grammar } from "./generator.ts";
import type { Machine } from "./machine.ts";
import { minimise, mutateProgram } from "./mutator.ts";
import { pick } from "./packet-grammar.ts";
import { formatProgram, type Program } from "./program.ts";
import { tellFinding } from "./tell-finding.ts";

export interface Kept {
  program: Program;
  features: Set<number>;
}

/** Of the programs that are tried, so many are new instead of changed ones. */
const NEW_PART = 0.1;
/** Parents are drawn twice and the younger is taken: what is new is looked at more. */
const DRAW_COUNT = 2;

export class Explorer {
  readonly kept: Kept[] = [];
  readonly features = new Set<number>();
  runCount = 0;
  readonly #machine: CoverageMachine;
  readonly #random: RandomStream;
  readonly #grammar: Grammar;

  constructor(machine: CoverageMachine, seed: number) {
    this.#machine = machine;
    this.#random = new RandomStream(seed, 0, "fault");
    this.#grammar = grammarOf(machine.machine, { packetCountMax: 4, feedPart: 0.4 });
  }

  /** Takes a program that is known and small; keeps it if it adds something. */
  seed(program: Program): void {
    const features = this.#run(program);
    if (this.#freshOf(features).length > 0) this.#keep(program, features);
  }

  /** Tries one more program. Throws Finding. */
  explore(): void {
    const isNew = this.kept.length === 0 || this.#random.uniform() < NEW_PART;
    this.#consider(isNew ? anyProgram(this.#random, this.#grammar) : this.#changed());
  }

  /** Few and small programs that together take the same branches and get the same answers. */
  distil(): Program[] {
    const sizeOf = ({ program }: Kept) => formatProgram(program).length;
    const seen = new Set<number>();
    const chosen: Program[] = [];
    for (const { program, features } of this.kept.toSorted((a, b) => sizeOf(a) - sizeOf(b))) {
      const coarse = (candidate: Program) => this.#machine.coarse(this.#run(candidate));
      const fresh = [...this.#machine.coarse(features)].filter((feature) => !seen.has(feature));
      if (fresh.length === 0) continue;
      const small = minimise(program, (candidate) => hasAll(coarse(candidate), fresh));
      for (const feature of coarse(small)) seen.add(feature);
      chosen.push(small);
    }
    return chosen;
  }

  #changed(): Program {
    const parent = Math.max(...Array.from({ length: DRAW_COUNT }, () => this.#drawIndex()));
    const other = pick(this.#random, this.kept).program;
    return mutateProgram(this.#random, this.kept[parent]?.program ?? [], other, this.#grammar);
  }

  #drawIndex(): number {
    return this.#random.integer(0, this.kept.length - 1);
  }

  #consider(program: Program): void {
    const fresh = this.#freshOf(this.#run(program));
    if (fresh.length === 0) return;
    const small = minimise(program, (candidate) => hasAll(this.#run(candidate), fresh));
    this.#keep(small, this.#run(small));
  }

  #keep(program: Program, features: Set<number>): void {
    for (const feature of features) this.features.add(feature);
    this.kept.push({ program, features });
  }

  #run(program: Program): Set<number> {
    this.runCount++;
    try {
      return this.#machine.run(program);
    } catch {
      throw tellFinding(this.#machine.machine, "explored", program);
    }
  }

  #freshOf(features: Set<number>): number[] {
    return [...features].filter((feature) => !this.features.has(feature));
  }
}

function hasAll(features: Set<number>, wanted: number[]): boolean {
  return wanted.every((feature) => features.has(feature));
}

/** All exports of a machine's module. */
export function grammarOf(machine: Machine, rest: Omit<Grammar, "callables">): Grammar {
  const callables = machine.functionNames.map((name) => ({
    name,
    argumentCount: Math.max(0, (machine.exports[name]?.length ?? 1) - 1),
  }));
  return { ...rest, callables };
}
