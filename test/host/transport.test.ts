/** One suite of behaviour that every transport has to show, against a peer that plays the broker. */

import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { createServer as createTlsServer } from "node:tls";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { WebSocketServer } from "ws";
import type { ConnectionError } from "../../host/src/errors.ts";
import type { BrokerScheme } from "../../host/src/transport/broker-url.ts";
import { CLOSE_TIMEOUT_MS } from "../../host/src/transport/guarded-transport.ts";
import { memoryListener } from "../../host/src/transport/memory.ts";
import { openTransport } from "../../host/src/transport/open-transport.ts";
import type {
  OpenTransport,
  Transport,
  TransportHandlers,
} from "../../host/src/transport/transport.ts";
import { realWorld, type World } from "../../host/src/world.ts";
import { describeWith } from "../support/optional.ts";
import { createPki, type Identity, type Pki } from "../support/pki.ts";

/** Waits for what must come soon; the limit is for slow machines. */
const until = (condition: () => boolean) =>
  vi.waitUntil(condition, { interval: 1, timeout: 10_000 });

/** Long enough for a mistake to show; right behaviour never depends on it. */
const QUIET_MS = 40;

/** The real world, but `close` gives up after 50 ms. */
const impatientWorld: World = {
  ...realWorld,
  setTimer: (delayMs, callback) =>
    realWorld.setTimer(delayMs === CLOSE_TIMEOUT_MS ? 50 : delayMs, callback),
};

/** The client's side: the transport under test and what it told its owner. */
class Client implements TransportHandlers {
  readonly transport: Transport;
  /** The calls in their order; `received` in a row count as one. */
  readonly calls: string[] = [];
  readonly chunks: Buffer[] = [];
  reason: ConnectionError | undefined;
  onReceived = () => {};
  onDrained = () => {};

  constructor(open: OpenTransport) {
    this.transport = open(this);
    expect(this.calls).toEqual([]);
  }

  opened(): void {
    this.calls.push("opened");
  }

  received(chunk: Uint8Array): void {
    if (this.calls.at(-1) !== "received") this.calls.push("received");
    this.chunks.push(Buffer.from(chunk));
    this.onReceived();
  }

  drained(): void {
    if (this.calls.at(-1) !== "drained") this.calls.push("drained");
    this.onDrained();
  }

