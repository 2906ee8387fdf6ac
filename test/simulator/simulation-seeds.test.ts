/** Worlds that must hold: fixed seeds, and fresh ones whose seed stands in the test's name. */

import { beforeAll, describe, expect, test } from "vitest";
import { investigate } from "../../simulator/src/simulation/investigate.ts";
import { failureText } from "../../simulator/src/simulation/report-text.ts";
import { type FirmwareBytes, simulate } from "../../simulator/src/simulation/simulate.ts";
import type { SimulationOptions } from "../../simulator/src/simulation/simulation.ts";
import { builtFirmware } from "../support/simulated.ts";

const FIXED_SEEDS = [1, 2, 3, 5, 8, 13, 21, 34];
const FRESH_SEED_COUNT = 4;

/** The time for a failure to shrink. */
const TIMEOUT_MS = 120_000;

let firmware: FirmwareBytes;
beforeAll(async () => {
  firmware = await builtFirmware();
});

describe("fixed seeds", () => {
  test.each(FIXED_SEEDS)("seed %i", (seed) => holds(seed), TIMEOUT_MS);

  const aDay = { hours: 24, deviceCount: 3, kinds: ["durable"] as const };
  test("durable devices alone, for a day", () => holds(55, aDay), TIMEOUT_MS);
});

describe("fresh seeds", () => {
  const seeds = Array.from({ length: FRESH_SEED_COUNT }, () => Math.floor(Math.random() * 2 ** 32));
  test.each(seeds)("seed %i", (seed) => holds(seed), TIMEOUT_MS);
});

test("a seed has one course: messages, connections, bytes of flash and all", async () => {
  const options = { seed: 4, hours: 1, deviceCount: 8 };
  const first = await simulate(options, firmware);
  const second = await simulate(options, firmware);
  expect(second.report).toEqual(first.report);
});

test("a device lives the same life whoever else takes part", async () => {
  const kinds = ["durable"] as const;
  const options = { seed: 6, hours: 0.5, deviceCount: 8, onlyFaults: [], kinds };
  const lengthOf = async (onlyDevices: number[]) => {
    const { simulation } = await simulate({ ...options, onlyDevices }, firmware);
    return simulation.devices.get(5)?.flash.programmedLength;
  };
  const alone = await lengthOf([5]);
  expect(alone).toBeGreaterThan(0);
  expect(await lengthOf([0, 3, 5, 7])).toBe(alone);
});

async function holds(seed: number, other: Partial<SimulationOptions> = {}): Promise<void> {
  const options = { seed, hours: 2, deviceCount: 12, ...other };
  const { report, simulation } = await simulate(options, firmware);
  if (report.failure !== undefined) {
    expect.fail(failureText(await investigate(simulation, report.failure, firmware)));
  }
  expect(report.messages.up).toBeGreaterThan(0);
  expect(report.messages.down).toBeGreaterThan(0);
  expect(report.powerLossCount).toBeGreaterThan(0);
}
