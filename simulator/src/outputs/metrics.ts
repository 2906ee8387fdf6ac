/** A run as metrics for Prometheus: copied from the latest sample whenever somebody asks for them. */

import { Counter, Gauge, type Metric, Registry } from "prom-client";
import { LatencyHistogram } from "../histogram.ts";
import type { WillCounts } from "../run/result.ts";
import { LATENCY_NAMES, type LatencyName, type RunSample } from "../run/run-sample.ts";
import { FAULT_KINDS, type FaultKind } from "../scenario/scenario.ts";

/** Base units, and never a label for each device: a fleet would be too many time series. */
export class RunMetrics {
  readonly registry = new Registry();
  readonly #totals: Readonly<Record<LatencyName, LatencyHistogram>>;
  #sample: LatestSample | undefined;

  constructor({ version, scenarioName }: { version: string; scenarioName: string }) {
    const totals = LATENCY_NAMES.map((name) => [name, new LatencyHistogram()]);
    this.#totals = Object.fromEntries(totals) as Record<LatencyName, LatencyHistogram>;
    this.#addInfo(version, scenarioName);
    for (const gauge of GAUGES) this.#addGauge(gauge);
    for (const counter of COUNTERS) this.#addCounter(counter);
    for (const { name, help, series } of DURATIONS) {
      const totalsOf = series.map(({ latency, labels }) => ({
        labels,
        histogram: this.#totals[latency],
      }));
      const metric = new DurationMetric(name, help, totalsOf);
      // The registry asks a metric for no more than its name and `get`.
      this.registry.registerMetric(metric as unknown as Metric);
    }
  }

  sample(sample: RunSample): void {
    const { latencies, totals: _, ...rest } = sample;
    this.#sample = structuredClone(rest);
    for (const name of LATENCY_NAMES) this.#totals[name].merge(latencies[name]);
  }

  #addInfo(version: string, scenario: string): void {
    const latest = () => this.#sample;
    const registers = [this.registry];
    new Gauge({
      name: "wasmqtt_build_info",
      help: "1, with the version of wasmqtt.",
      labelNames: ["version"],
      registers,
    }).set({ version }, 1);
    new Gauge({
      name: "wasmqtt_run_info",
      help: "1, with the scenario and the phase that is under way.",
      labelNames: ["scenario", "phase"],
      registers,
      collect() {
        this.reset();
        this.set({ scenario, phase: latest()?.phaseName ?? "" }, 1);
      },
    });
  }

  #addGauge({ name, help, value }: GaugeRow): void {
    const latest = () => this.#sample;
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        const sample = latest();
        this.set(sample === undefined ? 0 : value(sample));
      },
    });
  }

  #addCounter({ name, help, series }: CounterRow): void {
    const latest = () => this.#sample;
    new Counter({
      name,
      help,
      labelNames: Object.keys(series[0]?.labels ?? {}),
      registers: [this.registry],
      collect() {
        this.reset();
        const sample = latest();
        for (const { labels, value } of series) {
          this.inc(labels, sample === undefined ? 0 : value(sample));
        }
      },
    });
  }
}

type LatestSample = Omit<RunSample, "latencies" | "totals">;

interface GaugeRow {
  readonly name: string;
  readonly help: string;
  readonly value: (sample: LatestSample) => number;
}

const GAUGES: readonly GaugeRow[] = [
  {
    name: "wasmqtt_devices",
    help: "Devices of the fleet.",
    value: ({ deviceCount }) => deviceCount,
  },
  {
    name: "wasmqtt_connections",
    help: "Devices that are connected.",
    value: ({ connectedCount }) => connectedCount,
  },
  {
    name: "wasmqtt_generator_cpu_ratio",
    help: "Processor cores that the load generator keeps busy, over the last second.",
    value: ({ generator }) => generator.cpuPercent / 100,
  },
  {
    name: "wasmqtt_generator_resident_memory_bytes",
    help: "Memory of the load generator.",
    value: ({ generator }) => generator.rssBytes,
  },
  {
    name: "wasmqtt_generator_event_loop_delay_seconds",
    help: "99th percentile of how late the load generator runs what is due, over the last second.",
    value: ({ generator }) => generator.eventLoopDelayMs / 1000,
  },
];

