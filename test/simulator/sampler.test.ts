/** A sample is the sum of what the parts say, once a second, and nothing is counted twice or left out. */

import { afterEach, describe, expect, test } from "vitest";
import { DeviceState } from "../../simulator/src/fleet/device-states.ts";
import type { FleetMember, MemberSample } from "../../simulator/src/fleet/fleet-member.ts";
import { LatencyMeter } from "../../simulator/src/fleet/latency-meter.ts";
import { GeneratorMeter } from "../../simulator/src/run/generator-meter.ts";
import {
  LATENCY_NAMES,
  type RunCounters,
  type RunSample,
} from "../../simulator/src/run/run-sample.ts";
import { Sampler } from "../../simulator/src/run/sampler.ts";
import { VirtualWorld } from "../support/virtual-world.ts";
import { sampleAt } from "./outputs-support.ts";

/** A part whose numbers the test sets. */
class CountingMember implements FleetMember {
  readonly stateBytes = Uint8Array.of(DeviceState.Connected, DeviceState.Waiting);
  readonly latencies = new LatencyMeter();
  counters: RunCounters = { ...sampleAt(0).counters };
  breakdown: RunSample["breakdown"] = { sentByQos: [0, 0, 0], faults: {} };
  eventLoopDelayMs = 1;
  /** What an answer waits for. */
  isReady: Promise<void> = Promise.resolve();

  async sample(take: (sample: MemberSample) => void): Promise<void> {
    await this.isReady;
    const { counters, breakdown, eventLoopDelayMs } = this;
    const load = { eventLoopDelayMs, busyShare: 0.5 };
    this.latencies.turn((latencies) => take({ counters, breakdown, latencies, load }));
  }

  begin = () => Promise.resolve();
  run = () => Promise.resolve();
  online = () => {};
  offline = () => {};
  telemetry = () => {};
  excuse = () => {};
  stop = () => Promise.resolve();
  abandon = () => Promise.resolve();
  finish = () => Promise.reject(new Error("nobody asks"));
}

let running: Sampler[] = [];

afterEach(() => {
  for (const sampler of running) sampler.stop();
  running = [];
});

interface Seen extends Omit<RunSample, "latencies" | "totals"> {
  counts: Record<string, number>;
  totalCounts: Record<string, number>;
}

async function start(members: readonly FleetMember[], startedAtMs = 0) {
  const world = new VirtualWorld();
  await world.advance(startedAtMs);
  const seen: Seen[] = [];
  const countsOf = (latencies: RunSample["latencies"]) =>
    Object.fromEntries(LATENCY_NAMES.map((name) => [name, latencies[name].count]));
  const sampler = new Sampler({
    world,
    startedAtMs,
    members,
    generator: new GeneratorMeter({ cpuUs: () => world.nowMs() * 250, rssBytes: () => 5_000 }),
    ownThread: undefined,
    now: () => ({ phaseName: "steady", phaseIndex: 1, problems: ["a problem"] }),
    listeners: [
      ({ latencies, totals, ...rest }) =>
        seen.push({ ...rest, counts: countsOf(latencies), totalCounts: countsOf(totals) }),
    ],
  });
  running.push(sampler);
  return { world, sampler, seen };
}

describe("a sample", () => {
  test("comes each second of the run, whenever that began", async () => {
    const { world, sampler, seen } = await start([new CountingMember()], 12_345.5);
    await world.advance(300);
    sampler.start();
    await world.advance(3_000);
    expect(seen.map(({ atMs, spanMs }) => [atMs, spanMs])).toEqual([
      [1_000, 1_000],
      [2_000, 1_000],
      [3_000, 1_000],
    ]);
    sampler.stop();
    expect(world.timerCount).toBe(0);
  });

  test("adds up counts, devices and connections of all parts; of the delays it has the worst", async () => {
    const members = [new CountingMember(), new CountingMember(), new CountingMember()];
    const [first, second, third] = members as [CountingMember, CountingMember, CountingMember];
    second.stateBytes.fill(DeviceState.Connected);
    third.counters = { ...third.counters, published: 1_000 };
    second.eventLoopDelayMs = 40;
    const { sampler, seen } = await start(members);
    const counters = await sampler.look();
    expect(seen[0]?.counters).toEqual(counters);
    for (const name of Object.keys(counters) as (keyof RunCounters)[]) {
      const sum = first.counters[name] + second.counters[name] + third.counters[name];
      expect(counters[name]).toBe(sum);
    }
    expect(seen[0]).toMatchObject({
      deviceCount: 6,
      connectedCount: 4,
      phaseName: "steady",
      phaseIndex: 1,
      problems: ["a problem"],
      generator: { eventLoopDelayMs: 40, rssBytes: 5_000 },
    });
  });

  test("adds up what is taken apart, kind by kind", async () => {
    const members = [new CountingMember(), new CountingMember()];
    const [first, second] = members as [CountingMember, CountingMember];
    const { faults } = sampleAt(0).breakdown;
    const { hang } = faults;
    first.breakdown = { sentByQos: [1, 2, 3], faults };
    second.breakdown = {
      sentByQos: [10, 20, 30],
      faults: { ...faults, clean: { injected: 4, wills: null } },
    };
    const { sampler, seen } = await start(members);
    await sampler.look();
    expect(seen[0]?.breakdown).toEqual({
      sentByQos: [11, 22, 33],
      faults: {
        hang: {
          injected: 2 * (hang?.injected ?? 0),
          wills: Object.fromEntries(
            Object.entries(hang?.wills ?? {}).map(([name, count]) => [name, 2 * count]),
          ),
        },
        clean: { injected: 4, wills: null },
      },
    });
  });

  test("has the latencies of its span, and those since the start", async () => {
    const members = [new CountingMember(), new CountingMember()];
    const [first, second] = members as [CountingMember, CountingMember];
    const { sampler, seen } = await start(members);
    first.latencies.span.connect.record(3);
    second.latencies.span.connect.record(5);
    second.latencies.span.endToEnd.record(7);
    await sampler.look();
    first.latencies.span.connect.record(9);
    await sampler.look();
    expect(seen.map(({ counts }) => [counts["connect"], counts["endToEnd"]])).toEqual([
      [2, 1],
      [1, 0],
    ]);
    expect(seen.map(({ totalCounts }) => totalCounts["connect"])).toEqual([2, 3]);
  });

  test("is told in order, although a slow part answers late", async () => {
    const slow = new CountingMember();
    let answer = () => {};
    slow.isReady = new Promise((resolve) => {
      answer = resolve;
    });
    const { world, sampler, seen } = await start([slow, new CountingMember()]);
    sampler.start();
    await world.advance(2_500);
    expect(seen).toEqual([]);
    answer();
    await world.advance(0);
    expect(seen.map(({ atMs, spanMs }) => [atMs, spanMs])).toEqual([
      [2_500, 2_500],
      [2_500, 0],
    ]);
  });

  test("of a part that is gone never comes; who asks for it is told why, and the run may go on", async () => {
    const gone = new CountingMember();
    gone.sample = () => Promise.reject(new Error("the thread ended"));
    const { world, sampler, seen } = await start([gone]);
    sampler.start();
    await world.advance(1_500);
    await expect(sampler.look()).rejects.toThrow("the thread ended");
    expect(seen).toEqual([]);
  });
});
