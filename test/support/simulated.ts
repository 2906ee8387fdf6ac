/** Simulations for tests: the modules that are built, and ways to break a part of the world on purpose. */

import type { Core, CoreExports } from "../../host/src/core/core.ts";
import { loadCore, readModule } from "../../host/src/core/core.ts";
import { SimulationFailure } from "../../simulator/src/simulation/failure.ts";
import type { FirmwareBytes } from "../../simulator/src/simulation/simulate.ts";
import {
  REAL_PARTS,
  Simulation,
  type SimulationOptions,
  type SimulationParts,
} from "../../simulator/src/simulation/simulation.ts";

export async function builtFirmware(): Promise<FirmwareBytes> {
  return { core: await readModule("core"), thermometer: await readModule("thermometer") };
}

/** What a test plants. */
export interface Planted {
  /** Wraps or replaces exports of the core. */
  exports?: (core: Core) => Partial<CoreExports>;
  parts?: Partial<SimulationParts>;
}

/** Runs a world with planted faults; the failure that ended it, or undefined. */
export async function failureOf(
  options: Partial<SimulationOptions>,
  planted: Planted,
): Promise<SimulationFailure | undefined> {
  const firmware = await builtFirmware();
  const core = await loadCore<CoreExports>(firmware.core);
  const thermometer = await loadCore<CoreExports>(firmware.thermometer);
  const broken = { ...core, exports: { ...core.exports, ...planted.exports?.(core) } };
  const simulation = new Simulation(
    { seed: 1, hours: 1, deviceCount: 4, kinds: ["durable"], ...options },
    { core: broken, thermometer },
    { ...REAL_PARTS, ...planted.parts },
  );
  try {
    simulation.advance(simulation.endMs);
    simulation.finish();
    return undefined;
  } catch (error) {
    if (error instanceof SimulationFailure) return error;
    throw error;
  }
}
