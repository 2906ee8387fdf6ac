/** thermometer.wasm as a board or a simulator meets it: when it measures, what it says, what it obeys. */

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { Counter, Event, NEVER_MS, RETAIN_FLAG, Status } from "../../firmware/core/abi.ts";
import {
  type Core,
  loadCore,
  readModule,
  type ThermometerExports,
} from "../../host/src/core/core.ts";
import { LinearMemory } from "../../host/src/core/linear-memory.ts";
import { type Capacities, CoreError, Session } from "../../host/src/core/session.ts";
import { inspectModule } from "../../host/src/module/inspect-module.ts";
import { type ClientPacket, ClientStream } from "../support/client-stream.ts";
import { connack, puback, publish, pubrec, suback } from "../support/server-packets.ts";

/** Larger than this is a decision: say in the change what the bytes are for. */
const LENGTH_MAX = 12_950;

const CAPACITIES: Capacities = { receive: 256, transmit: 1024, identity: 256, incomingCount: 4 };
const RESPONSE_TIMEOUT_MS = 5_000;

let core: Core<ThermometerExports>;

beforeAll(async () => {
  core = await loadCore<ThermometerExports>(await readModule("thermometer"));
});

interface RigOptions {
  clientId?: string;
  intervalMs?: number;
  deadBandMilliCelsius?: number;
  flags?: number;
  nowMs?: number;
  capacities?: Partial<Capacities>;
}

/** One thermometer with its clock, its server and its log in the hands of the test. */
class Rig {
  readonly session: Session<ThermometerExports>;
  readonly exports: ThermometerExports;
  readonly at: number;
  nowMs: number;
  #stream = new ClientStream();

  constructor(options: RigOptions = {}) {
    const { clientId = "k", intervalMs = 1_000, deadBandMilliCelsius = 0, flags = 1 } = options;
    this.session = new Session(core, { ...CAPACITIES, ...options.capacities });
    this.exports = core.exports;
    this.at = this.session.at;
    this.nowMs = options.nowMs ?? 0;
    this.session.setClientId(clientId);
    const status = this.exports.configure(this.at, intervalMs, deadBandMilliCelsius, flags);
    expect(status).toBe(Status.Ok);
  }

  /** CONNECT and CONNACK; what the thermometer says then is left to `sent`. Returns the events. */
  connect({ sessionPresent = false, cleanSession = true } = {}): string[] {
    this.#stream = new ClientStream();
    const options = { cleanSession, keepAliveSeconds: 0, responseTimeoutMs: RESPONSE_TIMEOUT_MS };
    this.session.connect(options, this.nowMs);
    expect(this.sent()).toMatchObject([{ type: "CONNECT" }]);
    return this.receive(connack(sessionPresent));
  }

  /** Connected, with birth and subscription acknowledged, and the first reading asked for. */
  settle(): this {
    this.connect();
    this.answerAll();
    expect(this.tick()).toBe("ReadingDue");
    return this;
  }

  /** Everything that may go now. */
  sent(): ClientPacket[] {
    const bytes = this.session.toTransmit().slice();
    this.session.transmitted(bytes.length, this.nowMs);
    return this.#stream.read(bytes);
  }

  receive(...packets: Uint8Array[]): string[] {
    const events: string[] = [];
    for (const packet of packets) {
      expect(this.session.receive(packet, 0)).toBe(packet.length);
      for (let event = this.session.poll(this.nowMs); event !== Event.None; ) {
        events.push(Event[event] ?? Status[event] ?? "?");
        event = this.session.poll(this.nowMs);
      }
    }
    return events;
  }

  /** Acknowledges all that is sent, as a friendly server does; returns what that was. */
  answerAll(): ClientPacket[] {
    const packets = this.sent();
    for (const packet of packets) {
      if (packet.type === "SUBSCRIBE") this.receive(suback(packet.packetId, 1));
      if (packet.type === "PUBLISH" && packet.qos === 1) this.receive(puback(packet.packetId));
    }
    return packets;
  }

