/** What a durable client depends on is stored before anybody outside can know of it (docs/abi.md, docs/journal.md). */

import { describe, expect, test } from "vitest";
import { Status } from "../../firmware/core/abi.ts";
import { hex, splitPackets } from "../support/bytes.ts";
import { Core, type CoreClient } from "../support/core-client.ts";
import {
  clientWithJournal,
  connectedWithJournal,
  reconnect,
  restoredFrom,
} from "../support/durable.ts";
import * as packets from "../support/server-packets.ts";

/** Feeds whole packets and gives nothing away. */
function take(client: CoreClient, ...bytes: Uint8Array[]): string[] {
  return bytes.flatMap((packet) => {
    client.receive(packet);
    return client.pollAll().map(({ kind }) => kind);
  });
}

/** Stores what is urgent, and whatever comes before. */
function settle(client: CoreClient): void {
  client.keep();
  client.drain();
}

/** Nothing goes before `stored`, these packets after it. */
function expectHeldBack(client: CoreClient, ...expected: string[]): void {
  expect(client.storeLength).toBeGreaterThan(8);
  expect(client.call("transmitLength")).toBe(0);
  expect(client.storeLength).toBe(client.batch().length);
  expect(client.stored()).toBe(Status.Ok);
  expect(client.storeLength).toBe(0);
  expect(client.sent()).toEqual(expected);
}

/** These packets may go, and nothing is urgent. */
function expectFree(client: CoreClient, ...expected: string[]): void {
  expect(client.storeLength).toBe(0);
  expect(client.sent()).toEqual(expected);
}

describe("before it is stored, nothing goes", () => {
  test("of a message at QoS 1 [MQTT-4.3.2-1]", () => {
    const client = connectedWithJournal();
    client.publish("a", "1", { qos: 1 });
    expectHeldBack(client, "32 06 00 01 61 00 01 31");
  });

  test("of a message at QoS 2 [MQTT-4.3.3-1]", () => {
    const client = connectedWithJournal();
    client.publish("a", "1", { qos: 2 });
    expectHeldBack(client, "34 06 00 01 61 00 01 31");
  });

  test("of PUBREL, when PUBREC has come [MQTT-4.3.3-1]", () => {
    const client = connectedWithJournal();
    client.publish("a", "1", { qos: 2 });
    settle(client);
    take(client, packets.pubrec(1));
    expectHeldBack(client, "62 02 00 01");
  });

  test("of PUBREC, when a message at QoS 2 has come [MQTT-4.3.3-2]", () => {
    const client = connectedWithJournal();
    expect(take(client, packets.publish({ topic: "a", qos: 2, packetId: 7 }))).toEqual(["Message"]);
    expectHeldBack(client, "50 02 00 07");
  });

  test("of PUBREC, when a message at QoS 2 was too large for the receive buffer [MQTT-4.3.3-2]", () => {
    const client = connectedWithJournal({ receiveCapacity: 32 });
    const message = packets.publish({ topic: "a", qos: 2, packetId: 7, payload: "x".repeat(50) });
    client.receive(message);
    expect(client.poll()).toMatchObject({ kind: "MessageSkipped" });
    expect(client.storeLength).toBe(0);
    client.pollAll();
    client.receive(message.subarray(32));
    client.pollAll();
    expectHeldBack(client, "50 02 00 07");
  });

  test("of PUBCOMP, when PUBREL has come [MQTT-4.3.3-2]", () => {
    const client = connectedWithJournal();
    take(client, packets.publish({ topic: "a", qos: 2, packetId: 7 }));
    settle(client);
    take(client, packets.pubrel(7));
    expectHeldBack(client, "70 02 00 07");
  });

  test("of SUBSCRIBE and UNSUBSCRIBE", () => {
    const client = connectedWithJournal();
    client.subscribe(["a", 1]);
    expectHeldBack(client, "82 06 00 01 00 01 61 01");
    client.unsubscribe("a");
    expectHeldBack(client, "a2 05 00 02 00 01 61");
  });

  test("of what waited for a session, when CONNACK says that there is none [MQTT-3.2.2-3]", () => {
    const client = clientWithJournal();
    client.publish("a", "1", { qos: 1 });
    client.beginJournal();
    client.journal = undefined;
    client.connect({ cleanSession: false });
    client.drain();
    expect(take(client, packets.connack(false))).toEqual(["Connected"]);
    expectHeldBack(client, "32 06 00 01 61 00 01 31");
  });

  test("of what is sent in a clean session [MQTT-3.1.2-6]", () => {
    const client = clientWithJournal();
    client.connect({ cleanSession: true });
    client.drain();
    client.publish("a", "0");
    take(client, packets.connack(false));
    expectHeldBack(client, "30 04 00 01 61 30");
  });

  test("of a message that waited for the window, when an acknowledgement opens it", () => {
    const client = connectedWithJournal();
    client.setLimits(1);
    client.publish("a", "1", { qos: 1 });
    client.publish("a", "2", { qos: 1 });
    settle(client);
    expect(take(client, packets.puback(1))).toEqual(["Published"]);
    expectHeldBack(client, "32 06 00 01 61 00 02 32");
  });

  test("of PUBACK, when the embedder gave a note of the message [MQTT-4.3.2-2]", () => {
    const client = connectedWithJournal();
    expect(take(client, packets.publish({ topic: "a", qos: 1, packetId: 7 }))).toEqual(["Message"]);
    expect(client.note("taken")).toBe(Status.Ok);
    expectHeldBack(client, "40 02 00 07");
  });

  test("of what else may go, and of the rest of a packet that has gone in part", () => {
    const client = connectedWithJournal();
    client.publish("a", "0");
    client.call("transmitted", 2, 0);
    client.publish("a", "1", { qos: 1 });
    expect(client.call("transmitLength")).toBe(0);
    expect(client.call("transmitted", 1, 0)).toBe(Status.InvalidArgument);
    client.keep();
    expect(hex(client.drain())).toBe("00 01 61 30 32 06 00 01 61 00 01 31");
  });

  test("of PINGREQ and DISCONNECT behind it", () => {
    const client = connectedWithJournal();
    client.note("x");
    client.wait(59_000);
    client.disconnect();
    expectHeldBack(client, "c0 00", "e0 00");
  });

  test("except CONNECT, which depends on nothing", () => {
    const client = clientWithJournal();
    client.publish("a", "1", { qos: 1 });
    client.connect({ cleanSession: false });
    expect(client.storeLength).toBeGreaterThan(0);
    expect(client.sent()).toEqual(["10 0d 00 04 4d 51 54 54 04 00 00 3c 00 01 74"]);
  });
});

