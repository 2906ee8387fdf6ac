/** One look-up of a broker's name for many connections: who asks, how often, and who gets which address. */

import type { LookupAddress } from "node:dns";
import { once } from "node:events";
import { type AddressInfo, createServer, type LookupFunction, Socket } from "node:net";
import { beforeEach, describe, expect, test } from "vitest";
import { hostLookup, type ResolveHost } from "../../host/src/transport/host-lookup.ts";
import { realWorld } from "../../host/src/world.ts";
import { VirtualWorld } from "../support/virtual-world.ts";

const V4 = (last: number): LookupAddress => ({ address: `192.0.2.${last}`, family: 4 });
const V6: LookupAddress = { address: "2001:db8::1", family: 6 };
const NOT_FOUND = Object.assign(new Error("queryA ENOTFOUND"), { code: "ENOTFOUND" });

let world: VirtualWorld;
/** Questions to the system that it has not answered. */
let questions: Parameters<ResolveHost>[];
let askedCount: number;
let lookup: LookupFunction;

beforeEach(() => {
  world = new VirtualWorld();
  questions = [];
  askedCount = 0;
  lookup = hostLookup(world, (...question) => {
    askedCount++;
    questions.push(question);
  });
});

/** All addresses, as Node asks for them where it may try several families. */
function all(host = "broker.example"): Promise<string[]> {
  return new Promise((resolve, reject) => {
    lookup(host, { all: true }, (error, addresses) => {
      if (error !== null) reject(error);
      else resolve((addresses as LookupAddress[]).map(({ address }) => address));
    });
  });
}

function answer(error: NodeJS.ErrnoException | null, ...addresses: LookupAddress[]): void {
  for (const [, , found] of questions.splice(0)) found(error, addresses);
}

describe("a name", () => {
  test("is asked for once, by however many connections", async () => {
    const found = Promise.all([all(), all(), all()]);
    answer(null, V4(1));
    expect(await found).toEqual([["192.0.2.1"], ["192.0.2.1"], ["192.0.2.1"]]);
    expect(await all()).toEqual(["192.0.2.1"]);
    expect(askedCount).toBe(1);
  });

  test("is asked for again after five seconds", async () => {
    const first = all();
    answer(null, V4(1));
    await first;
    await world.advance(4_999);
    await all();
    expect(askedCount).toBe(1);
    await world.advance(1);
    const second = all();
    answer(null, V4(2));
    expect(await second).toEqual(["192.0.2.2"]);
    expect(askedCount).toBe(2);
  });

  test("is not the same as another one, nor as itself in another family", async () => {
    const found = Promise.all([all("a.example"), all("b.example")]);
    const inOneFamily = new Promise((resolve) =>
      lookup("a.example", { family: 6 }, (_error, address, family) => resolve([address, family])),
    );
    expect(questions.map(([host, { family, all: isAll }]) => [host, family, isAll])).toEqual([
      ["a.example", undefined, true],
      ["b.example", undefined, true],
      ["a.example", 6, true],
    ]);
    answer(null, V6);
    await found;
    expect(await inOneFamily).toEqual(["2001:db8::1", 6]);
  });

  test("with several addresses gives each of the first family in turn, and the others behind them", async () => {
    const first = all();
    answer(null, V4(1), V6, V4(2), V4(3));
    expect(await first).toEqual(["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"]);
    expect(await all()).toEqual(["192.0.2.2", "192.0.2.3", "192.0.2.1", "2001:db8::1"]);
    expect(await all()).toEqual(["192.0.2.3", "192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    expect((await all())[0]).toBe("192.0.2.1");
  });

  test("that is not found fails for all who wait, and the next one asks again", async () => {
    const failed = Promise.allSettled([all(), all()]);
    answer(NOT_FOUND);
    expect((await failed).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(askedCount).toBe(1);
    const later = all();
    answer(null, V4(1));
    expect(await later).toEqual(["192.0.2.1"]);
    expect(askedCount).toBe(2);
  });

  test("without any address is not found", async () => {
    const found = all();
    answer(null);
    await expect(found).rejects.toMatchObject({ code: "ENOTFOUND" });
  });
});

describe("Node's sockets connect with it", () => {
  const known: LookupAddress[] = [
    { address: "::1", family: 6 },
    { address: "127.0.0.1", family: 4 },
  ];

  test.each([
    ["to the second address too, where nobody listens at the first", {}],
    ["from a local address", { localAddress: "127.0.0.1", family: 4 }],
  ])("%s", async (_how, options) => {
    const server = createServer((socket) => socket.end()).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    let count = 0;
    const shared = hostLookup(realWorld, (_host, { family }, found) => {
      count++;
      found(null, family === 4 ? known.slice(1) : known);
    });
    try {
      for (let turn = 0; turn < 2; turn++) {
        const place = { host: "broker.example", port, lookup: shared };
        const socket = new Socket().connect({ ...place, ...options });
        await once(socket, "connect");
        expect(socket.remoteAddress).toBe("127.0.0.1");
        socket.destroy();
      }
      expect(count).toBe(1);
    } finally {
      server.close();
    }
  });
});
