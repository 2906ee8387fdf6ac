import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { JOURNAL_VERSION } from "../../firmware/core/abi.ts";
import { JournalStore } from "../../host/src/store/journal.ts";
import { StoreError } from "../../host/src/store/store-errors.ts";
import { hex } from "../support/bytes.ts";
import { Flash, type FlashGeometry, PowerFailure } from "../support/flash.ts";
import { batchOf, checksumOf, imageOf } from "../support/journal.ts";

const GEOMETRY: FlashGeometry = { blockCount: 2, blockLength: 160, wordLength: 4 };

/** Writes records to a journal as a core would, and knows what must be in it. */
class Writer {
  readonly store: JournalStore;
  /** What was in the journal when it was opened. */
  readonly found: Uint8Array[];
  stored: Uint8Array[];
  /** With the one that is under way. */
  attempted: Uint8Array[];

  constructor(flash: Flash) {
    this.store = new JournalStore(flash);
    this.found = this.store.read();
    this.stored = this.found;
    this.attempted = this.found;
  }

  write(records: Uint8Array): void {
    const last = this.stored.at(-1);
    const batch = batchOf(records, last === undefined ? 0 : checksumOf(last));
    this.attempted = [...this.stored, batch];
    if (!this.store.append(batch)) {
      const image = imageOf(records, { generation: this.store.nextGeneration });
      this.attempted = [image];
      this.store.replace(image);
    }
    this.stored = this.attempted;
  }
}

function written(flash: Flash, count: number, recordsLength = 12): Uint8Array[] {
  const writer = new Writer(flash);
  for (let index = 0; index < count; index++) {
    writer.write(new Uint8Array(recordsLength).fill(index + 1));
  }
  return writer.stored;
}

function reopened(flash: Flash): Uint8Array[] {
  return new JournalStore(flash).read();
}

/** The StoreError that reading ends in. */
function refusal(flash: Flash): StoreError {
  try {
    reopened(flash);
  } catch (error) {
    if (error instanceof StoreError) return error;
    throw error;
  }
  throw new Error("The journal was read");
}

/** Changes bits behind the back of the flash. */
function flip(flash: Flash, blockIndex: number, at: number, bits: number): void {
  const block = flash.blocks[blockIndex] as Uint8Array;
  block[at] = (block[at] as number) ^ bits;
}

function offsetsOf(batches: Uint8Array[], wordLength: number): number[] {
  const offsets = [0];
  for (const batch of batches) {
    const end = (offsets.at(-1) as number) + batch.length;
    offsets.push(Math.ceil(end / wordLength) * wordLength);
  }
  return offsets;
}

const geometries = fc.record<FlashGeometry>({
  blockCount: fc.constantFrom(2, 3, 4),
  blockLength: fc.constantFrom(96, 128, 160),
  wordLength: fc.constantFrom(1, 2, 4, 8, 16),
});

/** Erased-looking bytes, zeros and small lengths are what could mislead a reader. */
const records = fc.array(fc.oneof(fc.constantFrom(0xff, 0, 8, 1), fc.nat({ max: 255 })), {
  minLength: 1,
  maxLength: 24,
});

