/** Sessions across connections, beyond what the vectors show (MQTT 3.1.1, 4.1, 4.3 and 4.4). */

import { describe, expect, test } from "vitest";
import { Status } from "../../firmware/core/abi.ts";
import { Core, type CoreClient } from "../support/core-client.ts";
import { connack, puback, pubcomp, pubrec } from "../support/server-packets.ts";

/** Connects on a new connection, takes in CONNACK and gives what is sent behind CONNECT. */
function reconnect(client: CoreClient, sessionPresent: boolean) {
  expect(client.connectionLost()).toBe(0);
  expect(client.connect({ cleanSession: false })).toBe(0);
  client.drain();
  return client.exchange(connack(sessionPresent));
}

function clientWithSession(): CoreClient {
  const client = new Core().client();
  client.setClientId("t");
  client.establish({ cleanSession: false });
  return client;
}

describe("with Session Present", () => {
  test("PUBLISH and PUBREL go again together, each once, on every further connection [MQTT-4.4.0-1]", () => {
    const client = clientWithSession();
    client.publish("a", "1", { qos: 2 });
    client.publish("a", "2", { qos: 1 });
    client.publish("a", "3", { qos: 2 });
    client.drain();
    client.exchange(pubrec(1));
    for (let connection = 0; connection < 3; connection++) {
      const { events, packets } = reconnect(client, true);
      expect(events).toEqual([{ kind: "Connected", sessionPresent: true }]);
      expect(packets).toEqual([
        "3a 06 00 01 61 00 02 32",
        "3c 06 00 01 61 00 03 33",
        "62 02 00 01",
      ]);
    }
    expect(client.call("inflightCount")).toBe(3);
  });

  test("nothing goes before CONNACK has come [MQTT-3.1.0-1]", () => {
    const client = clientWithSession();
    client.publish("a", "1", { qos: 1 });
    client.drain();
    client.connectionLost();
    client.connect({ cleanSession: false });
    expect(client.sent()).toEqual(["10 0d 00 04 4d 51 54 54 04 00 00 3c 00 01 74"]);
    expect(client.sent()).toEqual([]);
  });

  test("what was published while away goes behind what goes again [MQTT-4.6.0-1]", () => {
    const client = clientWithSession();
    client.publish("a", "1", { qos: 1 });
    client.drain();
    client.connectionLost();
    client.publish("a", "2", { qos: 1 });
    expect(reconnect(client, true).packets).toEqual([
      "3a 06 00 01 61 00 01 31",
      "32 06 00 01 61 00 02 32",
    ]);
  });

  test("messages that the window held back go without DUP, behind what goes again [MQTT-4.6.0-1]", () => {
    const client = clientWithSession();
    client.setLimits(2);
    for (const payload of ["1", "2", "3", "4"]) client.publish("a", payload, { qos: 1 });
    expect(client.sent()).toHaveLength(2);
    expect(reconnect(client, true).packets).toEqual([
      "3a 06 00 01 61 00 01 31",
      "3a 06 00 01 61 00 02 32",
    ]);
    expect(client.exchange(puback(1)).packets).toEqual(["32 06 00 01 61 00 03 33"]);
    expect(client.exchange(puback(2)).packets).toEqual(["32 06 00 01 61 00 04 34"]);
  });

  test("an acknowledgement on the new connection ends a message of the old one [MQTT-2.3.1-3]", () => {
    const client = clientWithSession();
    client.publish("a", "1", { qos: 2 });
    client.drain();
    reconnect(client, true);
    client.exchange(pubrec(1));
    expect(client.exchange(pubcomp(1)).events).toEqual([
      { kind: "Published", packetId: 1, qos: 2 },
    ]);
    expect(reconnect(client, true).packets).toEqual([]);
  });

  test("a record that was never connected accepts a session that the server kept [MQTT-3.1.2-4]", () => {
    const client = new Core().client();
    client.setClientId("t");
    expect(reconnect(client, true).events).toEqual([{ kind: "Connected", sessionPresent: true }]);
  });
});

