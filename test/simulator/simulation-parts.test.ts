/** The parts of a simulated world by themselves: clock, network, flash, subscriptions, fault plan. */

import { describe, expect, test } from "vitest";
import { BrokerSession } from "../../simulator/src/simulation/broker-session.ts";
import { Clock } from "../../simulator/src/simulation/clock.ts";
import { planFaults } from "../../simulator/src/simulation/fault-plan.ts";
import { Flash, FlashMisuse } from "../../simulator/src/simulation/flash.ts";
import { Fuse, PowerCut } from "../../simulator/src/simulation/fuse.ts";
import { type Connection, Network } from "../../simulator/src/simulation/network.ts";
import { randomStream } from "../../simulator/src/simulation/streams.ts";
import { SubscriptionTree } from "../../simulator/src/simulation/subscription-tree.ts";
import { matchesFilter } from "../../simulator/src/simulation/topic-filter.ts";

test("alarms go off in the order of their time, and of planning where times are equal", () => {
  const clock = new Clock();
  const seen: string[] = [];
  const random = randomStream(1, 0, "timer");
  const expected: [number, number][] = [];
  for (let order = 0; order < 500; order++) {
    const atMs = random.integer(0, 99);
    expected.push([atMs, order]);
    clock.after(atMs, () => seen.push(`${atMs}.${order}`));
  }
  expected.sort(([a, first], [b, second]) => a - b || first - second);
  clock.runUntil(1000);
  expect(seen).toEqual(expected.map(([atMs, order]) => `${atMs}.${order}`));
  expect(clock.nowMs).toBe(1000);
});

test("an alarm that is off does not go off, and one planned for now comes in its turn", () => {
  const clock = new Clock();
  const seen: number[] = [];
  clock.after(5, () => seen.push(1)).isOff = true;
  clock.after(5, () => clock.after(0, () => seen.push(clock.nowMs)));
  clock.runUntil(10);
  expect(seen).toEqual([5]);
});

describe("a connection", () => {
  function connected(seed: number) {
    const clock = new Clock();
    const received: number[] = [];
    const ends: string[] = [];
    let connection!: Connection;
    const network = new Network(clock, (accepted) => {
      connection = accepted;
      return {
        readable: () => {
          for (let chunk = accepted.server.peek(); chunk; chunk = accepted.server.peek()) {
            accepted.server.consume(chunk.length);
            received.push(...chunk);
          }
        },
        writable: () => {},
        ended: () => ends.push("server"),
      };
    });
    let sent = 0;
    const bytes = Uint8Array.from({ length: 5000 }, (_, index) => index & 0xff);
    const write = () => {
      sent += connection.device.write(bytes.subarray(sent));
    };
    network.open(0, randomStream(seed, 0, "network"), {
      opened: write,
      readable: () => {},
      writable: write,
      ended: () => ends.push("device"),
    });
    clock.runUntil(60_000);
    return { clock, received, ends, bytes, connection, sent: () => sent };
  }

  test.each([1, 2, 3, 4, 5])(
    "splits and delays, and keeps every byte and their order (seed %i)",
    (seed) => {
      const { received, bytes } = connected(seed);
      expect(received).toEqual([...bytes]);
    },
  );

  test("that is cut tells both ends, and delivers nothing more", () => {
    const { clock, ends, connection, received } = connected(1);
    connection.device.write(Uint8Array.of(1, 2, 3));
    connection.cut();
    clock.runUntil(clock.nowMs + 60_000);
    expect(ends.sort()).toEqual(["device", "server"]);
    expect(received).toHaveLength(5000);
  });

  test("that is half-open takes bytes until its window is full, and tells nobody", () => {
    const { clock, ends, connection, received } = connected(1);
    connection.kill("up");
    const taken = connection.device.write(new Uint8Array(100_000));
    clock.runUntil(clock.nowMs + 600_000);
    expect(taken).toBeGreaterThan(0);
    expect(connection.device.write(Uint8Array.of(1))).toBe(0);
    expect(ends).toEqual([]);
    expect(received).toHaveLength(5000);
  });
});

