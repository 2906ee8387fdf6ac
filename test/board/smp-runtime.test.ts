/** The management server of a board (smp.c, with its slots and its configuration, over flash in memory) as docs/wire.md has it. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { decode, encode } from "cborg";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { wrapModule } from "../../host/src/board/module-image.ts";
import { readModule } from "../../host/src/core/core.ts";
import { BUILD_PROGRAMS } from "../support/board-driver.ts";
import { BoardProgram } from "../support/board-program.ts";
import { describeWith } from "../support/optional.ts";

interface Conversation {
  name: string;
  request: string;
  answer: string;
}

type CborMap = Record<string, unknown>;

interface Answer {
  map: CborMap;
  resetCount: number;
  configCount: number;
  isIdWritten: boolean;
  said: string;
}

const READ = 0;
const WRITE = 2;
const CHUNK_LENGTH = 512;
const SLOT_LENGTH = 65_536;

const { conversations } = JSON.parse(
  readFileSync(new URL("../vectors/wire.json", import.meta.url), "utf8"),
) as { conversations: Conversation[] };

describeWith(BUILD_PROGRAMS, "the management server of a board", () => {
  let board: BoardProgram;
  let module: Uint8Array;

  beforeAll(async () => {
    board = new BoardProgram("smp");
    module = await readModule("thermometer");
  }, 180_000);

  afterAll(() => board.end());

  beforeEach(async () => {
    await board.ask("factory");
  });

  async function request(
    operation: number,
    group: number,
    command: number,
    map: CborMap = {},
    version = 1,
  ): Promise<Answer> {
    const body = encode(map);
    const header = Buffer.alloc(8);
    header.writeUInt8(operation | ((version - 1) << 3), 0);
    header.writeUInt16BE(body.length, 2);
    header.writeUInt16BE(group, 4);
    header.writeUInt8(42, 6);
    header.writeUInt8(command, 7);
    const line = await board.ask(
      `request ${header.toString("hex")}${Buffer.from(body).toString("hex")}`,
    );
    const [digits = "", resets, configs, isId, ...said] = line.split(" ");
    const bytes = Buffer.from(digits, "hex");
    expect(bytes.readUInt8(0)).toBe((operation + 1) | ((version - 1) << 3));
    expect(bytes.readUInt16BE(2)).toBe(bytes.length - 8);
    expect(bytes.subarray(4, 8)).toEqual(header.subarray(4, 8));
    return {
      map: decode(bytes.subarray(8)) as CborMap,
      resetCount: Number(resets),
      configCount: Number(configs),
      isIdWritten: isId === "1",
      said: said.join(" "),
    };
  }

  async function mapOf(...asked: Parameters<typeof request>): Promise<CborMap> {
    return (await request(...asked)).map;
  }

  function imageOf(version: string) {
    const [major = 0, minor = 0, revision = 0, build = 0] = version.split(".").map(Number);
    return wrapModule(module, { version: { major, minor, revision, build } });
  }

  /** Sends `bytes` from `from` on, at most up to `until`; the offset that was wanted last. */
  async function upload(bytes: Uint8Array, { from = 0, until = bytes.length, more = {} } = {}) {
    let offset = from;
    while (offset < until) {
      const data = bytes.subarray(offset, Math.min(offset + CHUNK_LENGTH, until));
      const sha = createHash("sha256").update(bytes).digest();
      const first = offset === 0 ? { image: 0, len: bytes.length, sha, ...more } : {};
      const answer = await mapOf(WRITE, 1, 1, { ...first, off: offset, data });
      if (typeof answer["off"] !== "number") return answer;
      if (answer["off"] <= offset) throw new Error(`the offset stays ${offset}`);
      offset = answer["off"];
    }
    return { off: offset };
  }

  async function images(): Promise<CborMap[]> {
    return (await mapOf(READ, 1, 0))["images"] as CborMap[];
  }

  test.each(conversations)("$name", async ({ request: asked, answer }) => {
    expect((await board.ask(`request ${asked}`)).split(" ")[0]).toBe(answer);
  });

  test("less than a header is no request", async () => {
    expect(await board.ask("request 02000000010000")).toBe(" 0 0 0 ");
  });

  test("a reset is answered first and asked of the runtime", async () => {
    expect(await request(WRITE, 0, 5)).toMatchObject({ map: {}, resetCount: 1 });
  });

  test.each([
    ["a", "wasmqtt 0.1.0 0.1.0 fake fake fake"],
    ["mvs", "wasmqtt 0.1.0 fake"],
    ["aaaaaaaaaaaaaaaaaaaaaaaa", "wasmqtt 0.1.0 0.1.0 fake fake fake"],
    ["", ""],
  ])("os info %j is %j", async (format, output) => {
    expect(await mapOf(READ, 0, 7, { format })).toEqual({ output });
  });

  test("a board without modules has none, and two slots", async () => {
    expect(await mapOf(READ, 1, 0)).toEqual({ images: [], splitStatus: 0 });
    expect(await mapOf(READ, 1, 6)).toEqual({
      images: [
        {
          image: 0,
          slots: [
            { slot: 0, size: expect.any(Number) },
            { slot: 1, size: expect.any(Number) },
          ],
          max_image_size: expect.any(Number),
        },
      ],
    });
  });

  test("a module is uploaded, tried, confirmed, and followed by another one", async () => {
    const first = imageOf("1.2.3.4");
    expect(await upload(first.bytes)).toEqual({ off: first.bytes.length });
    const [slot] = await images();
    const hash = Buffer.from(first.hash);
    expect(slot).toMatchObject({ version: "1.2.3.4", bootable: true, active: false });
    expect(Buffer.from(slot?.["hash"] as Uint8Array)).toEqual(hash);

    const tried = await request(WRITE, 1, 0, { hash, confirm: false });
    expect(tried.said).not.toBe("");
    expect(tried.map["images"]).toMatchObject([{ pending: true, confirmed: false }]);
    await board.ask("restart");
    expect(await images()).toMatchObject([{ active: true, confirmed: false, pending: false }]);
    await request(WRITE, 1, 0, { confirm: true });
    expect(await images()).toMatchObject([{ active: true, confirmed: true }]);

    const second = imageOf("2.0.0");
    await upload(second.bytes);
    await request(WRITE, 1, 0, { hash: second.hash, confirm: true });
    expect(await images()).toMatchObject(
      expect.arrayContaining([
        expect.objectContaining({ version: "1.2.3.4", active: true }),
        expect.objectContaining({ version: "2.0.0", permanent: true }),
      ]),
    );
    await board.ask("restart");
    expect(await images()).toMatchObject(
      expect.arrayContaining([expect.objectContaining({ version: "2.0.0", active: true })]),
    );
  });

  test("an upload goes on where it stopped, after a restart too", async () => {
    const { bytes } = imageOf("1.0.0");
    await upload(bytes, { until: 4 * CHUNK_LENGTH });
    await board.ask("restart");
    const sha = createHash("sha256").update(bytes).digest();
    const data = bytes.subarray(0, CHUNK_LENGTH);
    const { off } = await mapOf(WRITE, 1, 1, { off: 0, len: bytes.length, sha, data });
    expect(off).toBeGreaterThan(3 * CHUNK_LENGTH);
    expect(off).toBeLessThanOrEqual(4 * CHUNK_LENGTH);
    expect(await upload(bytes, { from: off as number })).toEqual({ off: bytes.length });
    expect(await images()).toHaveLength(1);
  });

  test("an upload whose SHA-256 is shortened always begins anew", async () => {
    const { bytes } = imageOf("1.0.0");
    const sha = createHash("sha256").update(bytes).digest().subarray(0, 12);
    const data = bytes.subarray(0, CHUNK_LENGTH);
    for (const _ of [1, 2]) {
      const { off } = await mapOf(WRITE, 1, 1, { off: 0, len: bytes.length, sha, data });
      expect(off).toBe(CHUNK_LENGTH);
      await upload(bytes, { from: CHUNK_LENGTH, until: 3 * CHUNK_LENGTH });
    }
    expect(await upload(bytes, { from: 3 * CHUNK_LENGTH })).toEqual({ off: bytes.length });
  });

  test("a wrong offset is answered with the wanted one", async () => {
    const { bytes } = imageOf("1.0.0");
    const data = bytes.subarray(0, CHUNK_LENGTH);
    expect(await mapOf(WRITE, 1, 1, { off: 4096, data })).toEqual({ off: 0 });
    await upload(bytes, { until: CHUNK_LENGTH });
    for (const off of [4, CHUNK_LENGTH - 4, CHUNK_LENGTH + 4, 0xffff_ffff]) {
      expect(await mapOf(WRITE, 1, 1, { off, data })).toEqual({ off: CHUNK_LENGTH });
    }
  });

  test("an upload that is too large, no module or no upgrade is refused before anything is erased", async () => {
    const { bytes, hash } = imageOf("1.5.0");
    await upload(bytes);
    await request(WRITE, 1, 0, { hash, confirm: true });
    await board.ask("restart");
    const begin = { off: 0, len: bytes.length, data: imageOf("1.5.0").bytes.subarray(0, 64) };
    const tooLarge = { ...begin, len: SLOT_LENGTH + 1 };
    expect(await mapOf(WRITE, 1, 1, tooLarge, 2)).toEqual({ err: { group: 1, rc: 30 } });
    expect(await mapOf(WRITE, 1, 1, tooLarge)).toMatchObject({ rc: 1, rsn: expect.any(String) });
    const noModule = { ...begin, data: new Uint8Array(64) };
    expect(await mapOf(WRITE, 1, 1, noModule)).toMatchObject({ rsn: expect.any(String) });
    const upgrade = { ...begin, upgrade: true };
    expect(await mapOf(WRITE, 1, 1, upgrade, 2)).toEqual({ err: { group: 1, rc: 27 } });
    expect(await upload(imageOf("1.5.1").bytes, { more: { upgrade: true } })).toHaveProperty("off");
  });

  test("a module that is damaged is refused with the reason when it is whole", async () => {
    const bytes = Uint8Array.from(imageOf("1.0.0").bytes);
    bytes[5000] = (bytes[5000] ?? 0) ^ 1;
    expect(await upload(bytes)).toMatchObject({ rc: 1, rsn: expect.any(String) });
    expect(await images()).toEqual([]);
  });

  test("states that cannot be are refused", async () => {
    const { bytes, hash } = imageOf("1.0.0");
    expect(await mapOf(WRITE, 1, 0, { hash, confirm: false }, 2)).toEqual({
      err: { group: 1, rc: 3 },
    });
    expect(await mapOf(WRITE, 1, 0, { confirm: true })).toMatchObject({ rc: 5 });
    await upload(bytes);
    await request(WRITE, 1, 0, { hash, confirm: true });
    await board.ask("restart");
    expect(await mapOf(WRITE, 1, 0, { hash, confirm: false }, 2)).toEqual({
      err: { group: 1, rc: 33 },
    });
    const active = (await images()).find((image) => image["active"] === true);
    const erased = await mapOf(WRITE, 1, 5, { slot: active?.["slot"] }, 2);
    expect(erased).toEqual({ err: { group: 1, rc: 9 } });
  });

  test("the inactive slot is erased", async () => {
    await upload(imageOf("1.0.0").bytes);
    expect(await images()).toHaveLength(1);
    const [{ slot } = {}] = await images();
    expect(await request(WRITE, 1, 5, { slot })).toMatchObject({
      map: {},
      said: `slot ${slot}: erased`,
    });
    expect(await images()).toEqual([]);
  });

  test("the configuration is set, read back without its secret, and erased", async () => {
    const profile = Uint8Array.from({ length: 1024 }, (_, index) => index % 256);
    const set = await request(WRITE, 64, 1, {
      id: "mote-00001",
      user: "someone",
      pass: new Uint8Array([0, 255]),
      interval: 60_000,
      qos: 2,
      profile: profile.subarray(0, 900),
    });
    expect(set).toMatchObject({ map: {}, configCount: 1, isIdWritten: true });
    const read = await mapOf(READ, 64, 1);
    expect(read).toEqual({
      id: "mote-00001",
      user: "someone",
      secret: true,
      interval: 60_000,
      qos: 2,
      profile: new Uint8Array(createHash("sha256").update(profile.subarray(0, 900)).digest()),
    });
    expect(await request(WRITE, 64, 1, { profile })).toMatchObject({
      map: {},
      isIdWritten: false,
    });
    await request(WRITE, 64, 1, { user: null, pass: null, interval: null, profile: null });
    expect(await mapOf(READ, 64, 1)).toEqual({
      id: "mote-00001",
      secret: false,
      qos: 2,
    });
    await board.ask("restart");
    expect(await mapOf(READ, 64, 1)).toMatchObject({ id: "mote-00001", qos: 2 });
  });

  test.each<CborMap[]>([
    [{ id: "" }],
    [{ id: "x".repeat(65) }],
    [{ id: new Uint8Array([65]) }],
    [{ user: "x".repeat(129) }],
    [{ pass: 5 }],
    [{ interval: 99 }],
    [{ interval: 2 ** 32 + 1000 }],
    [{ interval: -1 }],
    [{ interval: "60000" }],
    [{ qos: 3 }],
    [{ profile: new Uint8Array(1025).fill(1) }],
    [{ profile: "text" }],
    [{ user: "fine", qos: [1] }],
  ])("a value that is out of range is refused, and nothing has changed (%#)", async (changes) => {
    const before = await mapOf(READ, 64, 1);
    expect(await mapOf(WRITE, 64, 1, changes, 2)).toEqual({ err: { group: 64, rc: 2 } });
    const refused = await request(WRITE, 64, 1, changes);
    expect(refused).toMatchObject({ map: { rc: 3, rsn: expect.any(String) }, configCount: 0 });
    expect(await mapOf(READ, 64, 1)).toEqual(before);
  });

  test("a key is provisioned once; then modules without its signature are refused", async () => {
    expect(await request(WRITE, 64, 2, { key: new Uint8Array(32).fill(7) })).toMatchObject({
      map: {},
      said: expect.stringContaining("key"),
    });
    const spki = Buffer.concat([
      Buffer.from("302a300506032b6570032100", "hex"),
      new Uint8Array(32).fill(7),
    ]);
    expect(await mapOf(READ, 64, 1)).toMatchObject({
      key: Uint8Array.from(createHash("sha256").update(spki).digest()),
    });
    const again = { key: new Uint8Array(32).fill(8) };
    expect(await mapOf(WRITE, 64, 2, again, 2)).toEqual({ err: { group: 64, rc: 3 } });
    expect(await mapOf(WRITE, 64, 2, again)).toMatchObject({ rc: 6 });
    expect(await upload(imageOf("1.0.0").bytes)).toMatchObject({ rsn: expect.any(String) });
    expect(await images()).toEqual([]);
  });

  test("info has what docs/wire.md names, with the longest of notes", async () => {
    expect(await mapOf(READ, 64, 0)).toEqual({
      abi: 2,
      board: "fake",
      runtime: "0.1.0",
      engine: "none",
      uptime: 4_294_967_295,
      reset: "power",
      wire: 1,
      ram: { heap: 15_000, heapMax: 40_960, stack: 1000, stackMax: 4000 },
      link: "serial",
      module: {
        slot: 1,
        sha: new Uint8Array(32).fill(0xab),
        size: 20_000,
        state: "waiting",
        connected: true,
        up: 5,
        starts: 4,
        falls: 3,
        published: 2,
        note: "n".repeat(143),
      },
    });
  });

  test("without a module info has nothing to say of one", async () => {
    await board.ask("lose");
    const { module: told } = await mapOf(READ, 64, 0);
    expect(told).toMatchObject({ state: "none", connected: true });
    expect(Object.keys(told as CborMap)).toHaveLength(7);
    expect(told).not.toHaveProperty("slot");
  });
});
