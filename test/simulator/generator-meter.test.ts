import { expect, test } from "vitest";
import { GeneratorMeter } from "../../simulator/src/generator-meter.ts";

/** A process whose numbers the test sets. */
class FakeProcess {
  cpu = 500_000;
  rss = 50_000_000;
  readonly cpuUs = () => this.cpu;
  readonly rssBytes = () => this.rss;
}

test("processor time and memory count from the start; a message's share from the end of the connect phase", () => {
  const process = new FakeProcess();
  const meter = new GeneratorMeter(process);
  process.cpu += 2_000_000;
  process.rss += 20_000_000;
  meter.fleetConnected(3_000);
  process.cpu += 1_000_000;
  process.rss += 7_000_000;
  meter.stop();
  meter.stop();
  expect(meter.result(10_000, 13_000, 1_000)).toMatchObject({
    cpuPercent: 30,
    cpuUsPerMessage: 100,
    memoryPerDeviceBytes: 20_000,
    rssBytes: 77_000_000,
  });
});

test("with few devices or messages the program itself would be measured", () => {
  const meter = new GeneratorMeter(new FakeProcess());
  meter.fleetConnected(5_000);
  meter.stop();
  const nothing = { cpuUsPerMessage: null, memoryPerDeviceBytes: null };
  expect(meter.result(10_000, 5_999, 499)).toMatchObject(nothing);
  expect(meter.result(0, 0, 0)).toMatchObject({ ...nothing, cpuPercent: null });
});

test("a run that was never connected measures neither", () => {
  const meter = new GeneratorMeter(new FakeProcess());
  meter.stop();
  const nothing = { cpuUsPerMessage: null, memoryPerDeviceBytes: null };
  expect(meter.result(10_000, 50_000, 5_000)).toMatchObject(nothing);
});
