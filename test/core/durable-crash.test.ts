/** One conversation with everything in it, and a loss of power after each of its steps (docs/journal.md; 4.3, 4.4, 4.6). */

import { describe, expect, test } from "vitest";
import { type Action, DurableWorld, type Fate, type Qos } from "../support/durable-world.ts";

const LIMITS = { startMs: 0, inflightMax: 16, journalCapacity: 256, transmitCapacity: 256 };

const publish = (qos: Qos, length = 4): Action => ({ kind: "publish", qos, length });
const serve = (qos: Qos, length = 4): Action => ({ kind: "serve", qos, length });
const connect = (fate: Fate = "kept"): Action => ({ kind: "connect", fate });
const step = (kind: "poll" | "store" | "lose" | "subscribe" | "unsubscribe"): Action => ({ kind });
const move = (kind: "transmit" | "up" | "down", length = 1000): Action => ({ kind, length });

/** Everything there is goes to the server, and its answers come back and are stored. */
const round = (eventCount: number): Action[] => [
  step("store"),
  move("transmit"),
  move("up"),
  move("down"),
  ...Array.from({ length: eventCount }, () => step("poll")),
];

/** One acknowledgement comes and is stored by itself. */
const nextPacket = [move("down", 4), step("poll"), step("store")];

const CONVERSATION: Action[] = [
  publish(1),
  publish(2),
  step("store"),
  connect(),
  ...round(1),
  step("subscribe"),
  step("unsubscribe"),
  publish(0),
  publish(2, 20),
  ...round(5),
  ...round(5),
  serve(2),
  serve(1),
  serve(2, 60),
  ...round(2),
  ...round(3),
  ...round(3),
  publish(2),
  publish(2),
  publish(1),
  step("store"),
  move("transmit", 13),
  move("up"),
  move("down"),
  step("poll"),
  serve(2),
  move("down", 5),
  step("poll"),
  step("lose"),
  publish(1),
  publish(2),
  step("store"),
  connect(),
  ...round(2),
  move("transmit", 20),
  move("up"),
  move("down", 6),
  step("poll"),
  step("lose"),
  connect("forgotten"),
  ...round(4),
  publish(1),
  publish(2),
  ...round(1),
  publish(2),
  publish(2),
  publish(2),
  step("store"),
  move("transmit"),
  move("up"),
  ...nextPacket,
  ...nextPacket,
  ...nextPacket,
  step("lose"),
  connect(),
  ...round(2),
  publish(1),
  publish(2),
  ...round(1),
  step("lose"),
  connect("torn"),
  connect("clean"),
  publish(2),
  ...round(2),
  serve(2),
  step("lose"),
  connect(),
  ...round(3),
];

describe.each([
  ["the first image and the batches behind it", false],
  ["an image of that moment", true],
])("after a loss of power the session goes on from %s", (_, isImage) => {
  test.each([3, 16])(
    "after each step of a conversation, with %i messages at once [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT-4.4.0-1] [MQTT-4.6.0-1] [MQTT-4.1.0-1]",
    (inflightMax) => {
      for (let index = 0; index <= CONVERSATION.length; index++) {
        const world = new DurableWorld({ ...LIMITS, inflightMax });
        for (const action of CONVERSATION.slice(0, index)) world.act(action);
        if (isImage) world.act({ kind: "image" });
        world.act({ kind: "crash" });
        world.act(connect());
        for (const action of CONVERSATION.slice(index)) world.act(action);
        world.settle();
        world.check();
      }
    },
  );
});

test("the conversation has everything in it", () => {
  const world = new DurableWorld(LIMITS);
  for (const action of CONVERSATION) world.act(action);
  world.settle();
  world.check();
  expect(world.sent.length).toBeGreaterThan(10);
  expect(world.served.length).toBeGreaterThan(3);
  expect(world.sent.some(({ isInDoubt }) => isInDoubt)).toBe(true);
});
