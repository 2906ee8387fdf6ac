/** What the load generator itself costs, and whether it was too slow, so that nobody blames the broker for it. */

import type { ThreadLoad } from "../fleet/thread-meter.ts";
import { formatMs } from "../summary/text-format.ts";
import type { RunResult } from "./result.ts";

/** What the process tells of itself. */
export interface ProcessMeter {
  /** User and system time since the start of the process, in microseconds. */
  cpuUs(): number;
  /** Resident memory, in bytes. */
  rssBytes(): number;
}

type GeneratorResult = RunResult["generator"];

/** With fewer, the program itself is most of what is measured. */
const DEVICE_COUNT_MIN = 500;
const MESSAGE_COUNT_MIN = 1_000;

/** Readings that are taken later than this say more about the generator than about the broker. */
const LAG_P99_MS_MAX = 20;

/** A thread that works for a larger share of a span has no time left. */
const BUSY_SHARE_MAX = 0.9;

/** A shorter span, such as the last before a phase ends, is no second. */
const SPAN_MS_MIN = 500;

/** Of the time in which the devices work, so much may be busy before somebody must know. */
const BUSY_SPANS_SHARE = 0.2;

const REMEDY =
  "Spread the devices over more threads (-j) or machines, or give them a longer interval";

/** The process at one moment. */
interface Moment {
  cpuUs: number;
  rssBytes: number;
  messageCount: number;
}

/** What a run knows at its end. */
export interface GeneratorFacts {
  durationMs: number;
  messageCount: number;
  deviceCount: number;
  scheduleLag: GeneratorResult["scheduleLag"];
  threadCount: number;
  /** Of each thread since the start, the one of the run's own subscriber too. */
  loads: readonly ThreadLoad[];
}

/** Measures from its making on. */
export class GeneratorMeter {
  readonly #meter: ProcessMeter;
  readonly #startCpuUs: number;
  readonly #startRssBytes: number;
  #connected: Moment | undefined;
  #leaving: Moment | undefined;
  #lastCpuUs: number;
  #spanCount = 0;
  #busySpanCount = 0;

  constructor(meter: ProcessMeter) {
    this.#meter = meter;
    this.#startCpuUs = meter.cpuUs();
    this.#lastCpuUs = this.#startCpuUs;
    this.#startRssBytes = meter.rssBytes();
  }

  /** Call it when all devices are connected: what they need is measured here, and what a message needs from here on. */
  fleetConnected(messageCount: number): void {
    this.#connected = this.#moment(messageCount);
  }

  /** Call it when the devices are about to leave: what their goodbyes take is no part of a message. */
  fleetLeaves(messageCount: number): void {
    this.#leaving = this.#moment(messageCount);
  }

  #moment(messageCount: number): Moment {
    return { cpuUs: this.#meter.cpuUs(), rssBytes: this.#meter.rssBytes(), messageCount };
  }

  /** The process since the last call. */
  turn(spanMs: number, loads: readonly ThreadLoad[]): { cpuPercent: number; rssBytes: number } {
    const cpuUs = this.#meter.cpuUs();
    const cpuPercent = spanMs > 0 ? (cpuUs - this.#lastCpuUs) / (spanMs * 10) : 0;
    this.#lastCpuUs = cpuUs;
    if (spanMs >= SPAN_MS_MIN) this.#countSpan(loads);
    return { cpuPercent, rssBytes: this.#meter.rssBytes() };
  }

  #countSpan(loads: readonly ThreadLoad[]): void {
    this.#spanCount++;
    if (loads.some(({ busyShare }) => busyShare > BUSY_SHARE_MAX)) this.#busySpanCount++;
  }

  result(facts: GeneratorFacts): GeneratorResult {
    const { durationMs, messageCount, deviceCount, scheduleLag, threadCount, loads } = facts;
    const cpuUs = this.#meter.cpuUs();
    return {
      scheduleLag,
      threads: threadCount,
      warnings: this.#warnings(scheduleLag),
      eventLoopDelayP99Ms: Math.max(...loads.map((load) => load.eventLoopDelayMs)),
      cpuPercent: durationMs > 0 ? (cpuUs - this.#startCpuUs) / (durationMs * 10) : null,
      cpuUsPerMessage: this.#cpuUsPerMessage(this.#leaving ?? this.#moment(messageCount)),
      rssBytes: this.#meter.rssBytes(),
      memoryPerDeviceBytes: this.#memoryPerDeviceBytes(deviceCount),
    };
  }

  #warnings(scheduleLag: GeneratorResult["scheduleLag"]): string[] {
    const warnings: string[] = [];
    if (scheduleLag !== null && scheduleLag.p99Ms > LAG_P99_MS_MAX) {
      warnings.push(
        `The load generator did not keep up: one reading in a hundred was taken ${formatMs(scheduleLag.p99Ms)} ms late or more, and the latencies contain that. ${REMEDY}.`,
      );
    }
    if (this.#spanCount > 1 && this.#busySpanCount > BUSY_SPANS_SHARE * this.#spanCount) {
      warnings.push(
        `The load generator had no time left in ${this.#busySpanCount} of ${this.#spanCount} seconds: a thread of it was busy all the time. ${REMEDY}.`,
      );
    }
    return warnings;
  }

  #cpuUsPerMessage(end: Moment): number | null {
    if (this.#connected === undefined) return null;
    const count = end.messageCount - this.#connected.messageCount;
    return count < MESSAGE_COUNT_MIN ? null : (end.cpuUs - this.#connected.cpuUs) / count;
  }

  #memoryPerDeviceBytes(deviceCount: number): number | null {
    if (this.#connected === undefined || deviceCount < DEVICE_COUNT_MIN) return null;
    return Math.max(0, this.#connected.rssBytes - this.#startRssBytes) / deviceCount;
  }
}