describe("a journal", () => {
  test("is empty at first and asks for an image", () => {
    const store = new JournalStore(new Flash(GEOMETRY));
    expect(store.read()).toEqual([]);
    expect(store.append(batchOf(Uint8Array.of(1)))).toBe(false);
    expect(store.nextGeneration).toBe(1);
  });

  test("gives back an image and the batches behind it, in their order", () => {
    const flash = new Flash(GEOMETRY);
    const stored = written(flash, 4);
    expect(stored).toHaveLength(4);
    expect(reopened(flash).map(hex)).toEqual(stored.map(hex));
  });

  test("gives copies: what becomes of the flash does not change them", () => {
    const flash = new Flash(GEOMETRY);
    const stored = written(flash, 3).map(hex);
    const read = reopened(flash);
    flash.erase(0);
    expect(read.map(hex)).toEqual(stored);
  });

  test.each([1, 2, 4, 8, 16])(
    "begins each batch at a word of %i bytes, and leaves the bytes up to there erased",
    (wordLength) => {
      const flash = new Flash({ ...GEOMETRY, wordLength });
      const stored = written(flash, 3, 13);
      const block = flash.read(0);
      const offsets = offsetsOf(stored, wordLength);
      stored.forEach((batch, index) => {
        const begin = offsets[index] as number;
        expect(hex(block.slice(begin, begin + batch.length))).toBe(hex(batch));
        const gap = block.slice(begin + batch.length, offsets[index + 1]);
        expect(gap.every((byte) => byte === 0xff)).toBe(true);
      });
    },
  );

  test("goes on with an image in the next block when one is full, in a circle", () => {
    const flash = new Flash({ ...GEOMETRY, blockCount: 3 });
    const generations = new Set<number>();
    const writer = new Writer(flash);
    for (let index = 0; index < 40; index++) {
      writer.write(Uint8Array.of(index, 1, 2, 3));
      generations.add(writer.store.nextGeneration - 1);
      expect(reopened(flash).map(hex)).toEqual(writer.stored.map(hex));
    }
    expect([...generations]).toEqual(Array.from({ length: generations.size }, (_, n) => n + 1));
    expect(generations.size).toBeGreaterThan(3);
  });

  test("wears the blocks evenly", () => {
    fc.assert(
      fc.property(geometries, fc.array(records, { maxLength: 80 }), (geometry, batches) => {
        const flash = new Flash(geometry);
        const writer = new Writer(flash);
        for (const batch of batches) writer.write(Uint8Array.from(batch));
        expect(Math.max(...flash.eraseCounts) - Math.min(...flash.eraseCounts)).toBeLessThan(2);
      }),
    );
  });

  test("refuses what is no batch that follows, and writes nothing", () => {
    const flash = new Flash({ ...GEOMETRY, wordLength: 1 });
    written(flash, 2);
    const before = flash.byteCount;
    const store = new JournalStore(flash);
    const last = store.read().at(-1) as Uint8Array;
    const wrong = [
      batchOf(Uint8Array.of(1, 2), 7),
      batchOf(Uint8Array.of(1, 2), checksumOf(last)).subarray(0, 9),
      batchOf(new Uint8Array(0), checksumOf(last)),
      last,
      new Uint8Array(0),
    ];
    for (const batch of wrong) expect(() => store.append(batch)).toThrow(RangeError);
    expect(() => store.replace(batchOf(Uint8Array.of(1, 2)))).toThrow(RangeError);
    expect(() => store.replace(imageOf("", { generation: 1 }))).toThrow(/generation 2/u);
    expect(flash.byteCount).toBe(before);
  });

  test("refuses an image that is larger than a block, and keeps what it has", () => {
    const flash = new Flash(GEOMETRY);
    const stored = written(flash, 2);
    const store = new JournalStore(flash);
    store.read();
    const image = imageOf(new Uint8Array(GEOMETRY.blockLength), { generation: 2 });
    expect(() => store.replace(image)).toThrow(
      expect.objectContaining({ name: "StoreError", failure: "full" }),
    );
    expect(reopened(flash).map(hex)).toEqual(stored.map(hex));
  });

  test("takes an image that fills a block to its last byte", () => {
    const flash = new Flash(GEOMETRY);
    const store = new JournalStore(flash);
    store.read();
    const image = imageOf(new Uint8Array(GEOMETRY.blockLength - 22), { generation: 1 });
    expect(image).toHaveLength(GEOMETRY.blockLength);
    store.replace(image);
    expect(reopened(flash).map(hex)).toEqual([hex(image)]);
    expect(store.append(batchOf(Uint8Array.of(1), checksumOf(image)))).toBe(false);
  });
});

