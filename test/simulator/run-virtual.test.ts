/** Whole runs in virtual time: an honest broker is never blamed, whatever befalls the devices, and all numbers agree. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RandomStream } from "../../simulator/src/random.ts";
import { FAULT_KINDS } from "../../simulator/src/scenario/scenario.ts";
import { type VirtualRun, virtualRun } from "../support/virtual-run.ts";

/** What must hold in every run, whoever is to blame for what. `pendingCount` timers are the test's own. */
function expectConsistent({ result, world, broker }: VirtualRun, pendingCount = 0): void {
  const { connections, messages, audit, wills, faults, latencies } = result;
  const sum = (counts: Record<string, number>) =>
    Object.values(counts).reduce((total, count) => total + count, 0);
  expect(connections.attempted).toBe(
    connections.connected + sum(connections.failed) + sum(connections.refused),
  );
  expect(latencies.connect?.count).toBe(connections.connected);

  const { qos0, qos1, qos2 } = messages.sent;
  expect(qos0 + qos1 + qos2).toBeLessThanOrEqual(messages.published);
  expect(messages.inDoubt).toBe(qos1 + qos2 - messages.acknowledged);
  expect(latencies.publishAckUncorrected?.count ?? 0).toBe(messages.acknowledged);
  // What the outbox had no room for is measured too, where something came after it.
  const measuredCount = latencies.publishAck?.count ?? 0;
  expect(measuredCount).toBeGreaterThanOrEqual(messages.acknowledged);
  expect(measuredCount).toBeLessThanOrEqual(messages.acknowledged + messages.refusedFull);
  expect(result.generator.scheduleLag?.count ?? 0).toBeGreaterThanOrEqual(messages.published);
  expect(audit?.accepted).toBe(messages.published);
  expect(audit?.acknowledged).toBe(messages.acknowledged);
  expect(audit?.inDoubtDelivered).toBeLessThanOrEqual(messages.inDoubt);

  for (const [kind, fault] of Object.entries(faults)) {
    const { expected, delivered, missing, unjudged } = fault.wills ?? wills ?? never();
    expect(expected).toBe(delivered + missing);
    expect(expected + unjudged).toBe(kind === "clean" ? 0 : fault.injected);
  }
  expect(world.timerCount).toBe(pendingCount);
  expect(broker.clientIds).toEqual([]);
}

/** What holds besides, if nothing but the faults of the run happened. */
function expectKept(run: VirtualRun): void {
  const { result, failed } = run;
  expect(failed).toEqual([]);
  expect(result.problems).toEqual([]);
  expectConsistent(run);
  const { connections, devices, audit, messages, statusMessages, wills, goodbyes } = result;
  expect(connections).toMatchObject({ failed: {}, refused: {}, lost: 0 });
  expect(connections.reconnected).toBe(connections.connected - devices.count);
  expect(statusMessages?.offline).toBe((wills?.delivered ?? 0) + goodbyes);
  expect(audit?.delivered).toBeGreaterThanOrEqual(messages.acknowledged);
  expect(audit?.unjudged).toBe(0);
}

function never(): never {
  throw new Error("nobody watched");
}

describe("a run keeps its books", () => {
  const cases = FAULT_KINDS.flatMap((kind) =>
    ([0, 1, 2] as const).flatMap((qos) =>
      [true, false].map((cleanSession) => [kind, qos, cleanSession] as const),
    ),
  );
  test.each(cases)("%s at QoS %i, clean session %s", async (kind, qos, cleanSession) => {
    const run = await virtualRun(
      `version: 1
broker: { keepAlive: 2s }
devices: [{ count: 6, cleanSession: ${cleanSession}, publish: { interval: 300ms, qos: ${qos} } }]
phases:
  - connect: { rate: 20/s }
  - fault: { kind: ${kind}, target: 50%, spread: 1s, away: 15s }
    duration: 20s
  - fault: { kind: ${kind}, target: 4, away: 200ms }
    duration: 3s
`,
      { lagMs: () => 3 },
    );
    expectKept(run);
    expect(run.result.faults[kind]?.injected).toBe(7);
    const doubled = run.result.audit?.doubledAtQos2;
    expect(doubled).toBe(0);
  });
});

interface Disturbance {
  atMs: number;
  who: string;
}