interface CounterRow {
  readonly name: string;
  readonly help: string;
  readonly series: readonly CounterSeries[];
}

interface CounterSeries {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: (sample: LatestSample) => number;
}

/** How a Will came. */
type WillResult = "delivered" | "early" | "late" | "doubled" | "unexpected";

/** Each Will that came has one. */
const WILL_RESULTS: Readonly<Record<WillResult, (wills: WillCounts) => number>> = {
  delivered: ({ delivered, early, late }) => delivered - early - late,
  early: ({ early }) => early,
  late: ({ late }) => late,
  doubled: ({ doubled }) => doubled,
  unexpected: ({ unexpected }) => unexpected,
};

const COUNTERS: readonly CounterRow[] = [
  {
    name: "wasmqtt_connects_total",
    help: "Network Connections that were tried, by what came of it.",
    series: [
      { labels: { result: "accepted" }, value: ({ counters }) => counters.connected },
      { labels: { result: "refused" }, value: ({ counters }) => counters.refused },
      { labels: { result: "failed" }, value: ({ counters }) => counters.failed },
    ],
  },
  {
    name: "wasmqtt_reconnects_total",
    help: "Connections that were accepted and not a device's first.",
    series: one(({ counters }) => counters.reconnected),
  },
  {
    name: "wasmqtt_connections_lost_total",
    help: "Connections that broker or network ended without a fault or goodbye of the run.",
    series: one(({ counters }) => counters.lost),
  },
  {
    name: "wasmqtt_messages_published_total",
    help: "Telemetry messages that devices made.",
    series: one(({ counters }) => counters.published),
  },
  {
    name: "wasmqtt_messages_sent_total",
    help: "Telemetry messages that had a connection to go by, by QoS.",
    series: ([0, 1, 2] as const).map((qos) => ({
      labels: { qos: String(qos) },
      value: ({ breakdown }) => breakdown.sentByQos[qos],
    })),
  },
  {
    name: "wasmqtt_messages_acknowledged_total",
    help: "Telemetry messages that the broker took over (PUBACK or PUBCOMP).",
    series: one(({ counters }) => counters.acknowledged),
  },
  {
    name: "wasmqtt_messages_received_total",
    help: "Telemetry messages that the run's own subscriber received.",
    series: one(({ counters }) => counters.received),
  },
  {
    name: "wasmqtt_publish_dropped_total",
    help: "Readings that were due and not published.",
    series: one(({ counters }) => counters.dropped),
  },
  {
    name: "wasmqtt_faults_total",
    help: "Faults that were injected, by kind.",
    series: FAULT_KINDS.map((kind) => ({
      labels: { kind },
      value: ({ breakdown }) => breakdown.faults[kind]?.injected ?? 0,
    })),
  },
  {
    name: "wasmqtt_wills_expected_total",
    help: "Last Wills that the broker owed or owes, by the fault that made it so.",
    series: FAULT_KINDS.map((fault) => ({
      labels: { fault },
      value: ({ breakdown }) => owedCount(fault, breakdown.faults[fault]),
    })),
  },
  {
    name: "wasmqtt_wills_received_total",
    help: "Last Wills that came, by fault and by whether they were expected then.",
    series: [...FAULT_KINDS.flatMap(receivedSeries), unexplainedSeries()],
  },
];

/** A counter without labels. */
function one(value: CounterSeries["value"]): CounterSeries[] {
  return [{ labels: {}, value }];
}

type FaultBreakdown = LatestSample["breakdown"]["faults"][FaultKind];

/** DISCONNECT leads to no Will [MQTT-3.14.4-3]; what nobody could judge is not owed any more. */
function owedCount(fault: FaultKind, breakdown: FaultBreakdown): number {
  if (fault === "clean" || breakdown?.wills == null) return 0;
  return breakdown.injected - breakdown.wills.unjudged;
}

