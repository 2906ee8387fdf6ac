/** The bridge between a board's tunnel and a broker: in memory on a clock that the test moves, and against a real broker. */

import { randomUUID } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Bridge, type BridgeEvent } from "../../host/src/bridge/bridge.ts";
import { BridgeAll, type BridgeAllEvent } from "../../host/src/bridge/bridge-all.ts";
import { MqttClient } from "../../host/src/client/mqtt-client.ts";
import { ConnectionError } from "../../host/src/errors.ts";
import { parseBrokerUrl } from "../../host/src/transport/broker-url.ts";
import { memoryListener } from "../../host/src/transport/memory.ts";
import { openTransport } from "../../host/src/transport/open-transport.ts";
import type { OpenTransport, Transport } from "../../host/src/transport/transport.ts";
import { realWorld } from "../../host/src/world.ts";
import { startAedes } from "../support/brokers.ts";
import { ScriptedBoard } from "../support/scripted-board.ts";
import { noise, seeded, TestCable, type TestCableOptions } from "../support/test-cable.ts";
import { TunnelPeer } from "../support/tunnel-peer.ts";
import { VirtualWorld } from "../support/virtual-world.ts";

/** The broker's end of one connection. */
class BrokerEnd {
  readonly #transport: Transport;
  received: Buffer = Buffer.alloc(0);
  isOpen = false;
  isClosed = false;

  constructor(server: OpenTransport) {
    this.#transport = server({
      opened: () => {
        this.isOpen = true;
      },
      received: (bytes) => {
        this.received = Buffer.concat([this.received, bytes]);
      },
      drained: () => {},
      closed: () => {
        this.isClosed = true;
      },
    });
  }

  write(bytes: Uint8Array): boolean {
    return this.#transport.write(bytes);
  }

  pause(): void {
    this.#transport.pause();
  }

  resume(): void {
    this.#transport.resume();
  }

  close(): void {
    this.#transport.close();
  }

  reset(): void {
    this.#transport.reset();
  }
}

let world: VirtualWorld;
let ends: BrokerEnd[];
let events: (BridgeEvent | BridgeAllEvent)[];
let listener: OpenTransport;

beforeEach(() => {
  world = new VirtualWorld();
  ends = [];
  events = [];
  listener = memoryListener(world, (server) => ends.push(new BrokerEnd(server)));
});

interface Bench {
  readonly cable: TestCable;
  readonly peer: TunnelPeer;
  readonly bridge: Bridge;
}

function bench(options: TestCableOptions = {}, broker = listener, windowLength = 512): Bench {
  const cable = new TestCable(world, options);
  new ScriptedBoard(world, cable);
  const peer = new TunnelPeer(world, cable, windowLength);
  const bridge = new Bridge({
    world,
    path: cable.path,
    openLine: cable.openLine,
    openTransport: broker,
    tell: (event) => events.push(event),
  });
  return { cable, peer, bridge };
}

/** A bench whose board has a connection. */
async function connected(options?: TestCableOptions, windowLength?: number) {
  const made = bench(options, listener, windowLength);
  await world.advance(10);
  made.peer.open();
  await world.advance(100);
  expect(made.peer.state).toBe("up");
  const broker = ends.at(-1);
  if (broker === undefined) throw new Error("no connection to the broker");
  return { ...made, broker };
}

function named(name: string) {
  return events.filter(({ event }) => event === name);
}

function bytesFrom(random: () => number, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => Math.floor(random() * 256));
}

