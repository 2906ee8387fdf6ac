/** What the dashboard knows of a run: as much as a browser that comes late is told. */

import { LatencyHistogram } from "../histogram.ts";
import { LATENCY_NAMES, type RunSample } from "../run/run-sample.ts";
import { CHARTS, chartRow, type Moment, publishedPerSecond } from "./chart-data.ts";
import type { DashboardRun } from "./dashboard-run.ts";
import type {
  Arrival,
  ChartRow,
  DashboardState,
  DeviceStates,
  Figures,
  PhaseBand,
  SampleEvent,
  Verdict,
} from "./page-data.ts";

/** At one a second a quarter of an hour; the report at the end has all. The page keeps as many. */
const POINT_COUNT_MAX = 900;

/** For more devices there is a bar instead of a tile each. */
const TILE_COUNT_MAX = 1000;

const NAME_LENGTH_MAX = 64;
const ARRIVAL_COUNT_MAX = 20;
const PROBLEM_COUNT_MAX = 5;

export class LiveRun {
  #run: DashboardRun | undefined;
  #brokerUrl = "";
  #names: string[] = [];
  #lastMoment: Moment | undefined;
  #publishedPerSecond = 0;
  #points: { atSeconds: number; row: ChartRow }[] = [];
  #phases: PhaseBand[] = [];
  #phaseIndex = -1;
  #figures: Figures | null = null;
  #devices: DeviceStates | null = null;
  #arrivals: Arrival[] = [];
  #verdict: Verdict | null = null;

  /** The run; undefined before its start and after its end. */
  get run(): DashboardRun | undefined {
    return this.#run;
  }

  start(run: DashboardRun): void {
    this.#run = run;
    this.#brokerUrl = run.brokerUrl;
    const { length } = run.deviceStates();
    if (length > TILE_COUNT_MAX) return;
    this.#names = Array.from({ length }, (_, index) =>
      run.deviceName(index).slice(0, NAME_LENGTH_MAX),
    );
  }

  sample(sample: RunSample): SampleEvent {
    const moment = momentOf(sample);
    const row = chartRow(moment, this.#lastMoment);
    this.#publishedPerSecond =
      publishedPerSecond(moment, this.#lastMoment) ?? this.#publishedPerSecond;
    this.#lastMoment = moment;
    const atSeconds = sample.atMs / 1000;
    this.#points.push({ atSeconds, row });
    if (this.#points.length > POINT_COUNT_MAX) this.#points.shift();
    this.#updatePhases(sample);
    this.#figures = figuresOf(sample, this.#publishedPerSecond);
    return { atSeconds, row, phases: this.#phases, figures: this.#figures };
  }

  /** Looks at the devices. Undefined if nothing has changed since the last time. */
  lookAtDevices(): DeviceStates | undefined {
    if (this.#run === undefined) return undefined;
    const bytes = this.#run.deviceStates();
    const counts: [number, number, number, number] = [0, 0, 0, 0];
    for (const state of bytes) counts[state as 0 | 1 | 2 | 3]++;
    const states = bytes.length > TILE_COUNT_MAX ? "" : bytes.join("");
    const last = this.#devices;
    if (last?.states === states && last.counts.join() === counts.join()) return undefined;
    this.#devices = { counts, states };
    return this.#devices;
  }

  arrived(arrival: Arrival): void {
    this.#arrivals.push(arrival);
    if (this.#arrivals.length > ARRIVAL_COUNT_MAX) this.#arrivals.shift();
  }

  finish(verdict: Verdict): void {
    this.#run = undefined;
    this.#verdict = verdict;
  }

  state(): DashboardState {
    return {
      brokerUrl: this.#brokerUrl,
      charts: CHARTS,
      time: {
        atSeconds: this.#points.map(({ atSeconds }) => atSeconds),
        rows: this.#points.map(({ row }) => row),
        phases: this.#phases,
      },
      pointCountMax: POINT_COUNT_MAX,
      figures: this.#figures,
      devices: this.#devices,
      deviceNames: this.#names,
      arrivals: this.#arrivals,
      verdict: this.#verdict,
    };
  }

  #updatePhases({ phaseIndex, phaseName, atMs, spanMs }: RunSample): void {
    const endSeconds = atMs / 1000;
    const last = this.#phases.at(-1);
    if (last !== undefined && phaseIndex === this.#phaseIndex) last.endSeconds = endSeconds;
    else {
      const startSeconds = last?.endSeconds ?? Math.max(0, atMs - spanMs) / 1000;
      this.#phases.push({ name: phaseName, startSeconds, endSeconds });
      this.#phaseIndex = phaseIndex;
    }
  }
}

/** The histograms are valid during this call only: what is kept are their summaries. */
function momentOf({ spanMs, connectedCount, counters, latencies, generator }: RunSample): Moment {
  return {
    spanMs,
    connected: connectedCount,
    counters: { ...counters },
    latencies: Object.fromEntries(
      LATENCY_NAMES.map((name) => [name, latencies[name].summary()]),
    ) as Moment["latencies"],
    cpuPercent: generator.cpuPercent,
    eventLoopDelayMs: generator.eventLoopDelayMs,
  };
}

function figuresOf(sample: RunSample, rate: number): Figures {
  const { counters, totals, problems } = sample;
  const acknowledged = new LatencyHistogram();
  acknowledged.merge(totals.publishAckQos1);
  acknowledged.merge(totals.publishAckQos2);
  return {
    elapsedMs: sample.atMs,
    phaseName: sample.phaseName,
    connectedCount: sample.connectedCount,
    deviceCount: sample.deviceCount,
    publishedCount: counters.published,
    publishedPerSecond: rate,
    ackP99Ms: acknowledged.summary()?.p99Ms ?? null,
    willsExpectedCount: counters.willsExpected,
    willsDeliveredCount: counters.willsDelivered,
    problemCount: problems.length,
    problems: problems.slice(-PROBLEM_COUNT_MAX),
  };
}
