/** A run for the tests of the pages: a result and samples as a real run could have them, and a run that is made up. */

import type { Qos } from "../../host/src/core/session.ts";
import { LatencyHistogram } from "../../simulator/src/histogram.ts";
import type { DashboardRun, WatchedMessage } from "../../simulator/src/pages/dashboard-run.ts";
import {
  latencyResult,
  type RunResult,
  type TimelinePoint,
} from "../../simulator/src/run/result.ts";
import {
  LATENCY_NAMES,
  type LatencyName,
  type RunCounters,
  type RunSample,
} from "../../simulator/src/run/run-sample.ts";
import { sampleResult } from "../simulator/sample-result.ts";

const PHASES = [
  { name: "connect", kind: "connect", startMs: 0, endMs: 20_000 },
  { name: "steady", kind: "steady", startMs: 20_000, endMs: 70_000 },
  { name: "the tower dies", kind: "fault", startMs: 70_000, endMs: 90_000 },
  { name: "all are back", kind: "steady", startMs: 90_000, endMs: 120_000 },
];
const DEVICE_COUNT = 1000;

/** Two minutes of 1,000 devices; in the 76th second half of them vanish. */
export function pagesResult(): RunResult {
  const result = sampleResult();
  return {
    ...result,
    scenario: { name: "tower-dies", seed: 42, text: SCENARIO_TEXT },
    durationMs: 120_000,
    devices: {
      count: DEVICE_COUNT,
      connected: DEVICE_COUNT,
      groups: [
        { name: "meters", count: 700, qos: 1, cleanSession: true, intervalMs: 1000 },
        { name: "alarms", count: 300, qos: 2, cleanSession: false, intervalMs: 5000 },
      ],
    },
    thresholds: [
      {
        metric: "publish_ack_duration",
        rule: "p(99)<250",
        value: "p(99)=19.8 ms",
        ok: true,
        aborted: false,
      },
      { metric: "will_delivered", rule: "rate==1", value: "99.8 %", ok: false, aborted: false },
    ],
    expectations: [
      { name: "acknowledged messages lost", rule: "count==0", value: "0", ok: true },
      {
        name: "Last Wills missing",
        rule: "count==0",
        value: "1",
        ok: false,
        explanation: "The broker did not announce a device that vanished.",
      },
    ],
    phases: PHASES,
    timeline: timeline(),
    problems: ["The broker closed 3 connections without a reason."],
  };
}

const SCENARIO_TEXT = `version: 1
name: tower-dies
devices:
  - name: meters
    count: 700
    publish: { interval: 1s, qos: 1 }
phases:
  - name: connect
    connect: { rate: 50/s }
  - name: steady
    duration: 50s
  - name: the tower dies
    fault: { kind: power-loss, target: 50% }
    duration: 20s
`;

const SECOND_COUNT = 120;

/** A point of each second. Made once: histograms take their time. */
let points: TimelinePoint[] | undefined;

function timeline(): TimelinePoint[] {
  points ??= madeTimeline();
  return points;
}

function madeTimeline(): TimelinePoint[] {
  const counters = noCounters();
  return Array.from({ length: SECOND_COUNT }, (_, index) => {
    const second = index + 1;
    const connected = connectedAt(second);
    addSecond(counters, second, connected);
    return {
      atMs: second * 1000,
      spanMs: 1000,
      phase: PHASES.find(({ endMs }) => second * 1000 <= endMs)?.name ?? "goodbye",
      connected,
      counters: { ...counters },
      latencies: latenciesAt(second),
      cpuPercent: 20 + connected / 20 + 5 * Math.sin(second / 3),
      rssBytes: 120_000_000,
      eventLoopDelayMs: 2 + Math.abs(Math.sin(second)) * 3 + (second === 76 ? 20 : 0),
    };
  });
}

function connectedAt(second: number): number {
  if (second <= 20) return second * 50;
  if (second < 76) return DEVICE_COUNT;
  return Math.min(DEVICE_COUNT, 500 + Math.max(0, second - 85) * 40);
}

function addSecond(counters: RunCounters, second: number, connected: number): void {
  const hasConnects = second <= 20 || (second > 85 && second <= 98);
  counters.attempted += hasConnects ? 52 : 0;
  counters.connected += hasConnects ? 50 : 0;
  counters.failed += hasConnects ? 2 : 0;
  const published = Math.round(connected * (0.9 + 0.1 * Math.sin(second / 5)));
  counters.published += published;
  counters.sent += published;
  counters.acknowledged += second === 77 ? Math.round(published / 2) : published;
  counters.received += published;
  if (second === 76) counters.willsExpected += 500;
  if (second > 78 && second <= 86) counters.willsDelivered += second === 86 ? 61 : 62;
}

