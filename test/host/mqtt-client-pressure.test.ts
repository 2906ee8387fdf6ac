/** Back-pressure of MqttClient in both directions: a slow loop, a slow broker, and neither fills the memory. */

import { afterEach, describe, expect, test } from "vitest";
import { MqttClient, type MqttClientOptions } from "../../host/src/client/mqtt-client.ts";
import { parseBrokerUrl } from "../../host/src/transport/broker-url.ts";
import { openTransport } from "../../host/src/transport/open-transport.ts";
import type { OpenTransport } from "../../host/src/transport/transport.ts";
import { realWorld } from "../../host/src/world.ts";
import { concat } from "../support/bytes.ts";
import {
  type Conversation,
  type ScriptedServer,
  scriptedServer,
} from "../support/scripted-server.ts";
import { connack, puback, publish, suback } from "../support/server-packets.ts";

const ends: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function serverWith(script: (talk: Conversation) => Promise<void>): Promise<ScriptedServer> {
  const server = await scriptedServer(async (talk) => {
    await talk.expect("CONNECT");
    talk.send(connack());
    await script(talk);
  });
  ends.push(() => server.close());
  return server;
}

async function connected(options: MqttClientOptions): Promise<MqttClient> {
  const client = new MqttClient({ reconnect: false, ...options });
  ends.push(() => client.close({ timeoutMs: 100 }));
  await client.connect();
  return client;
}

/** Counts what passes through the transport to `url`. */
function counting(url: string) {
  const counts = { receivedLength: 0, writeCount: 0, isPaused: false };
  const open = openTransport(parseBrokerUrl(url), realWorld);
  const counted: OpenTransport = (handlers) => {
    const transport = open({
      opened: () => handlers.opened(),
      received: (chunk) => {
        counts.receivedLength += chunk.length;
        handlers.received(chunk);
      },
      drained: () => handlers.drained(),
      closed: (reason) => handlers.closed(reason),
    });
    return {
      write: (bytes) => {
        counts.writeCount++;
        return transport.write(bytes);
      },
      pause: () => {
        counts.isPaused = true;
        transport.pause();
      },
      resume: () => {
        counts.isPaused = false;
        transport.resume();
      },
      close: () => transport.close(),
      reset: () => transport.reset(),
    };
  };
  return { counts, open: counted };
}

function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}

describe("a slow loop", () => {
  const MESSAGE_COUNT = 20_000;
  const PAYLOAD_LENGTH = 500;

  test("holds the broker up: 20,000 messages pass a queue of 64, in order, and memory stays", async () => {
    const flood = Array.from({ length: MESSAGE_COUNT }, (_, number) =>
      publish({ topic: "flood", payload: `${number}`.padEnd(PAYLOAD_LENGTH) }),
    );
    let serverSocket: Conversation["socket"] | undefined;
    const { url } = await serverWith(async (talk) => {
      serverSocket = talk.socket;
      await talk.expect("PUBLISH");
      talk.send(concat(...flood));
    });
    const { counts, open } = counting(url);
    const client = await connected({ openTransport: open });
    const messages = client.messages({ queueMax: 64 });
    await client.publish("go", "");

    // Nothing is taken: what fits the queue and the buffers comes, and no more.
    await expect.poll(() => counts.isPaused).toBe(true);
    await pause(100);
    const heldLength = counts.receivedLength;
    await pause(100);
    expect(counts.receivedLength).toBe(heldLength);
    expect(heldLength).toBeLessThan(64 * (PAYLOAD_LENGTH + 16) + 2 * 65_536);
    expect(serverSocket?.writableLength).toBeGreaterThan(0);

    let count = 0;
    for await (const { payload } of messages) {
      expect(Number(new TextDecoder().decode(payload))).toBe(count);
      count++;
      if (count === 100) await pause(20);
      if (count === MESSAGE_COUNT) break;
    }
    expect(serverSocket?.writableLength).toBe(0);
  });

  test("gets the answer to its own publish, though it comes behind many messages", async () => {
    const { url } = await serverWith(async (talk) => {
      const { packetId } = await talk.expect("PUBLISH");
      talk.send(...Array.from({ length: 1_000 }, (_, number) => publish({ topic: `${number}` })));
      talk.send(puback(packetId));
      const { packetId: nextId } = await talk.expect("PUBLISH");
      talk.send(puback(nextId));
    });
    const client = await connected({ url });
    const messages = client.messages({ queueMax: 16 });
    await client.publish("go", "", { qos: 1 });
    const topics: string[] = [];
    for await (const { topic } of messages) {
      topics.push(topic);
      if (topic === "500") await client.publish("echo", "", { qos: 1 });
      if (topic === "999") break;
    }
    expect(topics).toHaveLength(1_000);
  });

  test("loses the connection when it takes nothing for longer than the keep alive allows, and says why", async () => {
    const { url } = await serverWith(async (talk) => {
      talk.send(...Array.from({ length: 100 }, () => publish({ topic: "t" })));
      await talk.expect("PINGREQ");
      await talk.expectEnd();
    });
    const client = await connected({ url, keepAliveSeconds: 1, responseTimeoutMs: 50 });
    client.messages({ queueMax: 10 });
    const reason = await new Promise<Error | undefined>((resolve) => {
      client.once("disconnected", (info) => resolve(info.reason));
    });
    expect(reason).toMatchObject({ name: "ConnectionError", failure: "timeout" });
    expect(reason?.message).toContain("nobody took");
  });

  test("all retained messages right behind SUBACK reach a loop that begins after subscribe()", async () => {
    const { url } = await serverWith(async (talk) => {
      const { packetId } = await talk.expect("SUBSCRIBE");
      const retained = Array.from({ length: 300 }, (_, number) =>
        publish({ topic: `r/${number}`, retain: true }),
      );
      talk.send(concat(suback(packetId, 0), ...retained));
    });
    const client = await connected({ url });
    await client.subscribe("r/#");
    const topics: string[] = [];
    for await (const { topic } of client.messages()) if (topics.push(topic) === 300) break;
    expect(topics).toEqual(Array.from({ length: 300 }, (_, number) => `r/${number}`));
  });

  test("two loops get every message each, and a loop that is left holds nobody up", async () => {
    const { url } = await serverWith(async (talk) => {
      await talk.expect("PUBLISH");
      talk.send(...Array.from({ length: 200 }, (_, number) => publish({ topic: `${number}` })));
    });
    const client = await connected({ url });
    const left = client.messages({ queueMax: 10 });
    const kept = client.messages({ queueMax: 10 });
    await client.publish("go", "");
    for await (const { topic } of left) if (topic === "5") break;
    const topics: string[] = [];
    for await (const { topic } of kept) if (topics.push(topic) === 200) break;
    expect(topics.at(-1)).toBe("199");
  });
});

