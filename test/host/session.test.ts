/** The typed face of a client record: texts and bytes in, messages out, errors that say what was wrong. */

import { createHash } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { ConnectionState, Counter, Event, Status, WhenFull } from "../../firmware/core/abi.ts";
import {
  type Core,
  loadCore,
  readModule,
  type ThermometerExports,
} from "../../host/src/core/core.ts";
import { type Capacities, CoreError, Session } from "../../host/src/core/session.ts";
import { hex, splitPackets } from "../support/bytes.ts";
import { ClientStream } from "../support/client-stream.ts";
import { connack, publish, suback } from "../support/server-packets.ts";

const CAPACITIES: Capacities = { receive: 256, transmit: 512, identity: 256, incomingCount: 4 };
const CONNECT = { cleanSession: true, keepAliveSeconds: 0, responseTimeoutMs: 0 };

let core: Core;

beforeAll(async () => {
  core = await loadCore(await readModule("core"));
});

function sessionOf(capacities: Partial<Capacities> = {}): Session {
  return new Session(core, { ...CAPACITIES, ...capacities });
}

/** All that may go, reported as sent. */
function sent(session: Session): Uint8Array {
  const bytes = session.toTransmit().slice();
  session.transmitted(bytes.length, 0);
  return bytes;
}

function connected(session: Session): Session {
  session.connect(CONNECT, 0);
  sent(session);
  expect(receive(session, connack())).toEqual([Event.Connected]);
  return session;
}

