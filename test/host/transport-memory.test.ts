import { describe, expect, test } from "vitest";
import { CLOSE_TIMEOUT_MS, OPEN_TIMEOUT_MS } from "../../host/src/transport/guarded-transport.ts";
import { memoryListener, memoryPair } from "../../host/src/transport/memory.ts";
import type { OpenTransport, Transport } from "../../host/src/transport/transport.ts";
import { VirtualWorld } from "../support/virtual-world.ts";

/** One end, and what it told its owner. */
class End {
  readonly transport: Transport;
  readonly log: string[] = [];

  constructor(open: OpenTransport) {
    this.transport = open({
      opened: () => void this.log.push("opened"),
      received: (chunk) => void this.log.push(`received ${chunk.join(" ")}`),
      drained: () => void this.log.push("drained"),
      closed: (reason) => void this.log.push(`closed ${reason?.failure}`),
    });
  }
}

function connectedPair(highWaterLength?: number) {
  const world = new VirtualWorld();
  const pair = memoryPair(world, highWaterLength);
  return { world, client: new End(pair.client), server: new End(pair.server) };
}

describe("a connection in memory", () => {
  test("opens when both ends are there and time passes", async () => {
    const world = new VirtualWorld();
    const pair = memoryPair(world);
    const server = new End(pair.server);
    await world.advance(0);
    expect(server.log).toEqual([]);

    const client = new End(pair.client);
    expect([...client.log, ...server.log]).toEqual([]);
    await world.advance(0);
    expect(client.log).toEqual(["opened"]);
    expect(server.log).toEqual(["opened"]);
    expect(world.timerCount).toBe(0);
  });

  test("moves bytes and ends without the clock moving, and leaves no timer", async () => {
    const { world, client, server } = connectedPair();
    await world.advance(0);
    client.transport.write(Uint8Array.of(1, 2));
    server.transport.write(Uint8Array.of(3));
    expect(server.log).toEqual(["opened"]);
    client.transport.write(Uint8Array.of(4));
    await world.advance(0);
    expect(server.log).toEqual(["opened", "received 1 2", "received 4"]);
    expect(client.log).toEqual(["opened", "received 3"]);

    client.transport.close();
    await world.advance(0);
    expect(server.log.at(-1)).toBe("closed undefined");
    expect(client.log.at(-1)).toBe("closed undefined");
    expect(world.timerCount).toBe(0);
  });

  test("when both ends close at once, neither hears anything but closed", async () => {
    const { world, client, server } = connectedPair();
    await world.advance(0);
    client.transport.write(Uint8Array.of(1));
    client.transport.close();
    server.transport.write(Uint8Array.of(2));
    server.transport.close();
    await world.advance(0);
    expect(client.log).toEqual(["opened", "closed undefined"]);
    expect(server.log).toEqual(["opened", "closed undefined"]);
  });

  test("reset throws away what is under way", async () => {
    const { world, client, server } = connectedPair();
    await world.advance(0);
    client.transport.write(Uint8Array.of(1));
    client.transport.reset();
    await world.advance(0);
    expect(client.log).toEqual(["opened", "closed undefined"]);
    expect(server.log).toEqual(["opened", "closed lost"]);
    expect(world.timerCount).toBe(0);
  });

  test("takes bytes up to the high-water mark, and is drained when the other end has read all", async () => {
    const { world, client, server } = connectedPair(4);
    await world.advance(0);
    server.transport.pause();
    expect(client.transport.write(new Uint8Array(4))).toBe(true);
    expect(client.transport.write(new Uint8Array(1))).toBe(false);
    await world.advance(1000);
    expect(client.log).toEqual(["opened"]);

    server.transport.resume();
    await world.advance(0);
    expect(server.log).toEqual(["opened", "received 0 0 0 0", "received 0"]);
    expect(client.log).toEqual(["opened", "drained"]);
  });

  test("gives up the other end that is not opened in time", async () => {
    const world = new VirtualWorld();
    const client = new End(memoryPair(world).client);
    await world.advance(OPEN_TIMEOUT_MS - 1);
    expect(client.log).toEqual([]);
    await world.advance(1);
    expect(client.log).toEqual(["closed timeout"]);
    expect(world.timerCount).toBe(0);
  });

  test("that was closed before the other end came fails for it", async () => {
    const world = new VirtualWorld();
    const pair = memoryPair(world);
    const client = new End(pair.client);
    client.transport.close();
    const server = new End(pair.server);
    await world.advance(0);
    expect(client.log).toEqual(["closed undefined"]);
    expect(server.log).toEqual(["closed lost"]);
  });

  test("close waits for an end that does not read, but not for ever", async () => {
    const { world, client, server } = connectedPair();
    await world.advance(0);
    server.transport.pause();
    client.transport.write(Uint8Array.of(1));
    client.transport.close();
    await world.advance(CLOSE_TIMEOUT_MS - 1);
    expect(client.log).toEqual(["opened"]);
    await world.advance(1);
    expect(client.log).toEqual(["opened", "closed undefined"]);
    expect(server.log).toEqual(["opened", "closed lost"]);
    expect(world.timerCount).toBe(0);
  });

  test("an end can be opened once", () => {
    const pair = memoryPair(new VirtualWorld());
    new End(pair.client);
    expect(() => new End(pair.client)).toThrow("opened before");
  });
});

test("a listener in memory gets the other end of each connection", async () => {
  const world = new VirtualWorld();
  const servers: End[] = [];
  const open = memoryListener(world, (server) => void servers.push(new End(server)));
  const clients = [new End(open), new End(open)];
  await world.advance(0);
  for (const [index, client] of clients.entries()) client.transport.write(Uint8Array.of(index));
  await world.advance(0);
  expect(servers.map(({ log }) => log)).toEqual([
    ["opened", "received 0"],
    ["opened", "received 1"],
  ]);
});
