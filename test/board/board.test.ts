/** A conversation with a scripted board over a line in memory, on a clock that the test moves. */

import { beforeEach, describe, expect, test } from "vitest";
import { type Board, openBoard } from "../../host/src/board/board.ts";
import { BoardError } from "../../host/src/board/board-error.ts";
import { wrapModule } from "../../host/src/board/module-image.ts";
import { SmpError } from "../../host/src/board/smp-error.ts";
import { ScriptedBoard, type ScriptedBoardOptions } from "../support/scripted-board.ts";
import { noise, seeded, TestCable, type TestCableOptions } from "../support/test-cable.ts";
import { VirtualWorld } from "../support/virtual-world.ts";

const VERSION = { major: 1, minor: 2, revision: 3, build: 0 };

let world: VirtualWorld;

beforeEach(() => {
  world = new VirtualWorld();
});

/** Settles `promise` while time goes on, for at most so many seconds. */
async function within<Value>(seconds: number, promise: Promise<Value>): Promise<Value> {
  let isSettled = false;
  const settled = promise.finally(() => {
    isSettled = true;
  });
  settled.catch(() => {});
  for (let passedMs = 0; !isSettled && passedMs < seconds * 1_000; passedMs += 50) {
    await world.advance(50);
  }
  if (!isSettled) throw new Error(`not settled within ${seconds} s`);
  return settled;
}

interface Bench {
  readonly cable: TestCable;
  readonly scripted: ScriptedBoard;
  readonly console: string[];
  readonly ends: Error[];
  open(): Promise<Board>;
}

function bench(options: ScriptedBoardOptions = {}, cableOptions: TestCableOptions = {}): Bench {
  const cable = new TestCable(world, cableOptions);
  const scripted = new ScriptedBoard(world, cable, options);
  const console: string[] = [];
  const ends: Error[] = [];
  const { openLine } = cable;
  return {
    cable,
    scripted,
    console,
    ends,
    open: () =>
      within(
        30,
        openBoard({
          world,
          openLine,
          console: ({ text }) => console.push(text),
          closed: (reason) => ends.push(reason),
        }),
      ),
  };
}

function imageOf(length: number, seed = 1) {
  const random = seeded(seed);
  return wrapModule(
    Uint8Array.from({ length }, () => Math.floor(random() * 256)),
    { version: VERSION },
  );
}

async function failure(promise: Promise<unknown>): Promise<BoardError> {
  const error = await promise.then(
    () => new Error("it did not fail"),
    (reason: unknown) => reason,
  );
  if (error instanceof BoardError) return error;
  throw error;
}

describe("opening", () => {
  test("a board that answers is a board", async () => {
    const { open, cable } = bench();
    const board = await open();
    expect(board.path).toBe("/dev/ttyTEST0");
    expect(await within(1, board.echo("21.5 °C"))).toBe("21.5 °C");
    await board.close();
    await board.close();
    expect(cable.isOpen).toBe(false);
  });

  test("one that is silent is told apart, and the line is left", async () => {
    const { open, cable, scripted } = bench();
    scripted.hasPower = false;
    expect(await failure(open())).toMatchObject({
      failure: "silent",
      message: "Nothing answers at /dev/ttyTEST0",
      remedy: expect.stringContaining("wasmqtt firmware install"),
    });
    expect(cable.isOpen).toBe(false);
  });

  test("one that says something else is foreign, and is quoted", async () => {
    const { open, cable } = bench();
    cable.onReceived = () => cable.send(Buffer.from("login: unknown user\r\n"));
    expect(await failure(open())).toMatchObject({
      failure: "foreign",
      message: expect.stringContaining('"login: unknown user"'),
    });
  });

  test("one that speaks SMP, but not ours, is foreign", async () => {
    const { open, scripted } = bench();
    scripted.answerInstead = (group) => (group === 64 ? { rc: 8 } : undefined);
    expect(await failure(open())).toMatchObject({ failure: "foreign" });
  });

  test("one of another version of the wire is foreign", async () => {
    const { open } = bench({ wireVersion: 2 });
    expect(await failure(open())).toMatchObject({
      failure: "foreign",
      message: expect.stringContaining("speaks version 2"),
    });
  });

  test("an answer without sense is foreign at once", async () => {
    const { open, scripted } = bench();
    scripted.answerInstead = (group) => (group === 64 ? { abi: "three" } : undefined);
    const error = await failure(open());
    expect(error).toMatchObject({ failure: "foreign", message: expect.stringContaining("abi") });
    expect(scripted.requestCounts.get("64/0")).toBe(1);
  });

  test("what the port says is passed on", async () => {
    const { open, cable } = bench();
    cable.pull();
    expect(await failure(open())).toMatchObject({ failure: "no-port" });
  });

  test("a board that hears nothing in its first 1.5 s is still found", async () => {
    const { open, scripted } = bench();
    scripted.hasPower = false;
    world.setTimer(1_500, () => scripted.start("power"));
    await open();
  });
});

