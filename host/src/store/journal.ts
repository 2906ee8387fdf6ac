/** A session store over any medium that has erase blocks: docs/journal.md, "Where batches lie". */

import { BatchField, JOURNAL_VERSION } from "../../../firmware/core/abi.ts";
import {
  BATCH_HEADER_LENGTH,
  emptyBatch,
  FIRST_CHECKSUM,
  imageGeneration,
  imageVersion,
  isImage,
  storedChecksum,
  wholeBatchAt,
  withGeneration,
} from "./batch.ts";
import { alignUp, type Block, readBlock } from "./block.ts";
import type { JournalMedium } from "./journal-medium.ts";
import type { SessionStore } from "./session-store.ts";
import { StoreError } from "./store-errors.ts";

/** How the errors of a JournalStore speak of its medium. */
export interface JournalTexts {
  /** As in "block 1". */
  readonly blockName: (blockIndex: number) => string;
  /** How to begin with a new session. */
  readonly beginAnew: string;
}

const PLAIN_TEXTS: JournalTexts = {
  blockName: (blockIndex) => `block ${blockIndex}`,
  beginAnew:
    "Erase all blocks to begin with a new session: messages that were under way may be lost or come twice then",
};

/** Behind which batch the next one belongs. */
interface Tail {
  readonly blockIndex: number;
  readonly checksum: number;
  /** Where the next batch begins; undefined if no word there may be programmed any more. */
  readonly end: number | undefined;
}

/**
 * The journal in the blocks of a medium, one writer at a time. What the medium throws passes through; what was stored
 * before stays readable then, and the next batch is asked for as an image.
 *
 * When an image was stored, the block before it is closed with an empty batch. So a damaged image is not taken for one
 * that was never finished, which would bring back an older session.
 */
export class JournalStore implements SessionStore {
  readonly #medium: JournalMedium;
  readonly #texts: JournalTexts;
  #tail: Tail | undefined;
  /** Where an image goes if there is none yet. */
  #firstIndex = 0;
  #generation = 0;

  constructor(medium: JournalMedium, texts: JournalTexts = PLAIN_TEXTS) {
    this.#medium = medium;
    this.#texts = texts;
  }

  get nextGeneration(): number {
    return this.#generation + 1;
  }

  read(): Uint8Array[] {
    const indices = Array.from({ length: this.#medium.blockCount }, (_, index) => index);
    const blocks = indices.map((blockIndex) => readBlock(this.#medium, blockIndex));
    this.#refuseOtherVersions(blocks);

    const newestIndex = indexOfNewest(blocks);
    const newest = blocks[newestIndex];
    this.#refuseRivals(blocks, newest);
    if (newest !== undefined) return this.#continueBehind(newest, newestIndex);

    this.#firstIndex = Math.max(
      0,
      blocks.findIndex(({ rest }) => rest === "erased"),
    );
    return [];
  }

  append(batch: Uint8Array): boolean {
    const tail = this.#tail;
    if (tail?.end === undefined) return false;
    if (!isOneBatch(batch, tail.checksum) || batch.length === BATCH_HEADER_LENGTH) {
      throw new RangeError("This batch does not follow the one that was stored last");
    }
    const end = alignUp(tail.end + batch.length, this.#medium.wordLength);
    if (!this.#hasRoomToClose(end)) return false;

    this.#tail = { ...tail, end: undefined };
    this.#medium.program(tail.blockIndex, tail.end, batch);
    this.#tail = { ...tail, end, checksum: storedChecksum(batch) };
    return true;
  }

  replace(image: Uint8Array): void {
    this.#checkImage(image);
    const { blockCount, wordLength } = this.#medium;
    const before = this.#tail;
    const blockIndex =
      before === undefined ? this.#firstIndex : (before.blockIndex + 1) % blockCount;

    // From here on a new image may lie behind the old batches, even if this call fails: none may follow them.
    if (before !== undefined) this.#tail = { ...before, end: undefined };
    this.#medium.erase(blockIndex);
    this.#medium.program(blockIndex, 0, image);

    const end = alignUp(image.length, wordLength);
    this.#tail = { blockIndex, end, checksum: storedChecksum(image) };
    this.#generation = imageGeneration(image);
    if (before?.end !== undefined && this.#hasRoomToClose(before.end)) {
      this.#medium.program(before.blockIndex, before.end, emptyBatch(before.checksum));
    }
  }

  #hasRoomToClose(end: number): boolean {
    return end + BATCH_HEADER_LENGTH <= this.#medium.blockLength;
  }

  #checkImage(image: Uint8Array): void {
    if (!isOneBatch(image, FIRST_CHECKSUM) || !isImage(image)) {
      throw new RangeError("This batch is no image");
    }
    if (imageGeneration(image) < this.nextGeneration) {
      throw new RangeError(
        `The image must have the generation ${this.nextGeneration}, or a higher one`,
      );
    }
    const { blockLength } = this.#medium;
    if (image.length > blockLength) {
      throw new StoreError(
        "full",
        `The session takes ${image.length} bytes, and a block of its store has ${blockLength}`,
        "Use larger blocks, or smaller buffers",
      );
    }
  }

  #continueBehind(newest: Block, blockIndex: number): Uint8Array[] {
    const { batches, generation, isClosed, end, rest } = newest;
    if (isClosed) {
      const nextIndex = (blockIndex + 1) % this.#medium.blockCount;
      throw this.#damaged(nextIndex, 0, "the image that was stored there is not whole any more");
    }
    if (rest === "damaged") {
      throw this.#damaged(
        blockIndex,
        end,
        "a batch there is not whole, and more follows behind it",
      );
    }
    // A word that reads erased may have met a loss of power too early to show it: one of several bytes, which may have
    // a checksum of its own, is not programmed again. A single byte is.
    const { wordLength } = this.#medium;
    this.#generation = generation;
    this.#tail = {
      blockIndex,
      checksum: storedChecksum(batches.at(-1) as Uint8Array),
      end: rest === "erased" && wordLength === 1 ? end : undefined,
    };
    return [...batches];
  }

