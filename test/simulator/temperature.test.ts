import fc from "fast-check";
import { expect, test } from "vitest";
import { type TemperatureSettings, Temperatures } from "../../simulator/src/fleet/temperature.ts";

const room: TemperatureSettings = {
  mean: 21.5,
  amplitude: 3,
  periodMs: 86_400_000,
  drift: 0.5,
  noise: 0.2,
};

/** Of one device of a fleet, as a function of the time. */
function deviceTemperature(settings: TemperatureSettings, seed: number, device: number) {
  const temperatures = new Temperatures(seed, 1, () => device);
  return (atMs: number) => temperatures.milliCelsius(settings, 0, atMs);
}

const HOUR_MS = 3_600_000;

test("the same seed and device measure the same, in any order and as often as wanted", () => {
  const times = Array.from({ length: 200 }, (_, index) => index * 977);
  const one = deviceTemperature(room, 42, 7);
  const other = deviceTemperature(room, 42, 7);
  const forwards = times.map(one);
  const backwards = times.toReversed().map(other).reverse();
  expect(backwards).toEqual(forwards);
  expect(new Set(forwards).size).toBeGreaterThan(100);
});

test("other devices and other seeds measure something else", () => {
  const at = (seed: number, device: number) =>
    [0, 1000, 2000].map(deviceTemperature(room, seed, device));
  expect(at(42, 8)).not.toEqual(at(42, 7));
  expect(at(43, 7)).not.toEqual(at(42, 7));
});

test("a reading is a whole number of milli-degrees within mean, amplitude, drift and three times the noise", () => {
  fc.assert(
    fc.property(
      fc.record({
        mean: fc.integer({ min: -100, max: 1000 }),
        amplitude: fc.integer({ min: 0, max: 50 }),
        periodMs: fc.integer({ min: 1000, max: 1_000_000_000 }),
        drift: fc.integer({ min: 0, max: 20 }),
        noise: fc.double({ min: 0, max: 5, noNaN: true }),
      }),
      fc.nat({ max: 0xffffffff }),
      fc.double({ min: 0, max: 1e12, noNaN: true }),
      (settings, seed, atMs) => {
        const milliCelsius = deviceTemperature(settings, seed, 3)(atMs);
        const reach = settings.amplitude + settings.drift + 3 * settings.noise;
        expect(Number.isInteger(milliCelsius)).toBe(true);
        expect(Math.abs(milliCelsius - 1000 * settings.mean)).toBeLessThanOrEqual(1000 * reach + 1);
      },
    ),
  );
});

test("over a day the temperature goes through its whole curve and back", () => {
  const temperature = deviceTemperature({ ...room, drift: 0, noise: 0 }, 1, 1);
  const day = Array.from({ length: 24 }, (_, hour) => temperature(hour * HOUR_MS));
  // 24 points of a sine of 3 degrees: the highest is within 3 * (1 - cos(7.5 degrees)) of the top.
  expect(Math.max(...day)).toBeGreaterThan(24_474);
  expect(Math.min(...day)).toBeLessThan(18_526);
  expect(temperature(24 * HOUR_MS)).toBe(day[0]);
});

test("drift is slow, and differs from day to day", () => {
  const temperature = deviceTemperature({ ...room, amplitude: 0, noise: 0 }, 1, 1);
  for (let hour = 0; hour < 240; hour++) {
    const change = Math.abs(temperature((hour + 1) * HOUR_MS) - temperature(hour * HOUR_MS));
    expect(change).toBeLessThan(50);
  }
  const days = Array.from({ length: 30 }, (_, day) => temperature(day * 24 * HOUR_MS));
  expect(Math.max(...days) - Math.min(...days)).toBeGreaterThan(500);
});

test("noise has the standard deviation that was asked for, and no memory", () => {
  const noise = deviceTemperature({ ...room, amplitude: 0, drift: 0 }, 1, 1);
  const values = Array.from({ length: 5000 }, (_, index) => noise(index * 100) - 21_500);
  const product = (lag: number) =>
    values.reduce((sum, value, index) => sum + value * (values[index + lag] ?? 0), 0) / 5000;
  expect(Math.sqrt(product(0))).toBeGreaterThan(190);
  expect(Math.sqrt(product(0))).toBeLessThan(210);
  expect(Math.abs(product(1) / product(0))).toBeLessThan(5 / Math.sqrt(5000));
});

test("one reading in 370 would be further off than three deviations: it is cut off there", () => {
  const noise = deviceTemperature({ ...room, amplitude: 0, drift: 0 }, 1, 1);
  const values = Array.from({ length: 5000 }, (_, index) => noise(index * 100) - 21_500);
  expect(Math.max(...values)).toBe(600);
  expect(Math.min(...values)).toBe(-600);
});

test("devices do not all have the same time of day", () => {
  const quiet = { ...room, drift: 0, noise: 0 };
  const starts = Array.from({ length: 100 }, (_, device) => deviceTemperature(quiet, 1, device)(0));
  expect(Math.max(...starts)).toBeGreaterThan(24_000);
  expect(Math.min(...starts)).toBeLessThan(19_000);
});
