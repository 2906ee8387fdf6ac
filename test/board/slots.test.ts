/** What lies in the flash of a board, what runs, and what is left when the power fails: firmware/board/runtime/slots.c and config.c. */

import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { BUILD_PROGRAMS } from "../support/board-driver.ts";
import { BoardProgram } from "../support/board-program.ts";
import { concat } from "../support/bytes.ts";
import { describeWith } from "../support/optional.ts";
import { container, smallModule } from "../support/small-module.ts";

const folder = mkdtempSync(join(tmpdir(), "board-slots-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const signedBy = generateKeyPairSync("ed25519");
const publicKey = Buffer.from(
  signedBy.publicKey.export({ format: "jwk" }).x as string,
  "base64url",
);

const GOOD = {
  first: container(smallModule({ filling: 60 }), { version: [1, 0, 0, 0] }),
  second: container(smallModule({ filling: 75 }), { version: [1, 2, 0, 0] }),
  third: container(smallModule({ filling: 400 }), { version: [1, 2, 0, 7] }),
};
const ODD = {
  plain: container(smallModule({ filling: 100 }), { version: [2, 0, 0, 0] }),
  signed: container(smallModule({ filling: 2 }), { version: [2, 0, 0, 0], signedBy }),
  greedy: container(smallModule({ heapBase: 8192, filling: 100 }), { version: [2, 0, 0, 0] }),
  damaged: container(smallModule({ filling: 100 }), { version: [2, 0, 0, 0] }).fill(0, 150, 151),
  tailed: concat(container(smallModule(), { version: [2, 0, 0, 0] }), new Uint8Array(8)),
  large: container(smallModule({ filling: 9000 }), { version: [2, 0, 0, 0] }),
  wasm: smallModule(),
};

/** The program, with these files loaded, over a fresh flash of 4-byte words for each test. */
function describeBoard(
  title: string,
  files: Record<string, Uint8Array>,
  body: (board: Board) => void,
) {
  describeWith(BUILD_PROGRAMS, title, () => {
    const board = new Board();
    beforeAll(() => board.start(files), 120_000);
    afterAll(() => board.end());
    beforeEach(() => board.ask("flash 4 4096 2", "room 4096", "random abcdef", "open"));
    body(board);
  });
}

class Board {
  #program: BoardProgram | undefined;

  async start(files: Record<string, Uint8Array>): Promise<void> {
    this.#program = new BoardProgram("slots");
    for (const [name, bytes] of Object.entries(files)) {
      writeFileSync(join(folder, name), bytes);
      await this.ask(`load ${name} ${join(folder, name)}`);
    }
  }

  /** The answer to the last of these lines. */
  async ask(...lines: string[]): Promise<string> {
    let answer = "";
    for (const line of lines) answer = await (this.#program as BoardProgram).ask(line);
    return answer;
  }

  /** Brings a module there for good. */
  install(name: string): Promise<string> {
    return this.ask(`upload ${name}`, `test ${name}`, "open", "confirm");
  }

  end(): void {
    this.#program?.end();
  }
}

describeBoard("a board's slots", GOOD, (board) => {
  test("an empty board runs nothing", async () => {
    expect(await board.ask("open")).toBe("nothing runs; note: ");
    expect(await board.ask("slots")).toBe("0: empty 1: empty");
  });

  test("a module that was uploaded does not run before somebody says so", async () => {
    expect(await board.ask("upload first")).toBe(`${GOOD.first.length} ok`);
    expect(await board.ask("slots")).toBe("0: 1.0.0 1: empty");
    expect(await board.ask("open")).toBe("nothing runs; note: ");
  });

  test("a module to be tried runs once from the next restart", async () => {
    await board.install("first");
    expect(await board.ask("upload second", "test second")).toBe("ok");
    expect(await board.ask("slots")).toBe("0: 1.0.0 active confirmed 1: 1.2.0 pending");
    expect(await board.ask("open")).toBe("second runs in slot 1, tried; note: ");
    expect(await board.ask("slots")).toBe("0: 1.0.0 confirmed 1: 1.2.0 active");
    expect(await board.ask("open")).toBe(
      "first runs in slot 0; note: the module that was tried was given up: the board restarted before it was confirmed",
    );
    expect(await board.ask("slots")).toBe("0: 1.0.0 active confirmed 1: 1.2.0");
  });

  test("a module that is confirmed while it runs stays, with its hash or without", async () => {
    await board.install("first");
    expect(await board.ask("upload second", "test second", "open", "confirm second")).toBe("ok");
    expect(await board.ask("open")).toBe("second runs in slot 1; note: ");
    expect(await board.ask("confirm", "slots")).toBe("0: 1.0.0 1: 1.2.0 active confirmed");
  });

  test("a module that is confirmed before it runs is permanent", async () => {
    await board.install("first");
    expect(await board.ask("upload second", "confirm second")).toBe("ok");
    expect(await board.ask("slots")).toBe("0: 1.0.0 active confirmed 1: 1.2.0 pending permanent");
    expect(await board.ask("open")).toBe("second runs in slot 1; note: ");
    expect(await board.ask("open")).toBe("second runs in slot 1; note: ");
  });

  test("a first module that is not confirmed leaves the board empty", async () => {
    expect(await board.ask("upload first", "test first", "open")).toBe(
      "first runs in slot 0, tried; note: ",
    );
    expect(await board.ask("open")).toMatch(
      /^nothing runs; note: the module that was tried was given up/,
    );
  });

  test("what runs or is to be returned to is neither erased nor written over", async () => {
    await board.install("first");
    expect(await board.ask("erase 0")).toBe("bad state: the module in this slot runs");
    await board.ask("upload second", "test second", "open");
    expect(await board.ask("erase 0")).toMatch(/^bad state: the module in this slot returns/);
    expect(await board.ask("upload third")).toMatch(/^0 bad state: a module is being tried/);
    expect(await board.ask("test second")).toBe("bad state: it runs already");
    expect(await board.ask("open", "erase 1", "slots")).toBe("0: 1.0.0 active confirmed 1: empty");
    expect(await board.ask("erase 2")).toBe("no entry: there is no such slot");
  });

  test("a new upload takes the place of a module that was to run next", async () => {
    await board.install("first");
    await board.ask("upload second", "test second", "upload third", "open");
    expect(await board.ask("slots")).toBe("0: 1.0.0 active confirmed 1: 1.2.0");
    expect(await board.ask("test second")).toBe("no entry: no slot has a module with this hash");
    expect(await board.ask("test third", "open")).toBe("third runs in slot 1, tried; note: ");
  });

  test("what is older than the version confirmed last is refused, its build number included", async () => {
    await board.install("first");
    await board.install("third");
    expect(await board.ask("test first")).toBe(
      "refused: its version 1.0.0 is older than 1.2.0+7, confirmed here",
    );
    expect(await board.ask("confirm first")).toMatch(/^refused: its version 1.0.0/);
    expect(await board.ask("upload second")).toMatch(/^0 refused: its version 1.2.0 is older/);
    expect(await board.ask("slots")).toBe("0: 1.0.0 1: 1.2.0 active confirmed");
  });

  test("three falls bring the module before back, and the version that was confirmed last stays", async () => {
    await board.install("first");
    await board.install("second");
    expect(await board.ask("fell it trapped", "fell it trapped")).toBe(
      "second runs in slot 1; note: ",
    );
    expect(await board.ask("open")).toBe("second runs in slot 1; note: ");
    const returned =
      "first runs in slot 0; note: the module before returned after three falls: unreachable";
    expect(await board.ask("fell unreachable")).toBe(returned);
    expect(await board.ask("open")).toBe(returned);
    expect(await board.ask("fell a", "fell b", "fell c")).toBe(returned);
    expect(await board.ask("test second", "open")).toBe("second runs in slot 1, tried; note: ");
  });

  test("a module that was never confirmed is none to return to, though it lies where one was", async () => {
    await board.install("first");
    await board.install("second");
    expect(await board.ask("upload third", "fell a", "fell b", "fell c")).toMatch(/^second runs/);
    expect(await board.ask("open")).toBe("second runs in slot 1; note: ");
  });

  test("falls are forgotten when the module was healthy, and power cuts are none", async () => {
    await board.install("first");
    await board.install("second");
    await board.ask("fell a", "fell b");
    expect(await board.ask("healthy")).not.toBe("0 operations");
    expect(await board.ask("healthy")).toBe("0 operations");
    for (let cuts = 0; cuts < 5; cuts++) await board.ask("open");
    expect(await board.ask("fell a", "fell b")).toBe("second runs in slot 1; note: ");
    expect(await board.ask("fell c")).toMatch(/^first runs/);
  });

  test("a module that the watchdog ends falls, over restarts", async () => {
    await board.install("first");
    await board.install("second");
    await board.ask("open it spins", "open it spins");
    expect(await board.ask("open it spins")).toBe(
      "first runs in slot 0; note: the module before returned after three falls: it spins",
    );
  });

  test("a module that is tried goes with the first restart, or with its third fall", async () => {
    await board.install("first");
    await board.ask("upload second", "test second", "open");
    expect(await board.ask("open it spins")).toBe(
      "first runs in slot 0; note: the module that was tried was given up: it spins",
    );
    await board.ask("test second", "open", "fell a", "fell b");
    expect(await board.ask("fell c")).toBe(
      "first runs in slot 0; note: the module that was tried was given up: c",
    );
  });

  test("the only module goes on after each fall", async () => {
    await board.install("first");
    await board.ask("fell a", "fell b", "fell c", "fell d");
    expect(await board.ask("open")).toBe("first runs in slot 0; note: ");
  });

  test("the only module does not run where the watchdog has ended it three times, until another restart", async () => {
    await board.install("first");
    await board.ask("open it spins");
    expect(await board.ask("open it spins")).toBe("first runs in slot 0; note: ");
    const held = "nothing runs; note: held until the next restart: it spins";
    expect(await board.ask("open it spins")).toBe(held);
    expect(await board.ask("open it spins")).toBe(held);
    expect(await board.ask("open")).toBe("first runs in slot 0; note: ");
    await board.ask("open it spins", "upload second", "test second");
    expect(await board.ask("open")).toBe("second runs in slot 1, tried; note: ");
  });

  test("an upload goes on where it stopped, after a restart too", async () => {
    await board.install("first");
    const { length } = GOOD.second;
    expect(await board.ask("upload second 50 120")).toBe("144 ok");
    expect(await board.ask("begin second")).toBe("144 ok");
    await board.ask("open");
    expect(await board.ask("begin second")).toBe("140 ok");
    expect(await board.ask("upload second 50")).toBe(`${length} ok`);
    expect(await board.ask("begin second")).toBe(`${length} ok`);
    expect(await board.ask("open", "begin second")).toBe(`${length} ok`);
    expect(await board.ask("begin third")).toBe("0 ok");
    expect(await board.ask("begin third 0 anew")).toMatch(/^0 refused/);
  });

  test("an upload without a SHA-256 begins anew each time", async () => {
    await board.ask(`begin first ${GOOD.first.length} anew`, "send first 0 100");
    expect(await board.ask(`begin first ${GOOD.first.length} anew`)).toBe("0 ok");
  });

  test("bytes for another place are not taken, and the wanted one is told", async () => {
    expect(await board.ask("send first 0 10")).toBe("0 no upload: no upload was begun");
    await board.ask("begin first", "send first 0 100");
    expect(await board.ask("send first 0 100")).toBe("100 ok");
    expect(await board.ask("send first 50 100")).toBe("100 ok");
    expect(await board.ask("send first 100 3")).toBe("100 ok");
    expect(await board.ask("send first 100 7")).toBe("104 ok");
    expect(await board.ask(`send first 104 ${GOOD.first.length}`)).toMatch(
      /^104 refused: there are more bytes/,
    );
    expect(await board.ask(`send first 104 ${GOOD.first.length - 104}`)).toBe(
      `${GOOD.first.length} ok`,
    );
    expect(await board.ask("send first 0 100")).toBe(`${GOOD.first.length} ok`);
  });

  test.each([1, 2, 4, 8, 16])(
    "words of %i bytes: whole ones are programmed, once each",
    async (word) => {
      await board.ask(`flash ${word} 512 4`, "open");
      for (const name of ["first", "second", "third"]) {
        for (const chunk of [100, 37, 333]) {
          expect(await board.ask(`upload ${name} ${chunk}`)).toMatch(/ ok$/);
        }
        expect(await board.ask(`test ${name}`, "open", "confirm", "open")).toContain(
          `${name} runs`,
        );
      }
    },
  );

  test("a flash that fails is told, and what ran goes on", async () => {
    await board.install("first");
    for (let operation = 1; operation < 40; operation += 3) {
      await board.ask(`fail ${operation}`);
      expect(await board.ask("upload second")).toMatch(/flash: /);
      expect(await board.ask("fail 0", "open")).toBe("first runs in slot 0; note: ");
    }
    expect(await board.ask("upload second", "fail 1", "test second")).toMatch(/^flash: /);
    await board.ask("fail 0", "test second", "fail 1");
    expect(await board.ask("open")).toMatch(/^first runs/);
    expect(await board.ask("fail 0", "open")).toBe("second runs in slot 1, tried; note: ");
    expect(await board.ask("fail 1", "open")).toMatch(/^first runs/);
    expect(await board.ask("fail 0", "open")).toMatch(/^first runs/);
  });
});

describeBoard("what may run", ODD, (board) => {
  test("an upload that is no module of ours is refused with its reason, and forgotten", async () => {
    expect(await board.ask("upload wasm")).toBe(
      "0 refused: it is no module in an MCUboot container",
    );
    expect(await board.ask("upload large")).toBe(
      "0 refused: it is larger than a slot of this board",
    );
    expect(await board.ask("upload damaged")).toBe(
      "0 refused: its SHA-256 is wrong: it is damaged",
    );
    expect(await board.ask("upload tailed")).toBe(
      "0 refused: there are bytes behind its container",
    );
    expect(await board.ask("upload greedy")).toBe(
      "0 refused: it needs 8192 bytes of memory, and this board has 4096 for it",
    );
    expect(await board.ask("slots")).toBe("0: empty 1: empty");
    expect(await board.ask("room 8192", "open", "upload greedy", "slots")).toBe(
      "0: 2.0.0 1: empty",
    );
  });

  test("what can be seen in the first bytes is said before anything is erased", async () => {
    await board.ask("upload plain");
    expect(await board.ask("upload wasm", "upload large", "slots")).toBe("0: 2.0.0 1: empty");
  });

  test("bytes that are not those that were announced are refused", async () => {
    await board.ask("begin plain", "send plain 0 100");
    expect(await board.ask("send greedy 100 97", `send greedy 196 ${ODD.plain.length - 196}`)).toBe(
      "0 refused: what arrived is not what was announced: its SHA-256 is another",
    );
  });

  test("a key that would stop what runs is told from one that would not", async () => {
    const fits = `fits ${publicKey.toString("hex")}`;
    expect(await board.ask(fits)).toBe("yes"); // nothing runs
    await board.install("plain");
    expect(await board.ask("open", fits)).toMatch(/^the module that runs is not signed/);
    await board.install("signed");
    expect(await board.ask("open", fits)).toBe("yes");
    expect(await board.ask(`fits ${"00".repeat(32)}`)).toMatch(
      /^the module that runs is not signed/,
    );
  });

  test("a board with a key takes what is signed with it, at the upload and at each start", async () => {
    await board.install("plain");
    expect(await board.ask(`provision ${publicKey.toString("hex")}`)).toBe("ok");
    expect(await board.ask("open")).toBe(
      "nothing runs; note: the module that was confirmed was refused: it is not signed, and this board takes only signed modules",
    );
    expect(await board.ask("upload plain")).toMatch(/^0 refused: it is not signed/);
    await board.install("signed");
    expect(await board.ask("open")).toMatch(/^signed runs/);
    expect(await board.ask(`provision ${"00".repeat(32)}`)).toBe("key exists");
    expect(await board.ask(`provision ${publicKey.toString("hex")}`)).toBe("ok");
    expect(await board.ask("open")).toMatch(/^signed runs/);
  });
});

describeBoard("a power cut at any operation", GOOD, (board) => {
  test.each([
    [8, 1024],
    [4, 4096],
    [16, 512],
  ])(
    "words of %i bytes, sectors of %i",
    async (word, sector) => {
      const count = sector === 4096 ? 2 : 4;
      await board.ask(`flash ${word} ${sector} ${count}`, "open");
      const cuts = async (line: string) => Number.parseInt(await board.ask(`cuts ${line}`), 10);
      expect(await cuts("install first")).toBeGreaterThan(100);
      const { length } = GOOD.second;
      await board.ask(`begin second ${length} anew`, `send second 0 ${length}`);
      expect(await cuts("install second")).toBeGreaterThan(100);
      expect(await cuts("permanent third")).toBeGreaterThan(100);
      expect(await cuts("erase")).toBeGreaterThan(3);
      expect(await cuts("config")).toBeGreaterThan(20);
      await board.ask(`flash ${word} ${sector} ${count}`, "open");
      await board.install("first");
      await board.install("second");
      expect(await cuts("falls first")).toBeGreaterThan(20);
    },
    60_000,
  );

  test.each([1, 2, 3, 4, 5, 6])(
    "a long life, seed %i",
    async (seed) => {
      await board.ask(`flash ${[1, 4, 8][seed % 3]} 1024 4`, "open");
      expect(Number.parseInt(await board.ask(`walk ${seed} 4000`), 10)).toBeGreaterThan(100);
    },
    60_000,
  );
});

describeBoard("a board's configuration", GOOD, (board) => {
  const hex = (text: string) => Buffer.from(text).toString("hex");

  test("a board makes a client id once", async () => {
    expect(await board.ask("config")).toBe("id=board-fedcba ");
    expect(await board.ask("random 123456", "open", "config")).toBe("id=board-fedcba ");
  });

  test("what is set is merged, what is erased is gone, and all of it survives", async () => {
    await board.ask(`set 0 ${hex("mote-1")}`, `set 1 ${hex("ann")}`, `set 2 ${hex("secret")}`);
    await board.ask("set 3 5000", "set 4 2", `set 5 ${"ab".repeat(1024)}`);
    const all = "id=mote-1 user=ann secret interval=5000 qos=2 profile=1024 ";
    expect(await board.ask("config")).toBe(all);
    expect(await board.ask("open", "config")).toBe(all);
    await board.ask("set 0", "set 2", "set 5");
    expect(await board.ask("open", "config")).toBe("id=board-fedcba user=ann interval=5000 qos=2 ");
    await board.ask("set 1 -", "set 3", "set 4");
    expect(await board.ask("config")).toBe("id=board-fedcba ");
  });

  test("values out of their range are refused, and nothing changes", async () => {
    const refused = [
      ...["set 0 -", `set 0 ${hex("a".repeat(65))}`, `set 0 ${hex("a/b")}`, `set 0 ${hex("a+")}`],
      ...[`set 0 ${hex("#")}`, "set 0 6107", "set 0 617f", `set 1 ${"61".repeat(129)}`],
      ...[`set 2 ${"61".repeat(257)}`, "set 3 99", "set 3 86400001", "set 4 3"],
      `set 5 ${"00".repeat(1025)}`,
    ];
    for (const line of refused) expect(await board.ask(line), line).toBe("out of range");
    expect(await board.ask("config")).toBe("id=board-fedcba ");
    for (const line of [`set 0 ${hex("a".repeat(64))}`, "set 3 100", "set 3 86400000", "set 4 0"]) {
      expect(await board.ask(line), line).toBe("ok");
    }
  });

  test("a public key stays, whatever else is set", async () => {
    expect(await board.ask(`provision ${publicKey.toString("hex")}`)).toBe("ok");
    for (let times = 0; times < 200; times++) await board.ask(`set 3 ${100 + times}`);
    expect(await board.ask("open", "config")).toBe("id=board-fedcba interval=299 key ");
  });

  test("a flash that failed once takes the same change again", async () => {
    for (let operation = 1; operation <= 8; operation++) {
      await board.ask(`fail ${operation}`);
      expect(await board.ask("set 3 600")).toBe("flash");
      expect(await board.ask("fail 0", "set 3 600", "config")).toBe(
        "id=board-fedcba interval=600 ",
      );
      expect(await board.ask("open", "config")).toBe("id=board-fedcba interval=600 ");
    }
  });

  test("a flash that fails is told, and what was set stays", async () => {
    await board.ask("set 3 500", "fail 1");
    expect(await board.ask("set 3 600")).toBe("flash");
    expect(await board.ask("fail 0", "open", "config")).toBe("id=board-fedcba interval=500 ");
    expect(await board.ask("flash 4 4096 2", "fail 1", "open", "config")).toBe("id=board-fedcba ");
  });
});
