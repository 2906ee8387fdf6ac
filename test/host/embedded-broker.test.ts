/** The embedded broker as its clients see it: mqtt-packet on sockets, so that nothing of ours judges itself. */

import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import mqtt from "mqtt-packet";
import { afterEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import type { BrokerEvent, EmbeddedBroker } from "../../host/src/broker/embedded-broker.ts";
import { UsageError } from "../../host/src/errors.ts";
import { mosquittoSub, startAedes } from "../support/brokers.ts";
import { describeWith } from "../support/optional.ts";

const HOST = "127.0.0.1";

let broker: EmbeddedBroker | undefined;
const clients: PacketClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await broker?.stop();
  broker = undefined;
});

/** Sends and takes whole packets over any stream of bytes. */
class PacketClient {
  readonly #write: (bytes: Uint8Array) => void;
  readonly destroy: () => void;
  readonly #packets: mqtt.Packet[] = [];
  #wake: () => void = () => {};
  isClosed = false;

  constructor(write: (bytes: Uint8Array) => void, destroy: () => void) {
    this.#write = write;
    this.destroy = destroy;
    clients.push(this);
  }

  /** In one piece. */
  send(...packets: mqtt.Packet[]): void {
    this.#write(Buffer.concat(packets.map((packet) => mqtt.generate(packet))));
  }

  /** The next packet, or undefined if the broker has closed. */
  async next(): Promise<mqtt.Packet | undefined> {
    while (this.#packets.length === 0 && !this.isClosed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#packets.shift();
  }

  reader(): (chunk: Buffer) => void {
    const parser = mqtt.parser({ protocolVersion: 4 });
    parser.on("packet", (packet: mqtt.Packet) => {
      this.#packets.push(packet);
      this.#wake();
    });
    return (chunk) => parser.parse(chunk);
  }

  closed(): void {
    this.isClosed = true;
    this.#wake();
  }
}

async function overTcp(port: number): Promise<PacketClient> {
  const socket = await tcpSocket(port);
  const client = new PacketClient(
    (bytes) => socket.write(bytes),
    () => socket.destroy(),
  );
  socket.on("data", client.reader());
  socket.on("close", () => client.closed());
  return client;
}

async function tcpSocket(port: number): Promise<Socket> {
  const socket = connect(port, HOST);
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

async function overWebSocket(port: number): Promise<PacketClient> {
  const webSocket = new WebSocket(`ws://${HOST}:${port}`, "mqtt");
  await once(webSocket, "open");
  expect(webSocket.protocol).toBe("mqtt");
  const client = new PacketClient(
    (bytes) => webSocket.send(bytes),
    () => webSocket.terminate(),
  );
  const read = client.reader();
  webSocket.on("message", (data) => read(data as Buffer));
  webSocket.on("error", () => {});
  webSocket.on("close", () => client.closed());
  return client;
}

async function connected(
  client: PacketClient,
  options: Partial<mqtt.IConnectPacket> & { clientId: string },
): Promise<mqtt.IConnackPacket> {
  client.send(connectPacket(options));
  const packet = await client.next();
  expect(packet?.cmd).toBe("connack");
  return packet as mqtt.IConnackPacket;
}

function connectPacket(
  options: Partial<mqtt.IConnectPacket> & { clientId: string },
): mqtt.IConnectPacket {
  return {
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: 4,
    clean: true,
    keepalive: 60,
    ...options,
  };
}

async function subscribe(client: PacketClient, topic: string, qos: mqtt.QoS = 1): Promise<void> {
  client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic, qos }] });
  expect(await client.next()).toMatchObject({ cmd: "suback", granted: [qos] });
}

async function publish(client: PacketClient, topic: string, options: object = {}): Promise<void> {
  const message = { topic, payload: "21.5", qos: 1 as const, dup: false, retain: false };
  client.send({ cmd: "publish", messageId: 7, ...message, ...options });
  expect(await client.next()).toMatchObject({ cmd: "puback", messageId: 7 });
}

