/** What MqttClient keeps over lost connections: messages under way, subscriptions, promises. */

import { once } from "node:events";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { MqttClient, type MqttClientOptions } from "../../host/src/client/mqtt-client.ts";
import { type Core, loadCore, readModule } from "../../host/src/core/core.ts";
import { memoryListener } from "../../host/src/transport/memory.ts";
import type { OpenTransport } from "../../host/src/transport/transport.ts";
import {
  type Conversation,
  type ScriptedServer,
  scriptedServer,
} from "../support/scripted-server.ts";
import {
  connack,
  puback,
  pubcomp,
  publish,
  pubrec,
  suback,
  unsuback,
} from "../support/server-packets.ts";
import { VirtualWorld } from "../support/virtual-world.ts";

const ends: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A script for each connection, in turn. */
async function serverWith(
  ...scripts: ((talk: Conversation) => Promise<void>)[]
): Promise<ScriptedServer> {
  const server = await scriptedServer(async (talk) => {
    const script = scripts[talk.index];
    if (script === undefined) throw new Error(`connection ${talk.index} has no script`);
    await script(talk);
  });
  ends.push(() => server.close());
  return server;
}

function clientFor(options: MqttClientOptions): MqttClient {
  const client = new MqttClient({
    clientId: "keeper",
    cleanSession: false,
    reconnect: { baseMs: 1, maxMs: 1 },
    ...options,
  });
  ends.push(() => client.close({ timeoutMs: 100 }));
  return client;
}

async function accept(talk: Conversation, sessionPresent = false): Promise<void> {
  await talk.expect("CONNECT");
  talk.send(connack(sessionPresent));
}

describe("with Session Present", () => {
  test("what is unacknowledged goes again with DUP, the same identifiers and order [MQTT-4.4.0-1]", async () => {
    const ids: number[] = [];
    const { url } = await serverWith(
      async (talk) => {
        await accept(talk);
        for (let count = 0; count < 3; count++) ids.push((await talk.expect("PUBLISH")).packetId);
        talk.send(pubrec(ids[1] ?? 0));
        await talk.expect("PUBREL");
        talk.reset();
      },
      async (talk) => {
        await accept(talk, true);
        const packets = [await talk.next(), await talk.next(), await talk.next()];
        expect(packets).toMatchObject([
          { type: "PUBLISH", dup: true, packetId: ids[0], topic: "q1" },
          { type: "PUBLISH", dup: true, packetId: ids[2], topic: "q2b" },
          { type: "PUBREL", packetId: ids[1] },
        ]);
        talk.send(puback(ids[0] ?? 0), pubcomp(ids[1] ?? 0), pubrec(ids[2] ?? 0));
        await talk.expect("PUBREL");
        talk.send(pubcomp(ids[2] ?? 0));
      },
    );
    const client = clientFor({ url });
    await client.connect();
    const connectedAgain = once(client, "connected");
    await Promise.all([
      client.publish("q1", "1", { qos: 1 }),
      client.publish("q2a", "2", { qos: 2 }),
      client.publish("q2b", "3", { qos: 2 }),
    ]);
    expect(await connectedAgain).toEqual([{ sessionPresent: true }]);
  });

  test("the broker knows the subscriptions, so nothing is subscribed again", async () => {
    const { url } = await serverWith(
      async (talk) => {
        await accept(talk);
        const { packetId } = await talk.expect("SUBSCRIBE");
        talk.send(suback(packetId, 1));
        talk.end();
      },
      async (talk) => {
        await accept(talk, true);
        expect(await talk.expect("PUBLISH")).toMatchObject({ topic: "next" });
      },
    );
    const client = clientFor({ url });
    await client.connect();
    await client.subscribe("a", { qos: 1 });
    await once(client, "connected");
    await client.publish("next", "");
  });
});

