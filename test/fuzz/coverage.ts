/** What a run reached: branches taken, how often, and which answers each export gave in which state. */

import { ClientStream } from "../support/client-stream.ts";
import { countersAt, type Instrumented, instrument } from "./instrument.ts";
import { Machine } from "./machine.ts";
import type { Program } from "./program.ts";
import { runProgram } from "./run-program.ts";

/** How often: 1, 2, 3, 4 to 7, 8 to 15, 16 to 31, 32 to 127, more. */
const BUCKET_ENDS = [1, 2, 3, 7, 15, 31, 127];
const BUCKET_COUNT = BUCKET_ENDS.length + 1;
/** Each Status is told apart, and each Event; of any other number only that it is above 0. */
const ANSWER_MIN = -32;
const ANSWER_MAX = 80;
const EVENT_SOURCES = new Set(["poll", "tick"]);
const STATE_COUNT = 8;

/** A machine whose module counts. A feature is a number; the same number in every run of the same module. */
export class CoverageMachine {
  readonly machine: Machine;
  readonly counterCount: number;
  readonly #counters: Uint32Array;
  readonly #answers = new Set<number>();

  constructor(wasm: Uint8Array) {
    const { module, counterCount }: Instrumented = instrument(wasm);
    this.counterCount = counterCount;
    this.machine = new Machine(module, {
      isInstrumented: true,
      newServer: () => new ClientStream(),
      onAnswer: (name, answer, state) => this.#noteAnswer(name, answer, state),
    });
    const { buffer } = this.machine.exports.memory;
    this.#counters = new Uint32Array(buffer, countersAt(), counterCount);
  }

  /** Runs the program and returns its features. Throws Finding. */
  run(program: Program): Set<number> {
    this.#counters.fill(0);
    this.#answers.clear();
    runProgram(this.machine, program);
    const features = new Set(this.#answers);
    this.#counters.forEach((count, index) => {
      if (count > 0) features.add(index * BUCKET_COUNT + bucketOf(count));
    });
    return features;
  }

  /** The features without how often: a branch is taken or not. */
  coarse(features: Iterable<number>): Set<number> {
    const answersFrom = this.counterCount * BUCKET_COUNT;
    const coarse = [...features].map((feature) =>
      feature < answersFrom ? feature - (feature % BUCKET_COUNT) : feature,
    );
    return new Set(coarse);
  }

  /** How many of the counters are behind these features. */
  countersIn(features: Iterable<number>): number {
    const counters = new Set<number>();
    for (const feature of features) {
      const counter = Math.floor(feature / BUCKET_COUNT);
      if (counter < this.counterCount) counters.add(counter);
    }
    return counters.size;
  }

  #noteAnswer(name: string, answer: number, state: number): void {
    const answerMax = EVENT_SOURCES.has(name) ? ANSWER_MAX : 1;
    const answerIndex = Math.min(Math.max(answer, ANSWER_MIN), answerMax) - ANSWER_MIN;
    const nameIndex = this.machine.functionNames.indexOf(name) + 1;
    const first = this.counterCount * BUCKET_COUNT;
    const row = nameIndex * (ANSWER_MAX - ANSWER_MIN + 1) + answerIndex;
    this.#answers.add(first + row * STATE_COUNT + (state & (STATE_COUNT - 1)));
  }
}

function bucketOf(count: number): number {
  const bucket = BUCKET_ENDS.findIndex((end) => count <= end);
  return bucket < 0 ? BUCKET_ENDS.length : bucket;
}