  wait(durationMs: number): string {
    this.nowMs = (this.nowMs + durationMs) % 2 ** 32;
    return this.tick();
  }

  tick(): string {
    const event = this.session.tick(this.nowMs);
    return Event[event] ?? Status[event] ?? "?";
  }

  get dueInMs(): number {
    return this.session.nextDeadlineMs(this.nowMs);
  }

  reading(milliCelsius: number): number {
    return this.exports.reading(this.at, milliCelsius, this.nowMs);
  }

  /** The payload of the one telemetry that a reading becomes. */
  telemetry(milliCelsius: number): string {
    expect(this.reading(milliCelsius)).toBeGreaterThanOrEqual(0);
    expect(this.exports.readingPublished(this.at)).toBe(1);
    const [packet, ...others] = this.answerAll();
    expect(others).toEqual([]);
    expect(packet).toMatchObject({ type: "PUBLISH", topic: "motes/k/telemetry" });
    return packet?.type === "PUBLISH" ? text(packet.payload) : "";
  }

  command(payload: string): string[] {
    return this.receive(publish({ topic: "motes/k/cmd", payload }));
  }

  setClock(unixMs: number): void {
    const status = this.exports.setClock(
      this.at,
      Math.floor(unixMs / 1000),
      unixMs % 1000,
      this.nowMs,
    );
    expect(status).toBe(Status.Ok);
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function statusOf(action: () => void): Status {
  try {
    action();
  } catch (error) {
    if (error instanceof CoreError) return error.status;
    throw error;
  }
  return Status.Ok;
}

describe("the module", () => {
  test("has the exports that docs/abi.md names, and imports nothing", async () => {
    const abi = readFileSync(new URL("../../docs/abi.md", import.meta.url), "utf8");
    const documented = new Set([...abi.matchAll(/`(\w+)\([^)`]*\)`/g)].map(([, name]) => name));
    const { exports, imports } = inspectModule(await readModule("thermometer"));
    const functions = exports.filter(({ kind }) => kind === "function");
    expect(new Set(functions.map(({ name }) => name))).toEqual(documented);
    expect(imports).toEqual([]);
  });

  test("keeps the rules of a module that is flashed, and its size", async () => {
    const { rules, byteLength, heapBase } = inspectModule(await readModule("thermometer"));
    expect(rules.filter(({ isKept }) => !isKept)).toEqual([]);
    expect(heapBase).toBe(4096);
    expect(byteLength).toBeLessThanOrEqual(LENGTH_MAX);
  });
});

describe("a connection", () => {
  test("begins with the Will, then the birth, then the subscription, then readings", () => {
    const rig = new Rig({ clientId: "küche" });
    rig.session.connect({ cleanSession: true, keepAliveSeconds: 0, responseTimeoutMs: 0 }, 0);
    expect(rig.sent()).toMatchObject([
      {
        type: "CONNECT",
        clientId: "küche",
        will: { topic: "motes/küche/status", qos: 1, retain: true },
      },
    ]);
    expect(rig.dueInMs).toBe(NEVER_MS);
    expect(rig.receive(connack())).toEqual(["Connected"]);
    const [birth, subscription, ...others] = rig.sent();
    expect(birth).toMatchObject({
      type: "PUBLISH",
      topic: "motes/küche/status",
      payload: new TextEncoder().encode("online"),
      qos: 1,
      retain: true,
      dup: false,
    });
    expect(subscription).toMatchObject({
      type: "SUBSCRIBE",
      filters: [{ filter: "motes/küche/cmd", qos: 1 }],
    });
    expect(others).toEqual([]);
    expect(rig.dueInMs).toBe(0);
    expect(rig.tick()).toBe("ReadingDue");
  });

  test("the Will says offline", () => {
    const rig = new Rig();
    rig.session.connect({ cleanSession: true, keepAliveSeconds: 0, responseTimeoutMs: 0 }, 0);
    const [connect] = rig.sent();
    const will = connect?.type === "CONNECT" ? connect.will : undefined;
    expect(text(will?.payload ?? new Uint8Array(0))).toBe("offline");
  });

  test("to a server that kept the session needs the birth, but no subscription", () => {
    const rig = new Rig();
    rig.connect({ cleanSession: false });
    rig.answerAll();
    rig.session.connectionLost();
    rig.connect({ cleanSession: false, sessionPresent: true });
    expect(rig.sent()).toMatchObject([{ type: "PUBLISH", topic: "motes/k/status" }]);
  });

  test("waits for room before the birth, and for the birth before the subscription", () => {
    const rig = new Rig({ capacities: { transmit: 96 } });
    rig.session.publish({ topic: "t", payload: "x".repeat(70) });
    rig.connect();
    expect(rig.sent()).toMatchObject([{ type: "PUBLISH", topic: "t" }]);
    rig.session.poll(0);
    expect(rig.answerAll()).toMatchObject([
      { type: "PUBLISH", topic: "motes/k/status" },
      { type: "SUBSCRIBE" },
    ]);
  });

  test("readings go on while there is none, and are sent when there is one again", () => {
    const rig = new Rig().settle();
    rig.reading(1_000);
    rig.answerAll();
    rig.session.connectionLost();
    expect(rig.wait(1_000)).toBe("ReadingDue");
    rig.reading(2_000);
    expect(rig.wait(1_000)).toBe("ReadingDue");
    rig.reading(3_000);
    rig.connect();
    const published = rig.sent().filter((packet) => packet.type === "PUBLISH");
    expect(published.map(({ payload }) => text(payload))).toEqual([
      expect.stringContaining('"temperature":2.00,"seq":2'),
      expect.stringContaining('"temperature":3.00,"seq":3'),
      "online",
    ]);
  });
});

describe("the farewell", () => {
  test("is said, acknowledged, and only then comes DISCONNECT; there are no readings meanwhile", () => {
    const rig = new Rig().settle();
    rig.session.disconnect(rig.nowMs);
    const [farewell, ...others] = rig.sent();
    expect(others).toEqual([]);
    expect(farewell).toMatchObject({
      type: "PUBLISH",
      topic: "motes/k/status",
      payload: new TextEncoder().encode("offline"),
      qos: 1,
      retain: true,
    });
    expect(rig.wait(2_000)).toBe("None");
    expect(rig.sent()).toEqual([]);
    rig.receive(puback(farewell?.type === "PUBLISH" ? farewell.packetId : 0));
    expect(rig.sent()).toMatchObject([{ type: "DISCONNECT" }]);
  });

  test("is not waited for longer than the response time", () => {
    const rig = new Rig().settle();
    rig.session.disconnect(rig.nowMs);
    rig.sent();
    expect(rig.dueInMs).toBe(RESPONSE_TIMEOUT_MS);
    rig.wait(RESPONSE_TIMEOUT_MS - 1);
    expect(rig.sent()).toEqual([]);
    rig.wait(1);
    expect(rig.sent()).toMatchObject([{ type: "DISCONNECT" }]);
  });

  test("is said once, however often it is asked for", () => {
    const rig = new Rig().settle();
    rig.session.disconnect(rig.nowMs);
    rig.session.disconnect(rig.nowMs);
    expect(rig.sent()).toHaveLength(1);
  });

  test("needs a connection, and room in the outbox", () => {
    const rig = new Rig({ capacities: { transmit: 128 } });
    expect(statusOf(() => rig.session.disconnect(0))).toBe(Status.WrongState);
    rig.settle();
    rig.session.publish({ topic: "t", payload: "x".repeat(90) });
    expect(statusOf(() => rig.session.disconnect(0))).toBe(Status.BufferFull);
    rig.sent();
    rig.session.disconnect(0);
    expect(rig.sent()).toMatchObject([{ type: "PUBLISH", topic: "motes/k/status" }]);
  });

  test("that is lost with the connection is followed by a new birth", () => {
    const rig = new Rig().settle();
    rig.session.disconnect(rig.nowMs);
    rig.sent();
    rig.session.connectionLost();
    expect(rig.connect()).toEqual(["Dropped", "Connected"]);
    expect(rig.answerAll()).toMatchObject([{ type: "PUBLISH" }, { type: "SUBSCRIBE" }]);
    expect(rig.wait(1_000)).toBe("ReadingDue");
  });

  test("is the last word, even if the birth still waits for room", () => {
    const rig = new Rig({ capacities: { transmit: 128 } });
    rig.session.publish({ topic: "t", payload: "x".repeat(100) });
    rig.connect();
    rig.sent();
    rig.session.disconnect(0);
    rig.session.poll(0);
    const said = rig.sent().map((packet) => packet.type === "PUBLISH" && text(packet.payload));
    expect(said).toEqual(["offline"]);
  });
});

describe("telemetry", () => {
  test("has exactly this form", () => {
    const rig = new Rig().settle();
    rig.exports.setSequence(rig.at, 17);
    rig.setClock(1_795_388_880_123);
    expect(rig.telemetry(21_470)).toBe('{"temperature":21.47,"seq":17,"ts":1795388880123}');
  });

  test.each([
    [21_474, "21.47"],
    [21_475, "21.48"],
    [21_479, "21.48"],
    [9, "0.01"],
    [5, "0.01"],
    [4, "0.00"],
    [0, "0.00"],
    [-4, "0.00"],
    [-5, "-0.01"],
    [-994, "-0.99"],
    [-995, "-1.00"],
    [-21_475, "-21.48"],
    [-40_000, "-40.00"],
    [2_147_483_647, "2147483.65"],
    [-2_147_483_648, "-2147483.65"],
  ])("%i thousandths are %s degrees, rounded half away from zero", (milliCelsius, degrees) => {
    const rig = new Rig().settle();
    expect(rig.telemetry(milliCelsius)).toBe(`{"temperature":${degrees},"seq":1,"ts":0}`);
  });

  test("is JSON that says what was measured, to half a hundredth of a degree", () => {
    const rig = new Rig().settle();
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (milliCelsius) => {
        const { temperature } = JSON.parse(rig.telemetry(milliCelsius));
        expect(Math.abs(temperature * 1000 - milliCelsius)).toBeLessThanOrEqual(5.001);
      }),
      { numRuns: 300 },
    );
  });

  test("counts with seq, which wraps at 2^32", () => {
    const rig = new Rig().settle();
    rig.exports.setSequence(rig.at, 0xffffffff);
    expect(rig.telemetry(0)).toContain('"seq":4294967295,');
    expect(rig.telemetry(0)).toContain('"seq":0,');
    expect(rig.exports.sequence(rig.at)).toBe(1);
  });

  test("tells the time, also when the clock of the board wraps at 2^32", () => {
    const unixMs = 1_795_388_880_123;
    const rig = new Rig({ nowMs: 2 ** 32 - 1_500 }).settle();
    rig.setClock(unixMs);
    for (let elapsedMs = 0; elapsedMs <= 4_000; elapsedMs += 500) {
      expect(rig.telemetry(0)).toContain(`"ts":${unixMs + elapsedMs}}`);
      rig.wait(500);
    }
  });

  test("tells the time over months, wrap after wrap", () => {
    const rig = new Rig().settle();
    rig.setClock(0);
    const stepMs = 2 ** 31;
    for (let count = 0; count < 8; count++) {
      expect(rig.telemetry(0)).toContain(`"ts":${count * stepMs}}`);
      rig.wait(stepMs);
    }
  });

  test.each([0, 1, 2, 1 | RETAIN_FLAG])("goes with the configured flags %i", (flags) => {
    const rig = new Rig({ flags }).settle();
    const packetId = rig.reading(1);
    const [packet] = rig.sent();
    expect(packet).toMatchObject({ qos: flags & 3, retain: (flags & RETAIN_FLAG) !== 0, packetId });
    expect(packetId > 0).toBe((flags & 3) > 0);
  });

  test("that finds no room is refused, and costs no seq", () => {
    const rig = new Rig({ capacities: { transmit: 128 } }).settle();
    expect(rig.reading(1)).toBeGreaterThan(0);
    expect(rig.reading(2)).toBe(Status.BufferFull);
    expect(rig.exports.readingPublished(rig.at)).toBe(0);
    expect(rig.exports.sequence(rig.at)).toBe(2);
    rig.answerAll();
    expect(rig.telemetry(3)).toContain('"temperature":0.00,"seq":2');
  });
});

describe("the interval", () => {
  test("has no drift: late ticks do not add up, and missed readings are left out", () => {
    const rig = new Rig({ intervalMs: 1_000 }).settle();
    const dueTimes: number[] = [];
    for (const lateMs of [0, 130, 999, 0, 2_500, 10]) {
      rig.nowMs += rig.dueInMs + lateMs;
      expect(rig.tick()).toBe("ReadingDue");
      expect(rig.tick()).toBe("None");
      dueTimes.push(rig.nowMs);
    }
    expect(dueTimes).toEqual([1_000, 2_130, 3_999, 4_000, 7_500, 8_010]);
    expect(rig.dueInMs).toBe(990);
  });

  test("passes the wrap of the clock at 2^32", () => {
    const rig = new Rig({ intervalMs: 60_000, nowMs: 2 ** 32 - 90_000 }).settle();
    expect(rig.wait(60_000)).toBe("ReadingDue");
    expect(rig.wait(59_999)).toBe("None");
    expect(rig.dueInMs).toBe(1);
    expect(rig.wait(1)).toBe("ReadingDue");
  });

  test("is configured between 0.1 seconds and a day", () => {
    const rig = new Rig();
    const configure = (intervalMs: number) => rig.exports.configure(rig.at, intervalMs, 0, 1);
    expect([99, 100, 86_400_000, 86_400_001].map(configure)).toEqual([
      Status.InvalidArgument,
      Status.Ok,
      Status.Ok,
      Status.InvalidArgument,
    ]);
    expect(rig.exports.intervalMs(rig.at)).toBe(86_400_000);
    expect(rig.exports.configure(rig.at, 100, 0, 3)).toBe(Status.InvalidArgument);
  });
});

describe("the dead band", () => {
  test("holds back what is nearer to the last published reading, not to the last one taken", () => {
    const rig = new Rig({ deadBandMilliCelsius: 100 }).settle();
    const isPublished = (milliCelsius: number) => {
      rig.reading(milliCelsius);
      rig.answerAll();
      return rig.exports.readingPublished(rig.at) === 1;
    };
    expect(isPublished(20_000)).toBe(true);
    expect(isPublished(20_099)).toBe(false);
    expect(isPublished(19_901)).toBe(false);
    expect(isPublished(20_060)).toBe(false);
    expect(isPublished(20_100)).toBe(true);
    expect(isPublished(20_000)).toBe(true);
    expect(rig.exports.sequence(rig.at)).toBe(4);
  });

  test("sees the distance between the coldest and the hottest number", () => {
    const rig = new Rig({ deadBandMilliCelsius: 0xffffffff }).settle();
    rig.telemetry(-(2 ** 31));
    expect(rig.reading(2 ** 31 - 2)).toBe(0);
    expect(rig.exports.readingPublished(rig.at)).toBe(0);
    rig.telemetry(2 ** 31 - 1);
  });

  test("does not hold back the reading that a command asked for", () => {
    const rig = new Rig({ deadBandMilliCelsius: 100 }).settle();
    rig.telemetry(20_000);
    expect(rig.command("report")).toEqual(["CommandDone"]);
    expect(rig.tick()).toBe("ReadingDue");
    expect(rig.telemetry(20_001)).toContain("20.00");
    expect(rig.reading(20_001)).toBe(0);
  });

  test("does not stop the clock, which goes on across the wrap of nowMs", () => {
    const dayMs = 86_400_000;
    const rig = new Rig({ deadBandMilliCelsius: 1_000, intervalMs: dayMs }).settle();
    rig.setClock(0);
    rig.telemetry(0);
    for (let day = 1; day <= 60; day++) {
      rig.wait(dayMs);
      rig.reading(1);
    }
    expect(rig.telemetry(5_000)).toContain(`"ts":${60 * dayMs}}`);
  });
});

describe("a command", () => {
  test("changes the interval, from the last reading on", () => {
    const rig = new Rig({ intervalMs: 10_000 }).settle();
    rig.wait(300);
    expect(rig.command("interval 500")).toEqual(["CommandDone"]);
    expect(rig.exports.intervalMs(rig.at)).toBe(500);
    expect(rig.dueInMs).toBe(200);
  });

  test.each(["interval 100", "interval 86400000", "interval 000000100", "report"])(
    "%j is obeyed",
    (command) => {
      expect(new Rig().settle().command(command)).toEqual(["CommandDone"]);
    },
  );

  test.each([
    "interval 99",
    "interval 86400001",
    "interval 4294967396",
    "interval -100",
    "interval 1e3",
    "interval ",
    "interval 500 ",
    "interval",
    "INTERVAL 500",
    "report!",
    "reboot",
    "",
    "\u0000",
  ])("%j is not known, and changes nothing", (command) => {
    const rig = new Rig({ intervalMs: 1_000 }).settle();
    rig.reading(0);
    expect(rig.command(command)).toEqual(["CommandUnknown"]);
    expect(rig.exports.intervalMs(rig.at)).toBe(1_000);
    expect(rig.dueInMs).toBe(1_000);
  });

  test("too large for the receive buffer is reported as skipped", () => {
    const rig = new Rig({ capacities: { receive: 64 } }).settle();
    const large = publish({ topic: "motes/k/cmd", payload: "x".repeat(100) });
    const events = [rig.receive(large.subarray(0, 64)), rig.receive(large.subarray(64))];
    expect(events.flat()).toEqual(["MessageSkipped"]);
  });

  test("on another topic is none", () => {
    const rig = new Rig().settle();
    for (const topic of ["motes/k/cmd2", "motes/kk/cmd", "motes/k/cm", "motes/k/telemetry"]) {
      expect(rig.receive(publish({ topic, payload: "report" }))).toEqual(["Message"]);
    }
  });
});

describe("a server that forgot the session", () => {
  test("gets QoS 1 telemetry again as new, and the host hears nothing of it", () => {
    const rig = new Rig().settle();
    const packetId = rig.reading(20_000);
    expect(rig.sent()).toMatchObject([{ packetId, dup: false }]);
    rig.session.connectionLost();
    expect(rig.connect()).toEqual(["Connected"]);
    expect(rig.sent()[0]).toMatchObject({
      type: "PUBLISH",
      topic: "motes/k/telemetry",
      packetId,
      dup: false,
    });
    expect(rig.session.counter(Counter.Requeued)).toBe(1);
    expect(rig.receive(puback(packetId))).toEqual(["Published"]);
  });

  test("makes QoS 2 telemetry a matter of doubt, which the host is told", () => {
    const rig = new Rig({ flags: 2 }).settle();
    const first = rig.reading(20_000);
    const second = rig.reading(21_000);
    rig.sent();
    rig.receive(pubrec(second));
    expect(rig.sent()).toMatchObject([{ type: "PUBREL", packetId: second }]);
    rig.session.connectionLost();
    expect(rig.connect()).toEqual(["Dropped", "Dropped", "Connected"]);
    expect(first).toBeGreaterThan(0);
    expect(rig.sent().map(({ type }) => type)).toEqual(["PUBLISH", "SUBSCRIBE"]);
  });
});

describe("what cannot be", () => {
  test("client ids that are no topic level, or too long, or too large with their Will", () => {
    const { session } = new Rig();
    const small = new Rig({ capacities: { identity: 64 } });
    const status = (rig: Session<ThermometerExports>, id: string) =>
      statusOf(() => rig.setClientId(id));
    expect(status(session, "x".repeat(64))).toBe(Status.Ok);
    for (const id of ["", "x".repeat(65), "a/b", "a+", "#"]) {
      expect(status(session, id), id).toBe(Status.InvalidArgument);
    }
    expect(status(session, "a\u0000")).toBe(Status.InvalidText);
    expect(status(small.session, "x".repeat(19))).toBe(Status.Ok);
    expect(status(small.session, "x".repeat(20))).toBe(Status.TooLarge);
    small.session.connect({ cleanSession: true, keepAliveSeconds: 0, responseTimeoutMs: 0 }, 0);
    expect(small.sent()).toMatchObject([
      { clientId: "x".repeat(19), will: { topic: `motes/${"x".repeat(19)}/status` } },
    ]);
  });

  test("an address without a record", () => {
    const elsewhere = core.arena.take(64);
    const { exports } = core;
    expect([
      exports.configure(elsewhere, 1_000, 0, 1),
      exports.setSequence(elsewhere, 1),
      exports.setClock(elsewhere, 0, 0, 0),
      exports.reading(elsewhere, 0, 0),
      exports.tick(elsewhere, 0),
      exports.poll(elsewhere, 0),
      exports.disconnect(elsewhere, 0),
      exports.connectionLost(elsewhere),
      exports.setClientId(elsewhere, elsewhere, 1),
    ]).toEqual(Array.from({ length: 9 }, () => Status.NotAClient));
    expect(exports.nextDeadlineMs(elsewhere, 0) >>> 0).toBe(NEVER_MS);
    expect(exports.setClock(new Rig().at, 0, 1_000, 0)).toBe(Status.InvalidArgument);
  });
});

test("on a board one record lives in the first 4096 bytes, and nothing outside is touched", async () => {
  const module = new WebAssembly.Module(await readModule("thermometer"));
  const exports = new WebAssembly.Instance(module).exports as unknown as ThermometerExports;
  const memory = new LinearMemory(exports.memory);
  const outside = memory.view(4096, memory.byteLength - 4096);
  outside.fill(0xa5);

  const at = exports.blockAt();
  const endAt = at + exports.blockLength();
  expect(endAt).toBeLessThanOrEqual(4096);
  const size = exports.clientSize(256, 1536, 192, 4, 0);
  expect(size).toBeLessThan(exports.blockLength());
  expect(exports.clientInit(at, 256, 1536, 192, 4, 0)).toBe(Status.Ok);

  const textAt = at + size;
  const idLength = memory.writeText(textAt, "board-1", endAt - textAt);
  expect(exports.setClientId(at, textAt, idLength)).toBe(Status.Ok);
  expect(exports.configure(at, 1_000, 0, 1)).toBe(Status.Ok);
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
  expect(sent()).toMatchObject([{ type: "CONNECT", clientId: "board-1" }]);
  receive(connack());
  expect(sent().map(({ type }) => type)).toEqual(["PUBLISH", "SUBSCRIBE"]);
  for (let count = 0; exports.reading(at, 20_000 + count, 0) >= 0; count++) {
    expect(count).toBeLessThan(100);
  }
  expect(sent().length).toBeGreaterThan(10);
  receive(publish({ topic: "motes/board-1/cmd", payload: "interval 500", qos: 1, packetId: 9 }));
  expect(exports.intervalMs(at)).toBe(500);
  expect(sent()).toMatchObject([{ type: "PUBACK", packetId: 9 }]);

  expect(outside.every((byte) => byte === 0xa5)).toBe(true);
  expect(exports.setClientId(at, 4096, 1)).toBe(Status.InvalidArgument);
  expect(exports.clientInit(4096, 256, 1536, 192, 4, 0)).toBe(Status.InvalidArgument);
  expect(exports.clientInit(8, 256, 1536, 192, 4, 0)).toBe(Status.InvalidArgument);
});