describe("without Session Present", () => {
  test("QoS 1 goes again as new, QoS 2 is in doubt unless the broker had taken it over", async () => {
    const ids: number[] = [];
    const { url } = await serverWith(
      async (talk) => {
        await accept(talk);
        for (let count = 0; count < 3; count++) ids.push((await talk.expect("PUBLISH")).packetId);
        talk.send(pubrec(ids[2] ?? 0));
        await talk.expect("PUBREL");
        talk.reset();
      },
      async (talk) => {
        await accept(talk, false);
        const again = await talk.expect("PUBLISH");
        expect(again).toMatchObject({ topic: "q1", dup: false, qos: 1 });
        talk.send(puback(again.packetId));
      },
    );
    const client = clientFor({ url });
    const dropped: unknown[] = [];
    client.on("dropped", (error) => dropped.push(error));
    await client.connect();
    const atLeastOnce = client.publish("q1", "1", { qos: 1 });
    const exactlyOnce = client.publish("q2", "2", { qos: 2 });
    const takenOver = client.publish("q2-released", "3", { qos: 2 });
    await expect(exactlyOnce).rejects.toMatchObject({
      name: "PublishError",
      failure: "in-doubt",
      topic: "q2",
      remedy: expect.stringMatching(/./),
    });
    await Promise.all([atLeastOnce, takenOver]);
    expect(dropped).toMatchObject([{ failure: "in-doubt", topic: "q2" }]);
  });

  test("what is subscribed is subscribed again, with its QoS and in its order", async () => {
    const renewed: unknown[] = [];
    const { url } = await serverWith(
      async (talk) => {
        await accept(talk);
        const first = await talk.expect("SUBSCRIBE");
        talk.send(suback(first.packetId, 1, 0, 0x80, 2));
        const undone = await talk.expect("UNSUBSCRIBE");
        talk.send(unsuback(undone.packetId));
        talk.end();
      },
      async (talk) => {
        await accept(talk);
        for (const _ of ["a", "b"]) {
          const { packetId, filters } = await talk.expect("SUBSCRIBE");
          renewed.push(filters);
          talk.send(suback(packetId, 0));
        }
      },
    );
    const client = clientFor({ url });
    await client.connect();
    await client.subscribe([
      { topicFilter: "a", qos: 1 },
      { topicFilter: "b", qos: 2 },
      { topicFilter: "refused", qos: 0 },
      { topicFilter: "undone", qos: 2 },
    ]);
    await client.unsubscribe("undone");
    await expect
      .poll(() => renewed)
      .toEqual([[{ filter: "a", qos: 1 }], [{ filter: "b", qos: 2 }]]);
  });

  test("a filter that is refused now is told", async () => {
    const { url } = await serverWith(
      async (talk) => {
        await accept(talk);
        talk.send(suback((await talk.expect("SUBSCRIBE")).packetId, 1));
        talk.end();
      },
      async (talk) => {
        await accept(talk);
        talk.send(suback((await talk.expect("SUBSCRIBE")).packetId, 0x80));
      },
    );
    const client = clientFor({ url });
    await client.connect();
    await client.subscribe("secret/#", { qos: 1 });
    expect(await once(client, "unsubscribed")).toEqual(["secret/#"]);
  });
});

describe("while there is no connection", () => {
  test("messages wait in their order, and requests with them", async () => {
    const { url } = await serverWith(
      async (talk) => {
        await accept(talk);
        talk.end();
      },
      async (talk) => {
        await accept(talk, true);
        const topics = [await talk.expect("PUBLISH"), await talk.expect("PUBLISH")];
        expect(topics.map(({ topic }) => topic)).toEqual(["one", "two"]);
        const { packetId } = await talk.expect("SUBSCRIBE");
        talk.send(suback(packetId, 0), puback(topics[1]?.packetId ?? 0));
      },
    );
    const client = clientFor({ url });
    await client.connect();
    await once(client, "disconnected");
    expect(client.tryPublish("one", "1")).toBe(true);
    await Promise.all([client.publish("two", "2", { qos: 1 }), client.subscribe("three")]);
  });

  test("close() waits for nothing and rejects what waits", async () => {
    const { url } = await serverWith(async (talk) => {
      await accept(talk);
      talk.end();
    });
    const client = clientFor({ url, reconnect: { baseMs: 1e6, maxMs: 1e6 } });
    await client.connect();
    await once(client, "disconnected");
    const pending = [
      client.publish("a", "0"),
      client.publish("a", "1", { qos: 1 }),
      client.subscribe("a"),
      client.unsubscribe("a"),
    ];
    await client.close();
    const outcomes = await Promise.allSettled(pending);
    expect(outcomes).toMatchObject([
      { status: "rejected", reason: { name: "ClosedError" } },
      { status: "rejected", reason: { name: "PublishError", failure: "in-doubt" } },
      { status: "rejected", reason: { name: "ClosedError" } },
      { status: "rejected", reason: { name: "ClosedError" } },
    ]);
  });

  test("what nobody waits for ends with the client, and not the process", async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", note);
    ends.push(async () => void process.off("unhandledRejection", note));
    const { url } = await serverWith(async (talk) => {
      await accept(talk);
      talk.end();
    });
    const client = clientFor({ url, reconnect: { baseMs: 1e6, maxMs: 1e6 } });
    await client.connect();
    await once(client, "disconnected");
    for (const qos of [0, 1, 2] as const) void client.publish("a", "x", { qos });
    void client.subscribe("a");
    void client.unsubscribe("a");
    client.abort();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(unhandled).toEqual([]);
  });

  test("a full outbox throws away the oldest QoS 0 messages if it is told to", async () => {
    const { url } = await serverWith(
      async (talk) => {
        await accept(talk);
        talk.end();
      },
      async (talk) => {
        await accept(talk);
        const payloads: string[] = [];
        for (let count = 0; count < 3; count++) {
          payloads.push(new TextDecoder().decode((await talk.expect("PUBLISH")).payload).trim());
        }
        expect(payloads).toEqual(["2", "3", "4"]);
      },
    );
    const client = clientFor({
      url,
      whenFull: "drop-oldest-qos0",
      capacities: { transmit: 256 },
      reconnect: { baseMs: 200, maxMs: 200 },
    });
    await client.connect();
    await once(client, "disconnected");
    const dropped: unknown[] = [];
    client.on("dropped", (error) => dropped.push(error));
    const published = [0, 1, 2, 3, 4].map((number) => client.publish("a", `${number}`.padEnd(70)));
    const outcomes = await Promise.allSettled(published);
    expect(outcomes.map(({ status }) => status)).toEqual([
      "rejected",
      "rejected",
      "fulfilled",
      "fulfilled",
      "fulfilled",
    ]);
    expect(dropped).toMatchObject([{ failure: "discarded" }, { failure: "discarded" }]);
  });
});