  closed(reason: ConnectionError | undefined): void {
    this.calls.push("closed");
    this.reason = reason;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  get isOpen(): boolean {
    return this.calls.includes("opened");
  }

  get isClosed(): boolean {
    return this.calls.includes("closed");
  }
}

/** The server's side of one connection. */
interface Peer {
  readonly chunks: Buffer[];
  /** How the client ended the connection. */
  ended: "no" | "in order" | "broken off";
  write(bytes: Uint8Array): void;
  /** Bytes that wait in this process. */
  waitingLength(): number;
  pause(): void;
  resume(): void;
  /** Sends the rest, then ends in order. */
  end(): void;
  reset(): void;
}

interface Rig {
  open(world?: World): OpenTransport;
  /** The peers so far, in the order in which they came. */
  readonly peers: Peer[];
  stop(): Promise<void>;
}

function bytesOf(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  for (let index = 0; index < length; index++)
    bytes[index] = (index * 31 + seed + (index >> 8)) & 0xff;
  return bytes;
}

/** More than the operating system's buffers hold on both sides together. */
const flood = bytesOf(24 * 1024 * 1024);

function tcpPeer(socket: Socket, reset: () => void): Peer {
  const peer: Peer = {
    chunks: [],
    ended: "no",
    write: (bytes) => void socket.write(bytes),
    waitingLength: () => socket.writableLength,
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    end: () => void socket.end(),
    reset,
  };
  socket.on("data", (chunk) => peer.chunks.push(chunk));
  socket.on("end", () => {
    peer.ended = "in order";
  });
  socket.on("error", () => {
    peer.ended = "broken off";
  });
  return peer;
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

/** Collects the TCP sockets of a server: under TLS and WebSocket they are out of sight, and only they can reset. */
class Sockets {
  readonly #all: Socket[] = [];

  constructor(server: Server) {
    server.on("connection", (socket: Socket) => {
      socket.on("error", () => {});
      this.#all.push(socket);
    });
  }

  reset(socket: Socket): void {
    const raw = this.#all.find(({ remotePort }) => remotePort === socket.remotePort);
    if (raw === undefined) throw new Error("no such socket");
    raw.resetAndDestroy();
  }

  destroy(): void {
    for (const socket of this.#all) socket.destroy();
  }
}

/** A server certificate for 127.0.0.1 and its authority. */
interface ServerTls {
  readonly ca: Buffer;
  readonly identity: Identity;
}

async function socketRig(
  scheme: BrokerScheme,
  server: Server,
  serverTls: ServerTls | undefined,
  peers: Peer[],
) {
  const sockets = new Sockets(server);
  const port = await listening(server);
  const tls = serverTls === undefined ? undefined : { ca: serverTls.ca };
  return {
    sockets,
    rig: {
      peers,
      open: (world = realWorld) =>
        openTransport({ scheme, host: "127.0.0.1", port }, world, { tls }),
      stop: async () => {
        sockets.destroy();
        await new Promise((resolve) => server.close(resolve));
      },
    } satisfies Rig,
  };
}

async function tcpRig(serverTls?: ServerTls): Promise<Rig> {
  const peers: Peer[] = [];
  const accept = (socket: Socket) => void peers.push(tcpPeer(socket, () => sockets.reset(socket)));
  const server =
    serverTls === undefined
      ? createTcpServer({ noDelay: true }, accept)
      : createTlsServer(serverTls.identity, accept);
  const { sockets, rig } = await socketRig(
    serverTls === undefined ? "mqtt" : "mqtts",
    server,
    serverTls,
    peers,
  );
  return rig;
}

async function webSocketRig(serverTls?: ServerTls): Promise<Rig> {
  const server =
    serverTls === undefined ? createHttpServer() : createHttpsServer(serverTls.identity);
  const peers: Peer[] = [];
  const { sockets, rig } = await socketRig(
    serverTls === undefined ? "ws" : "wss",
    server,
    serverTls,
    peers,
  );
  const webSocketServer = new WebSocketServer({ server, path: "/mqtt" });
  webSocketServer.on("connection", (webSocket, request) => {
    const peer: Peer = {
      chunks: [],
      ended: "no",
      write: (bytes) => webSocket.send(bytes),
      waitingLength: () => webSocket.bufferedAmount,
      pause: () => webSocket.pause(),
      resume: () => webSocket.resume(),
      end: () => webSocket.close(),
      reset: () => sockets.reset(request.socket),
    };
    webSocket.on("message", (data: Buffer) => peer.chunks.push(data));
    webSocket.on("error", () => {});
    webSocket.on("close", (code) => {
      peer.ended = code === 1006 ? "broken off" : "in order";
    });
    peers.push(peer);
  });
  return rig;
}

async function memoryRig(): Promise<Rig> {
  const peers: Peer[] = [];
  const accept = (open: OpenTransport) => {
    let waitingLength = 0;
    const transport = open({
      opened: () => {},
      received: (chunk) => void peer.chunks.push(Buffer.from(chunk)),
      drained: () => {
        waitingLength = 0;
      },
      closed: (reason) => {
        peer.ended = reason === undefined ? "in order" : "broken off";
      },
    });
    const peer: Peer = {
      chunks: [],
      ended: "no",
      write: (bytes) => {
        if (!transport.write(bytes)) waitingLength += bytes.length;
      },
      waitingLength: () => waitingLength,
      pause: () => transport.pause(),
      resume: () => transport.resume(),
      end: () => transport.close(),
      reset: () => transport.reset(),
    };
    peers.push(peer);
  };
  return {
    peers,
    open: (world = realWorld) => memoryListener(world, accept),
    stop: async () => {},
  };
}

function behavesAsATransport(createRig: () => Promise<Rig>): void {
  let rig: Rig;
  const clients: Client[] = [];

  beforeEach(async () => {
    rig = await createRig();
  });

  afterEach(async () => {
    for (const client of clients.splice(0)) client.transport.reset();
    await rig.stop();
  });

  function open(world?: World): Client {
    const client = new Client(rig.open(world));
    clients.push(client);
    return client;
  }

  async function connected(world?: World): Promise<{ client: Client; peer: Peer }> {
    const client = open(world);
    await until(() => client.isOpen && rig.peers.length > 0);
    const peer = rig.peers.at(-1);
    if (peer === undefined) throw new Error("nobody came");
    return { client, peer };
  }

  const lengthOf = (chunks: Buffer[]) => chunks.reduce((sum, chunk) => sum + chunk.length, 0);

  test("it is opened once, never from within open", async () => {
    const { client } = await connected();
    await sleep(QUIET_MS);
    expect(client.calls).toEqual(["opened"]);
  });

  test.each([1, 2, 125, 126, 127, 16_384, 65_535, 65_536, 1_048_576])(
    "%i bytes arrive as they were sent, both ways",
    async (length) => {
      const { client, peer } = await connected();
      const up = bytesOf(length, 1);
      const down = bytesOf(length, 2);

      client.transport.write(up);
      peer.write(down);
      await until(() => lengthOf(peer.chunks) >= length && lengthOf(client.chunks) >= length);

      expect(Buffer.concat(peer.chunks).equals(up)).toBe(true);
      expect(client.bytes.equals(down)).toBe(true);
    },
  );

  test("many small writes arrive in their order", async () => {
    const { client, peer } = await connected();
    const bytes = bytesOf(20_000);
    for (let at = 0, size = 1; at < bytes.length; at += size, size = (size % 97) + 1) {
      client.transport.write(bytes.subarray(at, at + size));
      peer.write(bytes.subarray(at, at + size));
    }
    await until(() => lengthOf(peer.chunks) === bytes.length);
    await until(() => lengthOf(client.chunks) === bytes.length);

    expect(Buffer.concat(peer.chunks).equals(bytes)).toBe(true);
    expect(client.bytes.equals(bytes)).toBe(true);
  });

  test("writing nothing is harmless", async () => {
    const { client, peer } = await connected();
    client.transport.write(new Uint8Array(0));
    client.transport.write(bytesOf(3));
    await until(() => lengthOf(peer.chunks) === 3);
    expect(client.calls).toEqual(["opened"]);
  });

  test("the caller may reuse its buffer as soon as write returns", async () => {
    const { client, peer } = await connected();
    peer.pause();
    const scratch = new Uint8Array(64 * 1024);
    const expected: Buffer[] = [];
    for (let round = 0; round < 200; round++) {
      scratch.fill(round);
      expected.push(Buffer.from(scratch));
      client.transport.write(scratch);
      scratch.fill(0xee);
    }
    peer.resume();
    await until(() => lengthOf(peer.chunks) === lengthOf(expected));

    expect(Buffer.concat(peer.chunks).equals(Buffer.concat(expected))).toBe(true);
  });

  test("a write before opened is a mistake of ours, and says so", () => {
    const client = open();
    expect(() => client.transport.write(bytesOf(1))).toThrow("before opened");
  });

  test("pause stops received at once, resume brings the rest in order", async () => {
    const { client, peer } = await connected();
    let isPaused = false;
    client.onReceived = () => {
      expect(isPaused).toBe(false);
      if (client.chunks.length > 1) return;
      client.transport.pause();
      isPaused = true;
    };
    for (let at = 0; at < flood.length; at += 1_000_000)
      peer.write(flood.subarray(at, at + 1_000_000));
    await until(() => isPaused);
    await sleep(QUIET_MS);
    expect(client.chunks.length).toBe(1);
    expect(peer.waitingLength()).toBeGreaterThan(0);

    isPaused = false;
    client.transport.resume();
    await until(() => lengthOf(client.chunks) === flood.length);
    expect(client.bytes.equals(flood)).toBe(true);
  });

  test("small messages that arrived together stop at pause, one by one", async () => {
    const { client, peer } = await connected();
    client.onReceived = () => client.transport.pause();
    for (let index = 0; index < 10; index++) peer.write(Buffer.of(index));

    for (let count = 1; lengthOf(client.chunks) < 10; count++) {
      await until(() => client.chunks.length === count);
      await sleep(2);
      expect(client.chunks.length).toBe(count);
      client.transport.resume();
    }
    expect(client.bytes).toEqual(Buffer.of(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  });

  test("write answers false when the peer does not read; drained comes when it does", async () => {
    const { client, peer } = await connected();
    const step = 16_000;
    let at = 0;
    const pump = () => {
      while (at < flood.length) {
        const isReady = client.transport.write(flood.subarray(at, at + step));
        at += step;
        if (!isReady) return;
      }
    };
    client.onDrained = pump;
    peer.pause();
    pump();
    let before = -1;
    while (before !== at) {
      before = at;
      await sleep(QUIET_MS);
    }
    expect(at).toBeLessThan(flood.length);

    peer.resume();
    await until(() => lengthOf(peer.chunks) === flood.length);
    expect(Buffer.concat(peer.chunks).equals(flood)).toBe(true);
    expect(client.calls).toEqual(["opened", "drained"]);
  });

  test("close sends what was written, then ends in order", async () => {
    const { client, peer } = await connected();
    const bytes = bytesOf(1_048_576);
    client.transport.write(bytes);
    client.transport.close();
    await until(() => client.isClosed && peer.ended !== "no");

    expect(Buffer.concat(peer.chunks).equals(bytes)).toBe(true);
    expect(peer.ended).toBe("in order");
    expect(client.calls).toEqual(["opened", "closed"]);
    expect(client.reason).toBeUndefined();
  });

  test("after close the owner hears nothing but closed", async () => {
    const { client, peer } = await connected();
    peer.write(bytesOf(100_000));
    client.transport.close();
    await until(() => client.isClosed);
    expect(client.calls).toEqual(["opened", "closed"]);
  });

  test("a paused connection can be closed", async () => {
    const { client, peer } = await connected();
    client.transport.pause();
    peer.write(bytesOf(200_000));
    await sleep(QUIET_MS);
    client.transport.close();
    await until(() => client.isClosed && peer.ended !== "no");
    expect(client.calls).toEqual(["opened", "closed"]);
    expect(client.reason).toBeUndefined();
  });

  test("close gives up a peer that does not answer", async () => {
    const { client, peer } = await connected(impatientWorld);
    peer.pause();
    client.transport.write(flood);
    await sleep(QUIET_MS);
    client.transport.close();
    await until(() => client.isClosed);
    expect(client.calls).toEqual(["opened", "closed"]);
    expect(client.reason).toBeUndefined();
  });

  test("reset throws away what was not sent", async () => {
    const { client, peer } = await connected();
    peer.pause();
    client.transport.write(flood);
    await sleep(QUIET_MS);
    client.transport.reset();
    await until(() => client.isClosed);
    peer.resume();
    await until(() => peer.ended !== "no");

    expect(lengthOf(peer.chunks)).toBeLessThan(flood.length);
    expect(client.calls).toEqual(["opened", "closed"]);
    expect(client.reason).toBeUndefined();
  });

  test("the peer sees a reset as broken off", async () => {
    const { client, peer } = await connected();
    client.transport.reset();
    await until(() => client.isClosed && peer.ended !== "no");
    expect(peer.ended).toBe("broken off");
    expect(client.calls).toEqual(["opened", "closed"]);
  });

  test.each([
    ["close, close", ["close", "close"]],
    ["close, reset", ["close", "reset"]],
    ["reset, close", ["reset", "close"]],
    ["reset, reset", ["reset", "reset"]],
    ["pause, close, resume, reset", ["pause", "close", "resume", "reset"]],
  ] as [string, ("close" | "reset" | "pause" | "resume")[]][])(
    "%s in one breath end it once, without a reason",
    async (_title, calls) => {
      for (const written of [new Uint8Array(0), flood]) {
        const { client, peer } = await connected();
        peer.pause();
        if (written.length > 0) client.transport.write(written);
        for (const call of calls) client.transport[call]();
        expect(client.isClosed).toBe(false);
        peer.resume();
        await until(() => client.isClosed);
        await sleep(QUIET_MS);
        expect(client.calls).toEqual(["opened", "closed"]);
        expect(client.reason).toBeUndefined();
      }
    },
  );

  test.each(["close", "reset"] as const)("%s before opened ends it unopened", async (call) => {
    const client = open();
    client.transport[call]();
    expect(client.calls).toEqual([]);
    await until(() => client.isClosed);
    await sleep(QUIET_MS);
    expect(client.calls).toEqual(["closed"]);
    expect(client.reason).toBeUndefined();
  });

  test.each(["close", "reset"] as const)("%s from within opened ends it", async (call) => {
    const client = open();
    client.opened = () => {
      client.calls.push("opened");
      client.transport.write(bytesOf(10));
      client.transport[call]();
    };
    await until(() => client.isClosed);
    expect(client.calls).toEqual(["opened", "closed"]);
    expect(client.reason).toBeUndefined();
  });

  test.each(["close", "reset"] as const)("%s from within received ends it", async (call) => {
    const { client, peer } = await connected();
    client.onReceived = () => client.transport[call]();
    for (let index = 0; index < 10; index++) peer.write(bytesOf(70_000));
    await until(() => client.isClosed);
    expect(client.calls).toEqual(["opened", "received", "closed"]);
    expect(client.chunks.length).toBe(1);
  });

  test("after closed every method is harmless", async () => {
    const { client } = await connected();
    client.transport.close();
    await until(() => client.isClosed);

    expect(client.transport.write(bytesOf(10))).toBe(false);
    client.transport.pause();
    client.transport.resume();
    client.transport.close();
    client.transport.reset();
    await sleep(QUIET_MS);
    expect(client.calls).toEqual(["opened", "closed"]);
  });

  test("the peer's end in order is no error, and comes after its last byte", async () => {
    const { client, peer } = await connected();
    const bytes = bytesOf(300_000);
    peer.write(bytes);
    peer.end();
    await until(() => client.isClosed);
    expect(client.bytes.equals(bytes)).toBe(true);
    expect(client.calls).toEqual(["opened", "received", "closed"]);
    expect(client.reason).toBeUndefined();
  });

  test("a paused owner gets the last bytes before it hears of the peer's end", async () => {
    const { client, peer } = await connected();
    const bytes = bytesOf(300_000);
    client.onReceived = () => client.transport.pause();
    for (let at = 0; at < bytes.length; at += 1000) peer.write(bytes.subarray(at, at + 1000));
    peer.end();
    await until(() => client.chunks.length === 1);
    await sleep(QUIET_MS);
    expect(client.calls).toEqual(["opened", "received"]);
    expect(client.chunks.length).toBe(1);

    client.onReceived = () => {};
    client.transport.resume();
    await until(() => client.isClosed);
    expect(client.bytes.equals(bytes)).toBe(true);
    expect(client.calls).toEqual(["opened", "received", "closed"]);
    expect(client.reason).toBeUndefined();
  });

  test("a paused owner that resets does not wait for the bytes it will never get", async () => {
    const { client, peer } = await connected();
    client.onReceived = () => client.transport.pause();
    for (let index = 0; index < 300; index++) peer.write(bytesOf(1000));
    peer.end();
    await until(() => client.chunks.length === 1);
    await sleep(QUIET_MS);
    client.transport.reset();
    await until(() => client.isClosed);
    expect(client.calls).toEqual(["opened", "received", "closed"]);
  });

  test("a connection that the peer breaks off is lost", async () => {
    const { client, peer } = await connected();
    // libuv takes an RST for a FIN when it comes together with bytes, as those with which TLS begins.
    peer.write(bytesOf(1));
    await until(() => client.chunks.length === 1);
    peer.reset();
    await until(() => client.isClosed);
    expect(client.calls).toEqual(["opened", "received", "closed"]);
    expect(client.reason?.failure).toBe("lost");
    expect(client.reason?.remedy).not.toBe("");
  });

  test("a hundred connections at once do not meet", async () => {
    const all = Array.from({ length: 100 }, () => open());
    await until(() => all.every((client) => client.isOpen) && rig.peers.length === all.length);
    for (const peer of rig.peers) peer.write(bytesOf(3));
    for (const [index, client] of all.entries()) client.transport.write(bytesOf(10 + index));
    await until(() => all.every((client) => lengthOf(client.chunks) === 3));
    for (const client of all) client.transport.close();
    await until(() => all.every((client) => client.isClosed));
    await until(() => rig.peers.every((peer) => peer.ended === "in order"));

    const lengths = rig.peers.map((peer) => lengthOf(peer.chunks)).sort((a, b) => a - b);
    expect(lengths).toEqual(all.map((_, index) => 10 + index));
    for (const client of all) expect(client.calls).toEqual(["opened", "received", "closed"]);
  });
}

describe("TCP", () => behavesAsATransport(() => tcpRig()));
describe("WebSocket", () => behavesAsATransport(() => webSocketRig()));
describe("memory", () => behavesAsATransport(memoryRig));

describeWith(["openssl"], "with TLS", () => {
  let pki: Pki;
  let serverTls: ServerTls;
  beforeAll(() => {
    pki = createPki();
    serverTls = { ca: pki.ca.cert, identity: pki.issue("broker", "IP:127.0.0.1") };
  });
  afterAll(() => pki.remove());

  describe("TCP", () => behavesAsATransport(() => tcpRig(serverTls)));
  describe("WebSocket", () => behavesAsATransport(() => webSocketRig(serverTls)));
});