const anyPhase = fc
  .record({
    kind: fc.constantFrom(...FAULT_KINDS),
    target: fc.integer({ min: 1, max: 5 }),
    spreadMs: fc.integer({ min: 0, max: 2000 }),
    awayMs: fc.integer({ min: 0, max: 8000 }),
    restMs: fc.integer({ min: 100, max: 6000 }),
  })
  .map(
    ({ kind, target, spreadMs, awayMs, restMs }) =>
      `fault: { kind: ${kind}, target: ${target}, spread: ${spreadMs}ms, away: ${awayMs}ms }, duration: ${spreadMs + restMs}ms`,
  );

const anyRun = fc.record({
  seed: fc.nat(),
  partCount: fc.constantFrom(1, 2, 3),
  qos: fc.constantFrom(0, 1, 2),
  cleanSession: fc.boolean(),
  intervalMs: fc.integer({ min: 100, max: 3000 }),
  jitter: fc.integer({ min: 0, max: 100 }),
  keepAlive: fc.integer({ min: 1, max: 4 }),
  lagMaxMs: fc.integer({ min: 0, max: 40 }),
  phases: fc.array(anyPhase, { minLength: 1, maxLength: 5 }),
});

function runOf(
  settings: typeof anyRun extends fc.Arbitrary<infer Run> ? Run : never,
  disturbances: Disturbance[] = [],
) {
  const { seed, partCount, qos, cleanSession, intervalMs, jitter, keepAlive, lagMaxMs, phases } =
    settings;
  const random = new RandomStream(seed, 0, "noise");
  return virtualRun(
    `version: 1
seed: ${seed}
broker: { keepAlive: ${keepAlive}s }
devices:
  - count: 5
    cleanSession: ${cleanSession}
    publish: { interval: ${intervalMs}ms, jitter: ${jitter}%, qos: ${qos} }
    reconnect: { base: 100ms, max: 2s }
phases:
  - connect: { rate: 20/s }
${phases.map((phase) => `  - { ${phase} }\n`).join("")}
observe: { grace: 2s }
`,
    {
      partCount,
      lagMs: () => random.uniform() * lagMaxMs,
      begun: ({ world, broker }) => {
        for (const { atMs, who } of disturbances) {
          world.setTimer(atMs - world.nowMs(), () => broker.throwOut(who));
        }
      },
    },
  );
}

/** The same few each time, so that the build says what the change has done; RUN_COUNT=1000 searches among others. */
const isSearching = process.env["RUN_COUNT"] !== undefined;
const RUN_COUNT = Number(process.env["RUN_COUNT"] ?? 15);
const SEARCH_MS = 2_000 * RUN_COUNT;

/** A search that has found something tells of it, although there may be a shorter example. */
const SEARCH = {
  numRuns: RUN_COUNT,
  interruptAfterTimeLimit: 0.8 * SEARCH_MS,
  ...(isSearching ? {} : { seed: 1 }),
};

test("an honest broker is never blamed, whatever faults overlap, and however many parts a fleet has", {
  timeout: SEARCH_MS,
}, async () => {
  await fc.assert(
    fc.asyncProperty(anyRun, async (settings) => {
      const run = await runOf(settings);
      expect(run.failed).toEqual([]);
      expectConsistent(run);
    }),
    SEARCH,
  );
});

const anyDisturbance = fc.record({
  atMs: fc.integer({ min: 0, max: 10_000 }),
  who: fc.constantFrom("mote-00001", "mote-00002", "mote-", "wasmqtt-observer"),
});

test("nor for what it could not help, or what nobody could see", {
  timeout: SEARCH_MS,
}, async () => {
  await fc.assert(
    fc.asyncProperty(
      anyRun,
      fc.array(anyDisturbance, { minLength: 1, maxLength: 4 }),
      async (settings, disturbances) => {
        const run = await runOf(settings, disturbances);
        // A broker that throws out a device which hangs cannot know that it hangs.
        const allowed = new Set(["connections_lost", "wills_early"]);
        expect(run.failed.filter((name) => !allowed.has(name))).toEqual([]);
        const isPending = ({ atMs }: Disturbance) => atMs > run.world.nowMs();
        expectConsistent(run, disturbances.filter(isPending).length);
      },
    ),
    SEARCH,
  );
});
