/** The transport may take any part of a packet, and the connection may end within one (ABI: Bytes out). */

import { describe, expect, test } from "vitest";
import { concat, hex, splitPackets } from "../support/bytes.ts";
import { ClientStream } from "../support/client-stream.ts";
import { Core, type CoreClient } from "../support/core-client.ts";
import { connack, puback, publish, pubrec } from "../support/server-packets.ts";

/** Gives away exactly `length` bytes, which must be there. */
function give(client: CoreClient, length: number): Uint8Array {
  expect(client.call("transmitLength")).toBeGreaterThanOrEqual(length);
  const bytes = client.core.bytes(client.call("transmitAt"), length);
  expect(client.call("transmitted", length, client.nowMs)).toBe(0);
  return bytes;
}

function connected(): CoreClient {
  const client = new Core().client();
  client.setClientId("t");
  client.establish({ cleanSession: false });
  return client;
}

/** What goes behind CONNECT on a new connection with Session Present. */
function resent(client: CoreClient): string[] {
  client.connectionLost();
  client.connect({ cleanSession: false });
  expect(client.sent()).toEqual(["10 0d 00 04 4d 51 54 54 04 00 00 3c 00 01 74"]);
  return client.exchange(connack(true)).packets;
}

describe("the connection is lost after n bytes", () => {
  test("of CONNECT: the next connection starts with a whole one [MQTT-3.1.0-1]", () => {
    for (let length = 0; length <= 15; length++) {
      const client = new Core().client();
      client.setClientId("t");
      client.connect({ cleanSession: false });
      give(client, length);
      expect(resent(client)).toEqual([]);
    }
  });

  test("of several messages: QoS 1 and 2 go again in order, DUP if a byte had gone [MQTT-4.4.0-1] [MQTT-3.3.1-1] [MQTT-4.6.0-1]", () => {
    const first = ["32 06 00 01 61 00 01 31", "30 04 00 01 62 32", "34 06 00 01 63 00 02 33"];
    const again = ["3a 06 00 01 61 00 01 31", "30 04 00 01 62 32", "3c 06 00 01 63 00 02 33"];
    const starts = [0, 8, 14, 22];
    for (let length = 0; length <= 22; length++) {
      const client = connected();
      client.publish("a", "1", { qos: 1 });
      client.publish("b", "2");
      client.publish("c", "3", { qos: 2 });
      give(client, length);
      const expected = first.flatMap((packet, index) => {
        const hasBegun = length > (starts[index] ?? 0);
        if (hasBegun && index === 1) return [];
        return [hasBegun ? (again[index] ?? "") : packet];
      });
      expect(resent(client), `after ${length} bytes`).toEqual(expected);
    }
  });

  test("of PUBREL: it goes again, whole [MQTT-4.4.0-1] [MQTT-3.6.1-1]", () => {
    for (let length = 0; length <= 4; length++) {
      const client = connected();
      client.publish("a", "1", { qos: 2 });
      client.drain();
      client.receive(pubrec(1));
      client.pollAll();
      give(client, length);
      expect(resent(client)).toEqual(["62 02 00 01"]);
    }
  });

  test("of PUBACK, PUBREC, SUBSCRIBE, PINGREQ and DISCONNECT: they do not go again [sec-4.4]", () => {
    const count = 4 + 4 + 8 + 2 + 2;
    for (let length = 0; length <= count; length++) {
      const client = connected();
      client.receive(publish({ topic: "a", qos: 1, packetId: 1 }));
      client.receive(publish({ topic: "a", qos: 2, packetId: 2 }));
      client.pollAll();
      client.subscribe(["a", 0]);
      client.wait(60_000);
      client.disconnect();
      give(client, Math.min(length, client.call("transmitLength")));
      expect(resent(client), `after ${length} bytes`).toEqual([]);
    }
  });
});

describe("the transport takes n bytes and then", () => {
  const actions: { [name: string]: (client: CoreClient) => void } = {
    "a message is published": (client) => {
      client.publish("c", "3", { qos: 1 });
    },
    "a filter is subscribed": (client) => {
      client.subscribe(["c", 1]);
    },
    "a message is received at QoS 1": (client) => {
      client.receive(publish({ topic: "d", qos: 1, packetId: 9 }));
      client.pollAll();
    },
    "a message is received at QoS 2": (client) => {
      client.receive(publish({ topic: "d", qos: 2, packetId: 9 }));
      client.pollAll();
    },
    "the client disconnects": (client) => {
      client.disconnect();
    },
  };

  test.each(Object.keys(actions))("%s: no packet is torn apart, none is lost", (name) => {
    const reference = splitPackets(streamWith(name, 0)).map(hex).sort();
    for (let length = 1; length <= 14; length++) {
      const stream = streamWith(name, length);
      new ClientStream().read(stream);
      expect(splitPackets(stream).map(hex).sort(), `after ${length} bytes`).toEqual(reference);
    }
  });

  /** All bytes of a connection on which the action happens when `length` bytes of two messages have gone. */
  function streamWith(name: string, length: number): Uint8Array {
    const client = new Core().client({ transmitCapacity: 80 });
    client.setClientId("t");
    client.setLimits(1);
    client.connect();
    const connect = client.drain();
    client.exchange(connack());
    client.publish("a", "1", { qos: 1 });
    client.publish("b", "2", { qos: 1 });
    client.publish("b", "3");
    const before = give(client, Math.min(length, client.call("transmitLength")));
    actions[name]?.(client);
    const after = client.drain();
    if (client.state !== "Connected") return concat(connect, before, after);
    client.receive(puback(1));
    client.pollAll();
    return concat(connect, before, after, client.drain());
  }
});

test("a message that was acknowledged makes room although the next one is half sent", () => {
  const client = new Core().client({ transmitCapacity: 64 });
  client.setClientId("t");
  client.establish();
  client.publish("a", "x".repeat(16), { qos: 1 });
  client.publish("b", "y".repeat(17));
  const first = give(client, 23 + 5);
  expect(client.publish("c", "z".repeat(10))).toBe(-4);
  client.receive(puback(1));
  client.pollAll();
  expect(client.publish("c", "z".repeat(10))).toBe(0);
  expect(splitPackets(concat(first, client.drain())).map(hex)).toEqual([
    hex(publish({ topic: "a", payload: "x".repeat(16), qos: 1, packetId: 1 })),
    hex(publish({ topic: "b", payload: "y".repeat(17) })),
    hex(publish({ topic: "c", payload: "z".repeat(10) })),
  ]);
});

test("transmitted with more than there is changes nothing", () => {
  const client = connected();
  client.publish("a", "1");
  const before = client.snapshot();
  expect(client.call("transmitted", 7, 0)).toBe(-1);
  expect(client.call("transmitted", 0xffffffff, 0)).toBe(-1);
  expect(client.snapshot()).toEqual(before);
  expect(client.sent()).toEqual(["30 04 00 01 61 31"]);
});

test("a server that accepts before it has the whole CONNECT is refused [MQTT-3.1.0-1]", () => {
  const client = new Core().client();
  client.setClientId("t");
  client.connect();
  client.publish("a", "1");
  const first = give(client, 7);
  client.receive(connack());
  const [event] = client.pollAll();
  if (event?.kind === "Failed") return;
  const stream = concat(first, client.drain());
  expect(new ClientStream().read(stream).map(({ type }) => type)).toEqual(["CONNECT", "PUBLISH"]);
});
