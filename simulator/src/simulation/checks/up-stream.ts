/** Numbered messages from one device to the broker at one QoS: none lost, none doubled, none overtaken. */

import { type CheckName, PROMISES, SimulationFailure } from "../failure.ts";
import type { Excuse, ExcuseCounts } from "./excuses.ts";

/** A life has fewer messages. */
const LIFE_SPAN = 2 ** 32;

export interface UpStreamOptions {
  readonly deviceIndex: number;
  readonly qos: number;
  /** The numbers go on after a loss of power; otherwise each life of the device begins with 1. */
  readonly isContinuous: boolean;
  readonly excuses: ExcuseCounts;
}

export class UpStream {
  /** Messages that arrived for the first time. */
  arrivedCount = 0;
  repeatedCount = 0;
  readonly #options: UpStreamOptions;
  #life = 0;
  #last = 0;
  /** The life in which each number was given, of a stream that goes on. */
  readonly #lives: number[] = [];
  /** Keys of messages that may be missing, or come once more. */
  readonly #excused = new Map<number, Excuse>();

  constructor(options: UpStreamOptions) {
    this.#options = options;
  }

  /** The highest number that has arrived in this life. */
  lastOf(life: number): number {
    return this.#options.isContinuous || life === this.#life ? this.#last : 0;
  }

  arrived(life: number, number: number): void {
    this.#enterLife(life, number);
    if (number <= this.#last) {
      this.#arrivedAgain(life, number);
      return;
    }
    for (let missing = this.#last + 1; missing < number; missing++) {
      this.#miss(life, missing, number);
    }
    this.#last = number;
    if (this.#options.isContinuous) this.#lives[number] = life;
    this.arrivedCount++;
  }

  /** The device was told that this message arrived. */
  acknowledged(life: number, number: number): void {
    if (number <= this.lastOf(life) || this.#isExcused(life, number)) return;
    this.#fail("acknowledged", `message ${number} was acknowledged and did not arrive`);
  }

  excuse(life: number, number: number, excuse: Excuse): void {
    this.#excused.set(this.#key(life, number), excuse);
  }

  /** The device has published up to `lastPublished` in this life, long ago. */
  finish(life: number, lastPublished: number): void {
    if (this.#options.qos === 0) return;
    for (let number = this.lastOf(life) + 1; number <= lastPublished; number++) {
      if (this.#isExcused(life, number)) continue;
      this.#fail(
        "starvation",
        `message ${number} has not arrived, and nothing hinders it any more`,
      );
    }
  }

  #enterLife(life: number, number: number): void {
    if (this.#options.isContinuous || life === this.#life) return;
    if (life < this.#life) {
      this.#fail(this.#promise, `message ${number} of an earlier life comes behind later ones`);
    }
    if (this.#life > 0 && this.#options.qos > 0) this.#options.excuses.add("memory lost");
    this.#life = life;
    this.#last = 0;
  }

  #arrivedAgain(life: number, number: number): void {
    const { qos, isContinuous } = this.#options;
    this.repeatedCount++;
    if (isContinuous && (this.#lives[number] ?? life) !== life) {
      this.#fail("exactly-once", `number ${number} was given to two messages`);
    }
    if (qos === 1) return;
    if (this.#isExcused(life, number)) {
      this.#excused.delete(this.#key(life, number)); // once more, not twice
      return;
    }
    this.#fail(this.#promise, `message ${number} arrived twice, or behind a later one`);
  }

  #miss(life: number, missing: number, number: number): void {
    const { qos } = this.#options;
    if (qos === 0 || this.#isExcused(life, missing)) return;
    this.#fail(
      this.#promise,
      `message ${number} arrived, and ${missing} is missing or comes later`,
    );
  }

  get #promise(): CheckName {
    return PROMISES[this.#options.qos] ?? "exactly-once";
  }

  #isExcused(life: number, number: number): boolean {
    const excuse = this.#excused.get(this.#key(life, number));
    if (excuse !== undefined) this.#options.excuses.add(excuse);
    return excuse !== undefined;
  }

  #key(life: number, number: number): number {
    return this.#options.isContinuous ? number : life * LIFE_SPAN + number;
  }

  #fail(check: CheckName, problem: string): never {
    const { deviceIndex, qos } = this.#options;
    throw new SimulationFailure(check, deviceIndex, `from the device at QoS ${qos}: ${problem}`);
  }
}