  #refuseOtherVersions(blocks: readonly Block[]): void {
    blocks.forEach(({ batches: [image] }, blockIndex) => {
      if (image === undefined || imageVersion(image) === JOURNAL_VERSION) return;
      throw new StoreError(
        "newer",
        `${this.#texts.blockName(blockIndex)} has version ${imageVersion(image)} of the journal's format; ` +
          `this program knows version ${JOURNAL_VERSION}`,
        `Use the version of wasmqtt that wrote it. ${this.#texts.beginAnew}`,
      );
    });
  }

  /** A block beside the newest may hold an older life, or what an erasure or an image that broke off has left. */
  #refuseRivals(blocks: readonly Block[], newest: Block | undefined): void {
    blocks.forEach((block, blockIndex) => {
      if (block === newest) return;
      const isWhole = block.batches.length > 0;
      if (isWhole && block.generation === newest?.generation) {
        throw this.#damaged(
          blockIndex,
          BatchField.Generation,
          "another block has the same generation",
        );
      }
      const isNext = newest === undefined || isImageOf(block, newest.generation + 1);
      if (!isWhole && block.rest === "damaged" && isNext) {
        throw this.#damaged(
          blockIndex,
          0,
          "the image there is not whole, and more follows behind it",
        );
      }
    });
  }

  #damaged(blockIndex: number, at: number, what: string): StoreError {
    const { blockName, beginAnew } = this.#texts;
    return new StoreError(
      "damaged",
      `${blockName(blockIndex)} is damaged at byte ${at}: ${what}`,
      beginAnew,
    );
  }
}

/** True if a block's image had this generation before something in it changed. */
function isImageOf({ bytes, generation }: Block, supposed: number): boolean {
  return (
    generation === supposed ||
    wholeBatchAt(withGeneration(bytes, supposed), 0, FIRST_CHECKSUM) !== undefined
  );
}

/** The index of the block whose image has the highest generation; -1 if no image is whole. */
function indexOfNewest(blocks: readonly Block[]): number {
  return blocks.reduce((newestIndex, { batches, generation }, blockIndex) => {
    if (batches.length === 0) return newestIndex;
    return generation > (blocks[newestIndex]?.generation ?? -1) ? blockIndex : newestIndex;
  }, -1);
}

function isOneBatch(bytes: Uint8Array, previousChecksum: number): boolean {
  return wholeBatchAt(bytes, 0, previousChecksum)?.length === bytes.length;
}
