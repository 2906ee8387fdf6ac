/** A durable client, a small server and losses of power at random moments: nothing is lost, doubled or out of order (4.3, 4.4, 4.6). */

import fc from "fast-check";
import { describe, test } from "vitest";
import { type Action, DurableWorld, type Fate, type Qos } from "../support/durable-world.ts";

const anyQos = fc.constantFrom<Qos[]>(0, 1, 2);
const anyLength = fc.oneof(fc.nat({ max: 12 }), fc.nat({ max: 90 }));
const anyFate = fc.constantFrom<Fate[]>(
  "kept",
  "kept",
  "kept",
  "kept",
  "forgotten",
  "clean",
  "torn",
);

/** How often each kind of step comes. */
const anyKind = fc.oneof(
  { weight: 6, arbitrary: fc.constant("publish") },
  { weight: 5, arbitrary: fc.constant("serve") },
  { weight: 8, arbitrary: fc.constant("store") },
  { weight: 8, arbitrary: fc.constant("transmit") },
  { weight: 8, arbitrary: fc.constant("up") },
  { weight: 8, arbitrary: fc.constant("down") },
  { weight: 8, arbitrary: fc.constant("poll") },
  { weight: 8, arbitrary: fc.constant("round") },
  { weight: 1, arbitrary: fc.constantFrom("subscribe", "unsubscribe", "wait", "image") },
  { weight: 2, arbitrary: fc.constantFrom("crash", "lose") },
  { weight: 6, arbitrary: fc.constant("connect") },
);
const anyAction = fc.record({
  kind: anyKind,
  qos: anyQos,
  length: anyLength,
  fate: anyFate,
  elapsedMs: fc.nat({ max: 10_000 }),
}) as fc.Arbitrary<Action>;

describe("wherever power is lost, in any pieces and over any number of connections", () => {
  test("QoS 1 arrives at least once, QoS 2 exactly once, what was not stored never, and the order is kept [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT-4.4.0-1] [MQTT-4.6.0-1] [MQTT-4.1.0-1]", () => {
    fc.assert(
      fc.property(
        fc.record({
          startMs: fc.nat({ max: 0xffffffff }),
          inflightMax: fc.integer({ min: 1, max: 20 }),
          journalCapacity: fc.constantFrom(64, 96, 256, 1024),
          transmitCapacity: fc.constantFrom(64, 100, 256, 512),
        }),
        fc.array(anyAction, { minLength: 50, maxLength: 400, size: "max" }),
        (limits, actions) => {
          const world = new DurableWorld(limits);
          for (const action of actions) world.act(action);
          world.settle();
          world.check();
        },
      ),
      { numRuns: 150 },
    );
  });
});
