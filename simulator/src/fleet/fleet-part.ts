/** Which devices of a scenario a thread has: every n-th, so that each thread has its share of each group. */

import { type DeviceGroup, deviceCount, type Scenario } from "../scenario/scenario.ts";

export interface FleetPart {
  /** From 0 up to `count`. */
  index: number;
  count: number;
}

/** One device of a part. */
export interface Place {
  /** Within the part. */
  index: number;
  /** In the whole fleet: everything random follows from it. */
  seedIndex: number;
  /** Stands for `%i` in patterns. */
  number: number;
  group: DeviceGroup;
}

export const WHOLE_FLEET: FleetPart = { index: 0, count: 1 };

/** Devices of `scenario` in a part. */
export function partSize({ groups }: Pick<Scenario, "groups">, part: FleetPart): number {
  return Math.ceil((deviceCount(groups) - part.index) / part.count);
}

/** All devices of a part, in the order of the fleet. */
export function* placesOf(
  { groups }: Pick<Scenario, "groups">,
  part: FleetPart,
): Generator<Place, void> {
  let start = 0;
  for (const group of groups) {
    const first = start + mod(part.index - start, part.count);
    for (let seedIndex = first; seedIndex < start + group.count; seedIndex += part.count) {
      const number = group.firstNumber + seedIndex - start;
      yield { index: localIndex(part.count, seedIndex), seedIndex, number, group };
    }
    start += group.count;
  }
}

/** The index within its part of a device of the whole fleet that has `count` parts. */
export function localIndex(count: number, seedIndex: number): number {
  return Math.floor(seedIndex / count);
}

/** The index in the whole fleet of a device of a part. */
export function fleetIndex({ index, count }: FleetPart, local: number): number {
  return local * count + index;
}

/** The part that has a device of the whole fleet. */
export function partOf(count: number, seedIndex: number): number {
  return seedIndex % count;
}

function mod(value: number, divisor: number): number {
  return ((value % divisor) + divisor) % divisor;
}