describe("a loss of power", () => {
  test("at any byte leaves what was stored, with or without what was under way, and a journal that goes on", () => {
    const erasures = fc.constantFrom("ascending" as const, "scattered" as const);
    const batchLists = fc.array(records, { minLength: 1, maxLength: 10 });
    fc.assert(
      fc.property(
        geometries,
        erasures,
        batchLists,
        fc.nat(),
        (geometry, erasure, batches, seed) => {
          const whole = new Flash(geometry);
          run(whole, batches);
          for (let failsAt = 0; failsAt < whole.byteCount; failsAt++) {
            const flash = new Flash(geometry, (seed ^ failsAt) | 1);
            flash.erasure = erasure;
            flash.failAfter(failsAt);
            expectOneOf(flash, run(flash, batches));
            // And once more, while it recovers.
            flash.failAfter((seed + failsAt) % 97);
            expectOneOf(flash, run(flash, batches.slice(0, 4)));
            const { stored } = run(flash, batches);
            expect(reopened(flash).map(hex)).toEqual(stored.map(hex));
            const wear = Math.max(...flash.eraseCounts) - Math.min(...flash.eraseCounts);
            expect(wear).toBeLessThanOrEqual(1 + 2); // a block is erased again for each of two failures
          }
        },
      ),
      { numRuns: 20, endOnFailure: true },
    );
  });

  /** Writes until all is stored or the power fails. */
  function run(flash: Flash, batches: number[][]): Pick<Writer, "stored" | "attempted"> {
    const writer = new Writer(flash);
    try {
      for (const batch of batches) writer.write(Uint8Array.from(batch));
    } catch (error) {
      if (!(error instanceof PowerFailure)) throw error;
    }
    flash.restorePower();
    return writer;
  }

  function expectOneOf(flash: Flash, { stored, attempted }: Pick<Writer, "stored" | "attempted">) {
    const read = reopened(flash).map(hex);
    expect([stored.map(hex), attempted.map(hex)]).toContainEqual(read);
  }

  test("behind the front of a batch asks for an image in the next block: no word is programmed twice", () => {
    const flash = new Flash({ ...GEOMETRY, wordLength: 1 });
    const stored = written(flash, 2);
    flash.failAfter(10);
    const writer = new Writer(flash);
    expect(() => writer.write(Uint8Array.of(9, 9, 9, 9))).toThrow(PowerFailure);
    flash.restorePower();

    const store = new JournalStore(flash);
    expect(store.read().map(hex)).toEqual(stored.map(hex));
    expect(store.append(batchOf(Uint8Array.of(8), checksumOf(stored[1] as Uint8Array)))).toBe(
      false,
    );
    const image = imageOf("", { generation: store.nextGeneration });
    store.replace(image);
    expect(flash.eraseCounts).toEqual([1, 1]);
    expect(reopened(flash).map(hex)).toEqual([hex(image)]);
  });

  test.each([
    [1, true],
    [2, false],
    [8, false],
  ])(
    "that does not show in a word of %i bytes is thought of: %s, a start goes on in its block",
    (wordLength, goesOn) => {
      const flash = new Flash({ ...GEOMETRY, wordLength });
      const [image] = written(flash, 1) as [Uint8Array];
      const store = new JournalStore(flash);
      store.read();
      expect(store.append(batchOf(Uint8Array.of(1), checksumOf(image)))).toBe(goesOn);
    },
  );

  test("in an image, and again while its first bytes are erased, is no damage", () => {
    const flash = new Flash({ ...GEOMETRY, wordLength: 1 });
    const writer = new Writer(flash);
    writer.write(Uint8Array.of(1));
    flash.failAfter(GEOMETRY.blockLength + 20);
    expect(() => writer.store.replace(imageOf("", { generation: 2 }))).toThrow(PowerFailure);
    const block = flash.blocks[1] as Uint8Array;
    for (let at = 0; at < 8; at++) {
      block[at] = (block[at] as number) | 0xf2;
      expect(reopened(flash).map(hex)).toEqual(writer.stored.map(hex));
      block[at] = 0xff;
      expect(reopened(flash).map(hex)).toEqual(writer.stored.map(hex));
    }
  });
});

