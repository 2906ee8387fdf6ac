/** Waiting in the world's time, for a duration or for a condition, until somebody interrupts. */

import type { World } from "../../host/src/world.ts";

/** How often a condition is looked at. */
const LOOK_MS = 10;

/** Resolves after `durationMs`, or at once when `interrupt` is aborted. */
export function pause(world: World, durationMs: number, interrupt: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (interrupt.aborted) {
      resolve();
      return;
    }
    const end = () => {
      timer.clear();
      interrupt.removeEventListener("abort", end);
      resolve();
    };
    const timer = world.setTimer(durationMs, end);
    interrupt.addEventListener("abort", end, { once: true });
  });
}

/** Waits until `isMet` answers true. False if `timeoutMs` passed or somebody interrupted before. */
export async function until(
  isMet: () => boolean,
  world: World,
  timeoutMs: number,
  interrupt: AbortSignal,
): Promise<boolean> {
  const endMs = world.nowMs() + timeoutMs;
  while (!isMet()) {
    const leftMs = endMs - world.nowMs();
    if (leftMs <= 0 || interrupt.aborted) return false;
    await pause(world, Math.min(LOOK_MS, leftMs), interrupt);
  }
  return true;
}

/** What `work` answers; rejects with an AbortError as soon as somebody interrupts. */
export function interruptible<Answer>(
  work: Promise<Answer>,
  interrupt: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(new DOMException("It was interrupted", "AbortError"));
    if (interrupt.aborted) stop();
    interrupt.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => interrupt.removeEventListener("abort", stop));
  });
}
