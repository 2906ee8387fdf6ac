/** Rounds of kill -9 at random moments, and the count of what has come through them. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { RandomStream } from "../../simulator/src/random.ts";
import { DurableDevice, type DurableDeviceOptions } from "./durable-device.ts";
import { type FreezingProxy, startFreezingProxy } from "./freezing-proxy.ts";
import type { PersistentMosquitto } from "./persistent-mosquitto.ts";

/** Decides what is killed and when; how far the processes are then, nobody decides. WASMQTT_TEST_SEED, or a random one. */
export const SEED = Number(process.env["WASMQTT_TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 32));

/** What is killed in a round. A cut kills the connection alone. */
export type Kill = "device" | "broker" | "both" | "cut";

export interface SceneOptions {
  readonly brokerPort: number;
  /** Absent if it is never killed. */
  readonly broker?: PersistentMosquitto;
  /** Arguments of Node for a device that keeps its session in `folder`. */
  readonly deviceArgs: (port: number, folder: string) => string[];
  readonly deviceOptions?: DurableDeviceOptions;
  /** So many bytes, or fewer, go to and from the device between two rounds. */
  readonly lengthMax: number;
}

/** Who lives and dies. Nobody does so far. Stop it in a `finally` or an `afterEach`. */
export async function startScene(options: SceneOptions): Promise<Scene> {
  const { brokerPort, broker, deviceArgs, deviceOptions, lengthMax } = options;
  const deviceSide = await startFreezingProxy(brokerPort);
  const otherSide = await startFreezingProxy(brokerPort);
  const folder = mkdtempSync(join(tmpdir(), "wasmqtt-mortal-"));
  const device = new DurableDevice(deviceArgs(deviceSide.port, folder), deviceOptions);
  const stop = async () => {
    await device.kill();
    await Promise.all([deviceSide.stop(), otherSide.stop()]);
    rmSync(folder, { recursive: true });
  };
  const random = new RandomStream(SEED, 0, "fault");
  return { random, device, deviceSide, otherSide, broker, lengthMax, stop };
}

export interface Scene {
  readonly random: RandomStream;
  readonly device: DurableDevice;
  /** Between the device and the broker. */
  readonly deviceSide: FreezingProxy;
  /** Between everybody else and the broker. */
  readonly otherSide: FreezingProxy;
  readonly broker: PersistentMosquitto | undefined;
  readonly lengthMax: number;
  stop(): Promise<void>;
}

/** Runs the rounds one after the other. */
export async function killRounds(kills: readonly Kill[], scene: Scene): Promise<void> {
  for (const kill of kills) {
    switch (kill) {
      case "device":
        await atRandomMoment(scene, { freeze: false });
        await scene.device.kill();
        await revive(scene, [() => scene.device.start()]);
        break;
      case "cut":
        await atRandomMoment(scene, { freeze: true });
        scene.deviceSide.cut();
        break;
      case "broker":
        await atRandomMoment(scene, { freeze: true });
        await killBroker(scene);
        await revive(scene, [() => scene.broker?.start()]);
        break;
      case "both":
        await atRandomMoment(scene, { freeze: true });
        await Promise.all([scene.device.kill(), killBroker(scene)]);
        await revive(
          scene,
          shuffled([() => scene.device.start(), () => scene.broker?.start()], scene),
        );
        break;
    }
  }
}

/** `counts` says how often each kind of round comes; their order is random. */
export function planOf(
  counts: Partial<Record<Kill, number>>,
  scene: Pick<Scene, "random">,
): Kill[] {
  const kills = Object.entries(counts) as [Kill, number][];
  return shuffled(
    kills.flatMap(([kill, count]) => new Array<Kill>(count).fill(kill)),
    scene,
  );
}

/** One conversation in this many is stopped by time: while the device begins, or while nothing is said. */
const BY_TIME_SHARE = 4;
const MOMENT_MS_MAX = 300;

/** One in three is stopped early: while the session is taken up again. */
const EARLY_SHARE = 3;
const EARLY_LENGTH_MAX = 500;

/** A device that says nothing for so long has a problem, which the count will show. */
const SILENCE_MS_MAX = 5_000;

function atRandomMoment(scene: Scene, { freeze }: { freeze: boolean }): Promise<void> {
  const { random, deviceSide } = scene;
  const isByTime = random.integer(1, BY_TIME_SHARE) === 1;
  const limitMs = isByTime ? random.integer(0, MOMENT_MS_MAX) : SILENCE_MS_MAX;
  const lengthMax = random.integer(1, EARLY_SHARE) === 1 ? EARLY_LENGTH_MAX : scene.lengthMax;
  const byteCount = isByTime ? Number.POSITIVE_INFINITY : random.integer(0, lengthMax);
  return deviceSide.passed(byteCount, { freeze, limitMs });
}

/**
 * Nobody hears what the broker says from here on, so what it has promised to anybody is what it saves now. Without that it
 * would be the broker's acknowledgements that are broken, not ours: `PersistentMosquitto.save`.
 */
async function killBroker({ deviceSide, otherSide, broker }: Scene): Promise<void> {
  deviceSide.freeze();
  otherSide.freeze();
  await broker?.save();
  await broker?.kill();
  deviceSide.cut();
  otherSide.cut();
}

const PAUSE_MS_MAX = 60;

async function revive({ random }: Scene, starts: (() => unknown)[]): Promise<void> {
  for (const start of starts) {
    await sleep(random.integer(0, PAUSE_MS_MAX));
    await start();
  }
}

/** Fisher and Yates. */
function shuffled<Item>(items: Item[], { random }: Pick<Scene, "random">): Item[] {
  const result = [...items];
  for (let last = result.length - 1; last > 0; last--) {
    const other = random.integer(0, last);
    [result[last], result[other]] = [result[other] as Item, result[last] as Item];
  }
  return result;
}

/** What is wrong with numbers that should be 1, 2, 3 …; the first few of each kind. */
export interface Faults {
  lost: number[];
  doubled: number[];
  /** Those that came behind a higher one. */
  late: number[];
}

export const NO_FAULTS: Faults = { lost: [], doubled: [], late: [] };

const SHOWN_COUNT = 10;

/** `numbers` should be 1 to `lastNumber`, each once, in order. */
export function faultsOf(numbers: readonly number[], lastNumber: number): Faults {
  const seen = new Set<number>();
  const doubled: number[] = [];
  const late: number[] = [];
  let highest = 0;
  for (const number of numbers) {
    if (seen.has(number)) doubled.push(number);
    else if (number < highest) late.push(number);
    seen.add(number);
    highest = Math.max(highest, number);
  }
  const all = Array.from({ length: lastNumber }, (_, index) => index + 1);
  const lost = all.filter((number) => !seen.has(number));
  return {
    lost: lost.slice(0, SHOWN_COUNT),
    doubled: doubled.slice(0, SHOWN_COUNT),
    late: late.slice(0, SHOWN_COUNT),
  };
}
