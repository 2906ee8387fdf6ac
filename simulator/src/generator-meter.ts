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

/** The process when all devices were connected. */
interface Connected {
  cpuUs: number;
  rssBytes: number;
  messageCount: number;
}

/** Measures from its making on. */
export class GeneratorMeter {
  readonly #meter: ProcessMeter;
  readonly #eventLoop: IntervalHistogram;
  readonly #startCpuUs: number;
  readonly #startRssBytes: number;
  #connected: Connected | undefined;

  constructor(meter: ProcessMeter) {
    this.#meter = meter;
    this.#startCpuUs = meter.cpuUs();
    this.#startRssBytes = meter.rssBytes();
    this.#eventLoop = monitorEventLoopDelay({ resolution: EVENT_LOOP_RESOLUTION_MS });
    this.#eventLoop.enable();
  }

  /** Call it when all devices are connected: what they need is measured here, and what a message needs from here on. */
  fleetConnected(messageCount: number): void {
    const { cpuUs, rssBytes } = this.#meter;
    this.#connected = { cpuUs: cpuUs(), rssBytes: rssBytes(), messageCount };
  }

  /** Ends the measurement of the event loop. Harmless a second time. */
  stop(): void {
    this.#eventLoop.disable();
  }

  /** After `stop`. */
  result(durationMs: number, messageCount: number, deviceCount: number): GeneratorResult {
    const cpuUs = this.#meter.cpuUs();
    // The timer of the measurement itself is late by its own resolution.
    const delayMs = this.#eventLoop.percentile(99) / NANOSECONDS_PER_MS - EVENT_LOOP_RESOLUTION_MS;
    return {
      eventLoopDelayP99Ms: Math.max(0, delayMs),
      cpuPercent: durationMs > 0 ? (cpuUs - this.#startCpuUs) / (durationMs * 10) : null,
      cpuUsPerMessage: this.#cpuUsPerMessage(cpuUs, messageCount),
      rssBytes: this.#meter.rssBytes(),
      memoryPerDeviceBytes: this.#memoryPerDeviceBytes(deviceCount),
    };
  }

  #cpuUsPerMessage(cpuUs: number, messageCount: number): number | null {
    if (this.#connected === undefined) return null;
    const count = messageCount - this.#connected.messageCount;
    return count < MESSAGE_COUNT_MIN ? null : (cpuUs - this.#connected.cpuUs) / count;
  }

  #memoryPerDeviceBytes(deviceCount: number): number | null {
    if (this.#connected === undefined || deviceCount < DEVICE_COUNT_MIN) return null;
    return Math.max(0, this.#connected.rssBytes - this.#startRssBytes) / deviceCount;
  }
}
