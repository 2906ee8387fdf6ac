/** A journal whose buffer is full: who waits, who is refused, and that it always goes on after `stored` (docs/abi.md). */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { JOURNAL_CAPACITY_MIN, JOURNAL_RESERVE_LENGTH, Status } from "../../firmware/core/abi.ts";
import { concat } from "../support/bytes.ts";
import type { CoreClient, RecordSpec } from "../support/core-client.ts";
import { clientWithJournal, connectedWithJournal, restoredFrom } from "../support/durable.ts";
import * as packets from "../support/server-packets.ts";

/** Bytes of a PUBLISH on topic "a" at QoS 1 or 2 besides its payload. */
const PUBLISH_LENGTH = 7;

/** Publishes until the journal is full; returns how many messages were taken. */
function fill(client: CoreClient): number {
  for (let count = 0; count < 1000; count++) {
    if (client.publish("a", "1", { qos: 1 }) === Status.BufferFull) return count;
  }
  throw new Error("it is never full");
}

function connectedWith(journalCapacity: number, spec: Partial<RecordSpec> = {}): CoreClient {
  return connectedWithJournal({ journalCapacity, transmitCapacity: 2048, ...spec });
}

describe("publish", () => {
  test("is refused when the journal is full, and goes on after stored", () => {
    const client = connectedWith(128);
    const count = fill(client);
    expect(count).toBe(Math.floor((128 - JOURNAL_RESERVE_LENGTH) / (PUBLISH_LENGTH + 1)));
    expect(client.counter("Refused")).toBe(1);
    const batch = client.batch();
    const image = client.saveImage();
    expect(client.publish("a", "2", { qos: 2 })).toBe(Status.BufferFull);
    expect(client.batch()).toEqual(batch);
    expect(client.saveImage()).toEqual(image);
    expect(client.stored()).toBe(Status.Ok);
    expect(client.publish("a", "2", { qos: 2 })).toBe(count + 1);
  });

  test("is refused without a connection as well, and storeLength is above 0 then", () => {
    const client = clientWithJournal({ journalCapacity: 64 });
    client.publish("a", "1", { qos: 1 });
    client.publish("a", "x".repeat(30), { qos: 1 });
    expect(client.publish("a", "x".repeat(30), { qos: 1 })).toBe(Status.BufferFull);
    expect(client.storeLength).toBeGreaterThan(0);
    client.stored();
    expect(client.publish("a", "x".repeat(30), { qos: 1 })).toBeGreaterThan(0);
  });

  test("is refused when only what is not urgent fills it, which becomes urgent then", () => {
    const client = connectedWith(64);
    for (let packetId = 1; packetId <= 5; packetId++) {
      client.publish("a", "", { qos: 1 });
      client.keep();
      client.drain();
    }
    for (let packetId = 1; packetId <= 5; packetId++) {
      client.receive(packets.puback(packetId));
      expect(client.poll()).toMatchObject({ kind: "Published" });
    }
    expect(client.storeLength).toBe(0);
    const payload = "x".repeat(64 - JOURNAL_RESERVE_LENGTH - PUBLISH_LENGTH);
    expect(client.publish("a", payload, { qos: 1 })).toBe(Status.BufferFull);
    expect(client.storeLength).toBeGreaterThan(0);
    client.stored();
    expect(client.publish("a", payload, { qos: 1 })).toBeGreaterThan(0);
  });

  test("of what never fits is TooLarge, and nothing is urgent", () => {
    for (const journalCapacity of [64, 100, 150]) {
      const client = connectedWith(journalCapacity);
      const room = journalCapacity - JOURNAL_RESERVE_LENGTH - PUBLISH_LENGTH;
      const before = client.snapshot();
      for (const qos of [1, 2] as const) {
        expect(client.publish("a", "x".repeat(room + 1), { qos })).toBe(Status.TooLarge);
      }
      expect(client.snapshot()).toEqual(before);
      expect(client.publish("a", "x".repeat(room + 1))).toBe(0);
      expect(client.publish("a", "x".repeat(room), { qos: 1 })).toBe(1);
    }
  });
});

test("SUBSCRIBE and UNSUBSCRIBE are refused alike", () => {
  const client = connectedWith(64);
  const before = client.snapshot();
  expect(client.subscribe(["f".repeat(40), 0])).toBe(Status.TooLarge);
  expect(client.unsubscribe("f".repeat(40))).toBe(Status.TooLarge);
  expect(client.snapshot()).toEqual(before);
  expect(client.subscribe(["f".repeat(20), 0])).toBe(1);
  const batch = client.batch();
  expect(client.subscribe(["f".repeat(20), 0])).toBe(Status.BufferFull);
  expect(client.unsubscribe("f".repeat(20))).toBe(Status.BufferFull);
  expect(client.batch()).toEqual(batch);
  client.stored();
  expect(client.unsubscribe("f".repeat(20))).toBe(2);
});

