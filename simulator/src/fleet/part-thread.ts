/** What runs on a thread of its own: a part of a fleet, and the calls that the run makes to it. */

import { parentPort, workerData } from "node:worker_threads";
import { realWorld } from "../../../host/src/world.ts";
import { byLatencyName } from "../run/run-sample.ts";
import type { DeviceGroup } from "../scenario/scenario.ts";
import { openPlanned } from "./connect-plan.ts";
import { type Firmware, loadFirmware } from "./firmware-set.ts";
import { LocalMember } from "./fleet-member.ts";
import { PartRun } from "./part-run.ts";
import { type CallPort, PortCalls } from "./port-calls.ts";
import {
  type CountedSample,
  SIGHTING_LENGTH,
  Sighting,
  type ThreadOrder,
} from "./thread-member.ts";
import type { Together } from "./together.ts";

const interrupt = new AbortController();
let member: LocalMember;

const calls = new PortCalls(parentPort as CallPort, {
  begin: () => begin(workerData as ThreadOrder),
  interrupt: () => interrupt.abort(),
  run: () => member.run(),
  see,
  sample,
  stop: () => member.stop(),
  finish: () => member.finish(),
});

async function begin(order: ThreadOrder): Promise<void> {
  const { scenario, part, firmwares, plan, startedAtMs, hasOwnBroker, stateBytes } = order;
  const firmwareOf = ({ name }: DeviceGroup) => firmwares.get(name) as Firmware;
  const { coreOf } = await loadFirmware(scenario, firmwareOf);
  const run = new PartRun({
    scenario,
    part,
    coreOf,
    world: realWorld,
    openTransport: openPlanned(plan, realWorld),
    password: plan.password,
    startedAtMs,
    hasOwnBroker,
    together: together(),
    interrupt: interrupt.signal,
    stateBytes,
  });
  member = new LocalMember(run);
}

/** The other parts are where the run is. */
function together(): Together {
  return {
    sum: async (count) => (await calls.call("sum", count)) as number,
    draw: async (target) => (await calls.call("draw", target)) as number[],
    restartBroker: async (phase) => (await calls.call("restartBroker", phase)) as boolean,
    publish: async (topic, text, qos) => {
      await calls.call("publish", topic, text, qos);
    },
    phaseBegins: (name, kind) => calls.tell("phaseBegins", [name, kind]),
    problem: (sentence) => calls.tell("problem", [sentence]),
  };
}

function see(numbers: Float64Array): void {
  for (let at = 0; at < numbers.length; at += SIGHTING_LENGTH) {
    const [kind, index, atMs, seq, unixMs] = numbers.subarray(
      at,
      at + SIGHTING_LENGTH,
    ) as unknown as [number, number, number, number, number];
    if (kind === Sighting.Online) member.online(index);
    else if (kind === Sighting.Offline) member.offline(index, atMs);
    else if (kind === Sighting.Excuse) member.excuse(atMs);
    else member.telemetry(index, orUndefined(seq), atMs, orUndefined(unixMs));
  }
}

/** What is unknown is NaN among numbers. */
function orUndefined(number: number): number | undefined {
  return Number.isNaN(number) ? undefined : number;
}

async function sample(): Promise<CountedSample> {
  let counted: CountedSample | undefined;
  await member.sample(({ latencies, ...rest }) => {
    counted = { ...rest, latencies: byLatencyName((name) => latencies[name].counts()) };
  });
  return counted as CountedSample;
}
