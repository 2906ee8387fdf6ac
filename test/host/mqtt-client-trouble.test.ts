/** MqttClient and brokers that are absent, silent, rude or wrong. */

import { once } from "node:events";
import { createServer } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { Status } from "../../firmware/core/abi.ts";
import { MqttClient, type MqttClientOptions } from "../../host/src/client/mqtt-client.ts";
import {
  type Conversation,
  type ScriptedServer,
  scriptedServer,
} from "../support/scripted-server.ts";
import { connack, publish, suback } from "../support/server-packets.ts";

const ends: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function serverWith(script: (talk: Conversation) => Promise<void>): Promise<ScriptedServer> {
  const server = await scriptedServer(script);
  ends.push(() => server.close());
  return server;
}

function clientFor(options: MqttClientOptions): MqttClient {
  const client = new MqttClient({
    reconnect: { baseMs: 1, maxMs: 1 },
    clientId: "trouble",
    ...options,
  });
  ends.push(() => client.close({ timeoutMs: 100 }));
  return client;
}

/** A server that sends `bytes` instead of CONNACK. */
function serverThatSays(bytes: Uint8Array): Promise<ScriptedServer> {
  return serverWith(async (talk) => {
    await talk.expect("CONNECT");
    talk.send(bytes);
    await talk.expectEnd();
  });
}

describe("the first connection", () => {
  for (const returnCode of [1, 2, 3, 4, 5, 6, 255]) {
    test(`return code ${returnCode} rejects connect() [sec-3.2.2.3]`, async () => {
      const { url } = await serverThatSays(connack(false, returnCode));
      await expect(clientFor({ url }).connect()).rejects.toMatchObject({
        name: "RefusedError",
        returnCode,
        remedy: expect.stringMatching(/./),
      });
    });
  }

  test("after a refusal connect() may be called again, and sends what was published before", async () => {
    const { url } = await serverWith(async (talk) => {
      await talk.expect("CONNECT");
      talk.send(connack(false, talk.index === 0 ? 3 : 0));
      if (talk.index === 1) expect(await talk.expect("PUBLISH")).toMatchObject({ topic: "a" });
    });
    const client = clientFor({ url });
    const published = client.publish("a", "kept");
    await expect(client.connect()).rejects.toThrow("not ready");
    expect(await client.connect()).toEqual({ sessionPresent: false });
    await published;
  });

  test("nobody there is a ConnectionError", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port = typeof address === "object" ? address?.port : undefined;
    await new Promise((resolve) => server.close(resolve));
    await expect(clientFor({ url: `mqtt://127.0.0.1:${port}` }).connect()).rejects.toMatchObject({
      name: "ConnectionError",
      failure: "unreachable",
    });
  });

  test("a broker that hangs up is a ConnectionError", async () => {
    const { url } = await serverWith(async (talk) => talk.end());
    await expect(clientFor({ url }).connect()).rejects.toMatchObject({
      name: "ConnectionError",
      failure: "lost",
    });
  });

  test("a broker that breaks off is a ConnectionError", async () => {
    const { url } = await serverWith(async (talk) => {
      await talk.expect("CONNECT");
      talk.reset();
    });
    await expect(clientFor({ url }).connect()).rejects.toMatchObject({
      name: "ConnectionError",
      failure: "lost",
    });
  });

  test("a broker that never answers is given up in time", async () => {
    const { url } = await serverWith(async (talk) => {
      await talk.expect("CONNECT");
      await talk.expectEnd();
    });
    await expect(clientFor({ url, responseTimeoutMs: 100 }).connect()).rejects.toMatchObject({
      name: "ProtocolError",
      status: Status.ResponseTimeout,
    });
  });

  const wrongBytes: [what: string, bytes: Uint8Array][] = [
    ["an HTTP answer", new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n")],
    ["a message before CONNACK [MQTT-3.2.0-1]", publish({ topic: "early" })],
    ["a CONNACK with reserved flags [sec-3.2.2.1]", Uint8Array.of(0x20, 2, 2, 0)],
    ["Session Present for a clean session [MQTT-3.2.2-1]", connack(true)],
    ["two CONNACKs", Uint8Array.of(...connack(), ...connack())],
    ["zeros", new Uint8Array(64)],
  ];
  for (const [what, bytes] of wrongBytes) {
    test(`${what}: the connection is closed with a ProtocolError`, async () => {
      const { url } = await serverThatSays(bytes);
      const client = clientFor({ url, reconnect: false });
      const lost = new Promise<Error | undefined>((resolve) => {
        client.once("disconnected", ({ reason }) => resolve(reason));
        client.connect().catch(resolve);
      });
      expect(await lost).toMatchObject({ name: "ProtocolError" });
    });
  }
});

