/** Makes a failing simulation as small as it can be: the same check fails with less time, devices, traffic and faults. */

import type { ReportedFailure, SimulationReport } from "./simulate.ts";
import { type SimulationOptions, TRAFFIC } from "./simulation.ts";

/** Runs a candidate; `faultIds` are those that struck until it ended. */
export type TryOptions = (
  options: SimulationOptions,
) => Promise<{ report: SimulationReport; faultIds: readonly string[] }>;

export interface Shrunk {
  readonly options: SimulationOptions;
  readonly failure: ReportedFailure;
  readonly runCount: number;
}

/** More runs than this are not worth the wait. */
const RUNS_MAX = 300;

const HOUR_MS = 3_600_000;

/** `options` made `failure`; `tryOptions` is deterministic. */
export async function shrink(
  options: SimulationOptions,
  failure: ReportedFailure,
  faultIds: readonly string[],
  tryOptions: TryOptions,
): Promise<Shrunk> {
  const shrinker = new Shrinker(options, failure, faultIds, tryOptions);
  await shrinker.dropDevices();
  await shrinker.shortenToFailure();
  await shrinker.dropFaults();
  await shrinker.dropTraffic();
  await shrinker.halveTime();
  await shrinker.dropFaults();
  return shrinker.result;
}

class Shrinker {
  readonly #tryOptions: TryOptions;
  #options: SimulationOptions;
  #failure: ReportedFailure;
  #faultIds: readonly string[];
  #runCount = 0;

  constructor(
    options: SimulationOptions,
    failure: ReportedFailure,
    faultIds: readonly string[],
    tryOptions: TryOptions,
  ) {
    this.#options = options;
    this.#failure = failure;
    this.#faultIds = faultIds;
    this.#tryOptions = tryOptions;
  }

  get result(): Shrunk {
    return { options: this.#options, failure: this.#failure, runCount: this.#runCount };
  }

  /** Mostly the device concerned fails alone. */
  async dropDevices(): Promise<void> {
    const { deviceIndex } = this.#failure;
    if (deviceIndex !== undefined) await this.#accept({ onlyDevices: [deviceIndex] });
  }

  async shortenToFailure(): Promise<void> {
    const hours = Math.ceil((this.#failure.atMs / HOUR_MS) * 1000) / 1000;
    if (hours < this.#options.hours) await this.#accept({ hours });
  }

  async halveTime(): Promise<void> {
    while (await this.#accept({ hours: Math.ceil(this.#options.hours * 500) / 1000 })) {
      if (this.#options.hours <= 0.002) return;
    }
  }

  /** Leaves out parts of what is left, large ones first (Zeller and Hildebrandt's ddmin, without its complements). */
  async dropFaults(): Promise<void> {
    for (let size = this.#faultIds.length; size >= 1; size = Math.floor(size / 2)) {
      for (let at = 0; at < this.#faultIds.length; ) {
        const onlyFaults = this.#faultIds.filter((_, index) => index < at || index >= at + size);
        if (!(await this.#accept({ onlyFaults }))) at += size;
      }
    }
  }

  async dropTraffic(): Promise<void> {
    for (const name of TRAFFIC) {
      const { traffic = TRAFFIC } = this.#options;
      await this.#accept({ traffic: traffic.filter((other) => other !== name) });
    }
  }

  /** Keeps the change if the same check fails with it. */
  async #accept(change: Partial<SimulationOptions>): Promise<boolean> {
    if (this.#runCount >= RUNS_MAX) return false;
    this.#runCount++;
    const options = { ...this.#options, ...change };
    const { report, faultIds } = await this.#tryOptions(options);
    const { failure } = report;
    const isSame =
      failure?.check === this.#failure.check && failure.deviceIndex === this.#failure.deviceIndex;
    if (!isSame) return false;
    this.#options = { ...options, onlyFaults: faultIds };
    this.#failure = failure;
    this.#faultIds = faultIds;
    return true;
  }
}
