/** What a run says of its own lateness, in virtual time: nothing that the generator did wrong may look like a good broker. */

import { describe, expect, test } from "vitest";
import { virtualRun } from "../support/virtual-run.ts";

interface Options {
  publish: string;
  phases: string[];
  /** The process has no time for anything, this long after the run began. */
  busy?: { afterMs: number; durationMs: number };
  partCount?: number;
}

async function run({ publish, phases, busy, partCount = 1 }: Options) {
  const { result } = await virtualRun(
    `version: 1
devices: [{ count: 10, publish: { jitter: 0%, ${publish} } }]
phases: [{ connect: { rate: 100/s } }, ${phases.join(", ")}]
observe: { wills: false, audit: false }
`,
    {
      partCount,
      begun: ({ world }) => {
        if (busy === undefined) return;
        world.setTimer(busy.afterMs, () => world.beBusy(busy.durationMs));
      },
    },
  );
  return result;
}

describe("a generator that is busy for two seconds of twelve", () => {
  const busy = { afterMs: 5_005, durationMs: 2_000 };
  const phases = ["{ duration: 12s }"];

  test.each([1, 2])(
    "counts the readings that it missed, and how late they are, in %s parts",
    async (partCount) => {
      const { messages, latencies, generator, problems } = await run({
        publish: "interval: 100ms, qos: 1",
        phases,
        busy,
        partCount,
      });
      // Of each device: 19 of the 20 that were due meanwhile; the last is taken when the process has time again.
      expect(messages.refusedFull).toBe(190);
      expect(generator.scheduleLag?.count).toBe(messages.published + 190);
      // One in six waited: uniformly, up to two seconds.
      expect(generator.scheduleLag?.p50Ms).toBeLessThan(1);
      expect(generator.scheduleLag?.p90Ms).toBeGreaterThan(700);
      expect(generator.scheduleLag?.p99Ms).toBeGreaterThan(1_800);
      expect(latencies.publishAck?.count).toBe(messages.acknowledged + 190);
      expect(latencies.publishAck?.p99Ms).toBeGreaterThan(1_800);
      expect(latencies.publishAckUncorrected?.p99Ms).toBeLessThan(100);
      expect(generator.warnings.join()).toContain("did not keep up");
      expect(problems).toHaveLength(1);
      expect(problems[0]).toMatch(/^Readings that were never taken.*: 190\./u);
    },
  );

  test("is late with what it had not missed", async () => {
    const { messages, generator, problems } = await run({
      publish: "interval: 5s, qos: 0",
      phases,
      busy,
    });
    expect(messages.refusedFull).toBe(0);
    expect(generator.scheduleLag?.maxMs).toBeGreaterThan(1_800);
    expect(problems).toEqual([]);
  });
});

test.each([
  ["more often", "10s", "100ms"],
  ["more rarely", "100ms", "5s"],
])("a fleet that measures %s for a while is not late", async (_how, interval, spike) => {
  const { generator, messages } = await run({
    publish: `interval: ${interval}, qos: 1`,
    phases: [
      "{ duration: 7s }",
      `{ spike: { interval: ${spike} }, duration: 7s }`,
      "{ duration: 25s }",
    ],
  });
  expect(messages.published).toBeGreaterThan(100);
  expect(messages.refusedFull).toBe(0);
  expect(generator.scheduleLag?.maxMs).toBeLessThan(2);
});

test("a device that hung for a while was not late meanwhile", async () => {
  const { generator, messages } = await run({
    publish: "interval: 100ms, qos: 1",
    phases: ["{ fault: { kind: hang, target: 100%, away: 3s }, duration: 6s }"],
  });
  expect(messages.published).toBeGreaterThan(100);
  expect(messages.refusedFull).toBe(0);
  expect(generator.scheduleLag?.maxMs).toBeLessThan(2);
});