/** The topics of all retained messages: the broker sends them in the order in which they came to it. */
async function retainedTopics(port: number): Promise<string[]> {
  const client = await overTcp(port);
  await connected(client, { clientId: "collector" });
  await publish(client, "the last", { retain: true });
  await subscribe(client, "#", 0);
  const topics: string[] = [];
  for (;;) {
    const packet = (await client.next()) as mqtt.IPublishPacket;
    if (packet.topic === "the last") return topics;
    topics.push(packet.topic);
  }
}

const will = { topic: "dead", payload: Buffer.from("offline"), qos: 1 as const, retain: true };

describe("the listeners", () => {
  test("carry messages between TCP and WebSocket clients", async () => {
    broker = await startAedes();
    const subscriber = await overWebSocket(broker.wsPort ?? 0);
    await connected(subscriber, { clientId: "subscriber" });
    await subscribe(subscriber, "room/+");
    const publisher = await overTcp(broker.port);
    await connected(publisher, { clientId: "publisher" });
    await publish(publisher, "room/1");
    expect(await subscriber.next()).toMatchObject({ cmd: "publish", topic: "room/1", qos: 1 });
    expect(broker.clientCount).toBe(2);
  });

  test("leave out WebSocket where no port is given", async () => {
    broker = await startAedes({ wsPort: undefined });
    expect(broker.wsPort).toBeUndefined();
    expect(broker.port).toBeGreaterThan(0);
  });

  test("are a UsageError on a port in use, and none of them stays", async () => {
    const other = createServer().listen(0, HOST);
    await once(other, "listening");
    const { port: busyPort } = other.address() as { port: number };
    try {
      const start = startAedes({ port: busyPort });
      await expect(start).rejects.toThrow(UsageError);
      await expect(start).rejects.toThrow(`port ${busyPort} is in use by another program`);

      const freePort = await aFreePort();
      await expect(startAedes({ port: freePort, wsPort: busyPort })).rejects.toThrow(UsageError);
      await expect(tcpSocket(freePort)).rejects.toThrow("ECONNREFUSED");
    } finally {
      other.close();
    }
  });

  test("are a UsageError on an address of another machine", async () => {
    await expect(startAedes({ bind: "192.0.2.1" })).rejects.toThrow("no address of this machine");
  });

  test("refuse a WebSocket without the sub-protocol mqtt [MQTT-6.0.0-3]", async () => {
    broker = await startAedes();
    const webSocket = new WebSocket(`ws://${HOST}:${broker.wsPort}`, "chat");
    const [error] = (await once(webSocket, "error")) as [Error];
    expect(error.message).toContain("400");
  });

  test("end a WebSocket that sends text [MQTT-6.0.0-1]", async () => {
    broker = await startAedes();
    const webSocket = new WebSocket(`ws://${HOST}:${broker.wsPort}`, "mqtt");
    await once(webSocket, "open");
    const messages: unknown[] = [];
    webSocket.on("message", (data) => messages.push(data));
    // All bytes of this CONNECT happen to be text: in a binary frame it would get a CONNACK.
    webSocket.send(mqtt.generate(connectPacket({ clientId: "text" })).toString("latin1"));
    await once(webSocket, "close");
    expect(messages).toEqual([]);
  });

  test("send a packet to a WebSocket in one message", async () => {
    broker = await startAedes();
    const webSocket = new WebSocket(`ws://${HOST}:${broker.wsPort}`, "mqtt");
    await once(webSocket, "open");
    webSocket.send(mqtt.generate(connectPacket({ clientId: "pieces" })));
    const [data] = await once(webSocket, "message");
    webSocket.terminate();
    expect([...data]).toEqual([0x20, 2, 0, 0]);
  });

  test("tell a web browser what they are", async () => {
    broker = await startAedes();
    const response = await fetch(`http://${HOST}:${broker.wsPort}/`);
    expect(response.status).toBe(426);
    expect(await response.text()).toContain("MQTT over WebSocket");
  });

  test("refuse MQTT 5 with return code 1, as aedes does", async () => {
    broker = await startAedes();
    const client = await overTcp(broker.port);
    const connack = await connected(client, { clientId: "new", protocolVersion: 5 });
    expect(connack.returnCode).toBe(1);
  });

  test("let in whom authenticate lets in", async () => {
    broker = await startAedes({
      authenticate: (userName, password) =>
        userName === "anna" && Buffer.from(password ?? []).toString() === "secret",
    });
    const anna = await overTcp(broker.port);
    const login = { username: "anna", password: Buffer.from("secret") };
    expect((await connected(anna, { clientId: "1", ...login })).returnCode).toBe(0);
    const nobody = await overTcp(broker.port);
    expect((await connected(nobody, { clientId: "2" })).returnCode).toBe(5);
  });
});

