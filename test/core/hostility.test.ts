/** Anything may come, from the server and from the embedder: no trap, no endless loop, no byte beside the record. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Event, Status } from "../../firmware/core/abi.ts";
import { concat } from "../support/bytes.ts";
import { CORE_FUNCTIONS, Core, type CoreFunctionName } from "../support/core-client.ts";
import * as packets from "../support/server-packets.ts";

const SIZES = [32, 96, 48, 2];

/** Three neighbours in one memory, and everything that is not the one that is called. */
class Neighbours {
  readonly core = new Core();
  readonly clients = [this.#client(), this.#client(), this.#client()];
  #mirror = Buffer.from(this.core.memory);

  /** Calls an export and throws if a byte has changed outside the record at `at`, and the image that was asked for. */
  call(name: CoreFunctionName, at: number, ...args: number[]): number {
    const answer = this.core.exports[name](at, ...args);
    const owner = this.clients.find((client) => client.at === at);
    const from = owner?.at ?? 0;
    const end = from + (owner?.size ?? 0);
    const memory = Buffer.from(this.core.exports.memory.buffer);
    if (name === "saveImage" && answer > 0) {
      const [, toAt = 0] = args;
      memory.copy(this.#mirror, toAt, toAt, toAt + answer);
    }
    const isSame =
      memory.subarray(0, from).equals(this.#mirror.subarray(0, from)) &&
      memory.subarray(end).equals(this.#mirror.subarray(end));
    if (!isSame) throw new Error(`${name}(${[at, ...args].join(", ")}) wrote beside its record`);
    memory.copy(this.#mirror, from, from, end);
    return answer;
  }

  /** Writes bytes as the embedder does. */
  put(at: number, bytes: Uint8Array): void {
    this.core.memory.set(bytes, at);
    this.#mirror.set(bytes, at);
  }

  /** Copies into the receive buffer what there is room for. */
  receive(at: number, bytes: Uint8Array): void {
    const to = this.call("receiveAt", at);
    const length = Math.min(bytes.length, this.call("receiveRoom", at));
    if (length > 0) this.put(to, bytes.subarray(0, length));
    this.call("received", at, length);
  }

  /** Polls to the end; the number of events in a buffer is bounded. */
  pollAll(at: number): void {
    for (let count = 0; count < 64; count++) {
      const answer = this.call("poll", at, 0);
      if (answer <= Event.None) return;
      expect(Event[answer]).toBeDefined();
    }
    throw new Error("poll does not come to an end");
  }

  drain(at: number): void {
    for (let count = 0; count < 8; count++) {
      const length = this.call("transmitLength", at);
      if (length === 0) return;
      expect(length).toBeLessThanOrEqual(96 + 64);
      expect(this.call("transmitted", at, length, 0)).toBe(Status.Ok);
    }
    throw new Error("transmitLength does not come to an end");
  }

  #client() {
    const [receiveCapacity = 0, transmitCapacity = 0, identityCapacity = 0, incomingCount = 0] =
      SIZES;
    const client = this.core.client({
      receiveCapacity,
      transmitCapacity,
      identityCapacity,
      incomingCount,
    });
    client.setClientId("t");
    return client;
  }
}

/** A server's part of a lively conversation: every packet type, some too large for the buffer. */
const conversation = concat(
  packets.connack(true),
  packets.publish({ topic: "a/b", payload: "21.5", qos: 1, packetId: 7 }),
  packets.publish({ topic: "\u20ac", payload: "x".repeat(70), qos: 2, packetId: 8 }),
  packets.suback(3, 0),
  packets.publish({ topic: "t".repeat(40), payload: "y", qos: 1, packetId: 9 }),
  packets.pubrec(2),
  packets.puback(1),
  packets.pubrel(8),
  packets.pubcomp(2),
  packets.unsuback(4),
  packets.pingresp(),
  packets.publish({ topic: "a", payload: "again", qos: 2, packetId: 8, dup: true }),
);

/** Connects with a little of everything under way. */
function prepare(world: Neighbours, at: number): void {
  const [topicAt = 0, filtersAt = 0, shortAt = 0] = world.core.put(
    Uint8Array.of(0x61),
    Uint8Array.of(0, 1, 0x61, 0),
    Uint8Array.of(0, 1, 0x61),
  );
  world.put(topicAt, Uint8Array.of(0x61, 0, 1, 0x61, 0, 0, 1, 0x61));
  world.call("publish", at, topicAt, 1, topicAt, 1, 1);
  world.call("publish", at, topicAt, 1, topicAt, 1, 2);
  world.call("connect", at, 0, 60, 1000, 0);
  world.drain(at);
  world.receive(at, packets.connack(true));
  world.pollAll(at);
  world.call("subscribe", at, filtersAt, 4, 0);
  world.call("unsubscribe", at, shortAt, 3, 0);
  world.drain(at);
}

function feed(world: Neighbours, at: number, bytes: Uint8Array, pieceLengths: number[]): void {
  let from = 0;
  let index = 0;
  while (from < bytes.length) {
    const length = pieceLengths[index++ % pieceLengths.length] ?? 1;
    world.receive(at, bytes.subarray(from, from + length));
    from += length;
    world.pollAll(at);
    if (index % 3 === 0) world.drain(at);
  }
}

const CONNACK_LENGTH = 4;

interface Mutation {
  at: number;
  kind: "change" | "flip" | "remove" | "insert" | "repeat";
  byte: number;
}

function mutate(original: Uint8Array, mutations: Mutation[]): Uint8Array {
  const bytes = [...original];
  for (const { at, kind, byte } of mutations) {
    if (kind === "change") bytes[at] = byte;
    else if (kind === "flip") bytes[at] = (bytes[at] ?? 0) ^ (1 << (byte % 8));
    else if (kind === "remove") bytes.splice(at, 1 + (byte % 8));
    else if (kind === "insert") bytes.splice(at, 0, byte);
    else bytes.splice(at, 0, ...bytes.slice(at, at + (byte % 30)));
  }
  return Uint8Array.from(bytes);
}

const anyPieces = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });

describe("from the server [MQTT-4.8.0-1]", () => {
  test("random bytes, connecting or connected", () => {
    const interesting = fc.oneof(
      fc.nat({ max: 255 }),
      fc.constantFrom(0x20, 0x30, 0x32, 0x34, 0x3c, 0x40, 0x50, 0x62, 0x70, 0x90, 0xb0, 0xd0, 2, 0),
    );
    fc.assert(
      fc.property(
        fc.array(interesting, { maxLength: 300, size: "max" }),
        anyPieces,
        fc.boolean(),
        (bytes, pieceLengths, isConnected) => {
          const world = new Neighbours();
          const at = world.clients[1]?.at ?? 0;
          if (isConnected) prepare(world, at);
          else world.call("connect", at, 1, 60, 0, 0);
          feed(world, at, Uint8Array.from(bytes), pieceLengths);
        },
      ),
      { numRuns: 400 },
    );
  });

  test("a conversation with some bytes changed, left out or put in", () => {
    const anyMutation: fc.Arbitrary<Mutation> = fc.record({
      at: fc.nat({ max: conversation.length - 1 }),
      kind: fc.constantFrom("change", "flip", "remove", "insert", "repeat"),
      byte: fc.nat({ max: 255 }),
    });
    fc.assert(
      fc.property(
        fc.array(anyMutation, { minLength: 1, maxLength: 6 }),
        anyPieces,
        (mutations, pieces) => {
          const bytes = mutate(conversation, mutations);
          const world = new Neighbours();
          const at = world.clients[1]?.at ?? 0;
          prepare(world, at);
          feed(world, at, bytes.subarray(CONNACK_LENGTH), pieces);
          world.call("connectionLost", at);
          world.call("connect", at, 0, 60, 0, 0);
          feed(world, at, bytes, pieces);
          world.drain(at);
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe("from the embedder", () => {
  const names = Object.keys(CORE_FUNCTIONS) as CoreFunctionName[];
  const called = names.filter(
    (name) => !["memoryGrown", "clientInit", "clientSize"].includes(name),
  );
  interface AnyCall {
    name: CoreFunctionName;
    place: number;
    args: number[];
    number: number;
    bytes: Uint8Array;
  }
  const anyCall: fc.Arbitrary<AnyCall> = fc.record({
    name: fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...called) },
      {
        weight: 4,
        arbitrary: fc.constantFrom<CoreFunctionName[]>(
          ...([
            "connect",
            "publish",
            "subscribe",
            "poll",
            "transmitted",
            "connectionLost",
          ] as const),
        ),
      },
    ),
    place: fc.nat({ max: 20 }),
    args: fc.array(fc.nat({ max: 11 }), { minLength: 6, maxLength: 6 }),
    number: fc.integer({ min: 0, max: 0xffffffff }),
    bytes: fc.uint8Array({ maxLength: 40 }),
  });

  /** A number of the kind that breaks things: small, at a border, an address, or any. */
  function argument(world: Neighbours, choice: number, number: number): number {
    const end = world.core.exports.memory.buffer.byteLength;
    const client = world.clients[number % 3]?.at ?? 0;
    const kinds = [0, 1, 2, number % 5, number % 64, world.core.scratchAt, client, end - 1, end];
    kinds.push(number, 0xffffffff, 0x80000000);
    return (kinds[choice] ?? 0) >>> 0;
  }

  /** One call with what the choices make of it. Nine of ten go to a record, the rest to any address. */
  function callAny(world: Neighbours, { name, place, args, number, bytes }: AnyCall): void {
    const record = world.clients[place % 3]?.at ?? 0;
    const at = place < 18 ? record : argument(world, args[5] ?? 0, number);
    if (name === "poll") world.receive(record, bytes);
    if (name === "publish" || name === "subscribe") {
      world.put(world.core.scratchAt, Uint8Array.of(0, 1, 0x61, 1, ...bytes));
    }
    const rest = args
      .slice(0, CORE_FUNCTIONS[name] - 1)
      .map((choice, index) => argument(world, choice, number + index));
    if (name === "saveImage") {
      // It writes where the embedder says: never into a record.
      rest[1] = world.core.scratchAt;
      rest[2] = (rest[2] ?? 0) % 0x1000;
    }
    const answer = world.call(name, at, ...rest);
    expect(Number.isInteger(answer)).toBe(true);
  }

  test("any export with any argument, in any order, on records side by side", () => {
    fc.assert(
      fc.property(fc.array(anyCall, { maxLength: 250, size: "max" }), (calls) => {
        const world = new Neighbours();
        for (const call of calls) callAny(world, call);
        for (const { at } of world.clients) {
          world.call("connectionLost", at);
          world.call("connect", at, 1, 60, 0, 0);
          world.drain(at);
          world.receive(at, packets.connack());
          world.pollAll(at);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("any size of a record at any place: refused, or made within its bytes", () => {
    const anySize = fc.oneof(
      fc.nat({ max: 200 }),
      fc.nat({ max: 0xffffffff }),
      fc.constantFrom(0xfffffff8, 0x80000000, 0x1000000, 0x1000001, 65535, 65536),
    );
    fc.assert(
      fc.property(fc.array(anySize, { minLength: 5, maxLength: 5 }), anySize, (sizes, place) => {
        const world = new Neighbours();
        const { core } = world;
        const end = core.exports.memory.buffer.byteLength;
        const size = core.exports.clientSize(...sizes);
        const isOutside = size < 0 || place % 8 !== 0 || place === 0 || place + size > end;
        if (isOutside) {
          expect(world.call("clientInit", place, ...sizes)).toBe(Status.InvalidArgument);
          return;
        }
        const at = core.place(size);
        expect(core.exports.clientInit(at, ...sizes)).toBe(Status.Ok);
        core.checkGuards();
      }),
      { numRuns: 500 },
    );
  });
});