describe("a connection", () => {
  test("is made when the board wants one, and carries bytes in both directions untouched", async () => {
    const { peer, bridge, broker } = await connected();
    const random = seeded(5);
    const up = bytesFrom(random, 20_000);
    const down = bytesFrom(random, 20_000);
    peer.write(up);
    broker.write(down);
    await world.advance(5_000);
    expect(broker.received.equals(up)).toBe(true);
    expect(peer.received.equals(down)).toBe(true);
    expect(bridge.counts).toEqual({
      lineCount: 1,
      connectionCount: 1,
      refusedCount: 0,
      toBrokerLength: 20_000,
      toBoardLength: 20_000,
      ignoredFrameCount: 0,
    });
    expect(events.map(({ event }) => event)).toEqual(["line-opened", "board", "opening", "opened"]);
  });

  test("that the board closes in order is closed in order, with what was sent before", async () => {
    const { peer, broker } = await connected();
    peer.write(Buffer.from("last words"));
    peer.close(0);
    await world.advance(100);
    expect(broker.received.toString()).toBe("last words");
    expect(broker.isClosed).toBe(true);
    expect(named("closed")).toEqual([
      expect.objectContaining({ by: "board", stood: true, toBrokerLength: 10, toBoardLength: 0 }),
    ]);
  });

  test.each(["close", "reset"] as const)(
    "that the broker ends (%s) is closed at the board, behind what came before",
    async (how) => {
      const { peer, broker } = await connected();
      peer.takesAtOnce = false;
      const words = Buffer.alloc(2_000, "broker ");
      broker.write(words);
      await world.advance(1_000);
      broker[how]();
      await world.advance(1_000);
      expect(peer.state).toBe("up");
      expect(peer.received.length).toBe(512);
      peer.takesAtOnce = true;
      peer.take(peer.pendingLength);
      await world.advance(1_000);
      expect(peer.received.equals(words)).toBe(true);
      expect(peer.ended).toMatchObject({ by: "host", reason: 2 });
      expect(named("closed")).toEqual([
        expect.objectContaining({ by: "broker", stood: true, toBoardLength: 2_000 }),
      ]);
    },
  );

  test("that cannot be made is refused with the reason, and the board may ask again", async () => {
    const { peer, bridge } = bench({}, (handlers) => {
      const error = new ConnectionError("unreachable", "broker:1883: nobody listens there", "x");
      world.setTimer(10, () => handlers.closed(error));
      return { write: () => true, pause() {}, resume() {}, close() {}, reset() {} };
    });
    await world.advance(10);
    peer.open();
    await world.advance(100);
    expect(peer.ended).toEqual({
      by: "host",
      reason: 1,
      text: "broker:1883: nobody listens there",
    });
    expect(named("closed")).toEqual([
      expect.objectContaining({
        by: "broker",
        stood: false,
        error: expect.objectContaining({ failure: "unreachable" }),
      }),
    ]);
    peer.open();
    await world.advance(100);
    expect(bridge.counts.refusedCount).toBe(2);
  });

  test("that the board opens anew after a restart ends the old one at the broker", async () => {
    const { peer, broker } = await connected();
    peer.write(Buffer.from("old"));
    await world.advance(100);
    peer.restart();
    peer.open();
    await world.advance(100);
    expect(peer.state).toBe("up");
    expect(broker.isClosed).toBe(true);
    expect(ends).toHaveLength(2);
    peer.write(Buffer.from("new"));
    await world.advance(100);
    expect(ends[1]?.received.toString()).toBe("new");
    expect(broker.received.toString()).toBe("old");
  });

  test("whose board falls silent is given up after some seconds", async () => {
    const { peer, cable, broker } = await connected();
    cable.onReceived = () => {};
    broker.write(Buffer.from("hello?"));
    await world.advance(6_000);
    expect(broker.isClosed).toBe(true);
    expect(named("closed")).toEqual([expect.objectContaining({ by: "tunnel" })]);
    expect(peer.state).toBe("up");
  });
});

describe("back-pressure", () => {
  test("a board that does not take holds the broker back, and loses nothing", async () => {
    const { peer, broker, bridge } = await connected();
    peer.takesAtOnce = false;
    const down = bytesFrom(seeded(6), 200_000);
    let isRefused = false;
    for (let at = 0; at < down.length; at += 1_000) {
      isRefused = !broker.write(down.subarray(at, at + 1_000)) || isRefused;
    }
    await world.advance(20_000);
    expect(isRefused).toBe(true);
    expect(peer.received.length).toBe(512);
    // What the bridge holds is what one read brought.
    expect(bridge.counts.toBoardLength).toBeLessThan(20_000);
    peer.takesAtOnce = true;
    peer.take(peer.pendingLength);
    await world.advance(30_000);
    expect(peer.received.equals(down)).toBe(true);
    expect(peer.pendingLengthMax).toBeLessThanOrEqual(512);
  });

  test("a broker that does not read holds the board back, and loses nothing", async () => {
    const { peer, broker, bridge } = await connected();
    broker.pause();
    const up = bytesFrom(seeded(7), 100_000);
    peer.write(up);
    await world.advance(20_000);
    expect(peer.state).toBe("up");
    // The transport's high-water mark, the window, and what one write brought.
    expect(bridge.counts.toBrokerLength).toBeLessThan(16_384 + 4_096 + 1_024);
    expect(peer.waitingLength).toBeGreaterThan(70_000);
    broker.resume();
    await world.advance(30_000);
    expect(broker.received.equals(up)).toBe(true);
  });
});

