/** The journal in a board's flash and the host's store are one format: each reads, judges and writes what the other does. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { JournalStore } from "../../host/src/store/journal.ts";
import { StoreError } from "../../host/src/store/store-errors.ts";
import { answerOf, BoardDriver, BUILD_PROGRAMS, bytesIn } from "../support/board-driver.ts";
import { concat, hex } from "../support/bytes.ts";
import { Flash, type FlashGeometry, PowerFailure } from "../support/flash.ts";
import { batchOf, checksumOf, imageOf } from "../support/journal.ts";
import { describeWith } from "../support/optional.ts";

/** What a reader makes of a flash: the batches, or "refused". */
type Verdict = string[] | "refused";

const WORD_LENGTHS = [1, 2, 4, 8, 16];

function geometryOf(wordLength: number): FlashGeometry {
  return { blockCount: 3, blockLength: 160, wordLength };
}

describeWith(BUILD_PROGRAMS, "the journal of a board", () => {
  let board: BoardDriver;

  beforeAll(() => {
    board = new BoardDriver();
  }, 180_000);

  afterAll(() => board.end());

  async function format({ blockCount, blockLength, wordLength }: FlashGeometry): Promise<void> {
    await board.tell(`flash ${blockCount * blockLength} ${blockLength} ${wordLength}`);
  }

  async function fill(flash: Flash): Promise<void> {
    await format(flash);
    await board.tell(`fill ${digits(concat(...flash.blocks))}`);
  }

  async function boardVerdict(): Promise<Verdict> {
    const lines = await board.tell("journal-open");
    const [result] = answerOf(lines, "journal")?.split(" ") ?? [];
    return result === "refused" ? "refused" : bytesIn(lines, "batch").map(hex);
  }

  async function flashOfBoard(): Promise<string> {
    return hex(bytesIn(await board.tell("dump"), "flash")[0] as Uint8Array);
  }

  async function store(how: "append" | "replace", batch: Uint8Array): Promise<string> {
    const lines = await board.tell(`journal-${how} ${digits(batch)}`);
    return answerOf(lines, "journal")?.split(" ")[0] ?? "";
  }

  test.each(WORD_LENGTHS)(
    "is byte for byte what the host writes, words of %i",
    async (wordLength) => {
      const geometry = geometryOf(wordLength);
      const flash = new Flash(geometry);
      const host = new JournalStore(flash);
      await format(geometry);
      expect(await boardVerdict()).toEqual(host.read().map(hex));

      let last: Uint8Array | undefined;
      for (let index = 0; index < 60; index++) {
        const records = new Uint8Array(1 + ((index * 7) % 40)).fill(index);
        const batch = batchOf(records, last === undefined ? 0 : checksumOf(last));
        const isAppended = host.append(batch);
        expect(await store("append", batch)).toBe(isAppended ? "ok" : "needs-image");
        last = batch;
        if (!isAppended) {
          last = imageOf(records, { generation: host.nextGeneration });
          host.replace(last);
          expect(await store("replace", last)).toBe("ok");
        }
        expect(await flashOfBoard()).toBe(hex(concat(...flash.blocks)));
      }
      expect(await boardVerdict()).toEqual(new JournalStore(flash).read().map(hex));
    },
  );

  test.each(WORD_LENGTHS)(
    "is judged as the host judges it wherever the power failed, words of %i",
    async (wordLength) => {
      const verdicts: Verdict[] = [];
      for (const erasure of ["ascending", "scattered"] as const) {
        for (let byteCount = 0; byteCount < 900; byteCount += 3) {
          const flash = new Flash(geometryOf(wordLength), byteCount + 1);
          flash.erasure = erasure;
          flash.failAfter(byteCount);
          writeUntilCut(flash);
          await fill(flash);
          const verdict = hostVerdict(flash);
          expect(await boardVerdict(), `${erasure}, after ${byteCount} bytes`).toEqual(verdict);
          verdicts.push(verdict);
        }
      }
      expect(verdicts).not.toContain("refused");
      expect(verdicts.some((verdict) => verdict.length > 2)).toBe(true);
    },
    60_000,
  );

  test.each([1, 4])(
    "is refused where the host refuses it, whichever byte has changed, words of %i",
    async (wordLength) => {
      const verdicts: Verdict[] = [];
      for (let at = 0; at < 480; at++) {
        for (const bits of [0x01, 0xff]) {
          const flash = new Flash(geometryOf(wordLength));
          write(flash, 13);
          const block = flash.blocks[Math.floor(at / 160)] as Uint8Array;
          block[at % 160] = (block[at % 160] as number) ^ bits;
          await fill(flash);
          const verdict = hostVerdict(flash);
          expect(await boardVerdict(), `byte ${at} ^ ${bits}`).toEqual(verdict);
          verdicts.push(verdict);
        }
      }
      expect(verdicts.filter((verdict) => verdict === "refused").length).toBeGreaterThan(50);
    },
    60_000,
  );

  test("goes on behind what the host has written, and the host behind it", async () => {
    const flash = new Flash(geometryOf(4));
    write(flash, 5);
    await fill(flash);
    const host = new JournalStore(flash);
    const found = host.read();
    expect(await boardVerdict()).toEqual(found.map(hex));
    const batch = batchOf(Uint8Array.of(1), checksumOf(found.at(-1) as Uint8Array));
    expect(await store("append", batch)).toBe("needs-image");
    const image = imageOf("", { generation: host.nextGeneration });
    expect(await store("replace", image)).toBe("ok");
    host.replace(image);
    expect(await flashOfBoard()).toBe(hex(concat(...flash.blocks)));
  });

  describe("refuses", () => {
    beforeEach(async () => {
      await format(geometryOf(4));
      await board.tell("journal-open");
    });

    test("what is no image, or has another generation", async () => {
      expect(await store("replace", batchOf(Uint8Array.of(0x10)))).toBe("invalid");
      expect(await store("replace", imageOf("", { generation: 7 }))).toBe("invalid");
      expect(await store("replace", imageOf("").subarray(0, 21))).toBe("invalid");
      expect(await flashOfBoard()).toBe(hex(new Uint8Array(480).fill(0xff)));
    });

    test("a batch that does not follow, is torn, or is empty", async () => {
      const image = imageOf("");
      expect(await store("append", image)).toBe("needs-image");
      expect(await store("replace", image)).toBe("ok");
      const before = await flashOfBoard();
      const batch = batchOf(Uint8Array.of(1, 2), checksumOf(image));
      expect(await store("append", batchOf(Uint8Array.of(1, 2), 5))).toBe("invalid");
      expect(await store("append", batch.subarray(0, 9))).toBe("invalid");
      expect(await store("append", batchOf(new Uint8Array(0), checksumOf(image)))).toBe("invalid");
      expect(await flashOfBoard()).toBe(before);
      expect(await store("append", batch)).toBe("ok");
    });

    test("a batch behind an image that failed: another one may lie there by now", async () => {
      const image = imageOf("");
      await store("replace", image);
      await board.tell("fail");
      expect(await store("replace", imageOf("", { generation: 2 }))).toBe("refused");
      await board.tell("heal");
      const batch = batchOf(Uint8Array.of(1), checksumOf(image));
      expect(await store("append", batch)).toBe("needs-image");
      expect(await store("replace", imageOf("", { generation: 2 }))).toBe("ok");
    });

    test("an image larger than a block", async () => {
      expect(await store("replace", imageOf(new Uint8Array(150)))).toBe("refused");
    });

    test("another version of the format, and says so", async () => {
      const flash = new Flash(geometryOf(4));
      flash.program(0, 0, imageOf("", { version: 2 }));
      await fill(flash);
      const lines = await board.tell("journal-open");
      expect(answerOf(lines, "journal")).toContain("another version of the format");
    });
  });

  test("begins anew when it was erased, after a loss of power within it, too", async () => {
    for (let operation = 1; operation <= 3; operation++) {
      const flash = new Flash(geometryOf(4));
      write(flash, 20);
      await fill(flash);
      const found = await boardVerdict();
      board.isCut = false;
      await board.tell(`cut ${operation} 50`);
      await board.tell("journal-erase");
      expect(board.isCut).toBe(true);
      const afterCut = await boardVerdict();
      if (operation < 3) expect(afterCut).toEqual(found);
      await board.tell("journal-open");
      await board.tell("journal-erase");
      expect(await boardVerdict()).toEqual([]);
    }
  });
});

function digits(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function hostVerdict(flash: Flash): Verdict {
  try {
    return new JournalStore(flash).read().map(hex);
  } catch (error) {
    if (error instanceof StoreError) return "refused";
    throw error;
  }
}

/** Stores so many batches of different lengths. */
function write(flash: Flash, batchCount: number): void {
  const store = new JournalStore(flash);
  let last = store.read().at(-1);
  for (let index = 0; index < batchCount; index++) {
    const records = new Uint8Array(4 + ((index * 5) % 23)).fill(index + 1);
    const batch = batchOf(records, last === undefined ? 0 : checksumOf(last));
    last = batch;
    if (store.append(batch)) continue;
    last = imageOf(records, { generation: store.nextGeneration });
    store.replace(last);
  }
}

function writeUntilCut(flash: Flash): void {
  try {
    write(flash, 30);
  } catch (error) {
    if (!(error instanceof PowerFailure)) throw error;
    flash.restorePower();
  }
}