describe("nothing is urgent, and it goes at once", () => {
  test("a message at QoS 0 [MQTT-4.3.1-1]", () => {
    const client = connectedWithJournal();
    client.publish("a", "0");
    expectFree(client, "30 04 00 01 61 30");
  });

  test("PUBACK of a message of which the embedder notes nothing", () => {
    const client = connectedWithJournal();
    take(client, packets.publish({ topic: "a", qos: 1, packetId: 7 }));
    expectFree(client, "40 02 00 07");
  });

  test("PUBREC of a message that was taken before, PUBCOMP of an unknown identifier", () => {
    const client = connectedWithJournal();
    const message = { topic: "a", qos: 2, packetId: 7 };
    take(client, packets.publish(message));
    settle(client);
    expect(take(client, packets.publish({ ...message, dup: true }))).toEqual([]);
    expectFree(client, "50 02 00 07");
    take(client, packets.pubrel(9));
    expectFree(client, "70 02 00 09");
  });

  test("what goes again with Session Present [MQTT-4.4.0-1]", () => {
    const client = connectedWithJournal();
    client.publish("a", "1", { qos: 1 });
    client.publish("a", "2", { qos: 2 });
    client.subscribe(["a", 1]);
    settle(client);
    take(client, packets.pubrec(2));
    settle(client);
    client.connectionLost();
    client.connect({ cleanSession: false });
    client.drain();
    take(client, packets.connack(true));
    expectFree(client, "3a 06 00 01 61 00 01 31", "82 06 00 03 00 01 61 01", "62 02 00 02");
  });

  test("anything of a client without a journal", () => {
    const client = clientWithJournal({ journalCapacity: 0 });
    client.connect({ cleanSession: false });
    client.drain();
    take(client, packets.connack(false));
    client.publish("a", "1", { qos: 2 });
    expectFree(client, "34 06 00 01 61 00 01 31");
    expect(client.note("x")).toBe(Status.WrongState);
  });
});

describe("that an exchange is complete", () => {
  function withTwoAcknowledged(): CoreClient {
    const client = connectedWithJournal();
    client.publish("a", "1", { qos: 1 });
    client.publish("a", "2", { qos: 2 });
    settle(client);
    take(client, packets.pubrec(2));
    settle(client);
    expect(take(client, packets.puback(1), packets.pubcomp(2))).toEqual(["Published", "Published"]);
    return client;
  }

  test("is not urgent by itself", () => {
    expectFree(withTwoAcknowledged());
  });

  test("is stored with what comes next", () => {
    const client = withTwoAcknowledged();
    client.publish("a", "3", { qos: 1 });
    expect(recordsIn(client)).toEqual(["40 02 00 01", "40 02 00 02", "3a 06 00 01 61 00 03 33"]);
  });

  test("is urgent when the connection is lost", () => {
    const client = withTwoAcknowledged();
    client.connectionLost();
    expect(recordsIn(client)).toEqual(["40 02 00 01", "40 02 00 02"]);
    expect(client.stored()).toBe(Status.Ok);
    client.connectionLost();
    expect(client.storeLength).toBe(0);
  });

  test("of SUBSCRIBE and UNSUBSCRIBE as well", () => {
    const client = connectedWithJournal();
    client.subscribe(["a", 1]);
    client.unsubscribe("a");
    settle(client);
    take(client, packets.suback(1, 1), packets.unsuback(2));
    expectFree(client);
    client.connectionLost();
    expect(recordsIn(client)).toEqual(["40 02 00 01", "40 02 00 02"]);
  });
});

