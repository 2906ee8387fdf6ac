/** Among how many threads a fleet is divided. */

import { UsageError } from "../../../host/src/errors.ts";
import { deviceCount, type Scenario } from "../scenario/scenario.ts";

/** Fewer devices are no work for a thread more. */
const DEVICES_PER_THREAD_MIN = 1_000;

const THREAD_COUNT_MAX = 64;

/** What the person says, or as many as there are processors and enough devices for. Throws a UsageError. */
export function threadCountFor(
  text: string | undefined,
  { groups }: Pick<Scenario, "groups">,
  cpuCount: number,
): number {
  const devices = deviceCount(groups);
  if (text === undefined) {
    return Math.max(1, Math.min(cpuCount, Math.floor(devices / DEVICES_PER_THREAD_MIN)));
  }
  const count = Number(text);
  if (Number.isSafeInteger(count) && count >= 1 && count <= Math.min(devices, THREAD_COUNT_MAX)) {
    return count;
  }
  throw new UsageError(
    `--jobs ${JSON.stringify(text)} cannot be: there are ${devices} devices to divide among threads`,
    `Give a whole number from 1 to ${Math.min(devices, THREAD_COUNT_MAX)}; this machine has ${cpuCount} processors`,
  );
}
