/** A sample with something in every place, as a run of the demo could have it after five seconds. */

import { LatencyHistogram } from "../../simulator/src/histogram.ts";
import type { Latencies, LatencyName, RunSample } from "../../simulator/src/run/run-sample.ts";

/** One latency of each kind, 10 ms longer from one to the next, from 10 ms on. */
export function sampleSample(): RunSample {
  const latencies: Latencies = {
    connect: histogramOf(10),
    publishAckQos1: histogramOf(20),
    publishAckQos2: histogramOf(30),
    publishAckUncorrected: histogramOf(40),
    endToEnd: histogramOf(50),
    willDelivery: histogramOf(60),
    scheduleLag: histogramOf(70),
  };
  return {
    atMs: 5000,
    spanMs: 1000,
    phaseName: "steady",
    phaseIndex: 1,
    deviceCount: 50,
    connectedCount: 40,
    counters: {
      attempted: 100,
      connected: 90,
      reconnected: 45,
      failed: 7,
      refused: 3,
      lost: 2,
      published: 1000,
      sent: 990,
      acknowledged: 980,
      received: 970,
      dropped: 5,
      faults: 20,
      willsExpected: 15,
      willsDelivered: 14,
      willsUnexpected: 1,
    },
    breakdown: { sentByQos: [100, 790, 100], faults: {} },
    latencies,
    totals: latencies,
    generator: { cpuPercent: 55.5, rssBytes: 123_456_789, eventLoopDelayMs: 3.25 },
    problems: [],
  };
}

/** The same sample before anything was measured. */
export function emptySample(): RunSample {
  const sample = sampleSample();
  const names = Object.keys(sample.totals) as LatencyName[];
  const nothing = Object.fromEntries(
    names.map((name) => [name, new LatencyHistogram()]),
  ) as unknown as Latencies;
  return { ...sample, latencies: nothing, totals: nothing };
}

function histogramOf(latencyMs: number): LatencyHistogram {
  const histogram = new LatencyHistogram();
  histogram.record(latencyMs);
  return histogram;
}
