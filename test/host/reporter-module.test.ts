/** reporter.wasm as a board or a simulator meets it: its profile block, whatever bytes that has, and what comes of it. */

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import {
  ConnectionState,
  PROFILE_LENGTH_MAX,
  ProfileField,
  ProfileItem,
  ProfileWhen,
  RETAIN_FLAG,
  Status,
} from "../../firmware/core/abi.ts";
import { loadCore, type ReporterExports, readModule } from "../../host/src/core/core.ts";
import { LinearMemory } from "../../host/src/core/linear-memory.ts";
import { inspectModule } from "../../host/src/module/inspect-module.ts";
import { encodeItems } from "../../simulator/src/profiles/block.ts";
import type { ConventionItem } from "../../simulator/src/profiles/convention.ts";
import { plain } from "../../simulator/src/profiles/plain.ts";
import { PROFILE_NAMES, profileOf } from "../../simulator/src/profiles/profile.ts";
import {
  type Application,
  ApplicationRig,
  lendBlock,
  loadApplication,
} from "../support/application-rig.ts";
import { type ClientPacket, ClientStream } from "../support/client-stream.ts";
import { connack, puback, publish } from "../support/server-packets.ts";

/** Larger than this is a decision: say in the change what the bytes are for. */
const LENGTH_MAX = 15_150;

let reporter: Application;

beforeAll(async () => {
  reporter = await loadApplication("homeassistant");
});

/** The reporter with these items. */
function applicationOf(items: readonly ConventionItem[]): Application {
  const block = encodeItems(items);
  const profile = { ...profileOf("senml"), block };
  return { core: reporter.core, profile, blockAt: lendBlock(reporter.core, block) };
}

const TELEMETRY: ConventionItem = { kind: ProfileItem.Telemetry, topic: "t", payload: "<celsius>" };

function texts(packets: readonly ClientPacket[]): string[] {
  return packets.flatMap((packet) =>
    packet.type === "PUBLISH" ? [new TextDecoder().decode(packet.payload)] : [packet.type],
  );
}