describe("a connection that stood", () => {
  test("wrong bytes end it, and the client comes back", async () => {
    const { url } = await serverWith(async (talk) => {
      await talk.expect("CONNECT");
      talk.send(connack());
      if (talk.index > 0) return;
      talk.send(Uint8Array.of(0xf0, 0));
      await talk.expectEnd();
    });
    const client = clientFor({ url });
    await client.connect();
    const [{ reason, reconnectInMs }] = await once(client, "disconnected");
    expect(reason).toMatchObject({ name: "ProtocolError", status: Status.ProtocolViolation });
    expect(reconnectInMs).toBe(0);
    await once(client, "connected");
  });

  test("the broker's FIN is told as a lost connection", async () => {
    const { url } = await serverWith(async (talk) => {
      await talk.expect("CONNECT");
      talk.send(connack());
      if (talk.index === 0) talk.end();
    });
    const client = clientFor({ url });
    await client.connect();
    const [{ reason }] = await once(client, "disconnected");
    expect(reason).toMatchObject({ name: "ConnectionError", failure: "lost" });
    expect(reason.remedy).toContain("same id");
  });

  test("a refused reconnection is told, and tried again", async () => {
    const { url } = await serverWith(async (talk) => {
      await talk.expect("CONNECT");
      talk.send(connack(false, talk.index === 1 ? 3 : 0));
      if (talk.index < 2) talk.end();
    });
    const client = clientFor({ url });
    await client.connect();
    const reasons: string[] = [];
    client.on("disconnected", ({ reason }) => reasons.push(reason?.name ?? ""));
    await once(client, "connected");
    expect(reasons).toEqual(["ConnectionError", "RefusedError"]);
  });

  test("a SUBSCRIBE without an answer is sent again on the next connection", async () => {
    const { url } = await serverWith(async (talk) => {
      await talk.expect("CONNECT");
      talk.send(connack());
      const { packetId, filters } = await talk.expect("SUBSCRIBE");
      expect(filters).toEqual([{ filter: "a/#", qos: 1 }]);
      if (talk.index === 0) await talk.expectEnd();
      else talk.send(suback(packetId, 1));
    });
    const client = clientFor({ url, responseTimeoutMs: 500 });
    await client.connect();
    const reasons: unknown[] = [];
    client.on("disconnected", ({ reason }) => reasons.push(reason));
    expect(await client.subscribe("a/#", { qos: 1 })).toEqual([
      { topicFilter: "a/#", grantedQos: 1 },
    ]);
    expect(reasons).toMatchObject([{ name: "ProtocolError", status: Status.ResponseTimeout }]);
  });

  test("a refused filter is no error, but has no granted QoS [MQTT-3.9.3-2]", async () => {
    const { url } = await serverWith(async (talk) => {
      await talk.expect("CONNECT");
      talk.send(connack());
      const { packetId } = await talk.expect("SUBSCRIBE");
      talk.send(suback(packetId, 0x80, 1));
    });
    const client = clientFor({ url });
    await client.connect();
    expect(await client.subscribe(["no", "yes"], { qos: 2 })).toEqual([
      { topicFilter: "no", grantedQos: undefined },
      { topicFilter: "yes", grantedQos: 1 },
    ]);
  });

  test("without reconnect the client is closed: what is pending is rejected, loops throw", async () => {
    const { url } = await serverWith(async (talk) => {
      await talk.expect("CONNECT");
      talk.send(connack());
      await talk.expect("PUBLISH");
      talk.reset();
    });
    const client = clientFor({ url, reconnect: false });
    await client.connect();
    const loop = client.messages().next();
    const published = client.publish("a", "1", { qos: 1 });
    await expect(published).rejects.toMatchObject({ name: "PublishError", failure: "in-doubt" });
    await expect(loop).rejects.toMatchObject({ name: "ConnectionError", failure: "lost" });
    await expect(client.publish("a", "2")).rejects.toMatchObject({ name: "ClosedError" });
    await expect(client.subscribe("a")).rejects.toMatchObject({ name: "ClosedError" });
    await expect(client.connect()).rejects.toMatchObject({ name: "ClosedError" });
    expect(client.tryPublish("a", "3")).toBe(false);
    expect(await client.messages().next()).toEqual({ value: undefined, done: true });
  });

  test("close() does not wait for ever for a broker that acknowledges nothing", async () => {
    const { url } = await serverWith(async (talk) => {
      await talk.expect("CONNECT");
      talk.send(connack());
      await talk.expect("PUBLISH");
      await talk.expect("DISCONNECT");
      await talk.expectEnd();
    });
    const client = clientFor({ url });
    await client.connect();
    const published = client.publish("a", "1", { qos: 1 });
    await client.close({ timeoutMs: 50 });
    await expect(published).rejects.toMatchObject({ name: "PublishError", failure: "in-doubt" });
  });

  test("close() does not wait for ever for a broker that reads nothing", async () => {
    const { url } = await serverWith(async (talk) => {
      await talk.expect("CONNECT");
      talk.send(connack());
      talk.socket.pause();
    });
    const client = clientFor({ url, capacities: { transmit: 1_000_000 }, waitingMax: 1_000 });
    await client.connect();
    const flood = Array.from({ length: 400 }, () => client.publish("a", "x".repeat(100_000)));
    const ending = Promise.allSettled(flood);
    await client.close({ timeoutMs: 50 });
    const outcomes = (await ending).map(({ status }) => status);
    expect(outcomes).toContain("fulfilled");
    expect(outcomes).toContain("rejected");
  });

  test("a listener that throws does not disturb the protocol", async () => {
    const { url } = await serverWith(async (talk) => {
      await talk.expect("CONNECT");
      talk.send(connack(), publish({ topic: "a" }), publish({ topic: "b", qos: 1, packetId: 7 }));
      expect(await talk.expect("PUBACK")).toMatchObject({ packetId: 7 });
    });
    const client = clientFor({ url });
    const topics: string[] = [];
    client.on("message", ({ topic }) => {
      topics.push(topic);
      if (topic === "a") throw new Error("a bug in a listener");
    });
    const reported = new Promise<unknown>((resolve) => {
      const others = process.listeners("uncaughtException");
      process.removeAllListeners("uncaughtException");
      process.once("uncaughtException", (error) => {
        for (const listener of others) process.on("uncaughtException", listener);
        resolve(error);
      });
    });
    await client.connect();
    expect(await reported).toMatchObject({ message: "a bug in a listener" });
    await expect.poll(() => topics).toEqual(["a", "b"]);
  });
});

