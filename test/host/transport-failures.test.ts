import { type AddressInfo, createServer, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test, vi } from "vitest";
import { ConnectionError, UsageError } from "../../host/src/errors.ts";
import type { BrokerScheme, BrokerUrl } from "../../host/src/transport/broker-url.ts";
import { connectionError } from "../../host/src/transport/connection-errors.ts";
import { openTransport, type TransportOptions } from "../../host/src/transport/open-transport.ts";
import type { Transport } from "../../host/src/transport/transport.ts";
import { realWorld, type World } from "../../host/src/world.ts";

const SCHEMES: BrokerScheme[] = ["mqtt", "mqtts", "ws", "wss"];

interface Attempt {
  readonly transport: Transport;
  readonly opened: () => boolean;
  /** The reason of `closed`. */
  readonly closed: Promise<ConnectionError | undefined>;
}

function attempt(
  url: BrokerUrl,
  options: TransportOptions = {},
  world: World = realWorld,
): Attempt {
  let isOpen = false;
  let resolveClosed: (reason: ConnectionError | undefined) => void;
  const closed = new Promise<ConnectionError | undefined>((resolve) => {
    resolveClosed = resolve;
  });
  const transport = openTransport(
    url,
    world,
    options,
  )({
    opened: () => {
      isOpen = true;
    },
    received: () => {},
    drained: () => {},
    closed: (reason) => resolveClosed(reason),
  });
  return { transport, closed, opened: () => isOpen };
}

/** The limit is for slow machines. */
const SOON = { interval: 1, timeout: 10_000 };

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** A TCP server that only listens. */
async function listen(accept: (socket: Socket) => void = () => {}): Promise<number> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    accept(socket);
  });
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Counts the timers that are set and neither fired nor cleared. */
function countingWorld(): World & { timerCount: number } {
  const world = {
    ...realWorld,
    timerCount: 0,
    setTimer(delayMs: number, callback: () => void) {
      world.timerCount++;
      let isDue = true;
      const settle = () => {
        if (isDue) world.timerCount--;
        isDue = false;
      };
      const timer = realWorld.setTimer(delayMs, () => {
        settle();
        callback();
      });
      return {
        clear() {
          settle();
          timer.clear();
        },
      };
    },
  };
  return world;
}

describe("a broker that cannot be reached", () => {
  test.each(SCHEMES)("%s: nobody listens", async (scheme) => {
    const port = await closedPort();
    const { closed, opened } = attempt({ scheme, host: "127.0.0.1", port });
    const reason = await closed;

    expect(reason).toBeInstanceOf(ConnectionError);
    expect(reason?.failure).toBe("unreachable");
    expect(reason?.message).toBe(`127.0.0.1:${port}: nobody listens there`);
    expect(reason?.remedy).toContain("Start the broker");
    expect(opened()).toBe(false);
  });

  test("a name that stands for several addresses, none of which answers", async () => {
    const { closed } = attempt({ scheme: "mqtt", host: "localhost", port: await closedPort() });
    expect((await closed)?.failure).toBe("unreachable");
  });

  test("the local address is not of this machine", async () => {
    const { closed } = attempt(
      { scheme: "mqtt", host: "127.0.0.1", port: await listen() },
      { localAddress: "192.0.2.1" }, // RFC 5737: for documentation only.
    );
    const reason = await closed;
    expect(reason?.failure).toBe("unreachable");
    expect(reason?.message).toContain("no local address or port");
  });

  test("a name that resolves to both families is dialed in that of the local address", async () => {
    let remoteAddress: string | undefined;
    const port = await listen((socket) => {
      remoteAddress = socket.remoteAddress;
    });
    const { opened, transport } = attempt(
      { scheme: "mqtt", host: "localhost", port },
      { localAddress: "127.0.0.1" },
    );
    await vi.waitUntil(() => opened() && remoteAddress !== undefined, SOON);
    expect(remoteAddress).toBe("127.0.0.1");
    transport.reset();
  });
});

describe("a broker that does not answer in time", () => {
  test("over TCP, before the connection stands", async () => {
    const hurriedWorld: World = {
      ...realWorld,
      setTimer(_delayMs, callback) {
        queueMicrotask(callback);
        return { clear: () => {} };
      },
    };
    const { closed, opened } = attempt(
      { scheme: "mqtt", host: "127.0.0.1", port: 1 },
      {},
      hurriedWorld,
    );
    const reason = await closed;
    expect(reason?.failure).toBe("timeout");
    expect(reason?.message).toBe("127.0.0.1:1 did not answer within 10000 ms");
    expect(opened()).toBe(false);
  });

  test.each(["mqtts", "ws", "wss"] as const)("%s: silent after TCP", async (scheme) => {
    const port = await listen();
    const { closed, opened } = attempt({ scheme, host: "127.0.0.1", port }, { timeoutMs: 60 });
    const reason = await closed;
    expect(reason?.failure).toBe("timeout");
    expect(reason?.message).toBe(`127.0.0.1:${port} did not answer within 60 ms`);
    expect(opened()).toBe(false);
  });
});

test.each(["close", "reset"] as const)("%s at once makes no connection", async (call) => {
  let acceptedCount = 0;
  const port = await listen(() => acceptedCount++);
  const { closed, transport } = attempt({ scheme: "mqtt", host: "127.0.0.1", port });
  transport[call]();
  await closed;
  await sleep(20);
  expect(acceptedCount).toBe(0);
});