describe("asking", () => {
  test("info, slots and configuration come typed", async () => {
    const { open, scripted } = bench();
    const image = imageOf(1_000);
    const bytes = Buffer.from(image.bytes);
    scripted.slots[0] = { bytes, pending: false, confirmed: true, permanent: false };
    const board = await open();
    const info = await within(1, board.info());
    expect(info).toMatchObject({
      abiVersion: 3,
      resetReason: "power",
      ram: { heapLength: 12_000, stackCapacity: 6_144 },
      module: { state: "running", sha256: image.moduleSha256, length: 1_000, publishedCount: 7 },
    });
    const [first, ...others] = await within(1, board.images());
    expect(others).toEqual([]);
    expect(first).toMatchObject({ slot: 0, version: "1.2.3", isActive: true, isConfirmed: true });
    expect(Buffer.from(first?.hash ?? []).equals(image.hash)).toBe(true);
    expect(await within(1, board.slots())).toEqual({
      slots: [
        { slot: 0, length: 65_536 },
        { slot: 1, length: 65_536 },
      ],
      imageLengthMax: 65_536,
    });
  });

  test("a board without a module says so", async () => {
    const board = await bench().open();
    expect((await within(1, board.info())).module).toMatchObject({
      state: "none",
      sha256: undefined,
      startCount: 0,
    });
    expect(await within(1, board.images())).toEqual([]);
  });

  test("configuration is set, erased, and the password never read", async () => {
    const { open, scripted } = bench();
    const board = await open();
    await within(1, board.configure({ userName: "ada", password: "secret", intervalMs: 500 }));
    await within(1, board.configure({ clientId: "kitchen", userName: null }));
    expect(scripted.config).toEqual({ id: "kitchen", interval: 500, qos: 1, pass: "secret" });
    expect(await within(1, board.config())).toEqual({
      clientId: "kitchen",
      userName: undefined,
      hasPassword: true,
      intervalMs: 500,
      qos: 1,
      profileSha256: undefined,
      hasKey: false,
    });
  });

  test("the longest profile fits into one request", async () => {
    const { open, scripted } = bench();
    const board = await open();
    const profile = Uint8Array.from({ length: 1_024 }, (_, index) => index % 256);
    await within(1, board.configure({ profile }));
    expect(Buffer.from(scripted.config["profile"] as Uint8Array).equals(profile)).toBe(true);
    expect((await within(1, board.config())).profileSha256).toMatch(/^[0-9a-f]{64}$/);
  });

  test("a refusal has the board's reason, and something to do", async () => {
    const board = await bench().open();
    const error = await failure(within(1, board.configure({ clientId: "" })));
    expect(error).toBeInstanceOf(SmpError);
    expect(error).toMatchObject({
      failure: "refused",
      code: 3,
      reason: "id has 1 to 64 bytes",
      message: "The board refuses to change its configuration: id has 1 to 64 bytes",
      remedy: expect.stringContaining("config set --help"),
    });
  });

  test.each([
    ["two\nlines ", "two lines"],
    ["", "something went wrong that has no name"],
  ])("the reason %j is one line of text", async (rsn, told) => {
    const { open, scripted } = bench();
    const board = await open();
    scripted.answerInstead = (group) => (group === 64 ? { rc: 1, rsn } : undefined);
    expect(await failure(within(1, board.config()))).toMatchObject({
      message: `The board refuses to tell its configuration: ${told}`,
    });
  });

  test("a second key is refused", async () => {
    const board = await bench().open();
    await within(1, board.provision(new Uint8Array(32).fill(1)));
    await within(1, board.provision(new Uint8Array(32).fill(1)));
    expect((await within(1, board.config())).hasKey).toBe(true);
    expect(await failure(within(1, board.provision(new Uint8Array(32))))).toMatchObject({
      reason: "there is a key already",
    });
  });

  test("errors of version 2 are understood as well", async () => {
    const { open, scripted } = bench();
    const board = await open();
    scripted.answerInstead = (group) => (group === 1 ? { err: { group: 1, rc: 27 } } : undefined);
    expect(await failure(within(1, board.images()))).toMatchObject({ group: 1, code: 27 });
  });

  test("requests at one time are asked one after the other", async () => {
    const { open } = bench();
    const board = await open();
    const texts = Array.from({ length: 300 }, (_, index) => `text ${index}`);
    expect(await within(5, Promise.all(texts.map((text) => board.echo(text))))).toEqual(texts);
  });

  test("a late answer is not taken for another's", async () => {
    const { open, scripted, cable } = bench();
    const board = await open();
    const answers: Uint8Array[] = [];
    const { send } = cable;
    cable.send = (bytes) => answers.push(bytes);
    const first = failure(within(10, board.echo("one")));
    expect(await first).toMatchObject({ failure: "silent" });
    cable.send = send;
    scripted.answerInstead = () => {
      for (const answer of answers.splice(0)) cable.send(answer);
      return undefined;
    };
    expect(await within(1, board.echo("two"))).toBe("two");
  });

  test("console text between the answers is told, whole and in order", async () => {
    const { open, scripted, console } = bench();
    const board = await open();
    scripted.answerInstead = () => {
      scripted.say("before");
      return undefined;
    };
    await within(1, board.echo("x"));
    scripted.say("after °");
    await world.advance(1);
    expect(console).toEqual(["before", "after °"]);
  });

  test("when the line ends, what was asked fails as lost, and the owner hears of it", async () => {
    const { open, cable, ends, scripted } = bench();
    const board = await open();
    scripted.hasPower = false;
    const asked = failure(board.info());
    const alsoAsked = failure(board.images());
    cable.pull();
    expect(await asked).toMatchObject({ failure: "lost" });
    expect(await alsoAsked).toMatchObject({ failure: "lost" });
    expect(await failure(board.info())).toMatchObject({ failure: "lost" });
    expect(ends).toHaveLength(1);
    await world.advance(1);
    expect(world.timerCount).toBe(0);
  });
});