function receivedSeries(fault: FaultKind): CounterSeries[] {
  return Object.entries(WILL_RESULTS).map(([result, countOf]) => ({
    labels: { fault, result },
    value: ({ breakdown }) => {
      const wills = breakdown.faults[fault]?.wills;
      return wills == null ? 0 : countOf(wills);
    },
  }));
}

/** Those that no fault explains. */
function unexplainedSeries(): CounterSeries {
  return {
    labels: { fault: "none", result: "unexpected" },
    value: ({ breakdown, counters }) => {
      const ofFaults = Object.values(breakdown.faults).map(({ wills }) => wills?.unexpected ?? 0);
      return counters.willsUnexpected - ofFaults.reduce((sum, count) => sum + count, 0);
    },
  };
}

interface DurationRow {
  readonly name: string;
  readonly help: string;
  readonly series: readonly { latency: LatencyName; labels: Readonly<Record<string, string>> }[];
}

const DURATIONS: readonly DurationRow[] = [
  {
    name: "wasmqtt_connect_duration_seconds",
    help: "From the start of a connection to CONNACK.",
    series: [{ latency: "connect", labels: {} }],
  },
  {
    name: "wasmqtt_publish_ack_duration_seconds",
    help: "From the time at which a reading was due to its acknowledgement.",
    series: [
      { latency: "publishAckQos1", labels: { qos: "1" } },
      { latency: "publishAckQos2", labels: { qos: "2" } },
    ],
  },
  {
    name: "wasmqtt_publish_ack_uncorrected_duration_seconds",
    help: "From the time at which a reading was really published to its acknowledgement.",
    series: [{ latency: "publishAckUncorrected", labels: {} }],
  },
  {
    name: "wasmqtt_end_to_end_duration_seconds",
    help: "From the sensor to a subscriber.",
    series: [{ latency: "endToEnd", labels: {} }],
  },
  {
    name: "wasmqtt_will_delivery_duration_seconds",
    help: "From a fault to its Last Will at a subscriber.",
    series: [{ latency: "willDelivery", labels: {} }],
  },
  {
    name: "wasmqtt_schedule_lag_seconds",
    help: "How late the load generator took readings.",
    series: [{ latency: "scheduleLag", labels: {} }],
  },
];

const MS_PER_SECOND = 1000;

const BUCKETS_SECONDS: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

interface LabelledHistogram {
  readonly labels: Readonly<Record<string, string>>;
  readonly histogram: LatencyHistogram;
}

/** A histogram of Prometheus whose buckets are counted when they are asked for. */
class DurationMetric {
  readonly name: string;
  readonly help: string;
  readonly type = "histogram";
  readonly #series: readonly LabelledHistogram[];

  constructor(name: string, help: string, series: readonly LabelledHistogram[]) {
    this.name = name;
    this.help = help;
    this.#series = series;
  }

  get(): Promise<object> {
    const { name, help, type } = this;
    return Promise.resolve({
      name,
      help,
      type,
      values: this.#series.flatMap((one) => this.#values(one)),
    });
  }

  #values({ labels, histogram }: LabelledHistogram): object[] {
    const boundsMs = BUCKETS_SECONDS.map((seconds) => seconds * MS_PER_SECOND);
    const { counts, sumMs } = histogram.countsUpTo(boundsMs);
    const { count } = histogram;
    const buckets = BUCKETS_SECONDS.map((le, index) => ({
      metricName: `${this.name}_bucket`,
      labels: { ...labels, le },
      value: counts[index],
    }));
    return [
      ...buckets,
      { metricName: `${this.name}_bucket`, labels: { ...labels, le: "+Inf" }, value: count },
      { metricName: `${this.name}_sum`, labels, value: sumMs / MS_PER_SECOND },
      { metricName: `${this.name}_count`, labels, value: count },
    ];
  }
}
