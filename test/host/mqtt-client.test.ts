/** MqttClient against real brokers: the embedded aedes, and mosquitto where it is installed. */

import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { MqttClient, type MqttClientOptions } from "../../host/src/client/mqtt-client.ts";
import type { IncomingMessage } from "../../host/src/core/session.ts";
import { startAedes, startMosquitto } from "../support/brokers.ts";
import { describeWith } from "../support/optional.ts";
import { createPki, type Pki } from "../support/pki.ts";

interface TestBroker {
  readonly port: number;
  readonly wsPort: number | undefined;
  stop(): Promise<void>;
}

const decoder = new TextDecoder();
const clients: MqttClient[] = [];

function clientFor(options: MqttClientOptions): MqttClient {
  const client = new MqttClient(options);
  clients.push(client);
  return client;
}

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close({ timeoutMs: 500 })));
});

/** The first `count` messages as text. */
async function take(messages: AsyncIterable<IncomingMessage>, count: number): Promise<string[]> {
  const texts: string[] = [];
  for await (const { payload } of messages) {
    texts.push(decoder.decode(payload));
    if (texts.length === count) break;
  }
  return texts;
}

describe("MqttClient and the embedded broker", () => {
  behavesLikeAClient(() => startAedes());
});

describeWith(["mosquitto"], "MqttClient and mosquitto", () => {
  behavesLikeAClient(() => startMosquitto({ webSocket: true }));
});

function behavesLikeAClient(start: () => Promise<TestBroker>): void {
  let broker: TestBroker;
  let url = "";
  let wsUrl = "";

  beforeAll(async () => {
    broker = await start();
    url = `mqtt://127.0.0.1:${broker.port}`;
    wsUrl = `ws://127.0.0.1:${broker.wsPort}`;
  });
  afterAll(() => broker.stop());

  async function connected(options: MqttClientOptions = {}): Promise<MqttClient> {
    const client = clientFor({ url, ...options });
    await client.connect();
    return client;
  }

  for (const qos of [0, 1, 2] as const) {
    test(`a message comes back at QoS ${qos}`, async () => {
      const client = await connected();
      const topic = `round/${qos}`;
      expect(await client.subscribe(topic, { qos })).toEqual([
        { topicFilter: topic, grantedQos: qos },
      ]);
      const messages = client.messages();
      await client.publish(topic, Uint8Array.of(0, 1, 255), { qos });
      const { value } = await messages.next();
      expect(value).toEqual({
        topic,
        payload: Uint8Array.of(0, 1, 255),
        qos,
        retain: false,
        dup: false,
      });
    });
  }

  test("connect tells that a clean session is new", async () => {
    const client = clientFor({ url });
    expect(client.isConnected).toBe(false);
    expect(await client.connect()).toEqual({ sessionPresent: false });
    expect(client.isConnected).toBe(true);
    await client.close();
    expect(client.isConnected).toBe(false);
  });

  test("a retained message waits for whoever subscribes later, and is not missed by messages()", async () => {
    const publisher = await connected();
    await publisher.publish("retained/late", "kept", { qos: 1, retain: true });
    const late = await connected();
    await late.subscribe("retained/#", { qos: 1 });
    for await (const message of late.messages()) {
      expect(message).toMatchObject({ topic: "retained/late", retain: true });
      break;
    }
    await publisher.publish("retained/late", "", { qos: 1, retain: true });
  });

  test("several filters are granted each, and messages keep their order", async () => {
    const client = await connected();
    const granted = await client.subscribe([
      { topicFilter: "order/a", qos: 2 },
      { topicFilter: "order/+/b", qos: 0 },
      "order/c",
    ]);
    expect(granted.map(({ grantedQos }) => grantedQos)).toEqual([2, 0, 0]);
    const messages = client.messages();
    const numbers = Array.from({ length: 200 }, (_, index) => `${index}`);
    await Promise.all(numbers.map((number) => client.publish("order/a", number, { qos: 1 })));
    expect(await take(messages, 200)).toEqual(numbers);
  });

  test("after unsubscribe nothing comes any more", async () => {
    const client = await connected();
    const received: string[] = [];
    client.on("message", ({ payload }) => received.push(decoder.decode(payload)));
    await client.subscribe(["un/a", "un/b"], { qos: 1 });
    await client.publish("un/a", "1", { qos: 1 });
    await client.unsubscribe("un/a");
    await client.publish("un/a", "2", { qos: 1 });
    await client.publish("un/b", "3", { qos: 1 });
    await expect.poll(() => received).toContain("3");
    expect(received).toEqual(["1", "3"]);
  });

  test("what is published before connect() is sent after it, in order", async () => {
    const subscriber = await connected();
    await subscriber.subscribe("offline/#", { qos: 1 });
    const messages = subscriber.messages();
    const client = clientFor({ url });
    const first = client.publish("offline/1", "one", { qos: 1 });
    const second = client.publish("offline/2", "two", { qos: 1 });
    expect(client.tryPublish("offline/3", "three")).toBe(false);
    await client.connect();
    await Promise.all([first, second]);
    expect(await take(messages, 2)).toEqual(["one", "two"]);
  });

  test("the Last Will is published after abort(), and not after close()", async () => {
    const watcher = await connected();
    await watcher.subscribe("wills/#", { qos: 1 });
    const wills = watcher.messages();
    const options = (name: string): MqttClientOptions => ({
      will: { topic: `wills/${name}`, payload: `${name} is gone`, qos: 1 },
    });
    const polite = await connected(options("polite"));
    await polite.close();
    const rude = await connected(options("rude"));
    rude.abort();
    const { value } = await wills.next();
    expect(value?.topic).toBe("wills/rude");
  });

  test("a persistent session keeps what came while the client was away", async () => {
    const options: MqttClientOptions = { clientId: `away-${broker.port}`, cleanSession: false };
    const first = await connected(options);
    await first.subscribe("away/#", { qos: 2 });
    await first.close();

    const publisher = await connected();
    for (const qos of [1, 2] as const) await publisher.publish("away/x", `q${qos}`, { qos });

    const second = clientFor({ url, ...options });
    const messages = second.messages();
    expect(await second.connect()).toEqual({ sessionPresent: true });
    expect(await take(messages, 2)).toEqual(["q1", "q2"]);
    await second.close();
    await connected({ ...options, cleanSession: true });
  });

  test("it speaks WebSocket", async () => {
    const client = await connected({ url: wsUrl });
    await client.subscribe("ws/#", { qos: 1 });
    const messages = client.messages();
    await client.publish("ws/a", "x".repeat(9_000), { qos: 1 });
    const { value } = await messages.next();
    expect(value?.payload.length).toBe(9_000);
  });

  test("close() waits for what is under way", async () => {
    const watcher = await connected();
    await watcher.subscribe("closing/#", { qos: 2 });
    const messages = watcher.messages();
    const client = await connected();
    const published = [0, 1, 2].map((qos) =>
      client.publish(`closing/${qos}`, `${qos}`, { qos: qos as 0 | 1 | 2 }),
    );
    await client.close();
    await Promise.all(published);
    expect((await take(messages, 3)).toSorted()).toEqual(["0", "1", "2"]);
  });

  test("a message larger than the receive buffer is skipped and reported, and the next one comes", async () => {
    const client = await connected({ capacities: { receive: 256 } });
    await client.subscribe("large/#", { qos: 2 });
    const skipped = once(client, "skipped");
    const messages = client.messages();
    await client.publish("large/a", "x".repeat(5_000), { qos: 2 });
    await client.publish("large/b", "small", { qos: 2 });
    expect(await skipped).toEqual([
      {
        topic: "large/a",
        payloadLength: 5_000,
        qos: 2,
        retain: false,
      },
    ]);
    expect(await take(messages, 1)).toEqual(["small"]);
  });
}

