/** How busy a thread is: measured on the thread of the test itself. */

import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { ThreadMeter } from "../../simulator/src/fleet/thread-meter.ts";

const BLOCKED_MS = 400;

function block(): void {
  const endMs = performance.now() + BLOCKED_MS;
  while (performance.now() < endMs);
}

test("a thread that computes makes others wait so long, and one that waits does not", async () => {
  const meter = new ThreadMeter();
  await sleep(30);
  meter.turn();
  await sleep(20);
  block();
  await sleep(20);
  const blocked = meter.turn();
  expect(blocked.eventLoopDelayMs).toBeGreaterThan(0.8 * BLOCKED_MS);
  await sleep(300);
  const idle = meter.turn();
  expect(idle.eventLoopDelayMs).toBeLessThan(blocked.eventLoopDelayMs);
  expect(idle.busyShare).toBeLessThan(blocked.busyShare);
  const whole = meter.stop();
  expect(whole.eventLoopDelayMs).toBeGreaterThan(0.8 * BLOCKED_MS);
  expect(whole.busyShare).toBeGreaterThan(idle.busyShare);
  expect(whole.busyShare).toBeLessThan(blocked.busyShare);
});
