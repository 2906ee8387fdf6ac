/** What is measured once is in the span and, from its end on, in the total. */

import { expect, test } from "vitest";
import { LatencyMeter } from "../../simulator/src/fleet/latency-meter.ts";
import { LATENCY_NAMES } from "../../simulator/src/run/run-sample.ts";

test("a span is seen with what it has, then added to the total and emptied", () => {
  const meter = new LatencyMeter();
  for (const [index, name] of LATENCY_NAMES.entries()) meter.span[name].record(index + 1);
  const seen: number[] = [];
  meter.turn((span) => seen.push(...LATENCY_NAMES.map((name) => span[name].count)));
  expect(seen).toEqual(LATENCY_NAMES.map(() => 1));
  for (const [index, name] of LATENCY_NAMES.entries()) {
    expect(meter.span[name].count).toBe(0);
    expect(meter.totals[name].summary()).toMatchObject({ count: 1, minMs: index + 1 });
  }
});

test("all spans together are the total, exactly", () => {
  const meter = new LatencyMeter();
  const whole = new LatencyMeter();
  for (let index = 0; index < 500; index++) {
    const latencyMs = 0.001 * 1.05 ** index;
    meter.span.endToEnd.record(latencyMs);
    whole.span.endToEnd.record(latencyMs);
    if (index % 37 === 0) meter.turn();
  }
  meter.turn();
  whole.turn();
  expect(meter.totals.endToEnd.encode()).toBe(whole.totals.endToEnd.encode());
});