describe("without Session Present", () => {
  test("what was sent and acknowledged is not reported [MQTT-3.2.2-3]", () => {
    const client = clientWithSession();
    client.publish("a", "1", { qos: 1 });
    client.drain();
    client.exchange(puback(1));
    const { events, packets } = reconnect(client, false);
    expect(events).toEqual([{ kind: "Connected", sessionPresent: false }]);
    expect(packets).toEqual([]);
  });

  test("the reports come one a poll, Connected last, and nothing is sent before it", () => {
    const client = clientWithSession();
    client.publish("a", "1", { qos: 1 });
    client.publish("b", "2", { qos: 2 });
    client.drain();
    client.connectionLost();
    client.publish("c", "3", { qos: 1 });
    client.connect({ cleanSession: false });
    client.drain();
    client.receive(connack(false));
    expect(client.poll()).toMatchObject({ kind: "Dropped", packetId: 1, topic: "a", payload: "1" });
    expect(client.call("transmitLength")).toBe(0);
    expect(client.poll()).toMatchObject({ kind: "Dropped", packetId: 2, topic: "b", payload: "2" });
    expect(client.call("transmitLength")).toBe(0);
    expect(client.poll()).toEqual({ kind: "Connected", sessionPresent: false });
    expect(client.poll()).toBeUndefined();
    expect(client.sent()).toEqual(["32 06 00 01 63 00 03 33"]);
    expect(client.call("inflightCount")).toBe(1);
  });

  test("a message that is requeued goes as a new one, in its place, without DUP [MQTT-4.3.2-1]", () => {
    const client = clientWithSession();
    for (const payload of ["1", "2", "3"]) client.publish("a", payload, { qos: 1 });
    client.drain();
    client.connectionLost();
    client.publish("a", "4", { qos: 1 });
    client.connect({ cleanSession: false });
    client.drain();
    client.receive(connack(false));
    expect(client.poll()).toMatchObject({ kind: "Dropped", payload: "1" });
    expect(client.call("requeue")).toBe(0);
    expect(client.poll()).toMatchObject({ kind: "Dropped", payload: "2" });
    expect(client.poll()).toMatchObject({ kind: "Dropped", payload: "3" });
    expect(client.call("requeue")).toBe(0);
    expect(client.poll()).toEqual({ kind: "Connected", sessionPresent: false });
    const sent = client.sent();
    expect(sent.map((packet) => packet.slice(-2))).toEqual(["31", "33", "34"]);
    expect(sent.every((packet) => packet.startsWith("32 "))).toBe(true);
    expect(client.call("inflightCount")).toBe(3);
    expect(client.exchange(puback(1)).events).toEqual([{ kind: "Published", packetId: 1, qos: 1 }]);
  });

  test("requeue is for the message that was just reported, once", () => {
    const client = clientWithSession();
    expect(client.call("requeue")).toBe(Status.WrongState);
    client.publish("a", "1", { qos: 1 });
    client.drain();
    client.connectionLost();
    client.connect({ cleanSession: false });
    client.drain();
    client.receive(connack(false));
    expect(client.poll()?.kind).toBe("Dropped");
    expect(client.call("requeue")).toBe(0);
    expect(client.call("requeue")).toBe(Status.WrongState);
    expect(client.poll()?.kind).toBe("Connected");
    expect(client.call("requeue")).toBe(Status.WrongState);
  });

  test("a PUBREL cannot be requeued: the server had taken its message over", () => {
    const client = clientWithSession();
    client.publish("a", "1", { qos: 2 });
    client.drain();
    client.exchange(pubrec(1));
    client.connectionLost();
    client.connect({ cleanSession: false });
    client.drain();
    client.receive(connack(false));
    expect(client.poll()).toMatchObject({ kind: "Dropped", packetId: 1, topic: "" });
    expect(client.call("requeue")).toBe(Status.WrongState);
    expect(client.pollAll()).toEqual([{ kind: "Connected", sessionPresent: false }]);
    expect(client.sent()).toEqual([]);
    expect(client.call("inflightCount")).toBe(0);
  });

  test("a connection that is lost between two reports reports the rest on the next one", () => {
    const client = clientWithSession();
    for (const payload of ["1", "2", "3"]) client.publish("a", payload, { qos: 1 });
    client.drain();
    client.connectionLost();
    client.connect({ cleanSession: false });
    client.drain();
    client.receive(connack(false));
    expect(client.poll()).toMatchObject({ kind: "Dropped", payload: "1" });
    expect(client.poll()).toMatchObject({ kind: "Dropped", payload: "2" });
    const { events } = reconnect(client, false);
    const payloads = events.map((event) => ("payload" in event ? event.payload : event.kind));
    expect(payloads.slice(-2)).toEqual(["3", "Connected"]);
    expect(payloads).not.toContain("1");
    expect(client.call("inflightCount")).toBe(0);
  });

  test("what was requeued and not sent goes on the connection after the next", () => {
    const client = clientWithSession();
    client.publish("a", "1", { qos: 1 });
    client.drain();
    client.connectionLost();
    client.connect({ cleanSession: false });
    client.drain();
    client.receive(connack(false));
    client.poll();
    client.call("requeue");
    const { events, packets } = reconnect(client, false);
    expect(events).toEqual([{ kind: "Connected", sessionPresent: false }]);
    expect(packets).toEqual(["32 06 00 01 61 00 01 31"]);
  });

  test.each([false, true])(
    "a full outbox refuses meanwhile, and stays as it is (requeued: %s)",
    (isRequeued) => {
      const client = new Core().client({ transmitCapacity: 64 });
      client.setClientId("t");
      client.setLimits(16, "DropOldestQos0");
      client.establish({ cleanSession: false });
      client.publish("a", "1", { qos: 1 });
      client.publish("a", "2", { qos: 2 });
      client.drain();
      client.connectionLost();
      for (const payload of ["3", "4", "5", "6"]) client.publish("a", payload);
      client.connect({ cleanSession: false });
      client.drain();
      client.receive(connack(false));
      expect(client.poll()).toMatchObject({ kind: "Dropped", payload: "1" });
      expect(client.publish("a", "x".repeat(14))).toBe(Status.BufferFull);
      if (isRequeued) expect(client.call("requeue")).toBe(Status.Ok);
      expect(client.pollAll()).toMatchObject([
        { kind: "Dropped", payload: "2" },
        { kind: "Connected", sessionPresent: false },
      ]);
      const payloads = client.sent().map((packet) => packet.slice(-2));
      expect(payloads).toEqual([...(isRequeued ? ["31"] : []), "33", "34", "35", "36"]);
      expect(client.call("inflightCount")).toBe(isRequeued ? 1 : 0);
    },
  );

  test("what was published while the reports were given is sent [MQTT-3.1.2-6]", () => {
    const client = clientWithSession();
    client.publish("a", "1", { qos: 1 });
    client.drain();
    client.connectionLost();
    client.connect({ cleanSession: false });
    client.drain();
    client.receive(connack(false));
    client.poll();
    expect(client.publish("b", "2", { qos: 1 })).toBeGreaterThan(0);
    expect(client.publish("c", "3")).toBe(0);
    expect(client.pollAll()).toEqual([{ kind: "Connected", sessionPresent: false }]);
    expect(client.sent().map((packet) => packet.slice(-2))).toEqual(["32", "33"]);
  });
});

