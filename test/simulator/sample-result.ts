/** A result with something in every place, as a run of the demo could have it. */

import { LatencyHistogram } from "../../simulator/src/histogram.ts";
import {
  type LatencyResult,
  latencyResult,
  RESULT_SCHEMA_ID,
  type RunResult,
  type TimelinePoint,
} from "../../simulator/src/run/result.ts";

/** Latencies from `minMs` on, `count` of them, each `stepMs` longer than the one before. */
function latencies(count: number, minMs: number, stepMs: number): LatencyResult {
  const histogram = new LatencyHistogram();
  for (let index = 0; index < count; index++) histogram.record(minMs + index * stepMs);
  const result = latencyResult(histogram);
  if (result === null) throw new RangeError("A histogram needs a value");
  return result;
}

/** Everything went well, but for two Wills. */
export function sampleResult(): RunResult {
  return {
    schema: RESULT_SCHEMA_ID,
    runId: "01JD3Z5W8K",
    tool: { name: "wasmqtt", version: "0.1.0" },
    scenario: { name: "demo", seed: 1, text: "version: 1\nname: demo\n" },
    environment: { node: "20.19.2", platform: "linux", cpuCount: 4 },
    startedAt: "2026-11-23T01:02:03.456Z",
    durationMs: 20_400,
    interrupted: false,
    broker: { url: "mqtt://localhost:1883", protocol: "3.1.1", embedded: true },
    firmware: {
      name: "thermometer",
      sha256: "0".repeat(64),
      byteLength: 8765,
      abiVersion: 1,
    },
    devices: {
      count: 50,
      connected: 50,
      groups: [{ name: "sensors", count: 50, qos: 1, cleanSession: true, intervalMs: 1000 }],
    },
    connections: {
      attempted: 88,
      connected: 85,
      reconnected: 35,
      failed: { unreachable: 2 },
      refused: { 5: 1 },
      lost: 0,
    },
    brokerRestarts: 0,
    messages: {
      published: 1240,
      sent: { qos0: 0, qos1: 1238, qos2: 0 },
      acknowledged: 1236,
      inDoubt: 2,
      unanswered: 0,
      requeued: 2,
      discarded: 0,
      refusedFull: 1,
    },
    latencies: {
      connect: latencies(85, 1, 0.25),
      publishAck: latencies(1236, 0.5, 0.01),
      publishAckQos1: latencies(1236, 0.5, 0.01),
      publishAckQos2: null,
      publishAckUncorrected: latencies(1236, 0.4, 0.01),
      endToEnd: null,
      willDelivery: {
        "tcp-close": latencies(5, 2, 0.5),
        "power-loss": latencies(4, 3010, 100),
      },
    },
    faults: {
      "tcp-close": {
        injected: 5,
        wills: {
          expected: 5,
          delivered: 5,
          missing: 0,
          early: 0,
          late: 0,
          doubled: 0,
          unexpected: 0,
          unjudged: 0,
        },
      },
      "power-loss": {
        injected: 5,
        wills: {
          expected: 5,
          delivered: 4,
          missing: 1,
          early: 0,
          late: 1,
          doubled: 0,
          unexpected: 0,
          unjudged: 0,
        },
      },
      clean: {
        injected: 5,
        wills: {
          expected: 0,
          delivered: 0,
          missing: 0,
          early: 0,
          late: 0,
          doubled: 0,
          unexpected: 0,
          unjudged: 0,
        },
      },
    },
    wills: {
      expected: 10,
      delivered: 9,
      missing: 1,
      early: 0,
      late: 1,
      doubled: 0,
      unexpected: 0,
      unjudged: 0,
    },
    goodbyes: 55,
    statusMessages: { online: 85, offline: 64, lost: 0 },
    observer: { lost: 0, awayMs: 0 },
    audit: {
      devices: 50,
      accepted: 1240,
      acknowledged: 1236,
      delivered: 1238,
      lost: 0,
      unjudged: 0,
      doubledAtQos1: 2,
      doubledAtQos2: 0,
      outOfOrder: 0,
      unknown: 0,
      inDoubtDelivered: 2,
    },
    commands: { sent: 150, arrived: 150, lost: 0, doubled: 0 },
    generator: {
      scheduleLag: latencies(1240, 0.1, 0.001),
      eventLoopDelayP99Ms: 4.2,
      threads: 1,
      warnings: [],
      cpuPercent: 31.4,
      cpuUsPerMessage: 23.14,
      rssBytes: 123_456_789,
      memoryPerDeviceBytes: 4321,
    },
    expectations: [],
    thresholds: [],
    phases: [
      { name: "connect", kind: "connect", startMs: 0, endMs: 1200 },
      { name: "steady", kind: "steady", startMs: 1200, endMs: 20_400 },
    ],
    timeline: [samplePoint()],
    problems: [],
  };
}

/** The first second of the run. */
function samplePoint(): TimelinePoint {
  return {
    atMs: 1000,
    spanMs: 1000,
    phase: "connect",
    connected: 40,
    counters: {
      attempted: 43,
      connected: 40,
      reconnected: 0,
      failed: 2,
      refused: 1,
      lost: 0,
      published: 31,
      sent: 31,
      acknowledged: 30,
      received: 30,
      dropped: 0,
      faults: 0,
      willsExpected: 0,
      willsDelivered: 0,
      willsUnexpected: 0,
    },
    latencies: { connect: latencies(40, 1, 0.25), publishAckQos1: latencies(30, 0.5, 0.01) },
    cpuPercent: 28.5,
    rssBytes: 120_000_000,
    eventLoopDelayMs: 3.9,
  };
}
