/** A part of a fleet as the run sees it, be it on the run's own thread or on another. */

import type { Tally } from "../run/merge-tallies.ts";
import type { Latencies, RunBreakdown, RunCounters } from "../run/run-sample.ts";
import type { PartRun } from "./part-run.ts";
import { type ThreadLoad, ThreadMeter } from "./thread-meter.ts";

/** What a part has to say of a span. */
export interface MemberSample {
  counters: RunCounters;
  breakdown: RunBreakdown;
  /** Of the span; valid during the call that takes them. */
  latencies: Latencies;
  load: ThreadLoad;
}

/** Devices are numbered within the part. */
export interface FleetMember {
  /** A DeviceState for each device, as it is now. */
  readonly stateBytes: Uint8Array;
  /** Makes the devices. */
  begin(): Promise<void>;
  /** All phases and the goodbyes. */
  run(): Promise<void>;
  online(index: number): void;
  offline(index: number, atMs: number): void;
  telemetry(
    index: number,
    seq: number | undefined,
    atMs: number,
    measuredUnixMs: number | undefined,
  ): void;
  excuse(nowMs: number): void;
  /** Hands what happened since the last time to `take`. */
  sample(take: (sample: MemberSample) => void): Promise<void>;
  /** Ends everything that is still open. */
  stop(): Promise<void>;
  /** Ends it at once, instead of `stop` and `finish`: what it knows is lost. */
  abandon(): Promise<void>;
  /** What is known at the end. */
  finish(): Promise<{ tally: Tally; load: ThreadLoad; unforgottenCount: number }>;
}

/** A part on the thread of the run itself. */
export class LocalMember implements FleetMember {
  readonly #run: PartRun;
  readonly #meter = new ThreadMeter();
  #load: ThreadLoad | undefined;

  constructor(run: PartRun) {
    this.#run = run;
  }

  get stateBytes(): Uint8Array {
    return this.#run.fleet.states.bytes;
  }

  async begin(): Promise<void> {}

  run(): Promise<void> {
    return this.#run.run();
  }

  online(index: number): void {
    this.#run.online(index);
  }

  offline(index: number, atMs: number): void {
    this.#run.offline(index, atMs);
  }

  telemetry(
    index: number,
    seq: number | undefined,
    atMs: number,
    measuredUnixMs: number | undefined,
  ): void {
    this.#run.telemetry(index, seq, atMs, measuredUnixMs);
  }

  excuse(nowMs: number): void {
    this.#run.excuse(nowMs);
  }

  async sample(take: (sample: MemberSample) => void): Promise<void> {
    const load = this.#meter.turn();
    const { counters, breakdown } = this.#run;
    this.#run.latencies.turn((latencies) => take({ counters, breakdown, latencies, load }));
  }

  async stop(): Promise<void> {
    this.#run.stop();
    this.#load ??= this.#meter.stop();
  }

  async abandon(): Promise<void> {
    await this.stop();
  }

  async finish(): Promise<{ tally: Tally; load: ThreadLoad; unforgottenCount: number }> {
    this.#load ??= this.#meter.stop();
    const tally = this.#run.tally();
    return { tally, load: this.#load, unforgottenCount: await this.#run.forgetSessions() };
  }
}