function receive(session: Session, bytes: Uint8Array): number[] {
  const events: number[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    offset += session.receive(bytes, offset);
    for (let event = session.poll(0); event !== Event.None; event = session.poll(0)) {
      events.push(event);
      if (event < 0) return events;
    }
  }
  return events;
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

describe("a module", () => {
  test("is known by the hash of its bytes", async () => {
    const bytes = await readModule("thermometer");
    const thermometer = await loadCore<ThermometerExports>(bytes);
    expect(thermometer.sha256).toBe(createHash("sha256").update(bytes).digest("hex"));
    expect(thermometer.byteLength).toBe(bytes.byteLength);
  });

  test("that is none is a UsageError", async () => {
    await expect(loadCore(Uint8Array.of(0, 1, 2))).rejects.toMatchObject({
      name: "UsageError",
      remedy: expect.stringContaining(".wasm"),
    });
  });

  test("that speaks another ABI, or none, is a UsageError", async () => {
    const empty = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
    await expect(loadCore(empty)).rejects.toMatchObject({ name: "UsageError" });
    // (func (export "abiVersion") (result i32) i32.const 99)
    const other = Uint8Array.from([
      ...empty,
      ...[1, 5, 1, 0x60, 0, 1, 0x7f],
      ...[3, 2, 1, 0],
      ...[7, 14, 1, 10, ...Buffer.from("abiVersion"), 0, 0],
      ...[10, 7, 1, 5, 0, 0x41, 0xe3, 0, 0x0b],
    ]);
    await expect(loadCore(other)).rejects.toThrow("ABI version 99");
  });
});

describe("CONNECT", () => {
  test("says all that was set, in UTF-8", () => {
    const session = sessionOf();
    session.setClientId("Küche");
    session.setWill({ topic: "motes/Küche", payload: "\u{1f525}", qos: 2, retain: true });
    session.setCredentials("anna", Uint8Array.of(0, 255));
    session.connect({ cleanSession: false, keepAliveSeconds: 65_535, responseTimeoutMs: 1 }, 0);
    expect(new ClientStream().read(sent(session))).toEqual([
      {
        type: "CONNECT",
        cleanSession: false,
        keepAliveSeconds: 65_535,
        clientId: "Küche",
        will: {
          topic: "motes/Küche",
          payload: new TextEncoder().encode("\u{1f525}"),
          qos: 2,
          retain: true,
        },
        userName: "anna",
        password: Uint8Array.of(0, 255),
      },
    ]);
  });

  test("says no more what was taken back", () => {
    const session = sessionOf();
    session.setClientId("c");
    session.setWill({ topic: "t", payload: "" });
    session.setWill(undefined);
    session.setCredentials("anna", "secret");
    session.setCredentials(undefined, undefined);
    session.connect(CONNECT, 0);
    expect(hex(sent(session))).toBe("10 0d 00 04 4d 51 54 54 04 02 00 00 00 01 63");
  });
});

describe("what cannot be done is a CoreError with its Status, and changes nothing", () => {
  test("capacities out of range", () => {
    expect(statusOf(() => sessionOf({ receive: 1 }))).toBe(Status.InvalidArgument);
  });

  test("texts that MQTT does not allow", () => {
    const session = sessionOf();
    expect(statusOf(() => session.setClientId("\0"))).toBe(Status.InvalidText);
    expect(statusOf(() => session.setWill({ topic: "#", payload: "" }))).toBe(Status.InvalidText);
    expect(statusOf(() => session.publish({ topic: "", payload: "" }))).toBe(Status.InvalidText);
  });

  test("more than the buffers hold", () => {
    const session = sessionOf();
    const large = "x".repeat(600);
    expect(statusOf(() => session.setClientId(large))).toBe(Status.TooLarge);
    expect(statusOf(() => session.publish({ topic: "t", payload: large }))).toBe(Status.TooLarge);
    const half = "x".repeat(300);
    session.publish({ topic: "t", payload: half });
    expect(statusOf(() => session.publish({ topic: "t", payload: half }))).toBe(Status.BufferFull);
    expect(session.counter(Counter.Refused)).toBe(1);
  });

  test("what needs another state", () => {
    const session = sessionOf();
    const filters = [{ topicFilter: "a", qos: 0 as const }];
    expect(statusOf(() => session.subscribe(filters, 0))).toBe(Status.WrongState);
    expect(statusOf(() => session.unsubscribe(["a"], 0))).toBe(Status.WrongState);
    expect(statusOf(() => session.disconnect(0))).toBe(Status.WrongState);
    expect(statusOf(() => session.requeue())).toBe(Status.WrongState);
    connected(session);
    expect(statusOf(() => session.connect(CONNECT, 0))).toBe(Status.WrongState);
    expect(session.state).toBe(ConnectionState.Connected);
  });

  test("filters that MQTT does not allow", () => {
    const session = connected(sessionOf());
    const subscribe = (topicFilter: string) => () =>
      session.subscribe([{ topicFilter, qos: 0 }], 0);
    expect(statusOf(subscribe("a/#/b"))).toBe(Status.InvalidText);
    expect(statusOf(subscribe(""))).toBe(Status.InvalidText);
    expect(statusOf(subscribe("x".repeat(70_000)))).toBe(Status.InvalidText);
    expect(statusOf(() => session.subscribe([], 0))).toBe(Status.InvalidArgument);
    expect(session.transmitLength).toBe(0);
  });

  test("the message says what was wrong", () => {
    expect(() => sessionOf().publish({ topic: "a/+", payload: "" })).toThrow(
      "publish: ill-formed UTF-8, U+0000, an empty topic, or a wildcard out of its place",
    );
  });
});

describe("messages", () => {
  test("come as they were sent, with their flags, and are copies", () => {
    const session = connected(sessionOf());
    const bytes = publish({
      topic: "\ufeffthermo/Küche",
      payload: Uint8Array.of(0, 255),
      qos: 1,
      dup: true,
      retain: true,
      packetId: 9,
    });
    session.receive(bytes, 0);
    expect(session.poll(0)).toBe(Event.Message);
    const message = session.message();
    expect(session.packetId).toBe(9);
    receive(session, publish({ topic: "other", payload: "x".repeat(40) }));
    expect(message).toEqual({
      topic: "\ufeffthermo/Küche",
      payload: Uint8Array.of(0, 255),
      qos: 1,
      retain: true,
      dup: true,
    });
  });

  test("of 100,000 bytes pass through a record that has room for it", () => {
    const large = 100_000;
    const session = connected(sessionOf({ receive: large + 64, transmit: large + 64 }));
    const payload = new Uint8Array(large).fill(7);
    session.publish({ topic: "t", payload, qos: 2 });
    const packet = sent(session);
    expect(packet.length).toBe(large + 9);
    session.receive(publish({ topic: "t", payload }), 0);
    expect(session.poll(0)).toBe(Event.Message);
    expect(Buffer.compare(session.message().payload, payload)).toBe(0);
  });

  test("that are larger than the record tell their length, and have no payload", () => {
    const session = connected(sessionOf());
    session.receive(publish({ topic: "t", payload: "x".repeat(300) }), 0);
    expect(session.poll(0)).toBe(Event.MessageSkipped);
    expect(session.topic()).toBe("t");
    expect(session.payloadLength).toBe(300);
    expect(session.message().payload).toEqual(new Uint8Array(0));
  });

  test("a SUBACK's codes are its payload", () => {
    const session = connected(sessionOf());
    const packetId = session.subscribe(
      [
        { topicFilter: "a", qos: 2 },
        { topicFilter: "b/#", qos: 1 },
      ],
      0,
    );
    sent(session);
    session.receive(suback(packetId, 1, 0x80), 0);
    expect(session.poll(0)).toBe(Event.Subscribed);
    expect(session.payload()).toEqual(Uint8Array.of(1, 0x80));
  });
});

describe("many sessions in one core", () => {
  test("do not meet, while the memory grows under them", async () => {
    const fresh = await loadCore(await readModule("core"));
    const lengthBefore = fresh.memory.byteLength;
    const sessions = Array.from({ length: 500 }, (_, number) => {
      const session = new Session(fresh, CAPACITIES);
      session.setClientId(`client-${number}`);
      return session;
    });
    for (const session of sessions) session.connect(CONNECT, 0);
    for (const [number, session] of sessions.entries()) {
      const [packet] = new ClientStream().read(sent(session));
      expect(packet).toMatchObject({ type: "CONNECT", clientId: `client-${number}` });
    }
    expect(fresh.memory.byteLength).toBeGreaterThan(lengthBefore);
  });

  test("reset() forgets one of them wholly", () => {
    const session = connected(sessionOf());
    session.publish({ topic: "t", payload: "", qos: 1 });
    sent(session);
    session.reset(CAPACITIES);
    expect(session.state).toBe(ConnectionState.Disconnected);
    connected(session);
    expect(session.transmitLength).toBe(0);
    expect(session.inflightCount).toBe(0);
  });

  test("setLimits() and setNextPacketId() hold for one of them", () => {
    const session = sessionOf();
    const other = connected(sessionOf());
    session.setLimits(1, WhenFull.DropOldestQos0);
    session.setNextPacketId(65_535);
    connected(session);
    for (const each of [session, other]) {
      each.publish({ topic: "t", payload: "", qos: 1 });
      each.publish({ topic: "t", payload: "", qos: 1 });
    }
    expect(splitPackets(sent(session)).map(hex)).toEqual(["32 05 00 01 74 ff ff"]);
    expect(splitPackets(sent(other)).map(hex)).toEqual([
      "32 05 00 01 74 00 01",
      "32 05 00 01 74 00 02",
    ]);
  });
});