describe("the line", () => {
  test("that is lost ends the connection at the broker at once, and is looked for", async () => {
    const { cable, peer, broker, bridge } = await connected();
    cable.pull();
    await world.advance(10);
    expect(broker.isClosed).toBe(true);
    expect(named("closed")).toEqual([expect.objectContaining({ by: "line" })]);
    await world.advance(60_000);
    const failed = named("line-closed");
    expect(failed.length).toBeGreaterThan(10);
    expect(failed.length).toBeLessThan(25);
    expect(failed.at(-1)).toMatchObject({ retryInMs: 4_000, error: { failure: "no-port" } });

    cable.plug();
    peer.restart();
    await world.advance(5_000);
    peer.open();
    await world.advance(100);
    expect(peer.state).toBe("up");
    expect(bridge.counts).toMatchObject({ lineCount: 2, connectionCount: 2 });
  });

  test("on which nobody answers is told of once, and the board is bridged when it comes", async () => {
    const cable = new TestCable(world);
    const bridge = new Bridge({
      world,
      path: cable.path,
      openLine: cable.openLine,
      openTransport: listener,
      tell: (event) => events.push(event),
    });
    await world.advance(60_000);
    expect(named("silent")).toHaveLength(1);
    const peer = new TunnelPeer(world, cable);
    await world.advance(1_500);
    expect(peer.helloCount).toBeGreaterThan(0);
    peer.open();
    await world.advance(100);
    expect(peer.state).toBe("up");
    await bridge.stop();
  });

  test("says what the board says to people", async () => {
    const { cable } = bench();
    await world.advance(10);
    cable.send(Buffer.from("21.5 °C\r\n"));
    await world.advance(10);
    expect(named("console").at(-1)).toEqual({
      path: "/dev/ttyTEST0",
      event: "console",
      text: "21.5 °C",
      isWhole: true,
    });
  });

  test.each([1, 2, 3, 4])(
    "that spoils frames never spoils a stream: it ends, and both ends hear of it (seed %i)",
    async (seed) => {
      const random = seeded(seed);
      const spoil = noise(random, 0.01);
      const { peer } = bench({ toBoard: spoil, toHost: spoil });
      await world.advance(10);
      const rounds = { whole: 0, ended: 0, unopened: 0 };
      for (let round = 0; round < 25; round++) rounds[await exchange(peer, random)]++;
      expect(rounds.whole).toBeGreaterThan(0);
      expect(rounds.ended).toBeGreaterThan(0);
      expect(rounds.unopened).toBeLessThan(5);
    },
  );

  /** One connection over a bad line: within 10 s all has arrived, or both ends know that it has not. */
  async function exchange(peer: TunnelPeer, random: () => number) {
    const endCount = ends.length;
    peer.open();
    await world.advance(3_500);
    const broker = ends.at(-1);
    if (broker === undefined || ends.length === endCount || peer.state === "down") {
      return "unopened";
    }
    const up = bytesFrom(random, 4_000);
    const down = bytesFrom(random, 4_000);
    peer.write(up);
    if (!broker.isClosed) broker.write(down);
    await world.advance(10_000);
    expect(broker.received.equals(up.subarray(0, broker.received.length))).toBe(true);
    expect(peer.received.equals(down.subarray(0, peer.received.length))).toBe(true);
    const isWhole = broker.received.length === up.length && peer.received.length === down.length;
    if (!isWhole) expect([peer.state, broker.isClosed]).toEqual(["down", true]);
    peer.close(0);
    await world.advance(500);
    return isWhole ? "whole" : "ended";
  }
});

describe("stopping", () => {
  test("ends both sides, leaves the line, and nothing goes on", async () => {
    const { cable, peer, broker, bridge } = await connected();
    await bridge.stop();
    await world.advance(100);
    expect(broker.isClosed).toBe(true);
    expect(peer.ended).toMatchObject({ by: "host", reason: 6 });
    expect(cable.isOpen).toBe(false);
    expect(named("closed")).toEqual([expect.objectContaining({ by: "bridge" })]);
    const eventCount = events.length;
    const openCount = cable.openCount;
    cable.pull();
    cable.plug();
    await world.advance(60_000);
    expect(events).toHaveLength(eventCount);
    expect(cable.openCount).toBe(openCount);
  });

  test("while the line is looked for ends the search", async () => {
    const { cable, bridge } = bench();
    cable.pull();
    await world.advance(1_000);
    await bridge.stop();
    const { openCount } = cable;
    cable.plug();
    await world.advance(60_000);
    expect(cable.openCount).toBe(openCount);
    expect(cable.isOpen).toBe(false);
  });

  test("while the line is being opened leaves it", async () => {
    const { cable, bridge } = bench();
    await bridge.stop();
    await world.advance(1_000);
    expect(cable.isOpen).toBe(false);
  });
});