test("small packets are not held back: TCP_NODELAY is set", async () => {
  const setNoDelay = vi.spyOn(Socket.prototype, "setNoDelay");
  cleanups.push(() => setNoDelay.mockRestore());
  attempt({ scheme: "mqtt", host: "127.0.0.1", port: await listen() }).transport.reset();
  expect(setNoDelay).toHaveBeenCalledWith(true);
});

describe("an attempt that is given up while the server is silent after TCP", () => {
  const cases = (["mqtts", "ws", "wss"] as const).flatMap((scheme) =>
    (["close", "reset"] as const).map((call) => [scheme, call] as const),
  );

  test.each(cases)("%s: %s ends it without a reason", async (scheme, call) => {
    let acceptedCount = 0;
    const port = await listen((socket) => {
      socket.once("data", () => acceptedCount++);
    });
    const { closed, opened, transport } = attempt({ scheme, host: "127.0.0.1", port });
    await vi.waitUntil(() => acceptedCount === 1, SOON);
    transport[call]();
    expect(await closed).toBeUndefined();
    expect(opened()).toBe(false);
  });
});

describe("the world's timers", () => {
  test.each(SCHEMES)("%s: none is left when a connection failed", async (scheme) => {
    const world = countingWorld();
    const { closed } = attempt({ scheme, host: "127.0.0.1", port: await closedPort() }, {}, world);
    expect(world.timerCount).toBe(1);
    await closed;
    expect(world.timerCount).toBe(0);
  });

  test("none runs while a connection is open, and none is left when it was closed", async () => {
    const world = countingWorld();
    const port = await listen((socket) => socket.resume());
    const { closed, opened, transport } = attempt(
      { scheme: "mqtt", host: "127.0.0.1", port },
      {},
      world,
    );
    await vi.waitUntil(opened, SOON);
    expect(world.timerCount).toBe(0);
    transport.close();
    expect(world.timerCount).toBe(1);
    await closed;
    expect(world.timerCount).toBe(0);
  });
});

test.each([
  [undefined, false],
  [64 * 1024 * 1024, true],
])(
  "a high-water mark of %s bytes decides what write answers",
  async (highWaterLength, expected) => {
    const port = await listen((socket) => socket.pause());
    const { opened, transport } = attempt(
      { scheme: "mqtt", host: "127.0.0.1", port },
      { highWaterLength },
    );
    await vi.waitUntil(opened, SOON);
    // More than the operating system takes off our hands.
    expect(transport.write(new Uint8Array(24 * 1024 * 1024))).toBe(expected);
    transport.reset();
  },
);

describe("options that cannot be used are refused before anything is opened:", () => {
  const mqtt: BrokerUrl = { scheme: "mqtt", host: "127.0.0.1", port: 1 };

  test.each<[string, BrokerUrl, TransportOptions, string, string]>([
    ["a name as local address", mqtt, { localAddress: "eth0" }, '"eth0" is no IP', "IPv4 or IPv6"],
    ["TLS over mqtt", mqtt, { tls: {} }, "mqtt:// is not encrypted", "mqtts://"],
    ["TLS over ws", { ...mqtt, scheme: "ws" }, { tls: {} }, "ws:// is not encrypted", "wss://"],
  ])("%s", (_title, url, options, problem, remedy) => {
    expect(() => openTransport(url, realWorld, options)).toThrow(UsageError);
    expect(() => openTransport(url, realWorld, options)).toThrow(
      expect.objectContaining({
        message: expect.stringContaining(problem),
        remedy: expect.stringContaining(remedy),
      }),
    );
  });
});

describe("an error of the operating system is explained:", () => {
  test.each([
    ["ECONNREFUSED", "unreachable", "nobody listens there", "Start the broker"],
    ["ENOTFOUND", "unreachable", "has no address", "how the host name is written"],
    ["EAI_AGAIN", "unreachable", "no name server", "DNS"],
    ["ETIMEDOUT", "timeout", "no answer", "firewall"],
    ["EHOSTUNREACH", "unreachable", "no network leads there", "network"],
    ["ENETUNREACH", "unreachable", "no network leads there", "network"],
    ["EMFILE", "unreachable", "may not open more connections", "wasmqtt doctor -c"],
    ["ENFILE", "unreachable", "may not open more connections", "wasmqtt doctor -c"],
    ["EADDRNOTAVAIL", "unreachable", "no local address or port", "--ifaddr"],
    ["EADDRINUSE", "unreachable", "no local address or port", "--ifaddr"],
    ["EINVAL", "unreachable", "no local address or port", "--ifaddr"],
    ["EACCES", "unreachable", "forbids", "firewall"],
    ["ECONNRESET", "lost", "broke the connection off", "broker's log"],
    ["EPIPE", "lost", "broke the connection off", "broker's log"],
    ["EWHATEVER", "lost", "something new", "broker's log"],
  ])("%s", (code, failure, problem, remedy) => {
    const cause = Object.assign(new Error("something new"), { code });
    const error = connectionError(cause, "host:1883");
    expect(error.failure).toBe(failure);
    expect(error.message).toMatch(/^host:1883: /);
    expect(error.message).toContain(problem);
    expect(error.remedy).toContain(remedy);
    expect(error.cause).toBe(cause);
  });
});
