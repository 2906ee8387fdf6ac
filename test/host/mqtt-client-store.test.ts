/** What MqttClient makes of a store: a session that outlives it, and notes that belong to what happened. */

import { once } from "node:events";
import { afterEach, describe, expect, test, vi } from "vitest";
import { MqttClient, type MqttClientOptions } from "../../host/src/client/mqtt-client.ts";
import { StoreError } from "../../host/src/store/store-errors.ts";
import { ListStore } from "../support/list-store.ts";
import { type Conversation, scriptedServer } from "../support/scripted-server.ts";
import { connack, puback, pubcomp, publish, pubrec, pubrel } from "../support/server-packets.ts";

const ends: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function serverWith(...scripts: ((talk: Conversation) => Promise<void>)[]): Promise<string> {
  const server = await scriptedServer(async (talk) => {
    await talk.expect("CONNECT");
    await scripts[talk.index]?.(talk);
  });
  ends.push(() => server.close());
  return server.url;
}

function clientFor(options: MqttClientOptions): MqttClient {
  const client = new MqttClient({
    clientId: "keeper",
    cleanSession: false,
    reconnect: false,
    ...options,
  });
  ends.push(async () => client.abort());
  return client;
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (value: string) => new TextEncoder().encode(value);

describe("a session that outlives its client", () => {
  test("PUBLISH goes again with DUP and its identifier, PUBREL as PUBREL, what was never sent without DUP [MQTT-4.4.0-1]", async () => {
    const ids: number[] = [];
    const url = await serverWith(
      async (talk) => {
        talk.send(connack(false));
        for (let count = 0; count < 2; count++) ids.push((await talk.expect("PUBLISH")).packetId);
        talk.send(pubrec(ids[1] ?? 0));
        await talk.expect("PUBREL");
        talk.end();
      },
      async (talk) => {
        talk.send(connack(true));
        const packets = [
          await talk.expect("PUBLISH"),
          await talk.expect("PUBREL"),
          await talk.expect("PUBLISH"),
        ];
        expect(packets).toMatchObject([
          { dup: true, packetId: ids[0], topic: "first" },
          { packetId: ids[1] },
          { dup: false, topic: "third" },
        ]);
        for (const packet of packets.slice(1)) talk.send(pubcomp(packet.packetId));
        talk.send(puback(ids[0] ?? 0));
        talk.end();
      },
    );
    const store = new ListStore();
    const first = clientFor({ url, store });
    await first.connect();
    const lost = once(first, "disconnected");
    const answers = [
      first.publish("first", "1", { qos: 1 }),
      first.publish("second", "2", { qos: 2 }),
    ];
    await lost;
    await Promise.allSettled(answers);

    // A second life dies before it has a connection.
    const second = clientFor({ url: "mqtt://127.0.0.1:1", store });
    await expect(second.connect()).rejects.toThrow();
    second.publish("third", "3", { qos: 2 }).catch(() => {});
    await vi.waitFor(() => expect(store.records.at(-1)).toContain("3"));
    second.abort();

    const third = clientFor({ url, store });
    const restored = once(third, "restored");
    expect(await third.connect()).toEqual({ sessionPresent: true });
    expect(await restored).toMatchObject([{ note: new Uint8Array(0) }]);
    await once(third, "disconnected");
  });

  test("an incoming QoS 2 message is not told twice, whichever life it comes to [MQTT-4.3.3-2]", async () => {
    const message = { topic: "t", qos: 2, packetId: 7, payload: "once" } as const;
    const url = await serverWith(
      async (talk) => {
        talk.send(connack(false), publish(message));
        await talk.expect("PUBREC");
        talk.end();
      },
      async (talk) => {
        talk.send(connack(true), publish({ ...message, dup: true }));
        await talk.expect("PUBREC");
        talk.send(pubrel(7));
        await talk.expect("PUBCOMP");
        talk.send(publish({ ...message, payload: "again" }));
        await talk.expect("PUBREC");
        talk.end();
      },
    );
    const store = new ListStore();
    const told: string[] = [];
    for (let life = 0; life < 2; life++) {
      const client = clientFor({ url, store });
      client.on("message", ({ payload }) => told.push(text(payload)));
      const lost = once(client, "disconnected");
      await client.connect();
      await lost;
    }
    expect(told).toEqual(["once", "again"]);
  });
});

describe("a note", () => {
  test("is stored in one batch with its message, and comes back", async () => {
    const url = await serverWith(async (talk) => {
      talk.send(connack(false), publish({ topic: "t", qos: 2, packetId: 7, payload: "5" }));
      await talk.expect("PUBREC");
      talk.end();
    });
    const store = new ListStore();
    const client = clientFor({ url, store });
    client.on("message", ({ payload }) => client.keepNote(payload));
    await client.connect();
    await once(client, "disconnected");
    expect(store.records.at(-1)).toBe("50 02 00 07 f0 01 35");

    const next = clientFor({ url: "mqtt://127.0.0.1:1", store });
    const restored = once(next, "restored");
    await expect(next.connect()).rejects.toThrow();
    expect(await restored).toEqual([{ note: bytes("5") }]);
  });

  test("is one with its message even if the listener publishes before, and the outbox is full", async () => {
    const url = await serverWith(async (talk) => {
      talk.send(connack(false));
      for (let count = 0; count < 4; count++) await talk.expect("PUBLISH");
      talk.send(publish({ topic: "t", qos: 2, packetId: 7, payload: "5" }));
      await talk.expect("PUBREC");
      talk.end();
    });
    const store = new ListStore();
    const client = clientFor({ url, store, capacities: { transmit: 256 } });
    client.on("message", ({ payload }) => {
      expect(client.tryPublish("answer", "y".repeat(100), { qos: 2 })).toBe(false);
      client.keepNote(payload);
    });
    await client.connect();
    for (let count = 0; count < 4; count++) client.tryPublish("x", "z".repeat(50), { qos: 2 });
    await once(client, "disconnected");
    expect(store.records.at(-1)).toBe("50 02 00 07 f0 01 35");
  });

  test("that is too large is refused, and so is one without a store", async () => {
    const url = await serverWith(async (talk) => talk.send(connack(false)));
    const client = clientFor({ url, store: new ListStore() });
    expect(() => client.keepNote(bytes("early"))).toThrow("has not begun");
    await client.connect();
    expect(() => client.keepNote(new Uint8Array(20_000))).toThrow("larger than");
    client.keepNote(new Uint8Array(8_000));

    const without = clientFor({ url });
    expect(() => without.keepNote(bytes("lost"))).toThrow("has none");
  });
});

describe("a store that fails", () => {
  const full = new StoreError("full", "There is no room", "Make some");

  test("ends the client, and nothing that was not stored has gone", async () => {
    let hasMore = false;
    const url = await serverWith(async (talk) => {
      talk.send(connack(false));
      await talk.next().then(
        () => {
          hasMore = true;
        },
        () => {},
      );
    });
    const store = new ListStore();
    const client = clientFor({ url, store });
    await client.connect();
    await vi.waitFor(() => expect(store.batches.length).toBeGreaterThan(1)); // the session has begun
    store.failure = full;
    const over = once(client, "disconnected");
    await expect(client.publish("t", "1", { qos: 1 })).rejects.toThrow();
    expect(await over).toMatchObject([{ reason: full, reconnectInMs: undefined }]);
    expect(client.isConnected).toBe(false);
    expect(hasMore).toBe(false);
  });

  test("with another client's session: connect rejects, and the store is left as it is", async () => {
    const url = await serverWith(async (talk) => talk.send(connack(false)));
    const store = new ListStore();
    await clientFor({ url, store }).connect();
    const before = store.read();
    const other = clientFor({ url, store, clientId: "somebody else" });
    await expect(other.connect()).rejects.toMatchObject({ name: "StoreError", failure: "foreign" });
    expect(store.read()).toEqual(before);
  });

  test("with a session that does not fit: connect rejects", async () => {
    const url = await serverWith(async (talk) => talk.send(connack(false)));
    const store = new ListStore();
    const large = clientFor({ url, store });
    await large.connect();
    large.publish("t", "x".repeat(500), { qos: 1 }).catch(() => {});
    await vi.waitFor(() => expect(store.records.at(-1)?.length).toBeGreaterThan(500));
    large.abort();
    const small = clientFor({ url, store, capacities: { transmit: 256 } });
    await expect(small.connect()).rejects.toMatchObject({ failure: "failed" });
  });
});

test.each<[string, MqttClientOptions]>([
  ["must be kept by the broker as well", { cleanSession: true }],
  ["capacities.journal", { capacities: { journal: 63 } }],
  ["capacities.journal (without a store)", { store: undefined, capacities: { journal: 64 } }],
])("options that contradict each other: %s", (message, options) => {
  const all = { url: "mqtt://localhost", store: new ListStore(), ...options };
  expect(() => clientFor(all)).toThrow(message);
});
