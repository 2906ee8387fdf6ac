/** All that will go wrong in a simulated world, drawn from its seed before it begins. */

import type { RandomStream } from "../random.ts";
import { chance, randomDelayMs, randomStream } from "./streams.ts";

interface FaultBase {
  /**
   * `<device>.<number>`, or `w.<number>` for one that concerns all; `<device>.b<number>` and `<device>.a<number>` for what
   * comes before and after w.<number>. The same whatever else is left out.
   */
  readonly id: string;
  readonly atMs: number;
}

interface DeviceFaultBase extends FaultBase {
  readonly deviceIndex: number;
}

export type DeviceFault = DeviceFaultBase &
  (
    | { readonly kind: "cut" }
    | { readonly kind: "half-open"; readonly directions: readonly ("up" | "down")[] }
    | { readonly kind: "power"; readonly after: { calls: number } | { bytes: number } }
    | { readonly kind: "farewell" }
    | { readonly kind: "clock-jump"; readonly byMs: number }
  );

export type WorldFault = FaultBase &
  (
    | {
        readonly kind: "restart";
        readonly keepsState: boolean;
        readonly downMs: number;
        /** Then the network is flaky for so long. */
        readonly flakyMs: number;
      }
    | { readonly kind: "storm"; readonly durationMs: number; readonly latencyMs: number }
  );

export type Fault = DeviceFault | WorldFault;

/** What belongs to no device draws with this index. */
const WORLD_INDEX = 2 ** 28 - 1;

const DEVICE_FAULT_MEAN_MS = 240_000;
const WORLD_FAULT_MEAN_MS = 1_200_000;

/** A broker that fails takes some devices' networks with it before, and some devices' power after. */
const MISFORTUNE_SHARE = 1 / 2;
const BEFORE_MAX_MS = 30_000;
const AFTER_MAX_MS = 90_000;

/** Of twenty faults of a device. */
const DEVICE_KINDS: readonly DeviceFault["kind"][] = [
  ...Array<"cut">(7).fill("cut"),
  ...Array<"power">(8).fill("power"),
  ...Array<"half-open">(2).fill("half-open"),
  ...Array<"farewell">(2).fill("farewell"),
  "clock-jump",
];

const CLOCK_JUMP_MAX_MS = 2 ** 32 - 1;

export interface FaultPlanOptions {
  readonly seed: number;
  readonly deviceIndices: readonly number[];
  readonly durationMs: number;
  /** The ids of those that are to happen; all if absent. */
  readonly only?: readonly string[] | undefined;
}

/** In the order of time. */
export function planFaults({ seed, deviceIndices, durationMs, only }: FaultPlanOptions): Fault[] {
  const ofWorld = worldFaults(randomStream(seed, WORLD_INDEX, "faults"), durationMs);
  const faults: Fault[] = [...ofWorld];
  for (const index of deviceIndices) {
    faults.push(...deviceFaults(index, randomStream(seed, index, "faults"), durationMs));
    faults.push(...misfortunes(index, randomStream(seed, index, "misfortune"), ofWorld));
  }
  const isChosen = ({ id, atMs }: Fault) => atMs < durationMs && (only?.includes(id) ?? true);
  return faults.filter(isChosen).sort((first, second) => first.atMs - second.atMs);
}

function worldFaults(random: RandomStream, durationMs: number): WorldFault[] {
  const faults: WorldFault[] = [];
  let atMs = Math.floor(randomDelayMs(random, WORLD_FAULT_MEAN_MS));
  for (let number = 0; atMs < durationMs; number++) {
    const id = `w.${number}`;
    if (chance(random, 2 / 3)) {
      const keepsState = chance(random, 1 / 2);
      const downMs = random.integer(0, 30_000);
      const flakyMs = chance(random, 1 / 2) ? random.integer(1000, 30_000) : 0;
      faults.push({ id, atMs, kind: "restart", keepsState, downMs, flakyMs });
    } else {
      const durationOfStormMs = random.integer(5000, 60_000);
      const latencyMs = random.integer(500, 6000);
      faults.push({ id, atMs, kind: "storm", durationMs: durationOfStormMs, latencyMs });
    }
    atMs += Math.floor(randomDelayMs(random, WORLD_FAULT_MEAN_MS));
  }
  return faults;
}

