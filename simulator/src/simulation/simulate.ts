/** Runs one seed of a simulated world to its end, or to its first failure, and says what happened. */

import { type Core, type CoreExports, loadCore } from "../../../host/src/core/core.ts";
import type { Excuse } from "./checks/excuses.ts";
import type { DeviceKind } from "./device-plan.ts";
import { type CheckName, SimulationFailure } from "./failure.ts";
import type { Fault } from "./fault-plan.ts";
import {
  REAL_PARTS,
  Simulation,
  type SimulationModules,
  type SimulationOptions,
  type SimulationParts,
} from "./simulation.ts";

/** The modules of a simulation as bytes; each run makes fresh instances. */
export interface FirmwareBytes {
  readonly core: Uint8Array;
  readonly thermometer: Uint8Array;
}

export interface ReportedFailure {
  readonly check: CheckName;
  readonly deviceIndex: number | undefined;
  /** Of the device concerned. */
  readonly deviceKind: DeviceKind | undefined;
  /** Virtual time. */
  readonly atMs: number;
  readonly problem: string;
}

/** What a run was and what came of it: no real time in it, so it is the same each time. */
export interface SimulationReport {
  readonly seed: number;
  readonly hours: number;
  readonly deviceCount: number;
  readonly deviceKinds: Readonly<Partial<Record<DeviceKind, number>>>;
  /** Virtual time that passed, and the same times the number of devices. */
  readonly virtualMs: number;
  readonly deviceHours: number;
  readonly stepCount: number;
  readonly connectionCount: number;
  readonly faults: Readonly<Partial<Record<Fault["kind"], number>>>;
  readonly powerLossCount: number;
  readonly messages: Readonly<{
    up: number;
    upRepeated: number;
    down: number;
    downRepeated: number;
  }>;
  readonly wills: Readonly<{ published: number; suppressed: number }>;
  readonly flash: Readonly<{ programmedBytes: number; erasures: number; wearSpreadMax: number }>;
  readonly excuses: Readonly<Record<Excuse, number>>;
  readonly failure: ReportedFailure | undefined;
}

export interface SimulateHooks {
  readonly parts?: SimulationParts;
  /** Called each time that so much virtual time has passed; when it resolves, the run goes on. False ends it. */
  readonly onSlice?: (simulation: Simulation) => Promise<boolean>;
}

const SLICE_MS = 60_000;

/** Throws a UsageError if the bytes are no modules. */
export async function simulate(
  options: SimulationOptions,
  firmware: FirmwareBytes,
  hooks: SimulateHooks = {},
): Promise<{ report: SimulationReport; simulation: Simulation }> {
  const simulation = new Simulation(
    options,
    await instantiate(firmware),
    hooks.parts ?? REAL_PARTS,
  );
  const failure = await runToEnd(simulation, hooks);
  return { report: reportOf(simulation, failure), simulation };
}

async function instantiate(firmware: FirmwareBytes): Promise<SimulationModules> {
  const load = (bytes: Uint8Array): Promise<Core> => loadCore<CoreExports>(bytes);
  return { core: await load(firmware.core), thermometer: await load(firmware.thermometer) };
}

async function runToEnd(
  simulation: Simulation,
  { onSlice }: SimulateHooks,
): Promise<SimulationFailure | undefined> {
  try {
    const { clock, endMs } = simulation;
    while (clock.nowMs < endMs) {
      simulation.advance(onSlice === undefined ? endMs : clock.nowMs + SLICE_MS);
      if ((await onSlice?.(simulation)) === false) return undefined;
    }
    simulation.finish();
    return undefined;
  } catch (error) {
    if (error instanceof SimulationFailure) return error;
    throw error;
  }
}

function reportOf(
  simulation: Simulation,
  failure: SimulationFailure | undefined,
): SimulationReport {
  const { options, clock, devices, faults, streams, wills, excuses } = simulation;
  const all = [...devices.values()];
  const wear = all.map(({ flash }) => flash.eraseCounts);
  return {
    seed: options.seed,
    hours: options.hours,
    deviceCount: all.length,
    deviceKinds: countBy(all, ({ plan }) => plan.kind),
    virtualMs: clock.nowMs,
    deviceHours: (clock.nowMs / 3_600_000) * all.length,
    stepCount: clock.stepCount,
    connectionCount: simulation.connectionCount,
    faults: countBy(
      faults.filter(({ atMs }) => atMs <= clock.nowMs),
      ({ kind }) => kind,
    ),
    powerLossCount: sum(all.map(({ lifeNumber }) => Math.max(0, lifeNumber - 1))),
    messages: streams.counts(),
    wills: { published: wills.publishedCount, suppressed: wills.suppressedCount },
    flash: {
      programmedBytes: sum(all.map(({ flash }) => flash.programmedLength)),
      erasures: sum(wear.flat()),
      wearSpreadMax: Math.max(
        0,
        ...wear.map((counts) => Math.max(...counts) - Math.min(...counts)),
      ),
    },
    excuses: excuses.counts,
    failure: failure === undefined ? undefined : describe(failure, simulation),
  };
}

function describe(failure: SimulationFailure, { clock, devices }: Simulation): ReportedFailure {
  const { check, deviceIndex, message } = failure;
  const device = deviceIndex === undefined ? undefined : devices.get(deviceIndex);
  return {
    check,
    deviceIndex,
    deviceKind: device?.plan.kind,
    atMs: clock.nowMs,
    problem: message,
  };
}

function countBy<Item, Key extends string>(
  items: readonly Item[],
  keyOf: (item: Item) => Key,
): Partial<Record<Key, number>> {
  const counts: Partial<Record<Key, number>> = {};
  for (const item of items) counts[keyOf(item)] = (counts[keyOf(item)] ?? 0) + 1;
  return counts;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