test("no message is sent twice on one connection, whatever time passes [sec-4.4]", () => {
  const client = clientWithSession();
  client.publish("a", "1", { qos: 1 });
  client.publish("a", "2", { qos: 2 });
  client.drain();
  for (let hour = 0; hour < 2000; hour++) {
    expect(client.wait(3_600_000)).toBeUndefined();
    expect(client.sent().filter((packet) => packet !== "c0 00")).toEqual([]);
    client.exchange(Uint8Array.of(0xd0, 0));
  }
});

test("the session is that of one client identifier: the record goes on with the one it has [MQTT-3.1.3-2]", () => {
  const client = clientWithSession();
  client.publish("a", "1", { qos: 1 });
  client.drain();
  client.connectionLost();
  client.connect({ cleanSession: false });
  expect(client.sent()).toEqual(["10 0d 00 04 4d 51 54 54 04 00 00 3c 00 01 74"]);
});

describe("state that the server cannot have any more", () => {
  function clientWithUnacknowledged(cleanSession: boolean): CoreClient {
    const client = new Core().client();
    client.setClientId("t");
    client.establish({ cleanSession });
    client.publish("a", "1", { qos: 2 });
    client.publish("a", "2", { qos: 2 });
    client.drain();
    return client;
  }

  test("of a clean session is not reused, even if the next CONNACK has Session Present [MQTT-3.1.2-6]", () => {
    const client = clientWithUnacknowledged(true);
    const { events, packets } = reconnect(client, true);
    expect(events.map(({ kind }) => kind)).toEqual(["Dropped", "Dropped", "Connected"]);
    expect(events.at(-1)).toEqual({ kind: "Connected", sessionPresent: true });
    expect(packets).toEqual([]);
    expect(reconnect(client, true).events.map(({ kind }) => kind)).toEqual(["Connected"]);
  });

  test("stays lost if the connection ends in the middle of the report [MQTT-3.2.2-3]", () => {
    const client = clientWithUnacknowledged(false);
    client.connectionLost();
    client.connect({ cleanSession: false });
    client.drain();
    client.receive(connack(false));
    expect(client.poll()).toMatchObject({ kind: "Dropped", packetId: 1 });
    const { events, packets } = reconnect(client, true);
    expect(events.map(({ kind }) => kind)).toEqual(["Dropped", "Dropped", "Connected"]);
    expect(packets).toEqual([]);
  });
});
