/** Among how many threads a fleet is divided. */

import { describe, expect, test } from "vitest";
import { UsageError } from "../../host/src/errors.ts";
import { threadCountFor } from "../../simulator/src/cli/run-threads.ts";
import { readScenario } from "../../simulator/src/scenario/scenario-file.ts";

function fleetOf(count: number) {
  return readScenario(`version: 1\ndevices: [{ count: ${count} }]`, "test.yaml");
}

test.each([
  [1, 8, 1],
  [999, 8, 1],
  [1_999, 8, 1],
  [2_000, 8, 2],
  [10_000, 8, 8],
  [10_000, 2, 2],
  [100_000, 1, 1],
])("without a word, %i sensors on %i processors have %i", (devices, cpuCount, expected) => {
  expect(threadCountFor(undefined, fleetOf(devices), cpuCount)).toBe(expected);
});

test.each([
  ["1", 10, 1],
  ["3", 10, 3],
  ["10", 10, 10],
  ["64", 1_000, 64],
])("-j %s is what %i sensors have, whatever the machine has", (text, devices, expected) => {
  expect(threadCountFor(text, fleetOf(devices), 2)).toBe(expected);
});

describe("what cannot be", () => {
  test.each(["0", "-1", "11", "1000", "1.5", "x", "", "Infinity", "NaN"])("is -j %j", (text) => {
    const ask = () => threadCountFor(text, fleetOf(10), 2);
    expect(ask).toThrow(UsageError);
    expect(ask).toThrow(`--jobs ${JSON.stringify(text)} cannot be`);
    expect(ask).toThrow(
      expect.objectContaining({
        remedy: "Give a whole number from 1 to 10; this machine has 2 processors",
      }),
    );
  });

  test("is more than 64, however many sensors there are", () => {
    expect(() => threadCountFor("65", fleetOf(5_000), 2)).toThrow(UsageError);
  });
});
