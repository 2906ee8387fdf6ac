/** Readings that were due and that nobody published: what they are measured with. */

import { describe, expect, test } from "vitest";
import { UnpublishedReadings } from "../../simulator/src/fleet/unpublished-readings.ts";

/** The due times that an acknowledgement of `device` settles. */
function settled(readings: UnpublishedReadings, device: number, waitingCount: number): number[] {
  const dueTimes: number[] = [];
  readings.acknowledged(device, waitingCount, (dueAtMs) => dueTimes.push(dueAtMs));
  return dueTimes;
}

describe("a reading without room", () => {
  test("has waited when all messages before it are acknowledged", () => {
    const readings = new UnpublishedReadings();
    for (const dueAtMs of [100, 200, 300]) readings.add(7, dueAtMs, 2);
    expect(settled(readings, 7, 1)).toEqual([]);
    expect(settled(readings, 7, 0)).toEqual([100, 200, 300]);
    expect(settled(readings, 7, 0)).toEqual([]);
  });

  test("waits behind what was published since another was refused", () => {
    const readings = new UnpublishedReadings();
    readings.add(7, 100, 2);
    expect(settled(readings, 7, 1)).toEqual([]);
    // The room of the first message is taken by a new one.
    readings.add(7, 300, 2);
    expect(settled(readings, 7, 1)).toEqual([100]);
    expect(settled(readings, 7, 0)).toEqual([300]);
  });

  test("waits for no message that the device has given up", () => {
    const readings = new UnpublishedReadings();
    readings.add(7, 100, 5);
    expect(settled(readings, 7, 1)).toEqual([]);
    expect(settled(readings, 7, 0)).toEqual([100]);
  });

  test("is of its own device only, and is forgotten with what was before it", () => {
    const readings = new UnpublishedReadings();
    readings.add(7, 100, 1);
    readings.add(8, 150, 1);
    readings.forget(7);
    expect(settled(readings, 7, 0)).toEqual([]);
    expect(settled(readings, 8, 0)).toEqual([150]);
  });

  test("is measured by nothing where nothing waits for an acknowledgement", () => {
    const readings = new UnpublishedReadings();
    readings.add(7, 100, 0);
    expect(settled(readings, 7, 0)).toEqual([]);
  });
});
