/** The wheel of alarms against a list of alarms that is searched anew each time. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TimerWheel } from "../../simulator/src/fleet/timer-wheel.ts";
import { VirtualWorld } from "../support/virtual-world.ts";

const ALARM_COUNT = 6;

/** Fractions that a double has exactly, so that both clocks agree. */
const anyDelayMs = fc.oneof(
  fc.integer({ min: -8, max: 40 }).map((quarters) => quarters / 4),
  fc.integer({ min: 0, max: 100 }),
  // Up to three turns of the wheel ahead, and just beside a whole one.
  fc.integer({ min: 0, max: 13_000 }),
  fc.constantFrom(4095, 4095.75, 4096, 4096.25, 4097, 8192, 12_288),
);

const anyAct = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("set" as const), delayMs: anyDelayMs }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("clear" as const) }) },
);

const anyAlarm = fc.nat({ max: ALARM_COUNT - 1 });

/** What is done from outside, and how long the clock then runs. */
const anyStep = fc.record({ alarm: anyAlarm, act: anyAct, advanceMs: anyDelayMs });

/** What is done while an alarm rings, to it or to another. */
const anyReaction = fc.record({ alarm: anyAlarm, act: anyAct });

type Act = typeof anyAct extends fc.Arbitrary<infer Value> ? Value : never;

interface Ring {
  alarm: number;
  atMs: number;
}

/** What an alarm is told, and when each of all will ring then. */
interface FullRing extends Ring {
  dueAtMs: number;
  dueAtMsOfAll: number[];
}

interface Alarms {
  dueAtMs(alarm: number): number;
  set(alarm: number, atMs: number): void;
  clear(alarm: number): void;
}

const ALARMS = Array.from({ length: ALARM_COUNT }, (_, alarm) => alarm);

function dueAtMsOfAll(alarms: Alarms): number[] {
  return ALARMS.map((alarm) => alarms.dueAtMs(alarm));
}

function perform(alarms: Alarms, nowMs: number, alarm: number, act: Act): void {
  if (act.kind === "clear") alarms.clear(alarm);
  else alarms.set(alarm, nowMs + act.delayMs);
}

/** All that is due rings at once, in the order of its times, then of its numbers. */
class NaiveAlarms implements Alarms {
  readonly #dueAtMs = new Map<number, number>();
  readonly #ring: (alarm: number, dueAtMs: number) => void;
  #ringing = new Map<number, number>();
  nowMs = 0;

  constructor(ring: (alarm: number, dueAtMs: number) => void) {
    this.#ring = ring;
  }

  dueAtMs(alarm: number): number {
    return this.#dueAtMs.get(alarm) ?? this.#ringing.get(alarm) ?? Number.POSITIVE_INFINITY;
  }

  isSet(alarm: number): boolean {
    return this.#dueAtMs.has(alarm);
  }

  set(alarm: number, atMs: number): void {
    this.clear(alarm);
    this.#dueAtMs.set(alarm, atMs);
  }

  clear(alarm: number): void {
    this.#dueAtMs.delete(alarm);
    this.#ringing.delete(alarm);
  }

  advance(durationMs: number): void {
    const endMs = this.nowMs + durationMs;
    for (;;) {
      const nextMs = Math.max(this.nowMs, Math.min(...this.#dueAtMs.values()));
      if (nextMs > endMs) break;
      this.nowMs = nextMs;
      this.#ringDue();
    }
    this.nowMs = endMs;
  }

  #ringDue(): void {
    const due = [...this.#dueAtMs]
      .filter(([, atMs]) => atMs <= this.nowMs)
      .sort(([a, aMs], [b, bMs]) => aMs - bMs || a - b);
    for (const [alarm] of due) this.#dueAtMs.delete(alarm);
    this.#ringing = new Map(due);
    for (const [alarm, atMs] of due) if (this.#ringing.delete(alarm)) this.#ring(alarm, atMs);
  }
}

test("it rings what a plain list of alarms rings, at the same times and in the same order", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyStep, { maxLength: 30 }),
      fc.array(fc.option(anyReaction, { nil: undefined }), { maxLength: 30 }),
      async (steps, reactions) => {
        const world = new VirtualWorld();
        const rung: FullRing[] = [];
        const wheel: TimerWheel = new TimerWheel(world, ALARM_COUNT, (alarm, atMs, dueAtMs) => {
          const reaction = reactions[rung.length];
          expect(atMs).toBe(world.nowMs());
          rung.push({ alarm, atMs, dueAtMs, dueAtMsOfAll: dueAtMsOfAll(wheel) });
          if (reaction !== undefined) {
            perform(wheel, world.nowMs(), reaction.alarm, reaction.act);
          }
        });
        const naivelyRung: FullRing[] = [];
        const naive: NaiveAlarms = new NaiveAlarms((alarm, dueAtMs) => {
          const reaction = reactions[naivelyRung.length];
          const atMs = naive.nowMs;
          naivelyRung.push({ alarm, atMs, dueAtMs, dueAtMsOfAll: dueAtMsOfAll(naive) });
          if (reaction !== undefined) perform(naive, atMs, reaction.alarm, reaction.act);
        });

        for (const { alarm, act, advanceMs } of steps) {
          perform(wheel, world.nowMs(), alarm, act);
          perform(naive, naive.nowMs, alarm, act);
          await world.advance(Math.max(0, advanceMs));
          naive.advance(Math.max(0, advanceMs));
          expect(rung).toEqual(naivelyRung);
          expect(dueAtMsOfAll(wheel)).toEqual(dueAtMsOfAll(naive));
          expect(ALARMS.map((one) => wheel.isSet(one))).toEqual(
            ALARMS.map((one) => naive.isSet(one)),
          );
        }
        expect(world.timerCount).toBeLessThanOrEqual(1);
      },
    ),
    { numRuns: 150 },
  );
});

