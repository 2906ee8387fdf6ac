/** The random numbers of a simulated world: each thing draws from a stream of its own, so leaving one out changes no other. */

import { RandomStream } from "../random.ts";

const PURPOSES = {
  board: 0,
  power: 1,
  network: 2,
  misfortune: 3,
  faults: 4,
  broker: 5,
  timer: 6,
  padding: 7,
  stream0: 8,
  stream1: 9,
  stream2: 10,
  stream3: 11,
  stream4: 12,
  stream5: 13,
} as const;

export type Purpose = keyof typeof PURPOSES;

const PURPOSES_PER_INDEX = 16;

/** `index` is a device's; what belongs to the world as a whole draws with index 0. */
export function randomStream(seed: number, index: number, purpose: Purpose): RandomStream {
  return new RandomStream(seed, index * PURPOSES_PER_INDEX + PURPOSES[purpose], "schedule");
}

/** Around `meanMs`, often less and sometimes much more, as things do that happen independently of each other. */
export function randomDelayMs(random: RandomStream, meanMs: number): number {
  return -meanMs * Math.log(1 - random.uniform());
}

export function chance(random: RandomStream, probability: number): boolean {
  return random.uniform() < probability;
}