describe("a slow broker", () => {
  test("lets publish() wait, in order, and refuses more than may wait", async () => {
    let goOn: () => void = () => {};
    const isGoingOn = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const numbers: number[] = [];
    const { url } = await serverWith(async (talk) => {
      talk.socket.pause();
      await isGoingOn;
      talk.socket.resume();
      for (let packet = await talk.next(); packet?.type === "PUBLISH"; packet = await talk.next()) {
        numbers.push(Number.parseInt(new TextDecoder().decode(packet.payload), 10));
      }
    });
    const client = await connected({ url, waitingMax: 200 });
    const outcomes: string[] = [];
    const payload = (number: number) => `${number}`.padEnd(10_000);
    let number = 0;
    while (!outcomes.includes("PublishError") && number < 10_000) {
      client.publish("slow", payload(number)).then(
        () => outcomes.push("sent"),
        (error: Error) => outcomes.push(error.name),
      );
      number++;
      if (number % 100 === 0) await pause(1);
    }
    expect(outcomes).toContain("PublishError");
    const sentCount = outcomes.filter((outcome) => outcome === "sent").length;
    expect(client.tryPublish("slow", payload(-1))).toBe(false);

    goOn();
    await expect.poll(() => outcomes.length, { timeout: 10_000 }).toBe(number);
    expect(outcomes.filter((outcome) => outcome === "sent").length).toBeGreaterThan(sentCount);
    await client.close();
    await expect.poll(() => numbers.length).toBe(outcomes.filter((o) => o === "sent").length);
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  });

  test("QoS 0 behind a full window of QoS 1 is not said to be sent before it is", async () => {
    const order: string[] = [];
    const { url } = await serverWith(async (talk) => {
      const first = await talk.expect("PUBLISH");
      await pause(50);
      order.push("acknowledging");
      talk.send(puback(first.packetId));
      const second = await talk.expect("PUBLISH");
      expect((await talk.expect("PUBLISH")).qos).toBe(0);
      talk.send(puback(second.packetId));
    });
    const client = await connected({ url, inflightMax: 1 });
    await Promise.all([
      client.publish("a", "1", { qos: 1 }).then(() => order.push("first")),
      client.publish("a", "2", { qos: 1 }).then(() => order.push("second")),
      client.publish("a", "3").then(() => order.push("third")),
    ]);
    expect(order).toEqual(["acknowledging", "first", "third", "second"]);
  });

  test("what is published in one turn goes out in one write", async () => {
    const { url } = await serverWith(async (talk) => {
      for (let count = 0; count < 50; count++) await talk.expect("PUBLISH");
    });
    const { counts, open } = counting(url);
    const client = await connected({ openTransport: open });
    await pause(10);
    const before = counts.writeCount;
    await Promise.all(Array.from({ length: 50 }, () => client.publish("many", "x")));
    expect(counts.writeCount - before).toBe(1);
  });

  test("a payload may be changed after the call, also while it waits for room", async () => {
    const payloads: string[] = [];
    const { url } = await serverWith(async (talk) => {
      for (let count = 0; count < 3; count++) {
        const { payload, packetId } = await talk.expect("PUBLISH");
        payloads.push(new TextDecoder().decode(payload.subarray(0, 1)));
        talk.send(puback(packetId));
      }
    });
    const client = await connected({ url, capacities: { transmit: 256 } });
    const bytes = new Uint8Array(100);
    const published = ["a", "b", "c"].map((letter) => {
      bytes.fill(letter.charCodeAt(0));
      return client.publish("t", bytes, { qos: 1 });
    });
    bytes.fill(0x21);
    await Promise.all(published);
    expect(payloads).toEqual(["a", "b", "c"]);
  });
});