function recorded(alarmCount: number) {
  const world = new VirtualWorld();
  const rung: Ring[] = [];
  const wheel = new TimerWheel(world, alarmCount, (alarm) =>
    rung.push({ alarm, atMs: world.nowMs() }),
  );
  return { world, rung, wheel };
}

describe("an alarm", () => {
  test("that is overdue rings at once, but not while it is set", async () => {
    const { world, rung, wheel } = recorded(1);
    await world.advance(10_000);
    wheel.set(0, 3);
    expect(rung).toEqual([]);
    await world.advance(0);
    expect(rung).toEqual([{ alarm: 0, atMs: 10_000 }]);
  });

  test("hours ahead rings then, and wakes nobody more than once in a turn of the wheel", async () => {
    let timerCount = 0;
    class CountingWorld extends VirtualWorld {
      override setTimer(delayMs: number, callback: () => void) {
        timerCount++;
        return super.setTimer(delayMs, callback);
      }
    }
    const world = new CountingWorld();
    const rung: number[] = [];
    const wheel = new TimerWheel(world, 2, () => rung.push(world.nowMs()));
    const hourMs = 3_600_000;
    wheel.set(0, 2 * hourMs + 0.5);
    wheel.set(1, hourMs);
    await world.advance(2 * hourMs);
    expect(rung).toEqual([hourMs]);
    await world.advance(1);
    expect(rung).toEqual([hourMs, 2 * hourMs + 0.5]);
    expect(timerCount).toBeLessThan((2 * hourMs) / 4_096 + 5);
    expect(world.timerCount).toBe(0);
  });

  test("rings in time although thousands lie before it that go round once more", async () => {
    const count = 5_000;
    const atMs = (alarm: number) => 10_000 + ((alarm * 7_919) % 9_000);
    const { world, rung, wheel } = recorded(count + 1);
    for (let alarm = 0; alarm < count; alarm++) wheel.set(alarm, atMs(alarm));
    wheel.set(count, 777);
    await world.advance(777);
    expect(rung).toEqual([{ alarm: count, atMs: 777 }]);
    await world.advance(20_000);
    expect(rung).toHaveLength(count + 1);
    expect(rung.slice(1).every((each) => each.atMs === atMs(each.alarm))).toBe(true);
  });

  test("set to Infinity is cleared", async () => {
    const { world, rung, wheel } = recorded(1);
    wheel.set(0, 5);
    wheel.set(0, Number.POSITIVE_INFINITY);
    await world.advance(10_000);
    expect(rung).toEqual([]);
    expect(wheel.isSet(0)).toBe(false);
  });
});

test("ten thousand alarms at one time have one timer, and ring by their numbers", async () => {
  const { world, rung, wheel } = recorded(10_000);
  for (let alarm = 9_999; alarm >= 0; alarm--) wheel.set(alarm, 77);
  expect(world.timerCount).toBe(1);
  await world.advance(77);
  expect(rung.map(({ alarm }) => alarm)).toEqual(
    Array.from({ length: 10_000 }, (_, index) => index),
  );
});

test("a timer of the world that fires a little early rings nothing before its time", async () => {
  class EarlyWorld extends VirtualWorld {
    override setTimer(delayMs: number, callback: () => void) {
      return super.setTimer(delayMs > 1 ? delayMs - 0.75 : delayMs, callback);
    }
  }
  const world = new EarlyWorld();
  const rung: number[] = [];
  const wheel = new TimerWheel(world, 1, () => rung.push(world.nowMs()));
  wheel.set(0, 20);
  await world.advance(30);
  expect(rung).toEqual([20]);
});

test("after stop nothing rings, not even what was due in the same turn", async () => {
  const world = new VirtualWorld();
  const rung: number[] = [];
  const wheel: TimerWheel = new TimerWheel(world, 4, (alarm) => {
    rung.push(alarm);
    wheel.stop();
  });
  for (const alarm of [0, 1, 2]) wheel.set(alarm, 10);
  wheel.set(3, 5_000);
  await world.advance(20_000);
  expect(rung).toEqual([0]);
  expect(world.timerCount).toBe(0);
  expect([0, 1, 2, 3].map((alarm) => wheel.isSet(alarm))).toEqual([false, false, false, false]);
});
