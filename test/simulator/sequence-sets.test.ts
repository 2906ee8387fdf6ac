/** Sets of sequence numbers for many devices, against a plain Set for each. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SequenceSets } from "../../simulator/src/sequence-sets.ts";

const DEVICE_COUNT = 3;
const VALUE_MAX = 24;

const anyDevice = fc.nat({ max: DEVICE_COUNT - 1 });

/** Mostly the number after the last one, as devices count; now and then any. */
const anyStep = fc.record({
  device: anyDevice,
  side: fc.boolean(),
  jump: fc.option(fc.nat({ max: VALUE_MAX }), { nil: undefined, freq: 3 }),
});

function plainSets(): Set<number>[] {
  return Array.from({ length: DEVICE_COUNT }, () => new Set());
}

test("they hold what a plain Set for each device holds", () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 80 }), (steps) => {
      const sides = [0, 1].map(() => ({
        sets: new SequenceSets(DEVICE_COUNT),
        plain: plainSets(),
        next: new Array<number>(DEVICE_COUNT).fill(0),
      }));
      for (const { device, side, jump } of steps) {
        const { sets, plain, next } = sides[side ? 1 : 0] as (typeof sides)[number];
        const value = jump ?? (next[device] as number);
        next[device] = value + 1;
        const set = plain[device] as Set<number>;
        expect(sets.add(device, value)).toBe(!set.has(value));
        set.add(value);
      }
      for (const { sets, plain } of sides) {
        for (const [device, set] of plain.entries()) {
          expect(sets.size(device)).toBe(set.size);
          expect(sets.largest(device)).toBe(set.size === 0 ? undefined : Math.max(...set));
          for (let value = 0; value <= VALUE_MAX + 2; value++) {
            expect(sets.has(device, value)).toBe(set.has(value));
          }
        }
      }
      const [one, other] = sides as [(typeof sides)[number], (typeof sides)[number]];
      for (let device = 0; device < DEVICE_COUNT; device++) {
        const theirs = other.plain[device] as Set<number>;
        const common = [...(one.plain[device] as Set<number>)].filter((value) => theirs.has(value));
        expect(one.sets.countCommon(device, other.sets)).toBe(common.length);
        expect(other.sets.countCommon(device, one.sets)).toBe(common.length);
      }
    }),
    { numRuns: 500 },
  );
});

describe("a device's numbers", () => {
  test("may be as large as a u32, and need not begin at 0", () => {
    const sets = new SequenceSets(1);
    for (const value of [0xffff_fffd, 0xffff_fffe, 0xffff_ffff]) {
      expect(sets.add(0, value)).toBe(true);
    }
    expect([sets.size(0), sets.largest(0)]).toEqual([3, 0xffff_ffff]);
    expect(sets.has(0, 0)).toBe(false);
  });

  test("that come one before the others leave them as they were", () => {
    const sets = new SequenceSets(2);
    for (const value of [5, 6, 7, 4]) sets.add(0, value);
    sets.add(1, 5);
    expect([4, 5, 6, 7, 8].map((value) => sets.has(0, value))).toEqual([
      true,
      true,
      true,
      true,
      false,
    ]);
    expect([sets.size(0), sets.size(1)]).toEqual([4, 1]);
    expect(sets.add(0, 8)).toBe(true);
    expect(sets.largest(0)).toBe(8);
  });
});
