/** A world whose clock stands until a test moves it: minutes pass in no time, and always in the same way. */

import type { Timer, World } from "../../host/src/world.ts";

interface PendingTimer {
  readonly dueAtMs: number;
  readonly callback: () => void;
}

export class VirtualWorld implements World {
  readonly #startUnixMs: number;
  #nowMs = 0;
  readonly #timers = new Set<PendingTimer>();
  /** What `random` answers. */
  randomness: number;

  constructor({ startUnixMs = 1_795_388_880_000, randomness = 0.5 } = {}) {
    this.#startUnixMs = startUnixMs;
    this.randomness = randomness;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  unixMs(): number {
    return this.#startUnixMs + this.#nowMs;
  }

  random(): number {
    return this.randomness;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timer = { dueAtMs: this.#nowMs + delayMs, callback };
    this.#timers.add(timer);
    return { clear: () => this.#timers.delete(timer) };
  }

  /** How many timers would still fire. */
  get timerCount(): number {
    return this.#timers.size;
  }

  /** Moves the clock on and fires what is due on the way, each at its time; promises settle in between. */
  async advance(durationMs: number): Promise<void> {
    const endAtMs = this.#nowMs + durationMs;
    await settled();
    for (let timer = this.#next(endAtMs); timer !== undefined; timer = this.#next(endAtMs)) {
      this.#timers.delete(timer);
      this.#nowMs = Math.max(this.#nowMs, timer.dueAtMs);
      timer.callback();
      await settled();
    }
    this.#nowMs = Math.max(this.#nowMs, endAtMs);
  }

  /** The process is busy for so long: the clock goes on, and what becomes due meanwhile is late. Call it from a timer. */
  beBusy(durationMs: number): void {
    this.#nowMs += durationMs;
  }

  #next(endAtMs: number): PendingTimer | undefined {
    let next: PendingTimer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueAtMs <= endAtMs && (next === undefined || timer.dueAtMs < next.dueAtMs)) {
        next = timer;
      }
    }
    return next;
  }
}

/** Resolves when all promises that can settle without a timer have settled. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
