import { createHash } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";
import type { ConnectionError } from "../../host/src/errors.ts";
import type { BrokerUrl } from "../../host/src/transport/broker-url.ts";
import { openTransport } from "../../host/src/transport/open-transport.ts";
import type { Transport } from "../../host/src/transport/transport.ts";
import { MESSAGE_LENGTH_MAX } from "../../host/src/transport/websocket.ts";
import { realWorld } from "../../host/src/world.ts";

/** The limit is for slow machines. */
const SOON = { interval: 1, timeout: 10_000 };

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function listen(server: Server): Promise<number> {
  server.on("connection", (socket: Socket) => {
    socket.on("error", () => {});
    cleanups.push(() => socket.destroy());
  });
  cleanups.push(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

class Client {
  readonly transport: Transport;
  readonly calls: string[] = [];
  readonly received: number[] = [];
  reason: ConnectionError | undefined;

  constructor(port: number, url: Partial<BrokerUrl> = {}) {
    const open = openTransport({ scheme: "ws", host: "127.0.0.1", port, ...url }, realWorld);
    this.transport = open({
      opened: () => void this.calls.push("opened"),
      received: (chunk) => void this.received.push(...chunk),
      drained: () => {},
      closed: (reason) => {
        this.calls.push("closed");
        this.reason = reason;
      },
    });
    cleanups.push(() => this.transport.reset());
  }

  async until(call: "opened" | "closed"): Promise<void> {
    await vi.waitUntil(() => this.calls.includes(call), SOON);
  }
}

/** A server that speaks the sub-protocol "mqtt", with what it saw of its one client. */
async function mqttServer() {
  const server = createServer();
  const webSocketServer = new WebSocketServer({ server });
  const seen = {
    requests: [] as IncomingMessage[],
    messages: [] as { bytes: number[]; isBinary: boolean }[],
    closeCode: 0,
    pongCount: 0,
  };
  const accepted = new Promise<WebSocket>((resolve) => {
    webSocketServer.on("connection", (webSocket, request) => {
      seen.requests.push(request);
      webSocket.on("error", () => {});
      webSocket.on("pong", () => seen.pongCount++);
      webSocket.on("message", (data: Buffer, isBinary) => {
        seen.messages.push({ bytes: [...data], isBinary });
      });
      webSocket.on("close", (code) => {
        seen.closeCode = code;
      });
      resolve(webSocket);
    });
  });
  return { port: await listen(server), seen, accepted };
}

/** A server whose answer to the upgrade is written by hand; after it `talk` has the socket. */
async function rawServer(headers: string[], talk: (socket: Socket) => void = () => {}) {
  const server = createServer();
  server.on("upgrade", (request, socket: Socket) => {
    const accept = createHash("sha1")
      .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest("base64");
    const lines = [
      "HTTP/1.1 101 Switching Protocols",
      "Upgrade: websocket",
      "Connection: Upgrade",
      `Sec-WebSocket-Accept: ${accept}`,
      ...headers,
    ];
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    talk(socket);
  });
  return listen(server);
}

/** Sends `bytes`, and ends when the client answers, as a server does on a Close frame. */
function saying(bytes: Uint8Array) {
  return (socket: Socket) => {
    socket.write(bytes);
    socket.on("data", () => socket.end());
  };
}

const SPEAKS_MQTT = ["Sec-WebSocket-Protocol: mqtt"];

describe("the request of a WebSocket", () => {
  test('offers the sub-protocol "mqtt" and nothing else [MQTT-6.0.0-3]', async () => {
    const { port, seen } = await mqttServer();
    await new Client(port).until("opened");
    const headers = seen.requests[0]?.headers;
    expect(headers?.["sec-websocket-protocol"]).toBe("mqtt");
    expect(headers?.["sec-websocket-extensions"]).toBeUndefined();
    expect(headers?.host).toBe(`127.0.0.1:${port}`);
  });

  test.each([
    [undefined, "/mqtt"],
    ["/", "/"],
    ["/a/b?c=d", "/a/b?c=d"],
  ])("for the path %s asks for %s", async (path, expected) => {
    const { port, seen } = await mqttServer();
    await new Client(port, { path }).until("opened");
    expect(seen.requests[0]?.url).toBe(expected);
  });

  test("carries no credentials: they are for CONNECT", async () => {
    const { port, seen } = await mqttServer();
    await new Client(port, { userName: "ada", password: "secret" }).until("opened");
    expect(JSON.stringify(seen.requests[0]?.rawHeaders)).not.toMatch(/authorization|secret/i);
  });
});

describe("a server that does not speak MQTT over WebSocket is refused:", () => {
  test.each([
    ["no sub-protocol", [], "selected none"],
    ["another sub-protocol", ["Sec-WebSocket-Protocol: mqttv3.1"], 'selected "mqttv3.1"'],
    ["two sub-protocols", ["Sec-WebSocket-Protocol: mqtt, chat"], 'selected "mqtt, chat"'],
  ])("it selected %s [MQTT-6.0.0-4]", async (_title, headers, problem) => {
    const client = new Client(await rawServer(headers));
    await client.until("closed");
    expect(client.calls).toEqual(["closed"]);
    expect(client.reason?.failure).toBe("not-mqtt");
    expect(client.reason?.message).toContain(problem);
  });

  test.each([200, 301, 401, 404, 503])("it answered HTTP %i", async (statusCode) => {
    const server = createServer((_request, response) => {
      response.writeHead(statusCode, { location: "/elsewhere" }).end("a page");
    });
    const client = new Client(await listen(server), { path: "/path?token=secret" });
    await client.until("closed");
    expect(client.calls).toEqual(["closed"]);
    expect(client.reason?.failure).toBe("not-mqtt");
    expect(client.reason?.message).toContain(`HTTP ${statusCode}`);
    expect(client.reason?.message).toContain("/path");
    expect(client.reason?.message).not.toContain("secret");
  });

  test.each([
    ["it is no HTTP server", (socket: Socket) => void socket.write("\x20\x02\x00\x05")],
    ["it hung up", (socket: Socket) => void socket.end()],
    ["it broke the connection off", (socket: Socket) => void socket.resetAndDestroy()],
    [
      "it does not know the key",
      (socket: Socket) =>
        void socket.write(
          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
            "Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: nonsense\r\n\r\n",
        ),
    ],
  ])("%s", async (_title, answer) => {
    const server = createTcpServer((socket) => socket.once("data", () => answer(socket)));
    const client = new Client(await listen(server));
    await client.until("closed");
    expect(client.calls).toEqual(["closed"]);
    expect(client.reason?.failure).toBe("not-mqtt");
    expect(client.reason?.remedy).toContain("WebSocket port");
  });
});

describe("WebSocket messages", () => {
  test("are binary, one for each write", async () => {
    const { port, seen } = await mqttServer();
    const client = new Client(port);
    await client.until("opened");
    client.transport.write(Uint8Array.of(1, 2, 3));
    client.transport.write(Uint8Array.of(4));
    await vi.waitUntil(() => seen.messages.length === 2, SOON);
    expect(seen.messages).toEqual([
      { bytes: [1, 2, 3], isBinary: true },
      { bytes: [4], isBinary: true },
    ]);
  });

  test("need not begin or end where packets do [MQTT-6.0.0-2]", async () => {
    const { port, accepted } = await mqttServer();
    const client = new Client(port);
    const webSocket = await accepted;
    await client.until("opened");
    webSocket.send(Buffer.of(0xd0));
    webSocket.send(Buffer.of(0x00, 0xd0, 0x00, 0xd0));
    webSocket.send(Buffer.of(0x00), { fin: false });
    webSocket.send(Buffer.of(0xd0, 0x00), { fin: true });
    await vi.waitUntil(() => client.received.length === 8, SOON);
    expect(client.received).toEqual([0xd0, 0, 0xd0, 0, 0xd0, 0, 0xd0, 0]);
  });

  test("of text end the connection, and are not delivered [MQTT-6.0.0-1]", async () => {
    const { port, accepted, seen } = await mqttServer();
    const client = new Client(port);
    const webSocket = await accepted;
    await client.until("opened");
    webSocket.send(Buffer.of(1));
    webSocket.send("hello");
    webSocket.send(Buffer.of(2));
    await client.until("closed");
    expect(client.received).toEqual([1]);
    expect(client.calls).toEqual(["opened", "closed"]);
    expect(client.reason?.failure).toBe("not-mqtt");
    expect(client.reason?.message).toContain("text frame");
    await vi.waitUntil(() => seen.closeCode !== 0, SOON);
    expect(seen.closeCode).toBe(1003);
  });

  test("that are longer than we would gather end the connection before they come", async () => {
    const header = Buffer.alloc(10);
    header[0] = 0x82;
    header[1] = 127;
    header.writeBigUInt64BE(BigInt(MESSAGE_LENGTH_MAX + 1), 2);
    const client = new Client(await rawServer(SPEAKS_MQTT, saying(header)));
    await client.until("closed");
    expect(client.calls).toEqual(["opened", "closed"]);
    expect(client.reason?.failure).toBe("lost");
    expect(client.reason?.message).toContain("Max payload size exceeded");
  });

  test("that break RFC 6455 end the connection", async () => {
    const reserved = Buffer.of(0x8b, 0x00);
    const client = new Client(await rawServer(SPEAKS_MQTT, saying(reserved)));
    await client.until("closed");
    expect(client.calls).toEqual(["opened", "closed"]);
    expect(client.reason?.failure).toBe("lost");
    expect(client.reason?.message).toContain("Invalid WebSocket frame");
  });

  test("that come with the answer to the upgrade are not lost", async () => {
    const client = new Client(
      await rawServer(SPEAKS_MQTT, (socket) => void socket.write(Buffer.of(0x82, 2, 7, 8))),
    );
    await vi.waitUntil(() => client.received.length === 2, SOON);
    expect(client.received).toEqual([7, 8]);
  });
});

test("a ping of the server is answered", async () => {
  const { port, accepted, seen } = await mqttServer();
  const client = new Client(port);
  await client.until("opened");
  (await accepted).ping();
  await vi.waitUntil(() => seen.pongCount === 1, SOON);
  expect(client.calls).toEqual(["opened"]);
});

test("close tells the server that all is in order", async () => {
  const { port, accepted, seen } = await mqttServer();
  const client = new Client(port);
  await accepted;
  await client.until("opened");
  client.transport.close();
  await client.until("closed");
  await vi.waitUntil(() => seen.closeCode !== 0, SOON);
  expect([1000, 1005]).toContain(seen.closeCode);
});

describe("when the server ends the WebSocket", () => {
  test.each([1000, 1001, undefined])("with code %s, it is in order", async (code) => {
    const { port, accepted } = await mqttServer();
    const client = new Client(port);
    const webSocket = await accepted;
    await client.until("opened");
    webSocket.close(code);
    await client.until("closed");
    expect(client.calls).toEqual(["opened", "closed"]);
    expect(client.reason).toBeUndefined();
  });

  test.each([1002, 1008, 1011, 4000])("with code %i, the reason is told", async (code) => {
    const { port, accepted } = await mqttServer();
    const client = new Client(port);
    const webSocket = await accepted;
    await client.until("opened");
    webSocket.close(code, "\x1b[31mgo away");
    await client.until("closed");
    expect(client.reason?.failure).toBe("lost");
    expect(client.reason?.message).toContain(`code ${code} "\\u001b[31mgo away"`);
  });

  test("without a word, the connection is lost", async () => {
    const client = new Client(await rawServer(SPEAKS_MQTT, (socket) => void socket.end()));
    await client.until("closed");
    expect(client.calls).toEqual(["opened", "closed"]);
    expect(client.reason?.failure).toBe("lost");
    expect(client.reason?.message).toContain("without a WebSocket Close");
  });
});
