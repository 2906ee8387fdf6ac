/** The delays before a client connects again. */

import fc from "fast-check";
import { expect, test } from "vitest";
import {
  RECONNECT_POLICY,
  Reconnector,
  reconnectDelayMs,
} from "../../host/src/client/reconnect.ts";
import { VirtualWorld } from "../support/virtual-world.ts";

const POLICY = { baseMs: 1_000, maxMs: 60_000, stableMs: 30_000 };

test("a delay is anywhere between nothing and a bound that doubles up to the longest", () => {
  const bounds = [0, 1, 2, 3, 4, 5, 6, 7, 50, 5_000].map((attempt) =>
    reconnectDelayMs(attempt, () => 1 - Number.EPSILON, POLICY),
  );
  expect(bounds).toEqual([999, 1999, 3999, 7999, 15999, 31999, 59999, 59999, 59999, 59999]);
  expect(reconnectDelayMs(9, () => 0, POLICY)).toBe(0);
});

test("no attempt and no chance leaves the bounds", () => {
  const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  const lengths = fc.integer({ min: 0, max: 2 ** 31 });
  fc.assert(
    fc.property(fc.nat(), unit, lengths, lengths, (attempt, random, baseMs, maxMs) => {
      const delayMs = reconnectDelayMs(attempt, () => random, { baseMs, maxMs });
      expect(Number.isInteger(delayMs)).toBe(true);
      expect(delayMs).toBeGreaterThanOrEqual(0);
      expect(delayMs).toBeLessThanOrEqual(maxMs);
    }),
  );
});

test("the delays grow over failures and short connections, and begin anew after a long one", async () => {
  const world = new VirtualWorld({ randomness: 0.5 });
  let openedCount = 0;
  const reconnector = new Reconnector(world, POLICY, () => openedCount++);
  const delays: number[] = [];
  const cycle = async (stoodMs: number | undefined) => {
    if (stoodMs !== undefined) {
      reconnector.connected();
      await world.advance(stoodMs);
    }
    delays.push(reconnector.schedule());
    await world.advance(delays.at(-1) ?? 0);
  };
  await cycle(undefined);
  await cycle(undefined);
  await cycle(29_999);
  await cycle(0);
  await cycle(30_000);
  await cycle(undefined);
  expect(delays).toEqual([500, 1_000, 2_000, 4_000, 500, 1_000]);
  expect(openedCount).toBe(6);
});

test("the usual policy is documented: one second at first, a minute at most, half a minute is good", () => {
  expect(RECONNECT_POLICY).toEqual(POLICY);
});

test("a reconnector that was stopped opens nothing any more", async () => {
  const world = new VirtualWorld();
  let openedCount = 0;
  const reconnector = new Reconnector(world, POLICY, () => openedCount++);
  reconnector.schedule();
  reconnector.stop();
  await world.advance(100_000);
  expect(openedCount).toBe(0);
});
