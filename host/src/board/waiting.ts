/** Waiting by the clock of a World. */

import type { World } from "../world.ts";

/** Resolves after `durationMs`; rejects with the signal's reason as soon as that is aborted. */
export function wait(world: World, durationMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const stop = () => {
      timer.clear();
      reject(signal?.reason as Error);
    };
    const timer = world.setTimer(durationMs, () => {
      signal?.removeEventListener("abort", stop);
      resolve();
    });
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** What `promise` answers, unless the signal is aborted before: then it rejects with the signal's reason at once. */
export function unlessAborted<Value>(
  promise: Promise<Value>,
  signal?: AbortSignal,
): Promise<Value> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason as Error);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

const DELAY_MS_MIN = 250;
const DELAY_MS_MAX = 4_000;

/** How long to wait before a line is opened again: longer with each attempt, which are counted from 0. */
export function reopenDelayMs(attempt: number): number {
  return Math.min(DELAY_MS_MAX, DELAY_MS_MIN * 2 ** Math.min(attempt, 4));
}