describe("stop", () => {
  test("ends all connections at once and listens no more; a second stop is harmless", async () => {
    broker = await startAedes();
    const { port, wsPort = 0 } = broker;
    const silent = await tcpSocket(port); // has not sent CONNECT
    const silentClosed = once(silent, "close");
    const undecided = await tcpSocket(wsPort); // has not finished its HTTP request
    undecided.write("GET / HTTP/1.1\r\n");
    const undecidedClosed = once(undecided, "close");
    const viaTcp = await overTcp(port);
    await connected(viaTcp, { clientId: "tcp" });
    const viaWebSocket = await overWebSocket(wsPort);
    await connected(viaWebSocket, { clientId: "ws" });

    await broker.stop();
    expect(await viaTcp.next()).toBeUndefined();
    expect(await viaWebSocket.next()).toBeUndefined();
    await Promise.all([silentClosed, undecidedClosed]);
    await expect(tcpSocket(port)).rejects.toThrow("ECONNREFUSED");
    await expect(tcpSocket(wsPort)).rejects.toThrow("ECONNREFUSED");
    expect(broker.clientCount).toBe(0);
    await broker.stop();
  });

  test("publishes no Will, while the end of one client does", async () => {
    broker = await startAedes();
    const watched = await overTcp(broker.port);
    await connected(watched, { clientId: "watched", will: { ...will, topic: "crashed" } });
    const watcher = await overTcp(broker.port);
    await connected(watcher, { clientId: "watcher" });
    await subscribe(watcher, "crashed");
    watched.destroy();
    expect(await watcher.next()).toMatchObject({ cmd: "publish", topic: "crashed" });

    const victim = await overWebSocket(broker.wsPort ?? 0);
    await connected(victim, { clientId: "victim", will });
    const other = await overTcp(broker.port);
    await connected(other, { clientId: "other", will: { ...will, topic: "dead-too" } });
    await broker.restart({ keepState: true, downtimeMs: 0 });
    expect(await retainedTopics(broker.port)).toEqual(["crashed"]);
  });
});

describe("restart", () => {
  /** A session that waits for one message, and one retained message. */
  async function leaveState(port: number): Promise<void> {
    const away = await overTcp(port);
    await connected(away, { clientId: "away", clean: false });
    await subscribe(away, "queued");
    away.send({ cmd: "disconnect" });
    expect(await away.next()).toBeUndefined();
    const publisher = await overTcp(port);
    await connected(publisher, { clientId: "publisher" });
    await publish(publisher, "queued");
    await publish(publisher, "kept", { retain: true });
  }

  test("comes back on the same ports with all its state", async () => {
    broker = await startAedes();
    const { port, wsPort } = broker;
    await leaveState(port);
    await broker.restart({ keepState: true, downtimeMs: 50 });
    expect([broker.port, broker.wsPort]).toEqual([port, wsPort]);
    expect(await retainedTopics(port)).toEqual(["kept"]);
    const away = await overTcp(port);
    const connack = await connected(away, { clientId: "away", clean: false });
    expect(connack.sessionPresent).toBe(true);
    expect(await away.next()).toMatchObject({ cmd: "publish", topic: "queued", qos: 1 });
  });

  test("comes back empty, if that is asked for", async () => {
    broker = await startAedes();
    const { port } = broker;
    await leaveState(port);
    await broker.restart({ keepState: false, downtimeMs: 0 });
    expect(broker.port).toBe(port);
    expect(await retainedTopics(port)).toEqual([]);
    const away = await overTcp(port);
    const connack = await connected(away, { clientId: "away", clean: false });
    expect(connack.sessionPresent).toBe(false);
  });

  test("is away for the downtime", async () => {
    broker = await startAedes();
    const { port } = broker;
    const restarted = broker.restart({ keepState: true, downtimeMs: 300 });
    await expect(untilRefused(port)).resolves.toBeUndefined();
    await restarted;
    (await tcpSocket(port)).destroy();
  });
});

