/** Calls over a real MessageChannel, whose messages are copied as between threads. */

import { setImmediate as nextTurn } from "node:timers/promises";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { afterEach, describe, expect, test } from "vitest";
import { type CallHandlers, PortCalls } from "../../simulator/src/fleet/port-calls.ts";

let ports: MessagePort[] = [];

afterEach(() => {
  for (const port of ports) port.close();
  ports = [];
});

/** Two ends; each has its handlers. */
function pair(left: CallHandlers, right: CallHandlers): { left: PortCalls; right: PortCalls } {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  return { left: new PortCalls(port1, left), right: new PortCalls(port2, right) };
}

describe("a call", () => {
  test("is answered with what the handler gives, at once or later", async () => {
    const { left } = pair(
      {},
      {
        double: (value: number) => 2 * value,
        late: async (value: number) => {
          await nextTurn();
          return { list: [value], map: new Map([["a", value]]) };
        },
        nothing: () => undefined,
      },
    );
    expect(await left.call("double", 21)).toBe(42);
    expect(await left.call("late", 7)).toEqual({ list: [7], map: new Map([["a", 7]]) });
    expect(await left.call("nothing")).toBeUndefined();
  });

  test("gets its own answer, whichever comes first", async () => {
    const { left } = pair(
      {},
      {
        wait: async (turns: number) => {
          for (let turn = 0; turn < turns; turn++) await nextTurn();
          return turns;
        },
      },
    );
    expect(await Promise.all([20, 0, 5].map((turns) => left.call("wait", turns)))).toEqual([
      20, 0, 5,
    ]);
  });

  test("can go both ways at the same time, one within the other", async () => {
    const { left, right } = pair(
      { ask: async (value: number) => ((await left.call("answer", value)) as number) + 1 },
      { answer: (value: number) => 10 * value },
    );
    expect(await right.call("ask", 4)).toBe(41);
  });

  test("rejects with what the handler threw, be it an Error or not", async () => {
    const { left } = pair(
      {},
      {
        fail: () => {
          throw new RangeError("out of range");
        },
        trap: () => {
          throw new WebAssembly.RuntimeError("unreachable");
        },
        failLater: () => Promise.reject("only a text"),
      },
    );
    await expect(left.call("fail")).rejects.toThrow(RangeError);
    await expect(left.call("fail")).rejects.toThrow("out of range");
    await expect(left.call("failLater")).rejects.toBe("only a text");
    const trapped = await left.call("trap").catch((error: unknown) => error);
    expect(trapped).toBeInstanceOf(Error);
    expect(trapped).toMatchObject({ name: "RuntimeError", message: "unreachable" });
  });
});

describe("what is told", () => {
  test("wants no answer, and keeps its order among the calls", async () => {
    const heard: number[] = [];
    const hear = (value: number) => void heard.push(value);
    const { left } = pair({}, { hear, heardSoFar: () => [...heard] });
    for (const value of [1, 2, 3]) left.tell("hear", [value]);
    expect(await left.call("heardSoFar")).toEqual([1, 2, 3]);
  });

  test("can take its numbers along instead of a copy", async () => {
    let sum = 0;
    const add = (numbers: Float64Array) => {
      for (const number of numbers) sum += number;
    };
    const { left } = pair({}, { add, sum: () => sum });
    const numbers = Float64Array.of(1, 2, 4);
    left.tell("add", [numbers], [numbers.buffer]);
    expect(numbers).toHaveLength(0);
    expect(await left.call("sum")).toBe(7);
  });
});

describe("when the other thread is gone", () => {
  test("all that wait are told so, and so is everybody who calls later", async () => {
    const { left } = pair({}, { never: () => new Promise(() => {}) });
    const waiting = [left.call("never"), left.call("never")];
    left.fail(new Error("the thread ended"));
    left.fail(new Error("the thread ended twice"));
    for (const one of waiting) await expect(one).rejects.toThrow("the thread ended");
    await expect(left.call("never")).rejects.toThrow(/^the thread ended$/);
  });

  test("an answer that was still under way is left alone", async () => {
    const { left } = pair({}, { late: () => 1 });
    const waiting = left.call("late");
    left.fail(new Error("gone"));
    await expect(waiting).rejects.toThrow("gone");
    for (let turn = 0; turn < 10; turn++) await nextTurn();
  });
});
