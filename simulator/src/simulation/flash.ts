/** A NOR flash of a simulated board: words that can be programmed once, blocks that wear, and power that fails at any byte. */

import type { JournalMedium } from "../../../host/src/store/journal-medium.ts";
import type { RandomStream } from "../random.ts";
import { type Fuse, PowerCut } from "./fuse.ts";

export interface FlashLayout {
  readonly blockCount: number;
  readonly blockLength: number;
  readonly wordLength: number;
}

/** The board's firmware did what a flash cannot do. */
export class FlashMisuse extends Error {
  override readonly name = "FlashMisuse";
}

const ERASED = 0xff;

/** While a block is being erased, this many bytes of it take as long as programming one. */
const ERASED_PER_STEP_LENGTH = 64;

export class Flash implements JournalMedium {
  readonly blockCount: number;
  readonly blockLength: number;
  readonly wordLength: number;
  /** Erasures of each block. */
  readonly eraseCounts: number[];
  programmedLength = 0;
  /** Changes with each write. */
  version = 0;
  readonly #fuse: Fuse;
  readonly #random: RandomStream;
  readonly #blocks: Uint8Array[];
  /** For each word of each block: 1 if it was programmed since it was erased. */
  readonly #isProgrammed: Uint8Array[];

  constructor(
    { blockCount, blockLength, wordLength }: FlashLayout,
    fuse: Fuse,
    random: RandomStream,
  ) {
    this.blockCount = blockCount;
    this.blockLength = blockLength;
    this.wordLength = wordLength;
    this.#fuse = fuse;
    this.#random = random;
    this.eraseCounts = new Array<number>(blockCount).fill(0);
    this.#blocks = this.eraseCounts.map(() => new Uint8Array(blockLength).fill(ERASED));
    this.#isProgrammed = this.eraseCounts.map(() => new Uint8Array(blockLength / wordLength));
  }

  read(blockIndex: number): Uint8Array {
    return this.look(blockIndex).slice();
  }

  /** As `read`, without a copy. */
  look(blockIndex: number): Uint8Array {
    return this.#blocks[blockIndex] as Uint8Array;
  }

  erase(blockIndex: number): void {
    const bytes = this.look(blockIndex);
    this.version++;
    this.eraseCounts[blockIndex] = (this.eraseCounts[blockIndex] ?? 0) + 1;
    for (let at = 0; at < this.blockLength; at += ERASED_PER_STEP_LENGTH) {
      if (this.#fuse.burnsAtByte()) {
        this.#eraseHalf(bytes, at);
        throw new PowerCut();
      }
      bytes.fill(ERASED, at, at + ERASED_PER_STEP_LENGTH);
    }
    this.#isProgrammed[blockIndex]?.fill(0);
  }

  program(blockIndex: number, offset: number, bytes: Uint8Array): void {
    this.#claimWords(blockIndex, offset, bytes.length);
    this.version++;
    const block = this.look(blockIndex);
    for (let index = 0; index < bytes.length; index++) {
      const byte = bytes[index] as number;
      if (this.#fuse.burnsAtByte()) {
        block[offset + index] = byte | this.#random.integer(0, 255); // some bits are there already
        this.#release(blockIndex, offset + index, offset + bytes.length);
        throw new PowerCut();
      }
      block[offset + index] = byte;
      this.programmedLength++;
    }
  }

  #claimWords(blockIndex: number, offset: number, length: number): void {
    if (offset % this.wordLength !== 0 || offset + length > this.blockLength) {
      throw new FlashMisuse(
        `${length} bytes at ${offset} of block ${blockIndex} are no words of it`,
      );
    }
    const isProgrammed = this.#isProgrammed[blockIndex] as Uint8Array;
    const end = Math.ceil((offset + length) / this.wordLength);
    for (let word = offset / this.wordLength; word < end; word++) {
      if (isProgrammed[word] === 1) {
        throw new FlashMisuse(`word ${word} of block ${blockIndex} is programmed a second time`);
      }
      isProgrammed[word] = 1;
    }
  }

  /**
   * Words that power did not reach can be programmed later. The one in which it failed cannot, whatever it reads as; a
   * word of one byte that shows no change is as good as untouched.
   */
  #release(blockIndex: number, cutAt: number, endAt: number): void {
    const isProgrammed = this.#isProgrammed[blockIndex] as Uint8Array;
    const isUntouched = this.wordLength === 1 && this.look(blockIndex)[cutAt] === ERASED;
    const cutWord = Math.floor(cutAt / this.wordLength);
    isProgrammed.fill(0, isUntouched ? cutWord : cutWord + 1, Math.ceil(endAt / this.wordLength));
  }

  /** Some bits of what is not erased yet are. All of it must be erased again before it can be used. */
  #eraseHalf(bytes: Uint8Array, fromAt: number): void {
    const end = Math.min(bytes.length, fromAt + ERASED_PER_STEP_LENGTH);
    for (let at = fromAt; at < end; at++)
      bytes[at] = (bytes[at] ?? 0) | this.#random.integer(0, 255);
  }
}