describe("in a world of its own", () => {
  let core: Core;

  beforeAll(async () => {
    core = await loadCore(await readModule("core"));
  });

  /** A broker in memory that answers CONNECT with `answer`, and hangs up `standMs` later. */
  function broker(world: VirtualWorld, standMs: number): { open: OpenTransport; times: number[] } {
    const times: number[] = [];
    const open = memoryListener(world, (server) => {
      times.push(world.nowMs());
      const transport = server({
        opened: () => {},
        received: () => {
          transport.write(connack());
          world.setTimer(standMs, () => transport.close());
        },
        drained: () => {},
        closed: () => {},
      });
    });
    return { open, times };
  }

  test("a client that is taken over each time it connects comes back later and later", async () => {
    const world = new VirtualWorld({ randomness: 0.999 });
    const { open, times } = broker(world, 1_000);
    const client = new MqttClient({ openTransport: open, world, core, keepAliveSeconds: 0 });
    const connecting = client.connect();
    await world.advance(300_000);
    await connecting;
    const pauses = times
      .slice(1)
      .map((time, index) => Math.round((time - (times[index] ?? 0)) / 1_000));
    expect(pauses.slice(0, 8)).toEqual([2, 3, 5, 9, 17, 33, 61, 61]);
    client.abort();
    expect(world.timerCount).toBe(0);
  });

  test("after a connection that stood long the delays start anew", async () => {
    const world = new VirtualWorld({ randomness: 0.999 });
    const { open, times } = broker(world, 40_000);
    const client = new MqttClient({ openTransport: open, world, core, keepAliveSeconds: 0 });
    const connecting = client.connect();
    await world.advance(200_000);
    await connecting;
    const pauses = times
      .slice(1)
      .map((time, index) => Math.round((time - (times[index] ?? 0)) / 1_000));
    expect(pauses).toEqual([41, 41, 41, 41]);
    const closing = client.close();
    await world.advance(60_000);
    await closing;
    expect(world.timerCount).toBe(0);
  });

  test("close() leaves no timer behind, whatever the state", async () => {
    for (const advanceMs of [0, 500, 1_500, 40_000]) {
      const world = new VirtualWorld();
      const { open } = broker(world, 1_000);
      const client = new MqttClient({ openTransport: open, world, core });
      const connecting = client.connect().catch(() => {});
      await world.advance(advanceMs);
      const closing = client.close();
      await world.advance(20_000);
      await closing;
      await connecting;
      expect(world.timerCount, `after ${advanceMs} ms`).toBe(0);
    }
  });
});

test("a message that nobody listens to waits, 64 at most", async () => {
  const { url } = await serverWith(async (talk) => {
    await accept(talk);
    for (let number = 0; number < 70; number++) talk.send(publish({ topic: `t/${number}` }));
    talk.send(publish({ topic: "end", qos: 1, packetId: 1 }));
    await talk.expect("PUBACK");
    await talk.expect("PUBLISH");
    talk.send(publish({ topic: "more" }));
  });
  const client = clientFor({ url });
  await client.connect();
  await expect.poll(() => client.isConnected).toBe(true);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const topics: string[] = [];
  for await (const { topic } of client.messages()) {
    topics.push(topic);
    if (topic === "end") break;
  }
  expect(topics).toEqual([...Array.from({ length: 63 }, (_, index) => `t/${index + 7}`), "end"]);

  await client.publish("go on", "");
  const [{ topic }] = await once(client, "message");
  expect(topic).toBe("more");
});
