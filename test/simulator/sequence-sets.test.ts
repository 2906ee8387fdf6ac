/** Sets of sequence numbers for many devices, against a plain Set for each. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SequenceSets } from "../../simulator/src/fleet/sequence-sets.ts";

const DEVICE_COUNT = 3;
const VALUE_MAX = 24;

const anyDevice = fc.nat({ max: DEVICE_COUNT - 1 });

/** Mostly the number after the last one, as devices count; now and then any. */
const anyStep = fc.record({
  device: anyDevice,
  isOther: fc.boolean(),
  jump: fc.option(fc.nat({ max: VALUE_MAX }), { nil: undefined, freq: 3 }),
});

/** Both kinds of sets, side by side. */
class Pair {
  readonly sets = new SequenceSets(DEVICE_COUNT);
  readonly plain = Array.from({ length: DEVICE_COUNT }, () => new Set<number>());
  readonly #next = new Array<number>(DEVICE_COUNT).fill(0);

  /** Without `jump` the number after the last one. */
  add(device: number, jump: number | undefined): void {
    const value = jump ?? (this.#next[device] as number);
    this.#next[device] = value + 1;
    const set = this.plain[device] as Set<number>;
    expect(this.sets.add(device, value)).toBe(!set.has(value));
    set.add(value);
  }

  expectSame(): void {
    const values = Array.from({ length: VALUE_MAX + 60 }, (_, value) => value);
    for (const [device, set] of this.plain.entries()) {
      expect(this.sets.size(device)).toBe(set.size);
      expect(this.sets.largest(device)).toBe(set.size === 0 ? undefined : Math.max(...set));
      expect(values.filter((value) => this.sets.has(device, value))).toEqual(
        [...set].sort((one, other) => one - other),
      );
    }
  }
}

test("they hold what a plain Set for each device holds", () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 50 }), (steps) => {
      const [one, other] = [new Pair(), new Pair()];
      for (const { device, isOther, jump } of steps) (isOther ? other : one).add(device, jump);
      one.expectSame();
      other.expectSame();
      for (const [device, set] of one.plain.entries()) {
        const theirs = other.plain[device];
        const commonCount = [...set].filter((value) => theirs?.has(value)).length;
        expect(one.sets.countCommon(device, other.sets)).toBe(commonCount);
        expect(other.sets.countCommon(device, one.sets)).toBe(commonCount);
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