describe("what cannot be asked", () => {
  const wrongOptions: [what: string, options: MqttClientOptions][] = [
    ["no broker", {}],
    ["two ways to the broker", { url: "mqtt://localhost", openTransport: () => never() }],
    ["TLS for a transport of one's own", { openTransport: () => never(), tls: {} }],
    ["a URL of another kind", { url: "http://localhost" }],
    ["a keep alive of 65536 s", { url: "mqtt://localhost", keepAliveSeconds: 65_536 }],
    ["a persistent session without a name", { url: "mqtt://localhost", cleanSession: false }],
    ["a password without a user", { url: "mqtt://localhost", password: "secret" }],
    ["to come back at once, for ever", { url: "mqtt://localhost", reconnect: { baseMs: 0 } }],
    ["a user name with U+0000", { url: "mqtt://localhost", username: "a\0" }],
    ["a client id of 70,000 bytes", { url: "mqtt://localhost", clientId: "x".repeat(70_000) }],
    ["a buffer of 3 bytes", { url: "mqtt://localhost", capacities: { receive: 3 } }],
    [
      "a Will at QoS 3",
      { url: "mqtt://localhost", will: { topic: "a", payload: "", qos: 3 as 2 } },
    ],
  ];
  for (const [what, options] of wrongOptions) {
    test(`${what} is a UsageError`, () => {
      expect(() => new MqttClient(options)).toThrowError(
        expect.objectContaining({ name: "UsageError", remedy: expect.stringMatching(/./) }),
      );
    });
  }

  test("a message that cannot be sent is rejected at once, and nothing else is disturbed", async () => {
    const { url } = await serverWith(async (talk) => {
      await talk.expect("CONNECT");
      talk.send(connack());
      expect(await talk.expect("PUBLISH")).toMatchObject({ topic: "good" });
    });
    const client = clientFor({ url });
    await client.connect();
    const refusals: [Promise<void>, string][] = [
      [client.publish("", "x"), "CoreError"],
      [client.publish("a/#", "x"), "CoreError"],
      [client.publish("a\u0000", "x"), "CoreError"],
      [client.publish("a", "x".repeat(20_000)), "CoreError"],
      [client.publish("a", "x", { qos: 3 as 2 }), "UsageError"],
      [client.publish("a", { not: "bytes" } as unknown as string), "UsageError"],
    ];
    for (const [refused, name] of refusals) await expect(refused).rejects.toMatchObject({ name });
    await expect(client.subscribe("a/#/b")).rejects.toMatchObject({ name: "CoreError" });
    await expect(client.connect()).rejects.toMatchObject({ name: "UsageError" });
    expect(() => client.tryPublish("a/+", "x")).toThrow("wildcard");
    expect(() => client.messages({ queueMax: 0 })).toThrow("queueMax");
    await client.publish("good", "x");
  });
});

function never(): never {
  throw new Error("no connection was to be opened");
}