describe("the module", () => {
  test("has the exports of the thermometer, and the two that docs/profiles.md names", async () => {
    const functionsOf = async (name: "thermometer" | "reporter") =>
      inspectModule(await readModule(name))
        .exports.filter(({ kind }) => kind === "function")
        .map(({ name: functionName }) => functionName);
    const document = readFileSync(new URL("../../docs/profiles.md", import.meta.url), "utf8");
    const documented = [...document.matchAll(/^\| `(\w+)\(/gmu)].map(([, name]) => name);
    const expected = [...(await functionsOf("thermometer")), ...documented];
    expect((await functionsOf("reporter")).sort()).toEqual(expected.sort());
    expect(documented).toEqual(["setProfile", "birthPacketId"]);
  });

  test("keeps the rules of a module that is flashed, and its size", async () => {
    const { rules, byteLength, heapBase } = inspectModule(await readModule("reporter"));
    expect(rules.filter(({ isKept }) => !isKept)).toEqual([]);
    expect(heapBase).toBe(4096);
    expect(byteLength).toBeLessThanOrEqual(LENGTH_MAX);
  });
});

describe("with the messages of the thermometer", () => {
  type Move = {
    kind: "wait" | "reading" | "command" | "lose" | "goodbye" | "answer";
    value: number;
  };

  const COMMANDS = ["report", "interval 500", "interval 0", "interval 99999999999", "reboot", ""];

  /** Does one thing; returns what came of it. */
  function move(rig: ApplicationRig, { kind, value }: Move): string[] {
    switch (kind) {
      case "wait":
        return [rig.wait(value)];
      case "reading":
        return [String(rig.reading(value))];
      case "answer":
        return [JSON.stringify(rig.answerAll())];
      case "goodbye":
        return [String(rig.exports.disconnect(rig.at, rig.nowMs))];
      case "lose":
        rig.session.connectionLost();
        return rig.connect({ cleanSession: false, sessionPresent: value % 2 === 0 });
      case "command": {
        const payload = COMMANDS[value % COMMANDS.length] ?? "";
        const isConnected = rig.session.state === ConnectionState.Connected;
        return isConnected ? rig.message({ topic: "motes/küche/cmd", payload }) : [];
      }
    }
  }

  /** What a device does and says, in words. */
  function play(application: Application, moves: readonly Move[], flags: number): string[] {
    const rig = new ApplicationRig(application, {
      clientId: "küche",
      intervalMs: 1_000,
      deadBandMilliCelsius: 300,
      flags,
      capacities: { transmit: 65_536 },
    });
    rig.setClock(1_795_420_080_123);
    const log: string[] = [JSON.stringify(rig.open()), ...rig.receive(connack())];
    for (const each of moves) {
      log.push(...move(rig, each));
      const { sequence, intervalMs } = rig.exports;
      const dueInMs = rig.session.nextDeadlineMs(rig.nowMs);
      log.push(`${sequence(rig.at)} ${intervalMs(rig.at)} ${dueInMs}`);
      if (each.value % 3 === 0) log.push(JSON.stringify(rig.sent()));
    }
    return [...log, JSON.stringify(rig.answerAll())];
  }

  test("it does and says the same, byte for byte, whatever happens", async () => {
    const thermometer = await loadApplication("plain");
    const built = applicationOf(plain.items);
    const anyMove: fc.Arbitrary<Move> = fc.record({
      kind: fc.constantFrom(
        "wait",
        "wait",
        "reading",
        "reading",
        "command",
        "lose",
        "goodbye",
        "answer",
        "answer",
      ),
      value: fc.oneof(fc.nat(3_000), fc.integer({ min: -60_000, max: 60_000 }).map(Math.abs)),
    });
    fc.assert(
      fc.property(
        fc.array(anyMove, { maxLength: 40, size: "max" }),
        fc.constantFrom(0, 1, 2, 1 | RETAIN_FLAG),
        (moves, flags) => {
          expect(play(built, moves, flags)).toEqual(play(thermometer, moves, flags));
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe("a profile", () => {
  const setProfile = (rig: ApplicationRig, { blockAt, profile }: Application) =>
    rig.exports.setProfile(rig.at, blockAt, profile.block?.length ?? 0);

  test("is set before or after the client id, and its Will follows both", () => {
    const items: ConventionItem[] = [
      TELEMETRY,
      { kind: ProfileItem.Will, topic: "w/<id>", payload: "<id> is gone", qos: 2, retain: true },
    ];
    const rig = new ApplicationRig(applicationOf(items), { clientId: "first" });
    rig.session.setClientId("a");
    expect(setProfile(rig, applicationOf(items))).toBe(Status.Ok);
    const [connect] = rig.open();
    expect(connect).toMatchObject({ clientId: "a", will: { topic: "w/a", qos: 2, retain: true } });
    expect(rig.exports.setProfile(rig.at, 0, 0)).toBe(Status.WrongState);
  });

  test("without a Will takes the last one away", () => {
    const rig = new ApplicationRig(reporter, { clientId: "a" });
    expect(setProfile(rig, applicationOf([TELEMETRY]))).toBe(Status.Ok);
    const [connect] = rig.open();
    expect(connect).toMatchObject({ type: "CONNECT", clientId: "a" });
    expect(connect).not.toHaveProperty("will");
  });

  test("whose Will does not fit changes nothing", () => {
    const rig = new ApplicationRig(reporter, { clientId: "a", capacities: { identity: 48 } });
    const large: ConventionItem = {
      kind: ProfileItem.Will,
      topic: "w",
      payload: "x".repeat(60),
    };
    expect(setProfile(rig, applicationOf([TELEMETRY, large]))).toBe(Status.TooLarge);
    expect(rig.open()).toMatchObject([{ will: { topic: "motes/a/status" } }]);
    rig.receive(connack());
    expect(texts(rig.answerAll()).slice(1)).toEqual(["online", "SUBSCRIBE", "SUBSCRIBE"]);
    expect(rig.reading(1)).toBeGreaterThan(0);
  });

  test("is needed for readings", async () => {
    const { core } = reporter;
    const rig = new ApplicationRig({
      core,
      profile: { ...profileOf("senml"), block: undefined },
      blockAt: 0,
    });
    rig.connect();
    expect(rig.sent()).toEqual([]);
    expect(rig.reading(20_000)).toBe(Status.WrongState);
    expect(rig.exports.disconnect(rig.at, 0)).toBe(Status.Ok);
    expect(rig.sent()).toMatchObject([{ type: "DISCONNECT" }]);
  });

  test.each<[string, Uint8Array]>([
    ["no bytes", new Uint8Array(0)],
    ["no telemetry", encodeItems([{ kind: ProfileItem.Say, topic: "t", when: 1 }])],
    ["a kind that does not exist", Uint8Array.of(9, 0, 0, 0, 1, 0, 0, 0, 0x74)],
    ["kind 0", Uint8Array.of(0, 0, 0, 0, 1, 0, 0, 0, 0x74)],
    ["QoS 3", Uint8Array.of(2, 3, 0, 0, 1, 0, 0, 0, 0x74)],
    ["flags that mean nothing", Uint8Array.of(2, 8, 0, 0, 1, 0, 0, 0, 0x74)],
    ["bits of when that mean nothing", Uint8Array.of(2, 0, 64, 0, 1, 0, 0, 0, 0x74)],
    ["a reserved byte", Uint8Array.of(2, 0, 0, 1, 1, 0, 0, 0, 0x74)],
    ["an empty topic", Uint8Array.of(2, 0, 0, 0, 0, 0, 1, 0, 0x74)],
    ["a wildcard in a topic", encodeItems([{ ...TELEMETRY, topic: "t/+" }])],
    ["a topic that is too long", encodeItems([{ ...TELEMETRY, topic: "t".repeat(257) }])],
    ["U+0000", Uint8Array.of(2, 0, 0, 0, 1, 0, 1, 0, 0x74, 0)],
    ["a place that does not exist", Uint8Array.of(2, 0, 0, 0, 1, 0, 1, 0, 0x74, 10)],
    ["ill-formed UTF-8 in a topic", Uint8Array.of(2, 0, 0, 0, 1, 0, 0, 0, 0xc0)],
    ["a length beyond the end", Uint8Array.of(2, 0, 0, 0, 1, 0, 1, 0, 0x74)],
    ["a rest that is no item", Buffer.concat([encodeItems([TELEMETRY]), Buffer.alloc(7)])],
    [
      "a subscription that never happens",
      encodeItems([TELEMETRY, { kind: ProfileItem.Subscribe, topic: "a" }]),
    ],
    [
      "no filter",
      encodeItems([
        TELEMETRY,
        { kind: ProfileItem.Subscribe, topic: "a#", when: ProfileWhen.Subscribing },
      ]),
    ],
  ])("with %s is refused, and the last one stays", (_what, block) => {
    const rig = new ApplicationRig(reporter, { clientId: "a" });
    const at = lendBlock(reporter.core, block.length === 0 ? new Uint8Array(8) : block);
    expect(rig.exports.setProfile(rig.at, at, block.length)).toBe(Status.InvalidArgument);
    expect(rig.open()).toMatchObject([{ will: { topic: "motes/a/status" } }]);
  });

  test("lies in the memory, outside of the record and of what is the module's, and is not too long", () => {
    const { core, profile } = reporter;
    const rig = new ApplicationRig(reporter);
    const block = profile.block ?? new Uint8Array(0);
    const end = core.memory.byteLength;
    const answer = (at: number, length = block.length) =>
      rig.exports.setProfile(rig.at, at, length);
    core.memory.write(rig.exports.blockAt(), block);
    expect(answer(rig.exports.blockAt())).toBe(Status.Ok);
    const forbidden = [0, 16, rig.exports.blockAt() - 1, rig.at, rig.at - 8, rig.at + 64];
    for (const at of [...forbidden, end - 8, end, 0xffffffff]) {
      expect(answer(at)).toBe(Status.InvalidArgument);
    }
    const small = encodeItems([TELEMETRY]);
    const inRecord = rig.exports.receiveAt(rig.at);
    core.memory.write(inRecord, small);
    expect(answer(inRecord, small.length)).toBe(Status.InvalidArgument);
    const items = Array.from({ length: 300 }, () => TELEMETRY);
    const long = Buffer.concat(items.map((item) => encodeItems([item])));
    expect(long.length).toBeGreaterThan(PROFILE_LENGTH_MAX);
    expect(answer(lendBlock(core, long), long.length)).toBe(Status.InvalidArgument);
    expect(rig.exports.setProfile(rig.at + 8, 4096, 8)).toBe(Status.NotAClient);
    expect(rig.exports.birthPacketId(rig.at + 8)).toBe(0);
  });
});

describe("client ids", () => {
  test("are one level of a topic, and safe in JSON", () => {
    const { session } = new ApplicationRig(reporter);
    const status = (id: string) => {
      try {
        session.setClientId(id);
        return Status.Ok;
      } catch (error) {
        return (error as { status: Status }).status;
      }
    };
    for (const id of ["x".repeat(64), "küche", "a b", "{}", "~"])
      expect(status(id), id).toBe(Status.Ok);
    for (const id of ["", "x".repeat(65), "a/b", "a+", "#", 'a"', "a\\", "a\n", "\u0001"]) {
      expect(status(id), id).toBe(Status.InvalidArgument);
    }
  });
});

describe("what is said at a connection", () => {
  const say = (
    payload: string,
    when: number,
    more: Partial<ConventionItem> = {},
  ): ConventionItem => ({
    kind: ProfileItem.Say,
    topic: "s",
    payload,
    qos: 1,
    when,
    ...more,
  });

  test("goes in the order of the block, subscriptions included", () => {
    const rig = new ApplicationRig(
      applicationOf([
        say("1", ProfileWhen.Connected),
        { kind: ProfileItem.Subscribe, topic: "c/<id>/+", qos: 2, when: ProfileWhen.Subscribing },
        TELEMETRY,
        say("2", ProfileWhen.Announced),
        say("3", ProfileWhen.Connected | ProfileWhen.Announced),
      ]),
      { clientId: "a" },
    );
    rig.connect();
    const packets = rig.answerAll();
    expect(texts(packets)).toEqual(["1", "SUBSCRIBE", "3"]);
    expect(packets[1]).toMatchObject({ filters: [{ filter: "c/a/+", qos: 2 }] });
  });

  test("waits for room and goes on where it stopped; nothing is said twice", () => {
    const births = Array.from({ length: 6 }, (_, index) =>
      say(`birth ${index}`, ProfileWhen.Connected),
    );
    const rig = new ApplicationRig(applicationOf([TELEMETRY, ...births]), {
      capacities: { transmit: 64 },
    });
    rig.connect();
    expect(rig.answerAll().length).toBe(6);
    rig.session.connectionLost();
    rig.connect();
    expect(texts(rig.answerAll())).toEqual(births.map(({ payload }) => payload));
  });

  test("what could never fit is left out, and does not keep the rest from being said", () => {
    const rig = new ApplicationRig(
      applicationOf([
        TELEMETRY,
        say("x".repeat(200), ProfileWhen.Connected),
        say("a", ProfileWhen.Connected, { topic: "<id>".repeat(20) }),
        { kind: ProfileItem.Subscribe, topic: "<id>".repeat(20), when: ProfileWhen.Subscribing },
        say("last", ProfileWhen.Connected),
      ]),
      { clientId: "y".repeat(64), capacities: { transmit: 128 } },
    );
    rig.connect();
    expect(texts(rig.answerAll())).toEqual(["last"]);
  });

  test("names the birth by its Packet Identifier", () => {
    const rig = new ApplicationRig(
      applicationOf([
        TELEMETRY,
        say("a", ProfileWhen.Connected),
        say("birth", ProfileWhen.Connected | ProfileWhen.Birth),
        say("b", ProfileWhen.Connected),
      ]),
    );
    expect(rig.exports.birthPacketId(rig.at)).toBe(0);
    rig.connect();
    const birth = rig.sent().find((packet) => texts([packet])[0] === "birth");
    expect(birth).toMatchObject({ packetId: rig.exports.birthPacketId(rig.at) });
  });

  test("subscriptions that the server still has are not made again [MQTT-3.2.2-2]", async () => {
    const rig = new ApplicationRig(reporter);
    rig.connect({ cleanSession: false });
    expect(texts(rig.answerAll())).toContain("SUBSCRIBE");
    rig.session.connectionLost();
    rig.connect({ cleanSession: false, sessionPresent: true });
    expect(texts(rig.answerAll())).not.toContain("SUBSCRIBE");
    rig.session.connectionLost();
    rig.connect({ cleanSession: false, sessionPresent: false });
    expect(texts(rig.answerAll())).toContain("SUBSCRIBE");
  });
});

describe("the goodbye", () => {
  const goodbye = (qos: 0 | 1 | 2): ConventionItem[] => [
    TELEMETRY,
    { kind: ProfileItem.Goodbye, topic: "g", payload: "bye", qos },
    {
      kind: ProfileItem.Say,
      topic: "s",
      payload: "late",
      qos: 1,
      when: ProfileWhen.Connected | ProfileWhen.Measured,
    },
  ];

  test.each([1, 2] as const)(
    "at QoS %i is acknowledged before DISCONNECT goes, and nothing comes behind it",
    (qos) => {
      const rig = new ApplicationRig(applicationOf(goodbye(qos)));
      rig.connect();
      rig.session.disconnect(0);
      rig.session.poll(0);
      expect(rig.exports.disconnect(rig.at, 0)).toBe(Status.Ok);
      expect(texts(rig.answerAll())).toEqual(["bye", "DISCONNECT"]);
    },
  );

  test("at QoS 0 is followed by DISCONNECT at once", () => {
    const rig = new ApplicationRig(applicationOf(goodbye(0)));
    rig.connect();
    rig.session.disconnect(0);
    expect(texts(rig.sent())).toEqual(["bye", "DISCONNECT"]);
  });

  test("is followed by DISCONNECT when nobody acknowledges it in time", () => {
    const rig = new ApplicationRig(applicationOf(goodbye(1)));
    rig.connect();
    rig.session.disconnect(0);
    expect(texts(rig.sent())).toEqual(["bye"]);
    rig.wait(5_000);
    expect(texts(rig.sent())).toEqual(["DISCONNECT"]);
  });

  test("is the last word, even if something still waits for room", () => {
    const late: ConventionItem = {
      kind: ProfileItem.Say,
      topic: "s",
      payload: "late",
      qos: 1,
      when: 1,
    };
    const rig = new ApplicationRig(applicationOf([...goodbye(1).slice(0, 2), late]), {
      capacities: { transmit: 64 },
    });
    rig.session.publish({ topic: "t", payload: "x".repeat(35) });
    rig.connect();
    rig.sent();
    rig.session.disconnect(0);
    rig.session.poll(0);
    expect(texts(rig.answerAll())).toEqual(["bye", "DISCONNECT"]);
  });

  test("without room is refused, and nothing has changed", () => {
    const rig = new ApplicationRig(applicationOf(goodbye(1)), { capacities: { transmit: 64 } });
    rig.connect();
    rig.session.publish({ topic: "t", payload: "x".repeat(35) });
    expect(rig.exports.disconnect(rig.at, 0)).toBe(Status.BufferFull);
    expect(rig.reading(1)).toBe(Status.BufferFull);
    rig.sent();
    rig.exports.disconnect(rig.at, 0);
    expect(texts(rig.answerAll())).toContain("bye");
  });
});

test("telemetry of a lost session goes again as new at QoS 1, and is in doubt at QoS 2 [MQTT-4.3.3-1]", () => {
  for (const [flags, events] of [
    [1, ["Connected"]],
    [2, ["Dropped", "Connected"]],
  ] as const) {
    const rig = new ApplicationRig(applicationOf([{ ...TELEMETRY, topic: "t/<id>" }]), { flags });
    rig.connect({ cleanSession: false });
    rig.reading(20_000);
    expect(rig.sent()).toMatchObject([{ topic: "t/mote-1", qos: flags, dup: false }]);
    rig.session.connectionLost();
    expect(rig.connect({ cleanSession: false })).toEqual(events);
    expect(rig.sent()).toHaveLength(flags === 1 ? 1 : 0);
  }
});

test("telemetry is retained if the convention or the configuration says so", () => {
  for (const [retain, flags, expected] of [
    [false, 1, false],
    [true, 1, true],
    [false, 1 | RETAIN_FLAG, true],
    [true, 0, true],
  ] as const) {
    const rig = new ApplicationRig(applicationOf([{ ...TELEMETRY, retain, qos: 2 }]), { flags });
    rig.connect();
    rig.reading(20_000);
    expect(rig.sent()).toMatchObject([{ retain: expected, qos: flags & 3 }]);
  }
});

test("an interval that was commanded survives a loss of power [journal.md]", () => {
  const rig = new ApplicationRig(reporter, { clientId: "a", capacities: { journal: 512 } });
  const keep = () => rig.session.batchStored();
  rig.connect({ cleanSession: false });
  rig.session.saveImage(1, new Uint8Array(0), () => {});
  keep();
  rig.sent();
  rig.message({ topic: "motes/a/cmd", payload: "interval 700", qos: 1, packetId: 9 });
  expect(rig.session.transmitLength).toBe(0); // PUBACK waits for the batch
  const batch = rig.session.batch().slice();
  expect(batch.length).toBeGreaterThan(0);
  const note = new DataView(batch.buffer, batch.length - 8);
  expect(note.getUint32(4, true)).toBe(700);
});

describe("dates", () => {
  const DATE: ConventionItem[] = [
    { ...TELEMETRY, payload: "<dateTime>.<milliseconds>Z <unixSeconds> <unixMs>" },
  ];

  test("are those of the calendar, from 1970 on", () => {
    const rig = new ApplicationRig(applicationOf(DATE));
    rig.connect();
    const said = (unixMs: number) => {
      rig.setClock(unixMs);
      rig.reading(0);
      return texts(rig.answerAll())[0];
    };
    const expected = (unixMs: number) =>
      `${new Date(unixMs).toISOString()} ${Math.floor(unixMs / 1000)} ${unixMs}`;
    for (const text of [
      "1970-01-01",
      "2000-02-29T23:59:59.999",
      "2100-02-28T23:59:59",
      "2100-03-01",
      "2024-12-31",
    ]) {
      const unixMs = Date.parse(`${text}${text.includes("T") ? "" : "T00:00:00"}Z`);
      expect(said(unixMs)).toBe(expected(unixMs));
    }
    fc.assert(
      fc.property(fc.nat(2 ** 32 - 1), fc.nat(999), (seconds, milliseconds) => {
        const unixMs = seconds * 1000 + milliseconds;
        expect(said(unixMs)).toBe(expected(unixMs));
      }),
      { numRuns: 300 },
    );
  });
});

describe("hostile blocks", () => {
  /** A life in a memory of its own, in which nothing but the record may change. Returns what `setProfile` answered. */
  async function live(block: Uint8Array, changeAt?: number): Promise<number> {
    const application = {
      core: await loadCore<ReporterExports>(reporterBytes),
      profile: profileOf("plain"),
      blockAt: 0,
    };
    const { core } = application;
    const at = lendBlock(core, block);
    const rig = new ApplicationRig(application, { clientId: "a", capacities: { transmit: 512 } });
    const end = rig.at + core.exports.clientSize(256, 512, 256, 4, 0);
    const outside = () => [
      core.memory.copy(rig.exports.blockAt(), rig.at - rig.exports.blockAt()),
      core.memory.copy(end, core.memory.byteLength - end),
    ];
    const status = rig.exports.setProfile(rig.at, at, block.length);
    const change = () => {
      if (changeAt === undefined) return;
      const [byte = 0] = core.memory.copy(at + (changeAt % block.length), 1);
      core.memory.write(
        at + (changeAt % block.length),
        Uint8Array.of(byte ^ (1 + (changeAt % 255))),
      );
    };
    change();
    const [before, behind] = outside();
    for (let round = 0; round < 2; round++) {
      rig.connect();
      rig.answerAll();
      rig.reading(21_000);
      rig.message({ topic: "homeassistant/status", payload: "online" });
      rig.message({ topic: "motes/a/cmd", payload: "interval 500" });
      rig.answerAll();
      rig.exports.disconnect(rig.at, 0);
      rig.answerAll();
      rig.session.connectionLost();
    }
    const [beforeNow, behindNow] = outside();
    expect(Buffer.compare(before ?? Buffer.alloc(0), beforeNow ?? Buffer.alloc(1))).toBe(0);
    // What the rig lends its topics lies behind the record: only the arguments of publish and subscribe, which it does not use.
    expect(Buffer.compare(behind ?? Buffer.alloc(0), behindNow ?? Buffer.alloc(1))).toBe(0);
    return status;
  }

  let reporterBytes: Uint8Array;
  beforeAll(async () => {
    reporterBytes = await readModule("reporter");
  });

  const blocks = PROFILE_NAMES.flatMap((name) => profileOf(name).block ?? []);

  test("random bytes: refused or lived with, and nothing beside the record is written", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (block) => {
        expect([Status.Ok, Status.InvalidArgument]).toContain(await live(block));
      }),
      { numRuns: 60 },
    );
  });

  test("profiles with bytes changed, before they are set: refused or lived with", async () => {
    const anyChange = fc.tuple(fc.nat(2_000), fc.nat(255));
    let takenCount = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...blocks),
        fc.array(anyChange, { minLength: 1, maxLength: 3 }),
        async (original, changes) => {
          const block = original.slice();
          for (const [at, byte] of changes) block[at % block.length] = byte;
          const status = await live(block);
          expect([Status.Ok, Status.InvalidArgument, Status.TooLarge]).toContain(status);
          if (status === Status.Ok) takenCount++;
        },
      ),
      { numRuns: 200 },
    );
    expect(takenCount).toBeGreaterThan(20);
  });

  test("lengths that grow behind the module's back, at the end of the memory: nothing is read outside", async () => {
    for (const lengthAt of [ProfileField.TopicLength, ProfileField.PayloadLength]) {
      const core = await loadCore<ReporterExports>(reporterBytes);
      const block = encodeItems([{ kind: ProfileItem.Say, topic: "s", when: 1 }, TELEMETRY]);
      const blockAt = core.memory.byteLength - block.length;
      core.memory.write(blockAt, block);
      const rig = new ApplicationRig({ core, profile: { ...profileOf("senml"), block }, blockAt });
      core.memory.write(blockAt + lengthAt, Uint8Array.of(0xff, 0xff));
      rig.connect();
      rig.message({ topic: "s", payload: "" });
      expect(rig.answerAll()).toEqual([]);
      expect(rig.reading(20_000)).toBe(Status.WrongState);
    }
  });

  test("profiles that change behind the module's back: no trap, and nothing beside the record is written", async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...blocks), fc.nat(0xffff), async (block, changeAt) => {
        expect(await live(block, changeAt)).toBe(Status.Ok);
      }),
      { numRuns: 200 },
    );
  });
});

test("on a board one record and its profile live in the first 4096 bytes, and nothing outside is touched", async () => {
  const module = new WebAssembly.Module(await readModule("reporter"));
  const exports = new WebAssembly.Instance(module).exports as unknown as ReporterExports;
  const memory = new LinearMemory(exports.memory);
  const outside = memory.view(4096, memory.byteLength - 4096);
  outside.fill(0xa5);

  const block = profileOf("homeassistant").block ?? new Uint8Array(0);
  const at = exports.blockAt();
  const endAt = at + exports.blockLength();
  expect(endAt).toBeLessThanOrEqual(4096);
  const size = exports.clientSize(256, 1536, 192, 4, 0);
  const blockAt = at + size;
  expect(blockAt + block.length).toBeLessThanOrEqual(endAt);
  expect(exports.clientInit(at, 256, 1536, 192, 4, 0)).toBe(Status.Ok);
  memory.write(blockAt, block);
  expect(exports.setProfile(at, blockAt, block.length)).toBe(Status.Ok);
  const textAt = blockAt + block.length;
  const idLength = memory.writeText(textAt, "board-1", endAt - textAt);
  expect(exports.setClientId(at, textAt, idLength)).toBe(Status.Ok);

  const stream = new ClientStream();
  const sent = () => {
    const length = exports.transmitLength(at);
    const packets = stream.read(memory.copy(exports.transmitAt(at), length));
    exports.transmitted(at, length, 0);
    return packets;
  };
  const receive = (bytes: Uint8Array) => {
    memory.write(exports.receiveAt(at), bytes);
    exports.received(at, bytes.length);
    while (exports.poll(at, 0) > 0);
  };
  expect(exports.connect(at, 1, 60, 5_000, 0)).toBe(Status.Ok);
  expect(sent()).toMatchObject([{ clientId: "board-1", will: { topic: "motes/board-1/status" } }]);
  receive(connack());
  const births = sent();
  expect(births[0]).toMatchObject({ topic: "homeassistant/sensor/board-1_temperature/config" });
  for (const packet of births) if (packet.type === "PUBLISH") receive(puback(packet.packetId));
  receive(publish({ topic: "motes/board-1/cmd", payload: "interval 500" }));
  expect(exports.intervalMs(at)).toBe(500);
  for (let count = 0; exports.reading(at, 20_000 + count, 0) >= 0; count++) {
    expect(count).toBeLessThan(100);
  }
  expect(sent().length).toBeGreaterThan(8);

  expect(outside.every((byte) => byte === 0xa5)).toBe(true);
  expect(exports.clientInit(8, 256, 1536, 192, 4, 0)).toBe(Status.InvalidArgument);
});
