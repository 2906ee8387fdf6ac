/** The modules that the devices of a run load: those of this package, or one that somebody wrote. */

import { basename } from "node:path";
import { type CliContext, readUserFile } from "../../../host/src/cli/command.ts";
import type { ModuleName } from "../../../host/src/core/core.ts";
import { UsageError } from "../../../host/src/errors.ts";
import { checkApplication } from "../../../host/src/module/check-application.ts";
import type { Firmware, FirmwareOf } from "../fleet/firmware-set.ts";
import { profileOf } from "../profiles/profile.ts";
import type { DeviceGroup, Scenario } from "../scenario/scenario.ts";

/** `path` is the module of somebody for all groups. Throws a UsageError if it cannot be read, or cannot run. */
export async function firmwareFor(
  path: string | undefined,
  { groups }: Pick<Scenario, "groups">,
  context: CliContext,
): Promise<FirmwareOf> {
  if (path !== undefined) {
    const own = { name: basename(path), bytes: readUserFile(context, path, "firmware") };
    const problems = checkApplication(own.bytes);
    if (problems.length > 0) {
      throw new UsageError(
        `${path} cannot be the firmware of a device: ${problems.join("; ")}`,
        "docs/own-module.md says what it must export; `wasmqtt inspect FILE` shows what it has",
      );
    }
    return () => own;
  }
  const modules = new Map<string, Firmware>();
  for (const name of new Set(groups.map(moduleOf))) {
    modules.set(name, { name, bytes: await context.system.readModule(name) });
  }
  return (group) => modules.get(moduleOf(group)) as Firmware;
}

function moduleOf({ profile }: DeviceGroup): ModuleName {
  return profileOf(profile).module;
}
