/** The firmware of each group of devices: an instance for each module, shared by all devices that run it. */

import { type Core, loadCore, type ThermometerExports } from "../../../host/src/core/core.ts";
import type { DeviceGroup, Scenario } from "../scenario/scenario.ts";

/** A module, and what it is called. */
export interface Firmware {
  name: string;
  bytes: Uint8Array;
}

/** Gives a group its firmware: the same object for the same module. */
export type FirmwareOf = (group: DeviceGroup) => Firmware;

export interface FirmwareSet {
  coreOf: (group: DeviceGroup) => Core<ThermometerExports>;
}

/** Makes the instances of one thread. Throws as `loadCore` does. */
export async function loadFirmware(
  { groups }: Pick<Scenario, "groups">,
  firmwareOf: FirmwareOf,
): Promise<FirmwareSet> {
  const cores = new Map<Firmware, Core<ThermometerExports>>();
  for (const group of groups) {
    const firmware = firmwareOf(group);
    if (cores.has(firmware)) continue;
    cores.set(firmware, await loadCore<ThermometerExports>(firmware.bytes));
  }
  return { coreOf: (group) => cores.get(firmwareOf(group)) as Core<ThermometerExports> };
}
