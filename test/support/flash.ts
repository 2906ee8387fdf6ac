/**
 * A small NOR flash: programming clears bits, in erased words only and once, and the power may fail at any byte. Words of
 * one byte may be programmed as long as they read erased.
 */

import type { JournalMedium } from "../../host/src/store/journal-medium.ts";

/** The power failed. What was being written is half there. */
export class PowerFailure extends Error {
  override readonly name = "PowerFailure";
}

export interface FlashGeometry {
  blockCount: number;
  blockLength: number;
  wordLength: number;
}

/** In which order the bytes of a block become erased: it matters when the power fails. */
export type Erasure = "ascending" | "scattered";

export class Flash implements JournalMedium {
  readonly blockCount: number;
  readonly blockLength: number;
  readonly wordLength: number;
  readonly blocks: Uint8Array[];
  /** How often each block was erased. */
  readonly eraseCounts: number[];
  /** Bytes programmed or erased so far. */
  byteCount = 0;
  erasure: Erasure = "ascending";
  #failsAt = Number.POSITIVE_INFINITY;
  /** By block, the words whose programming has begun since it was erased, even if no bit shows it. */
  readonly #programmed: Set<number>[];
  #noise: number;

  constructor({ blockCount, blockLength, wordLength }: FlashGeometry, seed = 1) {
    this.blockCount = blockCount;
    this.blockLength = blockLength;
    this.wordLength = wordLength;
    this.blocks = Array.from({ length: blockCount }, () => new Uint8Array(blockLength).fill(0xff));
    this.eraseCounts = new Array<number>(blockCount).fill(0);
    this.#programmed = Array.from({ length: blockCount }, () => new Set<number>());
    this.#noise = seed;
  }

  /** The power will fail when so many more bytes were written, at the next one. */
  failAfter(byteCount: number): void {
    this.#failsAt = this.byteCount + byteCount;
  }

  restorePower(): void {
    this.#failsAt = Number.POSITIVE_INFINITY;
  }

  read(blockIndex: number): Uint8Array {
    return this.#block(blockIndex);
  }

  erase(blockIndex: number): void {
    const block = this.#block(blockIndex);
    this.eraseCounts[blockIndex] = (this.eraseCounts[blockIndex] ?? 0) + 1;
    for (let offset = 0; offset < block.length; offset++) {
      if (this.byteCount === this.#failsAt) {
        if (this.erasure === "ascending") this.#setSomeBits(block, offset, offset + 1);
        else this.#setSomeBits(block, 0, block.length);
        throw new PowerFailure();
      }
      this.byteCount++;
      if (this.erasure === "ascending") block[offset] = 0xff;
    }
    block.fill(0xff);
    (this.#programmed[blockIndex] as Set<number>).clear();
  }

  program(blockIndex: number, offset: number, bytes: Uint8Array): void {
    const block = this.#block(blockIndex);
    const programmed = this.#programmed[blockIndex] as Set<number>;
    if (offset % this.wordLength !== 0) throw new Error(`No word begins at ${offset}`);
    if (offset + bytes.length > block.length) throw new Error("Programmed behind the end");
    for (let index = 0; index < bytes.length; index++) {
      const word = Math.floor((offset + index) / this.wordLength);
      if (index === 0 || (offset + index) % this.wordLength === 0) {
        const isUsed = this.wordLength === 1 ? block[word] !== 0xff : programmed.has(word);
        if (isUsed) throw new Error(`Word ${word} was programmed twice`);
        programmed.add(word);
      }
      if (this.byteCount === this.#failsAt) {
        this.#halfProgram(block, offset, index, bytes);
        throw new PowerFailure();
      }
      this.byteCount++;
      const at = offset + index;
      block[at] = (block[at] as number) & (bytes[index] as number);
    }
  }

  /** Of the word that is being programmed, each bit is there or not. */
  #halfProgram(block: Uint8Array, offset: number, index: number, bytes: Uint8Array): void {
    const wordBegin = index - ((offset + index) % this.wordLength);
    const end = Math.min(wordBegin + this.wordLength, bytes.length);
    for (let i = wordBegin; i < end; i++) {
      block[offset + i] = (bytes[i] as number) | this.#noiseByte();
    }
  }

  #setSomeBits(block: Uint8Array, begin: number, end: number): void {
    for (let at = begin; at < end; at++) block[at] = (block[at] as number) | this.#noiseByte();
  }

  #block(blockIndex: number): Uint8Array {
    const block = this.blocks[blockIndex];
    if (block === undefined) throw new Error(`There is no block ${blockIndex}`);
    return block;
  }

  /** xorshift32. */
  #noiseByte(): number {
    this.#noise ^= this.#noise << 13;
    this.#noise ^= this.#noise >>> 17;
    this.#noise ^= this.#noise << 5;
    return this.#noise & 0xff;
  }
}