describe("all boards", () => {
  test("are bridged as they come, each with a connection of its own, and left as they go, but counted", async () => {
    const cables = new Map<string, TestCable>();
    const peers: TunnelPeer[] = [];
    const plug = (path: string) => {
      const cable = new TestCable(world, { path });
      cables.set(path, cable);
      peers.push(new TunnelPeer(world, cable));
    };
    plug("/dev/ttyA");
    plug("/dev/ttyB");
    let isListBroken = false;
    const all = new BridgeAll({
      world,
      list: async () => {
        if (isListBroken) throw new Error("no list today");
        return [...cables.keys()];
      },
      openLineTo: (path) => (handlers) => {
        const cable = cables.get(path);
        return cable === undefined ? Promise.reject(new Error("gone")) : cable.openLine(handlers);
      },
      openTransport: listener,
      tell: (event) => events.push(event),
    });
    await world.advance(100);
    plug("/dev/ttyC");
    await world.advance(2_500);
    for (const peer of peers) peer.open();
    await world.advance(100);
    expect(peers.map(({ state }) => state)).toEqual(["up", "up", "up"]);
    for (const [index, peer] of peers.entries()) peer.write(Buffer.from(`board ${index}`));
    await world.advance(100);
    expect(ends.map(({ received }) => received.toString())).toEqual([
      "board 0",
      "board 1",
      "board 2",
    ]);

    isListBroken = true;
    await world.advance(2_000);
    expect(named("list-failed").length).toBeGreaterThan(0);
    isListBroken = false;
    cables.get("/dev/ttyB")?.pull();
    cables.delete("/dev/ttyB");
    await world.advance(2_500);
    expect(ends.map(({ isClosed }) => isClosed)).toEqual([false, true, false]);
    expect(named("port-gone")).toHaveLength(1);
    const counted = { lineCount: 1, connectionCount: 1, toBrokerLength: "board 1".length };
    expect(all.counts.get("/dev/ttyB")).toMatchObject(counted);

    plug("/dev/ttyB");
    await world.advance(2_500);
    peers.at(-1)?.open();
    await world.advance(100);
    peers.at(-1)?.write(Buffer.from("again"));
    await world.advance(100);
    await all.stop();
    const sum = { lineCount: 2, connectionCount: 2, toBrokerLength: "board 1again".length };
    expect(all.counts.get("/dev/ttyB")).toMatchObject(sum);
    expect([...all.counts.keys()].sort()).toEqual(["/dev/ttyA", "/dev/ttyB", "/dev/ttyC"]);
    await world.advance(100);
    expect(ends.every(({ isClosed }) => isClosed)).toBe(true);
    const eventCount = events.length;
    await world.advance(10_000);
    expect(events).toHaveLength(eventCount);
  });
});

describe("with a real broker", () => {
  const cleanups: (() => Promise<unknown>)[] = [];

  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  test("a board publishes and receives, and its Will comes when its line is lost", async () => {
    const broker = await startAedes();
    cleanups.push(() => broker.stop());
    const url = parseBrokerUrl(`mqtt://127.0.0.1:${broker.port}`);
    const topic = `motes/${randomUUID()}`;
    const observer = new MqttClient({ url: `mqtt://127.0.0.1:${broker.port}` });
    cleanups.push(() => observer.close());
    await observer.connect();
    const messages: string[] = [];
    observer.on("message", (message) => {
      messages.push(`${message.topic} ${Buffer.from(message.payload)}`);
    });
    await observer.subscribe(`${topic}/#`);

    const cable = new TestCable(realWorld);
    const peer = new TunnelPeer(realWorld, cable);
    const bridge = new Bridge({
      world: realWorld,
      path: cable.path,
      openLine: cable.openLine,
      openTransport: openTransport(url, realWorld),
      tell: (event) => events.push(event),
    });
    cleanups.push(() => bridge.stop());
    await until(() => peer.helloCount > 0);
    peer.open();
    await until(() => peer.state === "up");
    peer.write(connectPacket("board", `${topic}/status`, "offline"));
    await until(() => peer.received.equals(Buffer.of(0x20, 2, 0, 0)));
    peer.write(publishPacket(`${topic}/telemetry`, "21.5"));
    await until(() => messages.length === 1);
    cable.pull();
    await until(() => messages.length === 2);
    expect(messages).toEqual([`${topic}/telemetry 21.5`, `${topic}/status offline`]);
  });
});

async function until(holds: () => boolean): Promise<void> {
  const endAtMs = Date.now() + 10_000;
  while (!holds()) {
    if (Date.now() > endAtMs) throw new Error(`not within 10 s: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function text(value: string): number[] {
  const bytes = Buffer.from(value);
  return [bytes.length >> 8, bytes.length & 0xff, ...bytes];
}

/** CONNECT with a clean session and a Will at QoS 0. */
function connectPacket(id: string, willTopic: string, willPayload: string): Uint8Array {
  const rest = [
    ...text("MQTT"),
    4,
    0x06,
    0,
    60,
    ...text(id),
    ...text(willTopic),
    ...text(willPayload),
  ];
  return Uint8Array.from([0x10, rest.length, ...rest]);
}

function publishPacket(topic: string, payload: string): Uint8Array {
  const rest = [...text(topic), ...Buffer.from(payload)];
  return Uint8Array.from([0x30, rest.length, ...rest]);
}
