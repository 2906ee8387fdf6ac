import { expect, test } from "vitest";
import { LatencyHistogram } from "../../simulator/src/histogram.ts";
import { type GeneratorFacts, GeneratorMeter } from "../../simulator/src/run/generator-meter.ts";
import { latencyResult } from "../../simulator/src/run/result.ts";

/** A process whose numbers the test sets. */
class FakeProcess {
  cpu = 500_000;
  rss = 50_000_000;
  readonly cpuUs = () => this.cpu;
  readonly rssBytes = () => this.rss;
}

const idle = { eventLoopDelayMs: 1, busyShare: 0.1 };
const busy = { eventLoopDelayMs: 80, busyShare: 0.97 };

function facts(changes: Partial<GeneratorFacts>): GeneratorFacts {
  return {
    durationMs: 10_000,
    messageCount: 0,
    deviceCount: 0,
    scheduleLag: null,
    threadCount: 1,
    loads: [idle],
    ...changes,
  };
}

function lagOf(lagMs: number) {
  const histogram = new LatencyHistogram();
  for (let count = 0; count < 100; count++) histogram.record(lagMs);
  return latencyResult(histogram);
}

test("processor time and memory count from the start; a message's share from the end of the connect phase", () => {
  const process = new FakeProcess();
  const meter = new GeneratorMeter(process);
  process.cpu += 2_000_000;
  process.rss += 20_000_000;
  meter.fleetConnected(3_000);
  process.cpu += 1_000_000;
  process.rss += 7_000_000;
  expect(meter.result(facts({ messageCount: 13_000, deviceCount: 1_000 }))).toMatchObject({
    cpuPercent: 30,
    cpuUsPerMessage: 100,
    memoryPerDeviceBytes: 20_000,
    rssBytes: 77_000_000,
  });
});

test("what the goodbyes take is no part of a message", () => {
  const process = new FakeProcess();
  const meter = new GeneratorMeter(process);
  meter.fleetConnected(3_000);
  process.cpu += 1_000_000;
  meter.fleetLeaves(13_000);
  process.cpu += 4_000_000;
  expect(meter.result(facts({ messageCount: 13_500, deviceCount: 1_000 }))).toMatchObject({
    cpuPercent: 50,
    cpuUsPerMessage: 100,
  });
});

test("a span has its own processor time", () => {
  const process = new FakeProcess();
  const meter = new GeneratorMeter(process);
  process.cpu += 500_000;
  expect(meter.turn(1000, [idle])).toEqual({ cpuPercent: 50, rssBytes: 50_000_000 });
  process.cpu += 250_000;
  expect(meter.turn(1000, [idle]).cpuPercent).toBe(25);
  expect(meter.turn(0, [idle]).cpuPercent).toBe(0);
});

test("with few devices or messages the program itself would be measured", () => {
  const meter = new GeneratorMeter(new FakeProcess());
  meter.fleetConnected(5_000);
  const nothing = { cpuUsPerMessage: null, memoryPerDeviceBytes: null };
  expect(meter.result(facts({ messageCount: 5_999, deviceCount: 499 }))).toMatchObject(nothing);
  expect(meter.result(facts({ durationMs: 0 }))).toMatchObject({ ...nothing, cpuPercent: null });
});

test("a run that was never connected measures neither", () => {
  const meter = new GeneratorMeter(new FakeProcess());
  const nothing = { cpuUsPerMessage: null, memoryPerDeviceBytes: null };
  const result = meter.result(facts({ messageCount: 50_000, deviceCount: 5_000 }));
  expect(result).toMatchObject(nothing);
});

test("a generator that kept up warns of nothing, and the slowest thread counts", () => {
  const meter = new GeneratorMeter(new FakeProcess());
  for (let second = 0; second < 10; second++) meter.turn(1000, [idle, idle]);
  const slower = { eventLoopDelayMs: 7, busyShare: 0.5 };
  const result = meter.result(
    facts({ scheduleLag: lagOf(19), threadCount: 2, loads: [idle, slower] }),
  );
  expect(result).toMatchObject({ warnings: [], threads: 2, eventLoopDelayP99Ms: 7 });
});

test("readings that were late are blamed on the generator, in plain words", () => {
  const meter = new GeneratorMeter(new FakeProcess());
  const { warnings } = meter.result(facts({ scheduleLag: lagOf(250) }));
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(/did not keep up.* 250.* ms late/u);
  expect(warnings[0]).toContain("-j");
});

test("a thread without a pause is blamed, but not for one busy second in five", () => {
  const meter = new GeneratorMeter(new FakeProcess());
  for (let second = 0; second < 8; second++) meter.turn(1000, [idle]);
  meter.turn(1000, [idle, busy]);
  meter.turn(1000, [busy]);
  expect(meter.result(facts({})).warnings).toEqual([]);
  meter.turn(1000, [busy]);
  const [warning] = meter.result(facts({})).warnings;
  expect(warning).toContain("no time left in 3 of 11 seconds");
});
