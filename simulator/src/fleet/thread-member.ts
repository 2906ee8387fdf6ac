/** A part of a fleet on another thread, as the run sees it. */

import { Worker } from "node:worker_threads";
import type { Tally } from "../run/merge-tallies.ts";
import {
  LATENCY_NAMES,
  type LatencyName,
  type RunBreakdown,
  type RunCounters,
} from "../run/run-sample.ts";
import type { Scenario } from "../scenario/scenario.ts";
import type { ConnectPlan } from "./connect-plan.ts";
import type { Firmware } from "./firmware-set.ts";
import type { FleetMember, MemberSample } from "./fleet-member.ts";
import { type FleetPart, partSize } from "./fleet-part.ts";
import { noLatencies } from "./latency-meter.ts";
import { PortCalls } from "./port-calls.ts";
import type { ThreadLoad } from "./thread-meter.ts";
import type { Together } from "./together.ts";

/** What the thread needs to begin; all of it can be copied. */
export interface ThreadOrder {
  scenario: Scenario;
  part: FleetPart;
  /** By the name of the group. */
  firmwares: ReadonlyMap<string, Firmware>;
  plan: ConnectPlan;
  startedAtMs: number;
  hasOwnBroker: boolean;
  /** Shared: the thread writes, everybody reads. */
  stateBytes: Uint8Array;
}

/** A sample as it comes from a thread: of each histogram its `counts`. */
export interface CountedSample {
  counters: RunCounters;
  breakdown: RunBreakdown;
  latencies: Record<LatencyName, Float64Array>;
  load: ThreadLoad;
}

/** What the thread is told of the observer, in numbers: SIGHTING_LENGTH of them each. */
export const Sighting = { Online: 0, Offline: 1, Telemetry: 2, Excuse: 3 } as const;
export const SIGHTING_LENGTH = 5;

/**
 * Nearly all that a device allocates stays as long as the device. V8 would let the room for what does not grow to 48 MiB
 * while they connect, and keep it: 2 KiB for each of 10,000 devices.
 */
const YOUNG_GENERATION_MIB_MAX = 6;

export interface ThreadMemberOptions extends Omit<ThreadOrder, "stateBytes"> {
  together: Together;
  interrupt: AbortSignal;
}

export class ThreadMember implements FleetMember {
  readonly stateBytes: Uint8Array;
  readonly #worker: Worker;
  readonly #calls: PortCalls;
  /** Used again for each sample: they are 90 KiB each. */
  readonly #latencies = noLatencies();
  #sightings: number[] = [];

  constructor({ together, interrupt, ...order }: ThreadMemberOptions) {
    const length = partSize(order.scenario, order.part);
    this.stateBytes = new Uint8Array(new SharedArrayBuffer(length));
    const workerData: ThreadOrder = { ...order, stateBytes: this.stateBytes };
    this.#worker = new Worker(new URL("./part-thread.js", import.meta.url), {
      workerData,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB_MAX },
    });
    this.#calls = new PortCalls(this.#worker, { ...together });
    this.#worker.on("error", (error) => this.#calls.fail(error));
    this.#worker.on("exit", () => this.#calls.fail(new Error("A thread of the fleet has ended")));
    const tellInterrupt = () => this.#calls.tell("interrupt", []);
    if (interrupt.aborted) tellInterrupt();
    else interrupt.addEventListener("abort", tellInterrupt, { once: true });
  }

  async begin(): Promise<void> {
    await this.#calls.call("begin");
  }

  async run(): Promise<void> {
    await this.#calls.call("run");
  }

  online(index: number): void {
    this.#see(Sighting.Online, index, 0, 0, 0);
  }

  offline(index: number, atMs: number): void {
    this.#see(Sighting.Offline, index, atMs, 0, 0);
  }

  telemetry(
    index: number,
    seq: number | undefined,
    atMs: number,
    measuredUnixMs: number | undefined,
  ): void {
    this.#see(Sighting.Telemetry, index, atMs, seq ?? Number.NaN, measuredUnixMs ?? Number.NaN);
  }

  excuse(nowMs: number): void {
    this.#see(Sighting.Excuse, 0, nowMs, 0, 0);
  }

  async sample(take: (sample: MemberSample) => void): Promise<void> {
    const { latencies, ...rest } = (await this.#calls.call("sample")) as CountedSample;
    for (const name of LATENCY_NAMES) {
      this.#latencies[name].reset();
      this.#latencies[name].add(latencies[name]);
    }
    take({ ...rest, latencies: this.#latencies });
  }

  async stop(): Promise<void> {
    this.#flush();
    await this.#calls.call("stop");
  }

  async abandon(): Promise<void> {
    await this.#worker.terminate();
  }

  async finish(): Promise<{ tally: Tally; load: ThreadLoad; unforgottenCount: number }> {
    const answer = await this.#calls.call("finish");
    await this.#worker.terminate();
    return answer as { tally: Tally; load: ThreadLoad; unforgottenCount: number };
  }

  /** Goes with all that come in the same breath. */
  #see(...sighting: [kind: number, index: number, atMs: number, seq: number, unixMs: number]) {
    if (this.#sightings.length === 0) queueMicrotask(() => this.#flush());
    this.#sightings.push(...sighting);
  }

  #flush(): void {
    if (this.#sightings.length === 0) return;
    const numbers = Float64Array.from(this.#sightings);
    this.#sightings = [];
    this.#calls.tell("see", [numbers], [numbers.buffer]);
  }
}
