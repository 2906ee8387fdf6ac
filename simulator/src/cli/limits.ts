/** Whether a fleet fits this machine, before its first device connects. */

import type { CliContext } from "../../../host/src/cli/command.ts";
import {
  isLoopback,
  machineChecks,
  type WantedFleet,
} from "../../../host/src/cli/machine-checks.ts";
import { deviceCount, type Scenario } from "../scenario/scenario.ts";

/** What will not work, each with what to do. The run may go on: those devices that find room connect. */
export function limitWarnings(
  { broker, groups }: Pick<Scenario, "broker" | "groups">,
  { system, readFile }: Pick<CliContext, "system" | "readFile">,
): string[] {
  const { url, localAddresses } = broker;
  const fleet: WantedFleet = {
    deviceCount: deviceCount(groups),
    addressCount: Math.max(1, localAddresses.length),
    broker: url === undefined ? "embedded" : isLoopback(url.host) ? "local" : "remote",
  };
  return machineChecks({ ...system, readFile }, fleet)
    .filter(({ verdict }) => verdict === "failed")
    .map(({ name, found, fix }) => `Not all devices will fit (${name}): ${found}. ${fix}.`);
}