describe("poll", () => {
  test("answers None when the journal is full, and takes the next packet after stored [MQTT-4.3.3-2]", () => {
    const client = connectedWith(64, { incomingCount: 40, receiveCapacity: 512 });
    const messages = Array.from({ length: 40 }, (_, index) =>
      packets.publish({ topic: "a", qos: 2, packetId: index + 1, payload: "1" }),
    );
    client.receive(concat(...messages));
    let count = 0;
    for (let round = 0; round < 40 && count < 40; round++) {
      const events = client.pollAll();
      expect(events.length).toBeGreaterThan(0);
      count += events.length;
      expect(client.poll()).toBeUndefined();
      expect(client.storeLength).toBeGreaterThan(0);
      expect(client.storeLength).toBeLessThanOrEqual(64);
      expect(client.call("transmitLength")).toBe(0);
      expect(client.stored()).toBe(Status.Ok);
      client.drain();
    }
    expect(count).toBe(40);
  });

  test("leaves room for a note of almost half the buffer, whatever came in", () => {
    for (const journalCapacity of [64, 65, 100, 512]) {
      const noteLength = Math.floor(journalCapacity / 2) - 4 - 3;
      const client = connectedWith(journalCapacity, { incomingCount: 20 });
      for (let packetId = 1; packetId <= 20; packetId++) {
        const message = packets.publish({ topic: "a", qos: 2, packetId });
        client.receive(message);
        if (client.poll() === undefined) {
          client.keep();
          client.drain();
          expect(client.poll()).toMatchObject({ kind: "Message", packetId });
        }
        expect(Status[client.note("n".repeat(noteLength))]).toBe("Ok");
      }
      client.core.checkGuards();
    }
  });
});

describe("a note", () => {
  test("that is larger than the buffer is TooLarge, one for which there is no room now waits", () => {
    const client = clientWithJournal({ journalCapacity: 64 });
    for (const length of [55, 64, 65, 1000]) {
      expect(client.note("n".repeat(length))).toBe(Status.TooLarge);
    }
    expect(client.call("note", 0, 0xffffffff)).toBeLessThan(0);
    expect(client.storeLength).toBe(0);
    expect(client.note("n".repeat(54))).toBe(Status.Ok);
    const batch = client.batch();
    expect(batch).toHaveLength(64);
    expect(client.note("m")).toBe(Status.BufferFull);
    expect(client.batch()).toEqual(batch);
    client.stored();
    expect(client.note("m")).toBe(Status.Ok);
    client.core.checkGuards();
  });
});

test("when CONNACK lets more messages go than the journal can hold, they go one batch after the other", () => {
  for (const sessionPresent of [false, true]) {
    const client = clientWithJournal({ journalCapacity: 64, transmitCapacity: 2048 });
    client.setLimits(100);
    for (let count = 0; count < 60; count++) {
      if (client.publish("a", "1", { qos: 1 }) !== Status.BufferFull) continue;
      client.keep();
      expect(client.publish("a", "1", { qos: 1 })).toBeGreaterThan(0);
    }
    client.keep();
    client.connect({ cleanSession: false });
    client.drain();
    client.receive(packets.connack(sessionPresent));
    expect(client.pollAll()).toMatchObject([{ kind: "Connected" }]);
    let sentCount = 0;
    for (let round = 0; round < 60 && sentCount < 60; round++) {
      expect(client.call("transmitLength")).toBe(0);
      expect(client.keep().length).toBeGreaterThan(8);
      sentCount += client.sent().length;
    }
    expect(sentCount).toBe(60);
    client.core.checkGuards();
  }
});

test("a window that opens wide beside a message that fills the journal: no byte beside the buffer", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: JOURNAL_CAPACITY_MIN, max: 160 }),
      fc.integer({ min: 1, max: 40 }),
      fc.nat({ max: 130 }),
      fc.boolean(),
      (journalCapacity, waitingCount, length, isSeen) => {
        const client = connectedWith(journalCapacity);
        client.setLimits(1);
        for (let count = 0; count < waitingCount; count++) {
          client.publish("a", "1", { qos: 2 });
          client.keep();
        }
        client.drain();
        client.setLimits(100);
        if (isSeen) client.keep();
        client.publish("a", "x".repeat(length), { qos: 1 });
        expect(client.storeLength).toBeLessThanOrEqual(journalCapacity);
        client.core.checkGuards();
      },
    ),
    { numRuns: 300 },
  );
});

test("the least journal carries a whole conversation, and what it holds is the session", () => {
  const client = clientWithJournal({ journalCapacity: JOURNAL_CAPACITY_MIN });
  const journal = client.beginJournal();
  client.establish({ cleanSession: false });
  for (let packetId = 1; packetId <= 30; packetId++) {
    expect(client.publish("a", "x".repeat(20), { qos: 2 })).toBe(packetId);
    client.drain();
    client.exchange(packets.pubrec(packetId));
    client.exchange(packets.pubcomp(packetId));
    const message = { topic: "a", qos: 2, packetId };
    expect(client.exchange(packets.publish(message)).packets).toHaveLength(1);
    expect(client.exchange(packets.pubrel(packetId)).packets).toHaveLength(1);
  }
  client.connectionLost();
  client.keep();
  const again = restoredFrom(journal, { journalCapacity: JOURNAL_CAPACITY_MIN });
  expect(again.saveImage()).toEqual(client.saveImage());
  expect(again.call("transmitRoom")).toBe(client.call("transmitRoom"));
});