function latenciesAt(second: number): TimelinePoint["latencies"] {
  const slow = second >= 76 && second < 80 ? 40 : 1;
  const latency = (name: LatencyName, baseMs: number) => {
    const histogram = new LatencyHistogram();
    for (let index = 0; index < 50; index++) {
      histogram.record(slow * baseMs * (1 + index / 10 + (index === 49 ? 20 : 0)));
    }
    const result = latencyResult(histogram);
    return result === null ? {} : { [name]: result };
  };
  return {
    ...latency("publishAckQos1", 1.2 + 0.4 * Math.sin(second / 7)),
    ...latency("publishAckQos2", 2.9 + 0.6 * Math.sin(second / 9)),
    ...latency("endToEnd", 1.9),
    ...latency("scheduleLag", 0.2),
    ...(second <= 20 || second > 85 ? latency("connect", 4) : {}),
    ...(second > 78 && second <= 86 ? latency("willDelivery", 60) : {}),
  };
}

function noCounters(): RunCounters {
  return {
    attempted: 0,
    connected: 0,
    reconnected: 0,
    failed: 0,
    refused: 0,
    lost: 0,
    published: 0,
    sent: 0,
    acknowledged: 0,
    received: 0,
    dropped: 0,
    faults: 0,
    willsExpected: 0,
    willsDelivered: 0,
    willsUnexpected: 0,
  };
}

let made: RunSample[] | undefined;

/** The first seconds as samples: what a run says while it goes on. */
export function samples(count = SECOND_COUNT): RunSample[] {
  made ??= timeline().map(sampleOf);
  return made.slice(0, count);
}

const totals = histograms();

function sampleOf(point: TimelinePoint): RunSample {
  const latencies = histograms();
  for (const name of LATENCY_NAMES) {
    const text = point.latencies[name]?.histogram;
    if (text === undefined) continue;
    latencies[name].merge(LatencyHistogram.decode(text));
    totals[name].merge(latencies[name]);
  }
  const { atMs, spanMs, connected, counters, cpuPercent, rssBytes, eventLoopDelayMs } = point;
  return {
    atMs,
    spanMs,
    phaseName: point.phase,
    phaseIndex: PHASES.findIndex(({ name }) => name === point.phase),
    deviceCount: DEVICE_COUNT,
    connectedCount: connected,
    counters,
    breakdown: { sentByQos: [0, counters.sent, 0], faults: {} },
    latencies,
    totals,
    generator: { cpuPercent, rssBytes, eventLoopDelayMs },
    problems: atMs > 80_000 ? ["The broker closed 3 connections without a reason."] : [],
  };
}

function histograms(): Record<LatencyName, LatencyHistogram> {
  return Object.fromEntries(LATENCY_NAMES.map((name) => [name, new LatencyHistogram()])) as Record<
    LatencyName,
    LatencyHistogram
  >;
}

/** A broker that gives back what is published, to those who watch. */
export class FakeRun implements DashboardRun {
  readonly brokerUrl = "mqtt://127.0.0.1:1883";
  readonly published: { topic: string; payload: string; qos: Qos; retain: boolean }[] = [];
  readonly states: Uint8Array;
  readonly #watchers = new Map<string, (message: WatchedMessage) => void>();

  constructor(deviceCount = 50) {
    this.states = new Uint8Array(deviceCount).fill(3);
  }

  get watchedTopics(): string[] {
    return [...this.#watchers.keys()];
  }

  deviceStates(): Uint8Array {
    return this.states;
  }

  deviceName(index: number): string {
    return `mote-${String(index).padStart(5, "0")}`;
  }

  async publish(topic: string, payload: string, options: { qos: Qos; retain: boolean }) {
    if (topic.includes("#")) throw new RangeError("A topic to publish on has no wildcards");
    this.published.push({ topic, payload, ...options });
    const bytes = new TextEncoder().encode(payload);
    this.#watchers.get(topic)?.({ topic, payload: bytes, qos: options.qos, retain: false });
  }

  async watch(topic: string, onMessage: (message: WatchedMessage) => void) {
    this.#watchers.set(topic, onMessage);
  }
}