describe("uploading", () => {
  const image = imageOf(12_345);

  test("the image arrives byte for byte, and progress goes up to its length", async () => {
    const { open, scripted } = bench({ wordLength: 8 });
    const board = await open();
    const done: number[] = [];
    await within(
      30,
      board.upload(image.bytes, { onProgress: ({ doneLength }) => done.push(doneLength) }),
    );
    expect(scripted.slots[1]?.bytes.equals(image.bytes)).toBe(true);
    expect(done.at(-1)).toBe(image.bytes.length);
    expect(done).toEqual([...done].sort((a, b) => a - b));
    const [listed] = await within(1, board.images());
    expect(Buffer.from(listed?.hash ?? []).equals(image.hash)).toBe(true);
  });

  test("a board with a small buffer gets small packets", async () => {
    const { open, scripted } = bench({ bufferLength: 256 });
    const board = await open();
    const lengths: number[] = [];
    scripted.answerInstead = (_group, _command, map) => {
      lengths.push(map["data"] instanceof Uint8Array ? map["data"].length : 0);
      return undefined;
    };
    await within(30, board.upload(image.bytes));
    expect(scripted.slots[1]?.bytes.equals(image.bytes)).toBe(true);
    expect(Math.max(...lengths)).toBeLessThan(256);
    expect(Math.max(...lengths)).toBeGreaterThan(200);
  });

  test("it goes on where an earlier one stopped, also after a reset of the board", async () => {
    const { open, scripted, cable } = bench();
    const board = await open();
    const controller = new AbortController();
    const stopped = board.upload(image.bytes, {
      signal: controller.signal,
      onProgress: ({ doneLength }) => doneLength > 5_000 && controller.abort(),
    });
    await expect(within(30, stopped)).rejects.toThrow(/abort/);
    await board.close();
    const hadLength = scripted.upload?.bytes.length ?? 0;
    expect(hadLength).toBeGreaterThan(5_000);
    scripted.start("power");
    cable.written.length = 0;

    const again = await bench2(cable);
    const states: string[] = [];
    await within(30, again.upload(image.bytes, { onProgress: ({ state }) => states.push(state) }));
    expect(states[0]).toBe("resumed");
    expect(scripted.slots[1]?.bytes.equals(image.bytes)).toBe(true);
    const sentLength = cable.written.reduce((length, bytes) => length + bytes.length, 0);
    expect(sentLength).toBeLessThan((image.bytes.length - hadLength) * 1.7);
  });

  test("it survives a cable that is pulled, and says what is going on", async () => {
    const { open, scripted, cable, ends } = bench();
    const board = await open();
    let isPulled = false;
    const states: string[] = [];
    const upload = board.upload(image.bytes, {
      onProgress: ({ state, doneLength }) => {
        if (states.at(-1) !== state) states.push(state);
        if (isPulled || doneLength < 4_000) return;
        isPulled = true;
        cable.pull();
        scripted.hasPower = false;
        world.setTimer(20_000, () => cable.plug());
        world.setTimer(21_000, () => scripted.start("power"));
      },
    });
    await within(60, upload);
    expect(states).toEqual(["sending", "interrupted", "resumed", "sending"]);
    expect(ends).toHaveLength(1);
    expect(scripted.slots[1]?.bytes.equals(image.bytes)).toBe(true);
  });

  test("it gives up when the board stays away", async () => {
    const { open, cable } = bench();
    const board = await open();
    const upload = board.upload(image.bytes, {
      patienceMs: 10_000,
      onProgress: ({ state, doneLength }) => {
        if (state === "sending" && doneLength > 2_000) cable.pull();
      },
    });
    expect(await failure(within(20, upload))).toMatchObject({ failure: "no-port" });
    expect(world.timerCount).toBe(0);
  });

  test("it is stopped at once, while it sends to a silent board and while it waits for one", async () => {
    for (const trouble of ["silence", "cable"]) {
      const { open, scripted, cable } = bench();
      const board = await open();
      const controller = new AbortController();
      const upload = board.upload(image.bytes, {
        signal: controller.signal,
        onProgress: ({ state }) => {
          if (state !== "sending") return;
          scripted.hasPower = false;
          if (trouble === "cable") cable.pull();
        },
      });
      upload.catch(() => {});
      await world.advance(2_000);
      controller.abort(new Error("Ctrl-C"));
      await expect(within(0.05, upload), trouble).rejects.toThrow("Ctrl-C");
      await board.close();
      await world.advance(1);
      expect(world.timerCount, trouble).toBe(0);
    }
  });

  test("a board that is closed while its line is being opened again leaves it", async () => {
    const { open, scripted, cable } = bench();
    const board = await open();
    cable.drop();
    const reopened = failure(board.reopen({ patienceMs: 0 }));
    await board.close();
    expect(await within(5, reopened)).toMatchObject({ failure: "lost" });
    expect(await failure(board.info())).toMatchObject({ failure: "lost" });
    expect(cable.openCount).toBe(2);
    expect(cable.isOpen).toBe(false);
    expect(scripted.startCount).toBe(1);
  });

  test("a refusal ends it at once", async () => {
    const { open, scripted } = bench({ slotLength: 8_192 });
    const board = await open();
    expect(await failure(within(5, board.upload(image.bytes)))).toMatchObject({
      failure: "refused",
      reason: "the module is larger than a slot",
    });
    expect(scripted.requestCounts.get("1/1")).toBe(1);
  });

  test("a board that never wants more ends it plainly", async () => {
    const { open, scripted } = bench();
    const board = await open();
    scripted.answerInstead = (group, command) =>
      group === 1 && command === 1 ? { off: 100 } : undefined;
    expect(await failure(within(60, board.upload(image.bytes)))).toMatchObject({
      failure: "failed",
    });
    scripted.answerInstead = (group, command) =>
      group === 1 && command === 1 ? { off: 99_999 } : undefined;
    expect(await failure(within(60, board.upload(image.bytes)))).toMatchObject({
      failure: "failed",
    });
  });

  test.each([1, 2, 3, 4, 5])(
    "a line that spoils one line in seven is no obstacle (seed %i)",
    async (seed) => {
      // Loss, damage and doubling of 5 % each.
      const spoil = noise(seeded(seed), 0.05);
      let spoiledCount = 0;
      const counted = (bytes: Uint8Array) => {
        const spoiled = spoil(bytes);
        if (spoiled !== bytes) spoiledCount++;
        return spoiled;
      };
      const { open, scripted } = bench({}, { toBoard: counted, toHost: counted });
      const board = await open();
      await within(300, board.upload(image.bytes));
      expect(scripted.slots[1]?.bytes.equals(image.bytes)).toBe(true);
      const [listed] = await within(30, board.test(image.hash));
      expect(listed?.isPending).toBe(true);
      expect(spoiledCount).toBeGreaterThan(10);
    },
  );

  async function bench2(cable: TestCable): Promise<Board> {
    return within(10, openBoard({ world, openLine: cable.openLine }));
  }
});