describe("a medium that fails", () => {
  test("in append leaves the journal readable, and the next batch is asked for as an image", () => {
    const flash = new Flash(GEOMETRY);
    const writer = new Writer(flash);
    writer.write(Uint8Array.of(1, 1));
    const [image] = writer.stored as [Uint8Array];
    flash.failAfter(9);
    expect(() => writer.write(Uint8Array.of(2, 2))).toThrow(PowerFailure);
    flash.restorePower();
    expect(writer.store.append(batchOf(Uint8Array.of(2, 2), checksumOf(image)))).toBe(false);
    expect(reopened(flash).map(hex)).toEqual([hex(image)]);
    writer.write(Uint8Array.of(3, 3));
    expect(reopened(flash).map(hex)).toEqual(writer.stored.map(hex));
  });

  test.each([0, 3, 159, 160, 170])(
    "after %i bytes of replace leaves the old session, behind which nothing is stored any more",
    (byteCount) => {
      const flash = new Flash(GEOMETRY);
      const writer = new Writer(flash);
      writer.write(Uint8Array.of(1, 1));
      const [old] = writer.stored as [Uint8Array];
      const image = imageOf("", { generation: writer.store.nextGeneration });
      flash.failAfter(byteCount);
      expect(() => writer.store.replace(image)).toThrow(PowerFailure);
      flash.restorePower();
      expect(reopened(flash).map(hex)).toEqual([hex(old)]);
      // Maybe the new image is there after all: a batch behind the old one would be lost then.
      expect(writer.store.append(batchOf(Uint8Array.of(2), checksumOf(old)))).toBe(false);
      writer.store.replace(image);
      expect(reopened(flash).map(hex)).toEqual([hex(image)]);
    },
  );
});

