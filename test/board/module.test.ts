/** The driver of a module on a board (firmware/board/runtime/module.c), over wasm3, with sanitizers. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ProfileField, ProfileItem, ProfileWhen } from "../../firmware/core/abi.ts";
import { JournalStore } from "../../host/src/store/journal.ts";
import { PROFILE_NAMES, profileOf } from "../../simulator/src/profiles/profile.ts";
import { BUILD_PROGRAMS, bytesIn } from "../support/board-driver.ts";
import { BoardRig } from "../support/board-rig.ts";
import type { ClientPacket } from "../support/client-stream.ts";
import { MODULES_FOLDER } from "../support/core-client.ts";
import { Flash } from "../support/flash.ts";
import { answer, lyingModule, TRAP } from "../support/lying-module.ts";
import { ModelServer } from "../support/model-server.ts";
import { describeWith } from "../support/optional.ts";
import * as packets from "../support/server-packets.ts";

const thermometer = readFileSync(join(MODULES_FOLDER, "thermometer.wasm"));
const reporter = readFileSync(join(MODULES_FOLDER, "reporter.wasm"));

const COMMAND_TOPIC = "motes/t1/cmd";

type Publish = Extract<ClientPacket, { type: "PUBLISH" }>;

function publishesOf(sent: ClientPacket[], suffix: string): Publish[] {
  return sent.filter(
    (packet): packet is Publish => packet.type === "PUBLISH" && packet.topic.endsWith(suffix),
  );
}

function sequenceOf({ payload }: { payload: Uint8Array | string }): number {
  const text = typeof payload === "string" ? payload : new TextDecoder().decode(payload);
  return (JSON.parse(text) as { seq: number }).seq;
}

/** One item of a profile block (docs/profiles.md). */
function item(
  kind: ProfileItem,
  flags: number,
  when: number,
  topic: string,
  payload: string,
): Buffer {
  const head = Buffer.from([kind, flags, when, 0, 0, 0, 0, 0]);
  head.writeUInt16LE(Buffer.byteLength(topic), ProfileField.TopicLength);
  head.writeUInt16LE(Buffer.byteLength(payload), ProfileField.PayloadLength);
  return Buffer.concat([head, Buffer.from(topic), Buffer.from(payload)]);
}