test("two QoS 2 messages under way at once both come to their end [MQTT-4.3.3-2]", async () => {
  broker = await startAedes();
  const subscriber = await overTcp(broker.port);
  await connected(subscriber, { clientId: "keeper", clean: false });
  await subscribe(subscriber, "t", 2);
  const publisher = await overTcp(broker.port);
  await connected(publisher, { clientId: "publisher" });
  for (const messageId of [1, 2]) {
    const message = { topic: "t", payload: "21.5", qos: 2, dup: false, retain: false } as const;
    publisher.send({ cmd: "publish", messageId, ...message });
  }
  const taken = [await subscriber.next(), await subscriber.next()];
  const ids = taken.map((packet) => packet?.messageId ?? 0);
  expect(new Set(ids).size).toBe(2);

  subscriber.send(...ids.map((messageId) => ({ cmd: "pubrec", messageId }) as const));
  const releases = [await subscriber.next(), await subscriber.next()];
  expect(releases).toMatchObject(ids.map((messageId) => ({ cmd: "pubrel", messageId })));
});

test("events tell what clients do", async () => {
  const events: BrokerEvent[] = [];
  broker = await startAedes({
    authenticate: (userName) => userName !== "mallory",
    onEvent: (event) => events.push(event),
  });
  const client = await overTcp(broker.port);
  await connected(client, { clientId: "sensor", clean: false });
  await subscribe(client, "cmd");
  await publish(client, "data", { retain: true });
  client.send({ cmd: "disconnect" });
  expect(await client.next()).toBeUndefined();
  const refused = await overTcp(broker.port);
  await connected(refused, { clientId: "x", username: "mallory" });
  const text = await overTcp(broker.port);
  text.send({ cmd: "pingreq" }); // before CONNECT
  expect(await text.next()).toBeUndefined();

  const address = expect.stringMatching(/^127\.0\.0\.1:\d+$/);
  expect(events).toEqual([
    { kind: "connected", clientId: "sensor", address, cleanSession: false },
    { kind: "subscribed", clientId: "sensor", topicFilter: "cmd", qos: 1 },
    {
      kind: "published",
      clientId: "sensor",
      topic: "data",
      qos: 1,
      retain: true,
      payloadLength: 4,
    },
    { kind: "disconnected", clientId: "sensor" },
    { kind: "failed", clientId: "x", address, reason: "not authorized" },
    { kind: "failed", clientId: undefined, address, reason: "Invalid protocol" },
  ]);
});

describeWith(["mosquitto_sub"], "seen by mosquitto_sub", () => {
  test("retained messages, live messages and Wills arrive", async () => {
    broker = await startAedes();
    const { port } = broker;
    const sensor = await overTcp(port);
    await connected(sensor, { clientId: "sensor", will });
    await publish(sensor, "kept", { retain: true, payload: "21,5 °C" });
    const subscriber = await mosquittoSub(port, ["-t", "#", "-q", "1"]);
    try {
      await publish(sensor, "a b/c", { payload: "" });
      sensor.destroy();
      await subscriber.waitFor(({ messages }) => messages.length === 3);
      expect(subscriber.messages).toEqual([
        { topic: "kept", payload: "21,5 °C", qos: 1, retain: true },
        { topic: "a b/c", payload: "", qos: 1, retain: false },
        { topic: "dead", payload: "offline", qos: 1, retain: false },
      ]);
    } finally {
      await subscriber.stop();
    }
  });

  test("its failure is told with its own words", async () => {
    const start = mosquittoSub(1, ["-t", "#"]);
    await expect(start).rejects.toThrow(/mosquitto_sub: it ended.*Connection refused/s);
  });
});

async function aFreePort(): Promise<number> {
  const server = createServer().listen(0, HOST);
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function untilRefused(port: number): Promise<void> {
  for (;;) {
    try {
      (await tcpSocket(port)).destroy();
    } catch {
      return;
    }
  }
}
