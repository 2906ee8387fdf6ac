/** Random numbers from a seed: each device has streams of its own, so the fleet is the same in whatever order its devices draw. */

/**
 * What a device draws for. Each use has its own stream: a device that connects twice still measures the same
 * temperatures. A new use gets a new number; changing one changes every run of every seed.
 */
export const RANDOM_USES = {
  temperature: 0,
  noise: 1,
  schedule: 2,
  reconnect: 3,
  fault: 4,
  return: 5,
} as const;

export type RandomUse = keyof typeof RANDOM_USES;

/** A seed and every index is below this. */
export const SEED_LIMIT = 2 ** 32;

/** Rounds after which the seeding words have mixed. PractRand takes 15 for this generator. */
const SEEDING_ROUNDS = 15;

/**
 * The stream of one use of one device.
 *
 * The generator is sfc32 ("Small Fast Counting", Chris Doty-Humphrey, PractRand 0.95, public domain): 128 bits of
 * state, one word of which is a counter, so that no stream repeats within 2^32 words. It is made to be seeded with three
 * words; ours are seed, index and use, so each triple has a stream of its own.
 */
export class RandomStream {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** `seed` and `index` are whole numbers from 0 to 2^32 - 1. */
  constructor(seed: number, index: number, use: RandomUse) {
    this.#a = seed | 0;
    this.#b = index | 0;
    this.#c = RANDOM_USES[use];
    for (let round = 0; round < SEEDING_ROUNDS; round++) this.word();
  }

  /** 32 random bits, from 0 to 2^32 - 1. */
  word(): number {
    const word = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + word) | 0;
    return word >>> 0;
  }

  /** At least 0, below 1, in steps of 2^-32. */
  uniform(): number {
    return this.word() / SEED_LIMIT;
  }

  /** A whole number from `minimum` to `maximum`, both inclusive, each as likely; at most 2^32 of them. */
  integer(minimum: number, maximum: number): number {
    const range = maximum - minimum + 1;
    // The last words of 2^32 would favour the small numbers: draw again. Half of all words are good, or more.
    const limit = SEED_LIMIT - (SEED_LIMIT % range);
    let word = this.word();
    while (word >= limit) word = this.word();
    return minimum + (word % range);
  }

  /** Mean 0 and standard deviation 1 (Box and Muller, 1958). Always takes two words and is never beyond 6.7. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log((this.word() + 1) / SEED_LIMIT));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }
}
