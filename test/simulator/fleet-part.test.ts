/** How a fleet is divided among threads: each device once, each group evenly. */

import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type FleetPart,
  fleetIndex,
  localIndex,
  partOf,
  partSize,
  placesOf,
  WHOLE_FLEET,
} from "../../simulator/src/fleet/fleet-part.ts";
import { type DeviceGroup, deviceCount } from "../../simulator/src/scenario/scenario.ts";
import { readScenario } from "../../simulator/src/scenario/scenario-file.ts";

const anyFleet = fc.record({
  groups: fc.array(
    fc.record({ count: fc.integer({ min: 1, max: 40 }), firstNumber: fc.nat({ max: 99 }) }),
    { minLength: 1, maxLength: 5 },
  ),
  partCount: fc.integer({ min: 1, max: 7 }),
});

function groupsOf(settings: readonly { count: number; firstNumber: number }[]): DeviceGroup[] {
  const [pattern] = readScenario("version: 1", "test.yaml").groups;
  return settings.map((one, index) => ({ ...(pattern as DeviceGroup), ...one, name: `g${index}` }));
}

function partsOf(partCount: number): FleetPart[] {
  return Array.from({ length: partCount }, (_, index) => ({ index, count: partCount }));
}

test("the parts are a partition of the fleet: each device in one, with its number and group", () => {
  fc.assert(
    fc.property(anyFleet, ({ groups, partCount }) => {
      const fleet = { groups: groupsOf(groups) };
      const whole = [...placesOf(fleet, WHOLE_FLEET)];
      expect(whole.map(({ seedIndex }) => seedIndex)).toEqual(
        Array.from({ length: deviceCount(fleet.groups) }, (_, index) => index),
      );
      const together = partsOf(partCount).flatMap((part) => [...placesOf(fleet, part)]);
      together.sort((one, other) => one.seedIndex - other.seedIndex);
      const device = ({ seedIndex, number, group }: (typeof whole)[0]) => ({
        seedIndex,
        number,
        group: group.name,
      });
      expect(together.map(device)).toEqual(whole.map(device));
    }),
  );
});

test("each group is divided evenly: no part has two devices more of it than another", () => {
  fc.assert(
    fc.property(anyFleet, ({ groups, partCount }) => {
      const fleet = { groups: groupsOf(groups) };
      for (const group of fleet.groups) {
        const counts = partsOf(partCount).map(
          (part) => [...placesOf(fleet, part)].filter((place) => place.group === group).length,
        );
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      }
    }),
  );
});

test("places are numbered within their part without a gap, and lead back to the fleet", () => {
  fc.assert(
    fc.property(anyFleet, ({ groups, partCount }) => {
      const fleet = { groups: groupsOf(groups) };
      for (const part of partsOf(partCount)) {
        const places = [...placesOf(fleet, part)];
        expect(places).toHaveLength(partSize(fleet, part));
        for (const [position, { index, seedIndex }] of places.entries()) {
          expect(index).toBe(position);
          expect(fleetIndex(part, index)).toBe(seedIndex);
          expect(localIndex(partCount, seedIndex)).toBe(index);
          expect(partOf(partCount, seedIndex)).toBe(part.index);
        }
      }
    }),
  );
});
