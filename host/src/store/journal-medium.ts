/** What a journal is written to: the erase blocks of a flash, or files that behave like them. */

export interface JournalMedium {
  /** At least 2. */
  readonly blockCount: number;
  /** Bytes of a block. */
  readonly blockLength: number;
  /** Each batch begins at a multiple of so many bytes: what can be programmed only once. A power of 2. */
  readonly wordLength: number;
  /** What a block holds; erased bytes at its end may be left out. */
  read(blockIndex: number): Uint8Array;
  /** Makes a block empty. */
  erase(blockIndex: number): void;
  /** Writes bytes into erased ones at `offset`, a multiple of `wordLength`, in ascending order; they survive when it returns. */
  program(blockIndex: number, offset: number, bytes: Uint8Array): void;
}
