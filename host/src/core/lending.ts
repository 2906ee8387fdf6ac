/** Arguments on their way into a module: texts and bytes that lie in its memory during one call. */

import type { Arena } from "./arena.ts";
import type { LinearMemory } from "./linear-memory.ts";

const FIRST_CAPACITY = 1024;

/** A text takes at most so many bytes for each UTF-16 unit. */
const BYTES_PER_UNIT_MAX = 3;

/** One stretch of memory for all clients of a core, used anew by each call. */
export class Lending {
  readonly #memory: LinearMemory;
  readonly #arena: Arena;
  #at = 0;
  #capacity = 0;
  #used = 0;

  constructor(memory: LinearMemory, arena: Arena) {
    this.#memory = memory;
    this.#arena = arena;
  }

  /** Starts anew, with room for all of `parts` of the next calls of `put`. */
  begin(...parts: (string | Uint8Array)[]): void {
    let needed = 0;
    for (const part of parts)
      needed += typeof part === "string" ? part.length * BYTES_PER_UNIT_MAX : part.length;
    this.beginLength(needed);
  }

  /** Starts anew, with room for `needed` bytes. */
  beginLength(needed: number): void {
    this.#used = 0;
    if (needed <= this.#capacity) return;
    this.#capacity = Math.max(FIRST_CAPACITY, needed * 2);
    this.#at = this.#arena.take(this.#capacity);
  }

  /** Leaves `length` bytes for the module to write to, behind what is there; returns their address. */
  leave(length: number): number {
    const at = this.#at + this.#used;
    this.#used += length;
    return at;
  }

  /** Puts a text (as UTF-8) or bytes behind what is there; returns address and length. */
  put(part: string | Uint8Array): { at: number; length: number } {
    const at = this.#at + this.#used;
    let length = part.length;
    if (typeof part === "string")
      length = this.#memory.writeText(at, part, this.#capacity - this.#used);
    else this.#memory.write(at, part);
    this.#used += length;
    return { at, length };
  }
}
