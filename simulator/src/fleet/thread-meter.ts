/** How busy one thread is: how long its event loop makes others wait, and which share of the time it works. */

import {
  type EventLoopUtilization,
  type IntervalHistogram,
  monitorEventLoopDelay,
  performance,
} from "node:perf_hooks";

/** Of a span of time. */
export interface ThreadLoad {
  /** 99th percentile, in milliseconds. */
  eventLoopDelayMs: number;
  /** 0 (waits all the time) to 1 (never waits). */
  busyShare: number;
}

const RESOLUTION_MS = 10;
const NANOSECONDS_PER_MS = 1e6;

/** Measures the thread that makes it, from then on. */
export class ThreadMeter {
  /** Node cannot add up histograms of this kind, so there are two. */
  readonly #span = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #total = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #start: EventLoopUtilization = performance.eventLoopUtilization();
  #last: EventLoopUtilization = this.#start;

  constructor() {
    this.#span.enable();
    this.#total.enable();
  }

  /** The load since the last call. */
  turn(): ThreadLoad {
    const delayMs = delayMsOf(this.#span);
    this.#span.reset();
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#last);
    this.#last = now;
    return { eventLoopDelayMs: delayMs, busyShare: utilization };
  }

  /** Ends the measurement; answers the load since the start. */
  stop(): ThreadLoad {
    this.turn();
    this.#span.disable();
    this.#total.disable();
    const { utilization } = performance.eventLoopUtilization(this.#last, this.#start);
    return { eventLoopDelayMs: delayMsOf(this.#total), busyShare: utilization };
  }
}

/** The timer of the measurement itself is late by its own resolution. */
function delayMsOf(histogram: IntervalHistogram): number {
  return Math.max(0, histogram.percentile(99) / NANOSECONDS_PER_MS - RESOLUTION_MS);
}
