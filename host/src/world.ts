/** What the host takes from outside: clock, timers, randomness. The only file that touches the real ones. */

import { hrtime } from "node:process";

/** A timer that was set and may be cleared. */
export interface Timer {
  /** Harmless after the timer has fired. */
  clear(): void;
}

/** Everything outside that is not a Network Connection. A simulation passes its own. */
export interface World {
  /** Milliseconds from any origin, never going back, with fractions. */
  nowMs(): number;
  /** Milliseconds since 1970-01-01 UTC. */
  unixMs(): number;
  /** At least 0, below 1. */
  random(): number;
  /** Calls `callback` once, not before `delayMs` milliseconds have passed. */
  setTimer(delayMs: number, callback: () => void): Timer;
}

/** The longest delay that Node's timers can hold. */
const DELAY_MS_MAX = 0x7fffffff;

/** So often two clocks are read one after the other: a thread may have to wait in between, but hardly each time. */
const READING_COUNT = 50;

/** Each thread counts from its own start; this makes them all count from the start of the machine. */
const ORIGIN_MS = originMs();

/** The real world: Node's clocks, timers and random numbers. Threads of a process agree about `nowMs`. */
export const realWorld: World = {
  nowMs: () => ORIGIN_MS + performance.now(),
  unixMs: () => Date.now(),
  random: () => Math.random(),
  setTimer(delayMs, callback) {
    // Node cuts fractions off, which would be too early.
    const handle = setTimeout(callback, Math.min(Math.ceil(delayMs), DELAY_MS_MAX));
    return { clear: () => clearTimeout(handle) };
  },
};

/** By the reading that took the shortest. */
function originMs(): number {
  let originMs = 0;
  let shortestMs = Number.POSITIVE_INFINITY;
  for (let reading = 0; reading < READING_COUNT; reading++) {
    const beforeMs = performance.now();
    const machineMs = Number(hrtime.bigint()) / 1e6;
    const tookMs = performance.now() - beforeMs;
    if (tookMs >= shortestMs) continue;
    shortestMs = tookMs;
    originMs = machineMs - beforeMs;
  }
  return originMs;
}