describe("flash", () => {
  const layout = { blockCount: 2, blockLength: 256, wordLength: 4 };

  function flashWith(fuse: Fuse): Flash {
    return new Flash(layout, fuse, randomStream(1, 0, "power"));
  }

  test("takes a word once between two erasures", () => {
    const flash = flashWith(new Fuse());
    flash.program(0, 4, Uint8Array.of(1, 2, 3));
    expect([...flash.read(0).subarray(0, 9)]).toEqual([255, 255, 255, 255, 1, 2, 3, 255, 255]);
    expect(() => flash.program(0, 4, Uint8Array.of(1))).toThrow(FlashMisuse);
    expect(() => flash.program(0, 2, Uint8Array.of(1))).toThrow(FlashMisuse);
    expect(() => flash.program(0, 252, new Uint8Array(5))).toThrow(FlashMisuse);
    flash.erase(0);
    flash.program(0, 4, Uint8Array.of(9));
    expect(flash.eraseCounts).toEqual([1, 0]);
    expect(flash.programmedLength).toBe(4);
  });

  test.each([0, 1, 5, 7])("keeps what came before byte %i, where power failed", (byteCount) => {
    const fuse = new Fuse();
    const flash = flashWith(fuse);
    fuse.armBytes(byteCount);
    expect(() => flash.program(0, 0, new Uint8Array(8))).toThrow(PowerCut);
    const bytes = flash.read(0);
    expect(bytes.subarray(0, byteCount).every((byte) => byte === 0)).toBe(true);
    expect(bytes.subarray(byteCount + 1).every((byte) => byte === 255)).toBe(true);
    fuse.disarm();
    const cutWord = Math.floor(byteCount / 4) * 4;
    expect(() => flash.program(0, cutWord, Uint8Array.of(1))).toThrow(FlashMisuse);
    flash.program(0, cutWord + 4, Uint8Array.of(1));
  });

  test("is erased in part when power fails meanwhile, and must be erased again", () => {
    const fuse = new Fuse();
    const flash = flashWith(fuse);
    flash.program(0, 0, new Uint8Array(256));
    fuse.armBytes(1);
    expect(() => flash.erase(0)).toThrow(PowerCut);
    const bytes = flash.read(0);
    expect(bytes.subarray(0, 64).every((byte) => byte === 255)).toBe(true);
    expect(bytes.subarray(128).every((byte) => byte === 0)).toBe(true);
    fuse.disarm();
    expect(() => flash.program(0, 0, Uint8Array.of(1))).toThrow(FlashMisuse);
  });
});

describe("a filter matches (4.7)", () => {
  const cases: [filter: string, topic: string, isMatch: boolean][] = [
    ["a/b", "a/b", true],
    ["a/b", "a/b/c", false],
    ["a/+", "a/b", true],
    ["a/+", "a", false],
    ["a/+", "a/b/c", false],
    ["a/+/c", "a/b/c", true],
    ["+/+", "/b", true],
    ["a/#", "a", true],
    ["a/#", "a/b/c", true],
    ["a/#", "ab", false],
    ["#", "a/b", true],
    ["#", "$SYS/x", false],
    ["+/x", "$SYS/x", false],
    ["$SYS/#", "$SYS/x", true],
    ["A/b", "a/b", false],
  ];

  test.each(cases)("%s, %s: %s", (filter, topic, isMatch) => {
    expect(matchesFilter(filter, topic)).toBe(isMatch);
    const tree = new SubscriptionTree();
    const session = new BrokerSession("a", false, { first: 1, order: "ascending" });
    tree.add(filter, session);
    expect(tree.match(topic).has(session)).toBe(isMatch);
    tree.remove(filter, session);
    expect(tree.match(topic).size).toBe(0);
  });
});

describe("a fault plan", () => {
  const options = { seed: 9, deviceIndices: [0, 1, 2], durationMs: 36_000_000 };

  test("is in the order of time, with an id for each fault", () => {
    const faults = planFaults(options);
    const times = faults.map(({ atMs }) => atMs);
    expect(times).toEqual(times.toSorted((first, second) => first - second));
    expect(new Set(faults.map(({ id }) => id)).size).toBe(faults.length);
    expect(new Set(faults.map(({ kind }) => kind)).size).toBe(7);
  });

  test("has the same faults under the same ids with fewer devices and less time", () => {
    const all = new Map(planFaults(options).map((fault) => [fault.id, fault]));
    const fewer = planFaults({ ...options, deviceIndices: [2], durationMs: 3_600_000 });
    expect(fewer.length).toBeGreaterThan(5);
    for (const fault of fewer) expect(all.get(fault.id)).toEqual(fault);
  });

  test("has those that were chosen only", () => {
    expect(
      planFaults({ ...options, only: ["1.2", "w.0"] })
        .map(({ id }) => id)
        .sort(),
    ).toEqual(["1.2", "w.0"]);
    expect(planFaults({ ...options, only: [] })).toEqual([]);
  });
});