describe("trying and restarting", () => {
  test("a module is tried, runs after the restart, and is confirmed", async () => {
    const { open, scripted } = bench();
    const board = await open();
    const image = imageOf(2_000);
    await within(30, board.upload(image.bytes));
    await within(1, board.test(image.hash));
    const info = await within(10, board.restart());
    expect(scripted.startCount).toBe(2);
    expect(info).toMatchObject({
      resetReason: "request",
      module: { state: "running", slot: 1, sha256: image.moduleSha256 },
    });
    const [listed] = await within(1, board.confirm());
    expect(listed).toMatchObject({ slot: 1, isActive: true, isConfirmed: true });
  });

  test("a restart is waited for over a line that goes away with it", async () => {
    const { open, scripted, cable } = bench();
    const board = await open();
    const { start } = scripted;
    scripted.start = (reason) => {
      cable.pull();
      world.setTimer(3_000, () => cable.plug());
      world.setTimer(4_000, () => start.call(scripted, reason));
      scripted.hasPower = false;
    };
    const info = await within(20, board.restart());
    expect(info.resetReason).toBe("request");
    expect(cable.openCount).toBe(2);
  });

  test.each([
    {
      what: "a restart whose answer is lost is not asked for again: a module on trial would give way",
      direction: "toHost",
    },
    { what: "a request to restart that is lost is said again", direction: "toBoard" },
  ])("$what", async ({ direction }) => {
    let isSpoiled = false;
    const lose = (bytes: Uint8Array) => (isSpoiled ? new Uint8Array() : bytes);
    const { open, scripted } = bench({}, { [direction]: lose });
    const board = await open();
    await world.advance(10_000);
    isSpoiled = true;
    const restarted = board.restart();
    world.setTimer(900, () => {
      isSpoiled = false;
    });
    expect(await within(20, restarted)).toMatchObject({ resetReason: "request" });
    expect(scripted.startCount).toBe(2);
  });

  test("a board that says it will restart and does not is found out", async () => {
    const { open, scripted } = bench();
    const board = await open();
    scripted.answerInstead = (group, command) => (group === 0 && command === 5 ? {} : undefined);
    await world.advance(10_000);
    expect(await failure(within(20, board.restart({ patienceMs: 5_000 })))).toMatchObject({
      failure: "failed",
      message: expect.stringContaining("goes on"),
    });
  });

  test("a hash that no slot has is refused; a slot is erased", async () => {
    const { open, scripted } = bench();
    const board = await open();
    const image = imageOf(2_000);
    expect(await failure(within(1, board.test(image.hash)))).toMatchObject({ code: 5 });
    await within(30, board.upload(image.bytes));
    await within(1, board.erase());
    expect(scripted.slots).toEqual([undefined, undefined]);
  });
});
