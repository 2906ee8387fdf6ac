/** What is remembered of the messages of each device, against lists that are searched. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { PublishTimes } from "../../simulator/src/fleet/publish-times.ts";

/** Messages that are remembered for each device. */
const PLACE_COUNTS = [1, 3, 4];

interface Message {
  seq: number;
  packetId: number;
  dueAtMs: number;
  publishedAtMs: number;
  isWaiting: boolean;
}

const anyDevice = fc.nat({ max: PLACE_COUNTS.length - 1 });
const anyPacketId = fc.integer({ min: 1, max: 6 });
const anyStep = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("put" as const),
      device: anyDevice,
      packetId: fc.oneof(anyPacketId, fc.constant(0)),
      seqStep: fc.integer({ min: 1, max: 3 }),
      atMs: fc.nat({ max: 10_000 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("take" as const),
      device: anyDevice,
      packetId: anyPacketId,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("forget" as const), device: anyDevice }) },
);

/**
 * The messages of one device, the latest last. Older ones than there are places for are not found by their seq any more; those
 * that wait still wait.
 */
class Remembered {
  readonly #placeCount: number;
  messages: Message[] = [];
  readonly #all: Message[] = [];
  nextSeq = 0;

  constructor(placeCount: number) {
    this.#placeCount = placeCount;
  }

  put(message: Message): void {
    const place = message.seq % this.#placeCount;
    this.messages = this.messages.filter(({ seq }) => seq % this.#placeCount !== place);
    this.messages.push(message);
    this.#all.push(message);
  }

  get waiting(): Message[] {
    return this.#all.filter(({ isWaiting }) => isWaiting);
  }
}

function lookedUp(times: PublishTimes, place: number | undefined) {
  if (place === undefined) return undefined;
  return {
    seq: times.seq(place),
    dueAtMs: times.dueAtMs(place),
    publishedAtMs: times.publishedAtMs(place),
  };
}

function told(message: Message | undefined) {
  if (message === undefined) return undefined;
  const { seq, dueAtMs, publishedAtMs } = message;
  return { seq, dueAtMs, publishedAtMs };
}

type Step = typeof anyStep extends fc.Arbitrary<infer Value> ? Value : never;

function perform(step: Step, times: PublishTimes, remembered: Remembered): void {
  const { device } = step;
  if (step.kind === "put") {
    const { packetId, seqStep, atMs } = step;
    // An identifier that is under way is not given out again [MQTT-2.3.1-2].
    if (remembered.waiting.some((one) => one.packetId === packetId)) return;
    const seq = remembered.nextSeq;
    remembered.nextSeq += seqStep;
    const message = { dueAtMs: atMs, publishedAtMs: atMs + 0.5 };
    times.put(device, seq, packetId, message);
    remembered.put({ seq, packetId, ...message, isWaiting: packetId !== 0 });
  } else if (step.kind === "take") {
    const message = remembered.waiting.find(({ packetId }) => packetId === step.packetId);
    expect(lookedUp(times, times.take(device, step.packetId))).toEqual(told(message));
    if (message !== undefined) message.isWaiting = false;
  } else {
    times.forget(device);
    for (const message of remembered.waiting) message.isWaiting = false;
  }
}

function expectSame(times: PublishTimes, devices: readonly Remembered[]): void {
  for (const [device, { waiting, messages, nextSeq }] of devices.entries()) {
    expect(times.waitingCount(device)).toBe(waiting.length);
    for (let seq = 0; seq <= nextSeq; seq++) {
      const message = messages.find((one) => one.seq === seq);
      expect(lookedUp(times, times.find(device, seq))).toEqual(told(message));
    }
  }
}

test("each message is found by its seq until another takes its place, and, once, by its packet identifier", () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 40 }), (steps) => {
      const times = new PublishTimes(PLACE_COUNTS);
      const devices = PLACE_COUNTS.map((count) => new Remembered(count));
      for (const step of steps) {
        perform(step, times, devices[step.device] as Remembered);
        expectSame(times, devices);
      }
    }),
    { numRuns: 200 },
  );
});