describeWith(BUILD_PROGRAMS, "a module on a board", () => {
  let rig: BoardRig;

  beforeAll(() => {
    rig = new BoardRig();
  }, 180_000);

  beforeEach(async () => {
    await rig.format();
    await rig.load(thermometer);
    await rig.set({});
  });

  afterAll(() => rig.end());

  /** Starts the module and accepts its connection; what it says then, its first reading included. */
  async function connected(sessionPresent = false): Promise<ClientPacket[]> {
    await rig.start();
    await rig.run();
    return rig.receive(packets.connack(sessionPresent));
  }

  async function acknowledge(sent: ClientPacket[]): Promise<ClientPacket[]> {
    const answers = sent.flatMap((packet) => {
      if (packet.type === "SUBSCRIBE") return [packets.suback(packet.packetId, 1)];
      if (packet.type === "PUBREL") return [packets.pubcomp(packet.packetId)];
      if (packet.type !== "PUBLISH" || packet.qos === 0) return [];
      return [(packet.qos === 1 ? packets.puback : packets.pubrec)(packet.packetId)];
    });
    return answers.length === 0 ? [] : rig.receive(...answers);
  }

  test("says who it is, with its Will, and keeps the session", async () => {
    await rig.set({ user: "ann", pass: "secret" });
    await rig.start();
    const [connect] = await rig.run();
    expect(connect).toMatchObject({
      type: "CONNECT",
      cleanSession: false,
      keepAliveSeconds: 30,
      clientId: "t1",
      userName: "ann",
      password: new TextEncoder().encode("secret"),
      will: { topic: "motes/t1/status", qos: 1, retain: true },
    });
  });

  test.each([0, 1, 2])(
    "publishes birth and readings at QoS %i, and takes commands",
    async (qos) => {
      await rig.set({ qos });
      const sent = await connected();
      expect(publishesOf(sent, "/status")).toMatchObject([{ qos: 1, retain: true }]);
      expect(sent.filter(({ type }) => type === "SUBSCRIBE")).toMatchObject([
        { filters: [{ filter: COMMAND_TOPIC, qos: 1 }] },
      ]);
      const [reading] = publishesOf(sent, "/telemetry");
      expect(reading?.qos).toBe(qos);
      const text = new TextDecoder().decode(reading?.payload);
      expect(text).toMatch(/^\{"temperature":2[0-9.]+,"seq":1,"ts":17953888801\d\d\}$/);
      const released = await acknowledge(sent);
      expect(released.map(({ type }) => type)).toEqual(qos === 2 ? ["PUBREL"] : []);
      await acknowledge(released);
      expect(publishesOf(await rig.run(1000), "/telemetry").map(sequenceOf)).toEqual([2]);
      expect(await rig.report()).toMatchObject({
        state: "running",
        isConnected: true,
        published: expect.any(Number),
      });
    },
  );

  test("obeys a command once it is stored, and says so", async () => {
    await acknowledge(await connected());
    const { operations } = await rig.report();
    const sent = await rig.receive(
      packets.publish({ topic: COMMAND_TOPIC, payload: "interval 250", qos: 1, packetId: 9 }),
    );
    expect(sent).toMatchObject([{ type: "PUBACK", packetId: 9 }]);
    expect((await rig.report()).operations).toBeGreaterThan(operations);
    expect((await rig.report()).deadlineMs).toBeLessThanOrEqual(250);
    await rig.receive(packets.publish({ topic: COMMAND_TOPIC, payload: "dance \u0007\u00c0" }));
    expect(rig.board.said).toContain("command done: interval 250");
    expect(rig.board.said).toContain("command unknown: dance ?\u00c0");
  });

  test("answers ReadingDue as often as it was told, and is not restless between", async () => {
    await rig.set({ intervalMs: 5000, qos: 0 });
    await acknowledge(await connected());
    expect((await rig.report()).deadlineMs).toBe(5000);
    for (let count = 2; count < 5; count++) {
      expect(await rig.run(4999)).toEqual([]);
      expect(publishesOf(await rig.run(1), "/telemetry").map(sequenceOf)).toEqual([count]);
    }
  });

  test("keeps the connection alive, and ends it when nobody answers", async () => {
    await rig.set({ intervalMs: 86_400_000 });
    await acknowledge(await connected());
    expect(await rig.run(26_249)).toEqual([]);
    expect(await rig.run(1)).toEqual([{ type: "PINGREQ" }]);
    await rig.receive(packets.pingresp());
    await rig.run(26_250);
    await rig.run(10_000);
    expect(rig.board.said.at(-1)).toMatch(
      /^connection ended: the broker does not answer; next attempt in \d+ ms$/,
    );
    expect((await rig.report()).isConnected).toBe(false);
  });

  test("comes back after a loss with growing delays, and repeats what nobody acknowledged", async () => {
    const first = publishesOf(await connected(), "/telemetry");
    await rig.lose();
    expect((await rig.reconnect()).map(({ type }) => type)).toEqual(["CONNECT"]);
    const again = await rig.receive(packets.connack(true));
    expect(publishesOf(again, "/telemetry")[0]).toMatchObject({
      dup: true,
      packetId: first[0]?.packetId,
      payload: first[0]?.payload,
    });
    expect(rig.board.said).toContain("connected, the broker kept the session");
    expect(
      rig.board.said.filter((line) =>
        line.startsWith("connection lost: the cable was pulled; next"),
      ),
    ).toHaveLength(1);
  });

  test("tries again when the broker refuses or cannot be reached, and says why", async () => {
    await rig.start();
    await rig.run();
    await rig.receive(packets.connack(false, 5));
    expect(rig.board.said.at(-1)).toMatch(
      /^connection refused by the broker, code 5; next attempt in \d+ ms$/,
    );
    rig.isReachable = false;
    const delaysMs: number[] = [];
    for (let attempt = 0; attempt < 12; attempt++) {
      for (let { deadlineMs } = await rig.report(); deadlineMs < Number.POSITIVE_INFINITY; ) {
        await rig.run(deadlineMs);
        ({ deadlineMs } = await rig.report());
      }
      await rig.lose("the broker cannot be reached");
      await rig.run();
      const said = /^no connection: the broker cannot be reached; next attempt in (\d+) ms$/.exec(
        rig.board.said.at(-1) ?? "",
      );
      delaysMs.push(Number(said?.[1]));
    }
    expect(Math.max(...delaysMs.slice(0, 2))).toBeLessThan(4_000);
    expect(Math.max(...delaysMs)).toBeGreaterThan(10_000);
    expect(Math.max(...delaysMs)).toBeLessThan(60_000);
  });

  test("ends the connection when the broker breaks the standard", async () => {
    await connected();
    await rig.receive(Uint8Array.of(0x30, 0xff, 0xff, 0xff, 0xff));
    expect(rig.board.said.at(-1)).toMatch(
      /^connection ended: the broker sent bytes that are no MQTT packet; next/,
    );
  });

  test("takes what came before the end of a connection", async () => {
    await acknowledge(await connected());
    await rig.board.tell(
      `in ${Buffer.from(packets.publish({ topic: COMMAND_TOPIC, payload: "interval 700" })).toString("hex")}`,
    );
    await rig.lose();
    await rig.run();
    expect(rig.board.said).toContain("command done: interval 700");
  });

  test("sends as much as the link takes, and no byte twice", async () => {
    await rig.board.tell("window 0");
    await rig.start();
    expect(await rig.run()).toEqual([]);
    const sent: ClientPacket[] = [];
    for (let count = 0; count < 60; count++) {
      await rig.board.tell("window 3");
      sent.push(...(await rig.run()));
      if (sent.length === 1 && count < 50) {
        sent.push(...(await rig.receive(packets.connack())));
        count = 50;
      }
    }
    expect(sent.map(({ type }) => type)[0]).toBe("CONNECT");
    await rig.board.tell("window -");
    sent.push(...(await rig.run()));
    expect(sent.map(({ type }) => type)).toEqual(["CONNECT", "PUBLISH", "SUBSCRIBE", "PUBLISH"]);
  });

  test("takes large and small pieces, and skips what is larger than its buffer", async () => {
    await acknowledge(await connected());
    const large = packets.publish({ topic: "s", payload: "x".repeat(5000), qos: 1, packetId: 3 });
    expect(await rig.receive(large)).toMatchObject([{ type: "PUBACK", packetId: 3 }]);
    expect(rig.board.said).toContain("message skipped, it is too large: 5000 bytes");
    for (const byte of packets.publish({ topic: "s", payload: "yz" }))
      await rig.receive(Uint8Array.of(byte));
    expect(rig.board.said).toContain("message of 2 bytes");
    expect(await rig.report()).toMatchObject({ state: "running", unread: 0 });
  });

  test("says once that readings are lost, and that they are taken again", async () => {
    await rig.set({ intervalMs: 100 });
    const sent = await connected();
    for (let count = 0; count < 60; count++) sent.push(...(await rig.run(100)));
    const full = "readings are lost: the outbox is full";
    expect(rig.board.said.filter((line) => line === full)).toHaveLength(1);
    await acknowledge(await acknowledge(sent));
    await rig.run(100);
    expect(rig.board.said.at(-1)).toBe("readings are taken again");
  });

  test("says what a server of a lost session makes doubtful", async () => {
    await rig.set({ qos: 2 });
    await connected();
    await rig.lose();
    await rig.reconnect();
    await rig.receive(packets.connack(false));
    expect(rig.board.said.some((line) => line.startsWith("in doubt: "))).toBe(true);
  });

  describe("after a loss of power", () => {
    test.each([0, 1, 2])("no number of a reading comes twice at QoS %i", async (qos) => {
      await rig.set({ qos, intervalMs: 100 });
      const sequences: number[] = [];
      let isPresent = false;
      for (const readingCount of [3, 40, 1, 0, 27]) {
        const sent = await connected(isPresent);
        isPresent = true;
        for (let count = 0; count < readingCount; count++) {
          await acknowledge(await acknowledge(sent.splice(0)));
          sent.push(...(await rig.run(100)));
          sequences.push(
            ...publishesOf(sent, "/telemetry")
              .filter(({ dup }) => !dup)
              .map(sequenceOf),
          );
        }
      }
      const fresh = sequences.filter((sequence, index) => sequences.indexOf(sequence) === index);
      expect(sequences).toEqual(fresh);
      expect(sequences.length).toBeGreaterThan(60);
      if (qos > 0) expect(Math.max(...sequences)).toBeLessThan(sequences.length + 10);
    });

    test("it goes on with its session, its interval and its packet identifiers", async () => {
      await rig.set({ qos: 2 });
      const sent = await connected();
      const released = await acknowledge(sent);
      await rig.receive(
        packets.publish({ topic: COMMAND_TOPIC, payload: "interval 300", qos: 1, packetId: 7 }),
      );
      const again = await connected(true);
      expect(again).toContainEqual(released.find(({ type }) => type === "PUBREL"));
      expect((await rig.report()).deadlineMs).toBeLessThanOrEqual(300);
    });

    test("another client id begins a session of its own, and says so", async () => {
      await connected();
      await rig.set({ id: "t2" });
      const sent = await connected();
      expect(rig.board.said).toContain(
        "the stored session is given up, and with it what was under way: it belongs to another client id",
      );
      expect(sent.every((packet) => packet.type !== "PUBLISH" || !packet.dup)).toBe(true);
      expect((await rig.report()).state).toBe("running");
    });

    test("a session for which another module or profile leaves no room is given up, and it says so", async () => {
      await rig.set({ qos: 2, intervalMs: 100 });
      await connected();
      for (let count = 0; count < 20; count++) await rig.run(100);
      await rig.load(reporter);
      await rig.set({ profile: profileOf("homie").block as Uint8Array });
      await rig.start();
      expect(rig.board.said).toContain(
        "the stored session is given up, and with it what was under way: with this module or configuration there is no room for it",
      );
      const [connect, ...rest] = await rig.run();
      expect(connect).toMatchObject({ type: "CONNECT", clientId: "t1" });
      expect(rest).toEqual([]);
      const sent = await rig.receive(packets.connack());
      expect(sent.some((packet) => packet.type === "PUBLISH" && packet.dup)).toBe(false);
    });

    test.each(PROFILE_NAMES)(
      "what was stored with the profile %s always comes back",
      async (name) => {
        const { block } = profileOf(name);
        await rig.load(block === undefined ? thermometer : reporter);
        await rig.set({
          qos: 2,
          intervalMs: 100,
          ...(block === undefined ? {} : { profile: block }),
        });
        let isPresent = false;
        for (const count of [0, 3, 7, 60]) {
          await connected(isPresent);
          isPresent = true;
          for (let reading = 0; reading < count; reading++) await rig.run(100);
          expect((await rig.report()).state).toBe("running");
        }
        expect(rig.board.said.filter((line) => line.includes("given up"))).toEqual([]);
      },
    );

    test("the longest batch comes back, even if the outbox is shorter than it", async () => {
      const say = item(ProfileItem.Say, 1, ProfileWhen.Connected, "say", "x".repeat(600));
      const profile = [
        item(ProfileItem.Telemetry, 1, 0, "t", "\u0002"),
        say,
        item(ProfileItem.SetInterval, 0, 0, "c", "\u0009"),
      ];
      await rig.load(lyingModule(reporter, "blockLength", answer(2900)));
      await rig.set({ profile: Buffer.concat(profile) });
      await connected();
      const commands = Array.from({ length: 32 }, () =>
        packets.publish({ topic: "c", payload: "500" }),
      );
      await rig.receive(...commands);
      const stored = bytesIn(await rig.board.tell("journal-open"), "batch");
      expect(Math.max(...stored.map(({ length }) => length))).toBe(328);
      await connected(true);
      expect(rig.board.said.filter((line) => line.includes("given up"))).toEqual([]);

      await rig.load(lyingModule(reporter, "blockLength", answer(2600))); // room for an image, not for such a batch
      await rig.start();
      expect((await rig.report()).why).toBe("its block is too small for this configuration");
    });

    test("a damaged journal is refused, with what to do", async () => {
      await connected();
      const flash = Buffer.from(bytesIn(await rig.board.tell("dump"), "flash")[0] as Uint8Array);
      flash[30] = (flash[30] as number) ^ 1;
      await rig.board.tell(`fill ${flash.toString("hex")}`);
      await rig.start();
      expect(await rig.report()).toMatchObject({
        state: "refused",
        why: expect.stringContaining("damaged"),
        deadlineMs: Number.POSITIVE_INFINITY,
      });
      expect(rig.board.said.at(-1)).toContain("set the client id again");
      expect(await rig.run(1000)).toEqual([]);
    });

    test("what a board wrote, the host reads", async () => {
      await rig.set({ qos: 2, intervalMs: 100 });
      await connected();
      for (let count = 0; count < 20; count++) await rig.run(100);
      const bytes = bytesIn(await rig.board.tell("dump"), "flash")[0] as Uint8Array;
      const flash = new Flash({ blockCount: 2, blockLength: 2048, wordLength: 4 });
      flash.blocks.forEach((block, index) => {
        block.set(bytes.subarray(2048 * index, 2048 * (index + 1)));
      });
      const found = new JournalStore(flash).read();
      expect(found.length).toBeGreaterThan(1);
      expect(bytesIn(await rig.board.tell("journal-open"), "batch").map(String)).toEqual(
        found.map((batch) => String(Buffer.from(batch))),
      );
    });
  });

  test("a flash that fails ends the connection, and nothing goes that is not stored", async () => {
    await rig.set({ qos: 2 });
    await connected();
    await rig.board.tell("fail");
    expect(await rig.run(1000)).toEqual([]);
    expect(await rig.report()).toMatchObject({
      state: "refused",
      why: "the flash has failed",
      isConnected: false,
    });
  });

  describe("with a profile", () => {
    test.each(PROFILE_NAMES.filter((name) => profileOf(name).block !== undefined))(
      "says all of %s, and takes readings",
      async (name) => {
        const { block } = profileOf(name);
        await rig.load(reporter);
        await rig.set({ profile: block as Uint8Array, qos: 1 });
        const server = new ModelServer(3);
        rig.serve(server);
        await rig.start();
        for (let count = 0; count < 5; count++) await rig.run(1000);
        expect(await rig.report()).toMatchObject({ state: "running", isConnected: true });
        expect((await rig.report()).published).toBeGreaterThan(0);
        expect(server.arrived.length).toBeGreaterThanOrEqual(5);
      },
    );

    test("one that is nonsense is refused with a reason", async () => {
      await rig.load(reporter);
      await rig.set({ profile: Uint8Array.of(1, 2, 3) });
      await rig.start();
      expect(await rig.report()).toMatchObject({
        state: "refused",
        why: "it does not take the profile of the configuration",
      });
    });

    test("one that leaves no room for a record is refused with a reason", async () => {
      const { block = new Uint8Array(0) } = profileOf("homeassistant");
      await rig.load(lyingModule(reporter, "blockLength", answer(1400)));
      await rig.set({ profile: block });
      await rig.start();
      expect(await rig.report()).toMatchObject({
        state: "refused",
        why: "its block is too small for this configuration",
      });
    });
  });

  describe("that traps", () => {
    test.each([
      "clientInit",
      "connect",
      "poll",
      "tick",
      "reading",
      "transmitted",
      "stored",
      "received",
    ])("in %s is ended, and its connection with it", async (name) => {
      await rig.load(lyingModule(thermometer, name, TRAP));
      await rig.start();
      await rig.run();
      await rig.receive(packets.connack());
      await rig.run(1000);
      const { state, why, isConnected, deadlineMs } = await rig.report();
      expect({ state, isConnected, deadlineMs }).toEqual({
        state: "fell",
        isConnected: false,
        deadlineMs: Number.POSITIVE_INFINITY,
      });
      expect(why).toContain("unreachable");
    });

    test("runs again when it is started again, with its session", async () => {
      await connected();
      await rig.load(lyingModule(thermometer, "tick", TRAP));
      await connected(true);
      await rig.run(1000);
      expect((await rig.report()).state).toBe("fell");
      await rig.load(thermometer);
      const again = await connected(true);
      expect(publishesOf(again, "/telemetry").some(({ dup }) => dup)).toBe(true);
    });
  });

  describe("that lies", () => {
    const outside = "it answered an address outside of its memory";
    const noRecord = "it does not make the record that it has a size for";
    const noImage = "it gave no whole batch for the journal";

    test.each<[string, number, string]>([
      ["blockAt", 0xfffff000, outside],
      ["blockAt", 4095, outside],
      ["blockLength", 0xffffffff, outside],
      ["blockLength", 0x7fffffff, outside],
      ["clientInit", -1, noRecord],
      ["eventAt", 0xfffffff0, outside],
      ["eventAt", 4096 - 23, outside],
      ["receiveAt", 0x80000000, outside],
      ["receiveAt", 4095, outside],
      ["receiveRoom", 0x7fffffff, outside],
      ["receiveRoom", 0xffffffff, outside],
      ["transmitAt", 0xfffffffe, outside],
      ["transmitLength", 0x40000000, outside],
      ["transmitLength", 0xffffffff, outside],
      ["storeAt", 0xffffffff, outside],
      ["storeAt", 64, noImage],
      ["storeLength", 0xfffffff8, outside],
      ["storeLength", 3, noImage],
      ["saveImage", 0, "it does not save its session"],
      ["saveImage", -4, "it does not save its session"],
      ["saveImage", 0x7fffffff, "it does not save its session"],
      ["saveImage", 20, noImage],
    ])("in %s (%i) falls", async (name, value, why) => {
      await rig.load(lyingModule(thermometer, name, answer(value)));
      await rig.start();
      await rig.run();
      await rig.receive(packets.connack());
      await rig.run(1000);
      expect(await rig.report()).toMatchObject({ state: "fell", why });
    });

    test.each<[string, number]>([
      ["clientSize", 8],
      ["poll", 64],
      ["poll", 6],
      ["poll", 4],
      ["poll", 12345],
      ["tick", 64],
      ["nextDeadlineMs", 0],
      ["received", 0],
      ["transmitted", 0],
      ["reading", -3],
      ["sequence", -1],
      ["restore", 0],
    ])("in %s (%i) keeps nobody from his work", async (name, value) => {
      await rig.load(lyingModule(thermometer, name, answer(value)));
      await rig.start();
      for (let count = 0; count < 5; count++) {
        await rig.board.tell("run 100");
        await rig.board.tell("up");
        await rig.board.tell("in 20020000");
      }
      expect(["running", "fell"]).toContain((await rig.report()).state);
    });

    test("in its size gets no more than its block", async () => {
      await rig.load(lyingModule(thermometer, "clientSize", answer(0x7ffffff8)));
      await rig.start();
      expect((await rig.report()).state).toBe("refused");
    });

    test("by answering Statuses is not connected", async () => {
      await rig.load(lyingModule(thermometer, "connect", answer(-3)));
      await rig.start();
      await rig.run();
      expect(rig.board.said.at(-1)).toMatch(/^connection ended: the module ended it; next/);
    });
  });
});