/** The records of the batch that is to be stored; its checksum is not looked at. */
function recordsIn(client: CoreClient): string[] {
  return splitPackets(client.batch().slice(8)).map(hex);
}

describe("the calls too often", () => {
  test("storeLength and storeAt show the same batch until something is added", () => {
    const client = connectedWithJournal();
    client.publish("a", "1", { qos: 1 });
    const first = client.batch();
    expect(client.batch()).toEqual(first);
    client.publish("a", "2", { qos: 1 });
    expect(client.batch().length).toBe(first.length + 8);
  });

  test("stored without a batch changes nothing", () => {
    const client = connectedWithJournal();
    client.publish("a", "1", { qos: 1 });
    const before = client.batch();
    client.stored();
    const idle = client.snapshot();
    expect(client.stored()).toBe(Status.Ok);
    expect(client.snapshot()).toEqual(idle);
    client.publish("a", "2", { qos: 1 });
    expect(client.stored()).toBe(Status.Ok);
    expect(client.storeLength).toBe(before.length);
  });

  test("a batch that was sealed before an image took its place is not taken for the next one", () => {
    const client = connectedWithJournal();
    client.publish("a", "1", { qos: 1 });
    client.batch();
    client.beginJournal(3);
    client.publish("a", "2", { qos: 1 });
    client.stored();
    expect(client.storeLength).toBeGreaterThan(0);
  });

  test("stored of what lies beyond the memory is refused", () => {
    const client = connectedWithJournal();
    client.publish("a", "1", { qos: 1 });
    const before = client.snapshot();
    for (const at of [client.core.memory.length - 4, client.core.memory.length, 0xfffffffc]) {
      expect(client.call("stored", at)).toBe(Status.InvalidArgument);
    }
    expect(client.snapshot()).toEqual(before);
  });
});

describe("a note", () => {
  test("is in the same batch as what it belongs to, and the last one counts", () => {
    const client = connectedWithJournal();
    const journal = [client.saveImage()];
    client.beginJournal(1);
    client.journal = journal;
    client.receive(packets.publish({ topic: "a", qos: 2, packetId: 7 }));
    client.pollAll();
    client.note("first");
    client.note("last");
    expect(client.keep().length).toBe(8 + 4 + 7 + 6);
    const again = new Core().client({ journalCapacity: 512 });
    again.setClientId("t");
    expect(again.restore(journal[0] ?? new Uint8Array())).toBe(Status.Ok);
    expect(again.restoredNote).toBeUndefined();
    expect(again.restore(journal[1] ?? new Uint8Array())).toBe(Status.Ok);
    expect(again.restoredNote).toEqual(new TextEncoder().encode("last"));
  });

  test("is urgent at any time, with nothing to go", () => {
    const client = clientWithJournal();
    client.note("x");
    expect(client.storeLength).toBe(8 + 3);
  });

  test("comes back from an image that is given it", () => {
    const client = clientWithJournal();
    client.note("old");
    const journal = client.beginJournal(2, "given");
    expect(client.storeLength).toBe(0);
    const again = clientWithJournal();
    expect(again.restore(journal[0] ?? new Uint8Array())).toBe(Status.Ok);
    expect(again.restoredNote).toEqual(new TextEncoder().encode("given"));
  });

  test("beyond the memory is refused", () => {
    const client = clientWithJournal();
    const end = client.core.memory.length;
    expect(client.call("note", end - 2, 3)).toBe(Status.InvalidArgument);
    expect(client.call("note", 0xfffffff0, 0x20)).toBe(Status.InvalidArgument);
    expect(client.storeLength).toBe(0);
  });
});

test("a session that was stored before each byte went goes on where it was", () => {
  const client = connectedWithJournal();
  const journal = client.beginJournal();
  client.publish("a", "1", { qos: 1 });
  client.publish("a", "2", { qos: 2 });
  client.drain();
  client.exchange(packets.pubrec(2));
  const again = restoredFrom(journal);
  const { events, packets: sent } = reconnect(again);
  expect(events).toEqual([{ kind: "Connected", sessionPresent: true }]);
  expect(sent).toEqual(["3a 06 00 01 61 00 01 31", "62 02 00 02"]);
  again.core.checkGuards();
});
