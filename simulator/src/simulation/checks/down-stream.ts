/** Numbered messages from the broker to one device at one QoS, as the device's application has taken them. */

import { type CheckName, PROMISES, SimulationFailure } from "../failure.ts";
import type { Excuse, ExcuseCounts } from "./excuses.ts";

export class DownStream {
  takenCount = 0;
  repeatedCount = 0;
  readonly #deviceIndex: number;
  readonly #qos: number;
  readonly #excuses: ExcuseCounts;
  /** Numbers that the broker has promised to deliver, ascending. */
  readonly #owed: number[] = [];
  readonly #excused = new Map<number, Excuse>();
  /** How many of `#owed` are taken or excused. */
  #doneCount = 0;
  #highest = 0;

  constructor(deviceIndex: number, qos: number, excuses: ExcuseCounts) {
    this.#deviceIndex = deviceIndex;
    this.#qos = qos;
    this.#excuses = excuses;
  }

  /** The broker has queued this message for the device. */
  owe(number: number): void {
    this.#owed.push(number);
  }

  excuse(number: number, excuse: Excuse): void {
    this.#excused.set(number, excuse);
  }

  taken(number: number): void {
    if (number <= this.#highest) {
      this.repeatedCount++;
      if (this.#qos === 1) return;
      this.#fail(this.#promise, `message ${number} was taken twice, or behind a later one`);
    }
    this.#expectUpTo(number);
    this.#highest = number;
    this.takenCount++;
  }

  /** The device lost power, and its application remembers this number as the highest. */
  restored(highest: number): void {
    this.#highest = highest;
    this.#doneCount = 0;
    while ((this.#owed[this.#doneCount] ?? Number.POSITIVE_INFINITY) <= highest) this.#doneCount++;
  }

  /** All has had time to arrive. */
  finish(): void {
    for (const number of this.#owed.slice(this.#doneCount)) {
      if (number <= this.#highest || this.#isExcused(number)) continue;
      this.#fail("starvation", `message ${number} was not taken, and nothing hinders it any more`);
    }
  }

  #expectUpTo(number: number): void {
    if (this.#qos === 0) return;
    for (; this.#doneCount < this.#owed.length; this.#doneCount++) {
      const next = this.#owed[this.#doneCount] as number;
      if (next === number) {
        this.#doneCount++;
        return;
      }
      if (next > number) return; // it went to a subscription that is gone since
      if (this.#isExcused(next)) continue;
      this.#fail(
        this.#promise,
        `message ${number} is taken, and ${next} is missing or comes later`,
      );
    }
  }

  get #promise(): CheckName {
    return PROMISES[this.#qos] ?? "exactly-once";
  }

  #isExcused(number: number): boolean {
    const excuse = this.#excused.get(number);
    if (excuse !== undefined) this.#excuses.add(excuse);
    return excuse !== undefined;
  }

  #fail(check: CheckName, problem: string): never {
    const where = `to the device at QoS ${this.#qos}`;
    throw new SimulationFailure(check, this.#deviceIndex, `${where}: ${problem}`);
  }
}
