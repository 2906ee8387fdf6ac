/** Deals out a module's memory from the heap base upwards. What was dealt out stays so for the life of the instance. */

import type { LinearMemory } from "./linear-memory.ts";

const ALIGNMENT = 8;

/** Memory for client records and for what is lent to the module during a call. */
export class Arena {
  readonly #memory: LinearMemory;
  readonly #memoryGrown: (byteLength: number) => void;
  #endAt: number;

  constructor(memory: LinearMemory, heapBase: number, memoryGrown: (byteLength: number) => void) {
    this.#memory = memory;
    this.#memoryGrown = memoryGrown;
    this.#endAt = heapBase;
    memoryGrown(memory.byteLength);
  }

  /** The address of `length` fresh bytes, a multiple of 8. Throws a RangeError when the memory cannot grow. */
  take(length: number): number {
    const at = this.#endAt;
    const endAt = at + Math.ceil(length / ALIGNMENT) * ALIGNMENT;
    if (endAt > this.#memory.byteLength) {
      this.#memory.growTo(endAt);
      this.#memoryGrown(this.#memory.byteLength);
    }
    this.#endAt = endAt;
    return at;
  }
}
