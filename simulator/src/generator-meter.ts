/** What the load generator itself costs, so that nobody blames the broker for it. */

import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import type { RunResult } from "./result.ts";

/** What the process tells of itself. */
export interface ProcessMeter {
  /** User and system time since the start of the process, in microseconds. */
  cpuUs(): number;
  /** Resident memory, in bytes. */
  rssBytes(): number;
}

type GeneratorResult = Omit<RunResult["generator"], "scheduleLag">;

const EVENT_LOOP_RESOLUTION_MS = 5;
const NANOSECONDS_PER_MS = 1e6;

/** With fewer, the program itself is most of what is measured. */
const DEVICE_COUNT_MIN = 500;
const MESSAGE_COUNT_MIN = 1_000;

/** Measures from its making on. */
export class GeneratorMeter {
  readonly #meter: ProcessMeter;
  readonly #eventLoop: IntervalHistogram;
  readonly #startCpuUs: number;
  readonly #startRssBytes: number;
  #connectedRssBytes: number | undefined;

  constructor(meter: ProcessMeter) {
    this.#meter = meter;
    this.#startCpuUs = meter.cpuUs();
    this.#startRssBytes = meter.rssBytes();
    this.#eventLoop = monitorEventLoopDelay({ resolution: EVENT_LOOP_RESOLUTION_MS });
    this.#eventLoop.enable();
  }

  /** Call it when all devices are connected: what they need is measured here. */
  fleetConnected(): void {
    this.#connectedRssBytes = this.#meter.rssBytes();
  }

  /** Ends the measurement of the event loop. Harmless a second time. */
  stop(): void {
    this.#eventLoop.disable();
  }

  /** After `stop`. */
  result(durationMs: number, messageCount: number, deviceCount: number): GeneratorResult {
    const cpuUs = this.#meter.cpuUs() - this.#startCpuUs;
    const isMeasurable = this.#connectedRssBytes !== undefined && deviceCount >= DEVICE_COUNT_MIN;
    const grownBytes = Math.max(0, (this.#connectedRssBytes ?? 0) - this.#startRssBytes);
    // The timer of the measurement itself is late by its own resolution.
    const delayMs = this.#eventLoop.percentile(99) / NANOSECONDS_PER_MS - EVENT_LOOP_RESOLUTION_MS;
    return {
      eventLoopDelayP99Ms: Math.max(0, delayMs),
      cpuPercent: durationMs > 0 ? cpuUs / (durationMs * 10) : null,
      cpuUsPerMessage: messageCount >= MESSAGE_COUNT_MIN ? cpuUs / messageCount : null,
      rssBytes: this.#meter.rssBytes(),
      memoryPerDeviceBytes: isMeasurable ? grownBytes / deviceCount : null,
    };
  }
}
