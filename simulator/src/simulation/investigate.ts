/** From a failure to something that a person can read: the smallest run that still fails, its command, and its trace. */

import type { DeviceKind } from "./device-plan.ts";
import { shrink } from "./shrink.ts";
import {
  type FirmwareBytes,
  type ReportedFailure,
  type SimulateHooks,
  simulate,
} from "./simulate.ts";
import type { Simulation, SimulationOptions } from "./simulation.ts";

export interface Investigation {
  readonly options: SimulationOptions;
  readonly failure: ReportedFailure;
  /** Flags for `wasmqtt simulate`. */
  readonly flags: string;
  readonly trace: readonly string[];
  readonly runCount: number;
}

const TRACE_LINES_MAX = 40;

/** `simulation` has ended with `failure`. */
export async function investigate(
  simulation: Simulation,
  failure: ReportedFailure,
  firmware: FirmwareBytes,
  hooks: Pick<SimulateHooks, "parts"> = {},
): Promise<Investigation> {
  const shrunk = await shrink(
    simulation.options,
    failure,
    struckIds(simulation),
    async (options) => {
      const run = await simulate(options, firmware, hooks);
      return { report: run.report, faultIds: struckIds(run.simulation) };
    },
  );
  const traced = await simulate({ ...shrunk.options, isTraced: true }, firmware, hooks);
  return {
    ...shrunk,
    flags: flagsOf(shrunk.options),
    trace: traced.simulation.trace.lines(shrunk.failure.deviceIndex, TRACE_LINES_MAX),
  };
}

/** The command line that repeats a run. */
export function flagsOf(options: SimulationOptions): string {
  const { seed, hours, deviceCount, onlyDevices, onlyFaults, traffic, kinds } = options;
  const flags = [`--seed ${seed}`, `--hours ${hours}`, `--devices ${deviceCount}`];
  const list = (name: string, values: readonly (string | number)[] | undefined) => {
    if (values !== undefined) flags.push(`--${name} ${values.join(",") || "none"}`);
  };
  list("kinds", kinds satisfies readonly DeviceKind[] | undefined);
  list("only", onlyDevices);
  list("traffic", traffic);
  list("faults", onlyFaults);
  return flags.join(" ");
}

function struckIds({ faults, clock }: Simulation): string[] {
  return faults.filter(({ atMs }) => atMs <= clock.nowMs).map(({ id }) => id);
}
