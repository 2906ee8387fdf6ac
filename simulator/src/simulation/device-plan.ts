/** What a device of a simulated world is: its kind, its buffers, its clock, its flash; all drawn from the seed. */

import type { Capacities } from "../../../host/src/core/session.ts";
import type { RandomStream } from "../random.ts";
import type { FlashLayout } from "./flash.ts";
import { chance } from "./streams.ts";

/**
 * - `durable`: the core with a journal in flash;
 * - `volatile`: the core with its session in memory only, which the server keeps (Clean Session 0);
 * - `clean`: the core with Clean Session 1;
 * - `thermometer`, `durable-thermometer`: the application module, without and with a journal.
 */
export type DeviceKind = "durable" | "volatile" | "clean" | "thermometer" | "durable-thermometer";

export const DEVICE_KINDS: readonly DeviceKind[] = [
  "durable",
  "volatile",
  "clean",
  "thermometer",
  "durable-thermometer",
];

/** Of ten devices; durable ones have the most to lose. */
const KINDS_OF_TEN: readonly DeviceKind[] = [
  ...(["durable", "durable", "durable", "durable", "durable"] as const),
  ...(["volatile", "volatile", "clean", "thermometer", "durable-thermometer"] as const),
];

export interface DevicePlan {
  readonly kind: DeviceKind;
  readonly isDurable: boolean;
  readonly isThermometer: boolean;
  readonly capacities: Capacities;
  readonly flash: FlashLayout;
  readonly inflightMax: number;
  readonly keepAliveSeconds: number;
  readonly responseTimeoutMs: number;
  /** What its clock shows when the world begins, and how much faster than the world's it goes. */
  readonly clockStartMs: number;
  readonly clockRate: number;
  readonly subscribedQos: number;
  readonly willQos: number;
  readonly willRetain: boolean;
}

/** Half of all clocks wrap within so much time. */
const WRAP_WITHIN_MS = 1_800_000;
const CLOCK_SPAN = 2 ** 32;
const DRIFT_MAX = 200e-6;

export function drawPlan(random: RandomStream, kinds: readonly DeviceKind[]): DevicePlan {
  const drawn = KINDS_OF_TEN[random.integer(0, KINDS_OF_TEN.length - 1)] as DeviceKind;
  const other = kinds[random.integer(0, kinds.length - 1)] as DeviceKind;
  const kind = kinds.includes(drawn) ? drawn : other;
  const isDurable = kind === "durable" || kind === "durable-thermometer";
  const isThermometer = kind === "thermometer" || kind === "durable-thermometer";
  const isNearWrap = chance(random, 1 / 2);
  return {
    kind,
    isDurable,
    isThermometer,
    capacities: {
      receive: random.integer(96, 512),
      transmit: random.integer(256, 1024),
      identity: 160,
      incomingCount: 16,
      journal: isDurable ? random.integer(256, 640) : 0,
    },
    flash: {
      blockCount: random.integer(2, 4),
      blockLength: 2048,
      wordLength: 2 ** random.integer(0, 3),
    },
    inflightMax: random.integer(1, 16),
    keepAliveSeconds: random.integer(10, 60),
    responseTimeoutMs: random.integer(3000, 12_000),
    clockStartMs: isNearWrap ? CLOCK_SPAN - random.integer(0, WRAP_WITHIN_MS) : random.word(),
    clockRate: 1 + DRIFT_MAX * (2 * random.uniform() - 1),
    subscribedQos: 2,
    willQos: random.integer(0, 2),
    willRetain: chance(random, 1 / 2),
  };
}