describe("damage", () => {
  test("in any one bit is found, or costs no more than the last batch", () => {
    for (const [count, countBefore] of [[1], [3], [14], [3, 2], [9, 3], [13, 1]]) {
      const flash = new Flash(GEOMETRY);
      written(flash, countBefore ?? 0);
      const stored = written(flash, count as number).map(hex);
      for (let bit = 0; bit < flash.blockCount * flash.blockLength * 8; bit++) {
        const at = Math.floor(bit / 8);
        const [blockIndex, offset] = [Math.floor(at / flash.blockLength), at % flash.blockLength];
        flip(flash, blockIndex, offset, 1 << (bit % 8));
        const read = readOrRefusal(flash);
        if (read !== "damaged" && read !== "newer") {
          expect([stored, stored.slice(0, -1)]).toContainEqual(read);
        }
        flip(flash, blockIndex, offset, 1 << (bit % 8));
      }
    }
  });

  test("in any one bit of a batch that others follow is found", () => {
    const flash = new Flash({ ...GEOMETRY, wordLength: 1 });
    const stored = written(flash, 4);
    const lastAt = offsetsOf(stored, 1).at(-2) as number;
    for (let bit = 0; bit < lastAt * 8; bit++) {
      flip(flash, 0, bit >> 3, 1 << (bit & 7));
      expect(["damaged", "newer"]).toContain(readOrRefusal(flash));
      flip(flash, 0, bit >> 3, 1 << (bit & 7));
    }
  });

  test("of many bytes never gives anything but a beginning of what was stored", () => {
    const spans = fc.record({
      count: fc.integer({ min: 1, max: 20 }),
      at: fc.nat({ max: 2 * GEOMETRY.blockLength - 1 }),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 64 }),
    });
    fc.assert(
      fc.property(spans, ({ count, at, bytes }) => {
        const flash = new Flash(GEOMETRY);
        const stored = written(flash, count).map(hex);
        const block = flash.blocks[at < GEOMETRY.blockLength ? 0 : 1] as Uint8Array;
        block.set(bytes.subarray(0, block.length - (at % block.length)), at % block.length);
        const read = readOrRefusal(flash);
        if (typeof read !== "string") expect(read).toEqual(stored.slice(0, read.length));
      }),
      { numRuns: 2000 },
    );
  });

  test("of the newest image does not bring back the session before", () => {
    const damages = [
      (block: Uint8Array) => block.fill(0xff),
      (block: Uint8Array) => block.fill(0),
      (block: Uint8Array) => block.fill(0x55, 0, 32),
      (block: Uint8Array) => block.fill(0xff, 20),
      (block: Uint8Array) => block.set([(block[21] as number) ^ 1], 21),
    ];
    for (const damage of damages) {
      const flash = new Flash(GEOMETRY);
      const writer = new Writer(flash);
      while (flash.eraseCounts[1] === 0) writer.write(Uint8Array.of(1, 2, 3));
      damage(flash.blocks[1] as Uint8Array);
      expect(refusal(flash)).toMatchObject({
        failure: "damaged",
        message:
          "block 1 is damaged at byte 0: the image that was stored there is not whole any more",
      });
    }
  });

  test("says where it is and what to do", () => {
    const flash = new Flash(GEOMETRY);
    const [image] = written(flash, 3) as [Uint8Array];
    const at = Math.ceil(image.length / 4) * 4;
    flip(flash, 0, at + 8, 1);
    expect(refusal(flash)).toMatchObject({
      failure: "damaged",
      message: `block 0 is damaged at byte ${at}: a batch there is not whole, and more follows behind it`,
      remedy: expect.stringContaining("Erase all blocks"),
    });
  });

  test("is a length that was changed to reach over all that follows", () => {
    const flash = new Flash({ ...GEOMETRY, blockLength: 512 });
    written(flash, 6);
    flip(flash, 0, 1, 1); // 256 bytes more
    expect(refusal(flash).failure).toBe("damaged");
  });

  test("is a batch behind erased bytes", () => {
    const flash = new Flash(GEOMETRY);
    written(flash, 1);
    flip(flash, 0, 150, 0x10);
    expect(refusal(flash).failure).toBe("damaged");
  });

  test("is a copy of the newest block", () => {
    const flash = new Flash(GEOMETRY);
    written(flash, 2);
    flash.blocks[1]?.set(flash.blocks[0] as Uint8Array);
    expect(refusal(flash).message).toContain("generation");
  });

  test("is something that never was a journal, and any bytes are read without another error", () => {
    const text = new TextEncoder().encode("These bytes belong to somebody else. ".repeat(5));
    const flash = new Flash(GEOMETRY);
    flash.blocks[0]?.set(text.subarray(0, GEOMETRY.blockLength));
    expect(refusal(flash).failure).toBe("damaged");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 160 }), fc.uint8Array({ maxLength: 160 }), (a, b) => {
        const wild = new Flash(GEOMETRY);
        wild.blocks[0]?.set(a);
        wild.blocks[1]?.set(b);
        const read = readOrRefusal(wild);
        expect(typeof read === "string" || read.length === 0).toBe(true);
      }),
    );
  });

  function readOrRefusal(flash: Flash): string[] | string {
    try {
      return reopened(flash).map(hex);
    } catch (error) {
      if (error instanceof StoreError) return error.failure;
      throw error;
    }
  }
});

test("a journal of a newer version is refused with both versions, and left as it is", () => {
  const flash = new Flash(GEOMETRY);
  const image = imageOf("0c 00", { version: JOURNAL_VERSION + 1, generation: 1 });
  flash.program(0, 0, image);
  const before = hex(flash.read(0));
  const error = refusal(flash);
  expect(error.failure).toBe("newer");
  expect(error.message).toBe(
    "block 0 has version 2 of the journal's format; this program knows version 1",
  );
  expect(hex(flash.read(0))).toBe(before);
});
