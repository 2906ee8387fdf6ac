/** Following a board's console over a line that comes and goes. */

import { beforeEach, expect, test } from "vitest";
import { type ConsoleEvent, followConsole } from "../../host/src/board/board-console.ts";
import { encodeFrame } from "../../host/src/board/frames.ts";
import { TestCable } from "../support/test-cable.ts";
import { VirtualWorld } from "../support/virtual-world.ts";

let world: VirtualWorld;
let cable: TestCable;
let events: ConsoleEvent[];

beforeEach(() => {
  world = new VirtualWorld();
  cable = new TestCable(world);
  events = [];
});

function follow() {
  const { openLine } = cable;
  return followConsole({ world, openLine, tell: (event) => events.push(event) });
}

test("lines are told as they come; frames, packets and damaged UTF-8 do no harm, and nothing is asked", async () => {
  follow();
  await world.advance(1);
  cable.send(Buffer.from("one\r\n\x06\x09AAAA\nhalf"));
  cable.send(encodeFrame({ kind: 4, connection: 1, sequence: 0, payload: new Uint8Array(3) }));
  cable.send(Buffer.from([0xff, 0x21, 0x0a]));
  await world.advance(1);
  expect(events).toEqual([
    { event: "opened", path: "/dev/ttyTEST0" },
    { event: "line", text: "one", isWhole: true },
    { event: "line", text: "half", isWhole: false },
    { event: "line", text: "\ufffd!", isWhole: true },
  ]);
  expect(cable.written).toEqual([]);
});

test("what has no end yet is told when the line ends", async () => {
  follow();
  await world.advance(1);
  cable.send(Buffer.from("panic: \xc0", "latin1"));
  cable.send(Buffer.from("at 0x80"));
  await world.advance(1);
  cable.pull();
  expect(events.slice(1, 3)).toEqual([
    { event: "line", text: "panic: ", isWhole: false },
    { event: "line", text: "at 0x80", isWhole: false },
  ]);
});

test("a line that ends is looked for, at longer and longer intervals, and quickly again after a good one", async () => {
  const following = follow();
  await world.advance(5_000);
  cable.pull();
  await world.advance(20_000);
  const delays = events.flatMap((event) => (event.event === "closed" ? [event.retryInMs] : []));
  expect(delays).toEqual([250, 500, 1_000, 2_000, 4_000, 4_000, 4_000, 4_000, 4_000]);
  cable.plug();
  await world.advance(10_000);
  expect(cable.isOpen).toBe(true);
  cable.drop();
  expect(events.at(-1)).toMatchObject({ retryInMs: 250, error: { failure: "lost" } });
  await world.advance(300);
  cable.send(Buffer.from("back\n"));
  await world.advance(1);
  expect(events.at(-1)).toMatchObject({ text: "back" });
  await following.stop();
  expect(cable.isOpen).toBe(false);
  expect(world.timerCount).toBe(0);
});

test("a port that closes at once is not opened over and over without a pause", async () => {
  cable.onOpened = () => queueMicrotask(() => cable.drop());
  follow();
  await world.advance(60_000);
  expect(cable.openCount).toBeGreaterThan(10);
  expect(cable.openCount).toBeLessThan(25);
});