describeWith(["mosquitto", "openssl"], "MqttClient over TLS", () => {
  let pki: Pki;
  let broker: TestBroker;

  beforeAll(async () => {
    pki = createPki();
    const { certFile, keyFile } = pki.issue("localhost", "DNS:localhost,IP:127.0.0.1");
    broker = await startMosquitto({
      tls: { caFile: pki.ca.certFile, certFile, keyFile },
      users: { anna: "secret" },
    });
  });
  afterAll(async () => {
    await broker?.stop();
    pki?.remove();
  });

  test("a message comes back, with a login from the URL", async () => {
    const client = clientFor({
      url: `mqtts://anna:secret@localhost:${broker.port}`,
      tls: { ca: pki.ca.cert },
    });
    await client.connect();
    await client.subscribe("tls/#", { qos: 1 });
    await client.publish("tls/a", "secret", { qos: 1 });
    expect(await take(client.messages(), 1)).toEqual(["secret"]);
  });

  test("a broker that nobody vouches for is not trusted", async () => {
    const client = clientFor({ url: `mqtts://localhost:${broker.port}` });
    await expect(client.connect()).rejects.toMatchObject({
      name: "ConnectionError",
      failure: "untrusted",
    });
  });

  test("a wrong password is refused", async () => {
    const client = clientFor({
      url: `mqtts://localhost:${broker.port}`,
      tls: { ca: pki.ca.cert },
      username: "anna",
      password: "wrong",
    });
    await expect(client.connect()).rejects.toMatchObject({ name: "RefusedError", returnCode: 5 });
  });
});