function deviceFaults(
  deviceIndex: number,
  random: RandomStream,
  durationMs: number,
): DeviceFault[] {
  const faults: DeviceFault[] = [];
  let atMs = Math.floor(randomDelayMs(random, DEVICE_FAULT_MEAN_MS));
  for (let number = 0; atMs < durationMs; number++) {
    const base = { id: `${deviceIndex}.${number}`, atMs, deviceIndex };
    faults.push(drawDeviceFault(base, random));
    // Misfortunes come together, too: one in the middle of another's consequences finds more.
    const meanMs = chance(random, 1 / 4) ? 300 : DEVICE_FAULT_MEAN_MS;
    atMs += Math.floor(randomDelayMs(random, meanMs));
  }
  return faults;
}

/** What comes together with the broker's restarts: a session is lost while the device is in the middle of something. */
function misfortunes(
  deviceIndex: number,
  random: RandomStream,
  ofWorld: readonly WorldFault[],
): DeviceFault[] {
  const faults: DeviceFault[] = [];
  for (const { id, kind, atMs } of ofWorld) {
    if (kind !== "restart") continue;
    const number = id.slice(2);
    if (chance(random, MISFORTUNE_SHARE)) {
      const beforeMs = Math.max(0, atMs - random.integer(0, BEFORE_MAX_MS));
      const base = { id: `${deviceIndex}.b${number}`, atMs: beforeMs, deviceIndex };
      faults.push({ ...base, kind: "half-open", directions: ["up"] });
    }
    if (chance(random, MISFORTUNE_SHARE)) {
      const afterMs = atMs + random.integer(0, AFTER_MAX_MS);
      const base = { id: `${deviceIndex}.a${number}`, atMs: afterMs, deviceIndex };
      faults.push({ ...base, kind: "power", after: { calls: random.integer(0, 120) } });
    }
  }
  return faults;
}

function drawDeviceFault(base: DeviceFaultBase, random: RandomStream): DeviceFault {
  const kind = DEVICE_KINDS[random.integer(0, DEVICE_KINDS.length - 1)];
  switch (kind) {
    case "half-open": {
      const choice = random.integer(0, 2);
      const directions = choice === 0 ? (["up"] as const) : (["down"] as const);
      return { ...base, kind, directions: choice === 2 ? ["up", "down"] : directions };
    }
    case "power": {
      const isInFlash = chance(random, 1 / 2);
      const after = isInFlash
        ? { bytes: random.integer(0, 400) }
        : { calls: random.integer(0, 120) };
      return { ...base, kind, after };
    }
    case "clock-jump":
      return { ...base, kind, byMs: random.integer(0, CLOCK_JUMP_MAX_MS) };
    case "farewell":
      return { ...base, kind };
    default:
      return { ...base, kind: "cut" };
  }
}

export function faultWords(fault: Fault): string {
  switch (fault.kind) {
    case "cut":
      return "the network cuts its connection";
    case "half-open":
      return `the network loses everything ${fault.directions.map((way) => (way === "up" ? "from it" : "to it")).join(" and ")}, silently`;
    case "power":
      return "calls" in fault.after
        ? `power will fail after ${fault.after.calls} calls of the module`
        : `power will fail after ${fault.after.bytes} bytes written to flash`;
    case "farewell":
      return "it is asked to say goodbye";
    case "clock-jump":
      return `its clock jumps by ${fault.byMs} ms`;
    case "restart":
      return `the broker restarts ${fault.keepsState ? "with" : "without"} its state and is away for ${fault.downMs} ms, then the network is flaky for ${fault.flakyMs} ms`;
    case "storm":
      return `for ${fault.durationMs} ms the network takes up to ${fault.latencyMs} ms`;
  }
}
