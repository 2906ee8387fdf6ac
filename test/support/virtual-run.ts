/** A whole run in memory and in virtual time, against a small broker that behaves as the test says. */

import { readFile } from "node:fs/promises";
import type { RunResult } from "../../simulator/src/result.ts";
import { type RunOptions, type RunView, runScenario } from "../../simulator/src/run.ts";
import { readScenario } from "../../simulator/src/scenario-file.ts";
import { lagging } from "./lagging-transport.ts";
import { type Misbehaviour, SmallBroker } from "./small-broker.ts";
import { VirtualWorld } from "./virtual-world.ts";

export interface VirtualRun {
  result: RunResult;
  /** The names of the expectations that did not hold. */
  failed: string[];
  world: VirtualWorld;
  broker: SmallBroker;
}

export interface VirtualRunOptions {
  misbehaviour?: Misbehaviour;
  /** How long bytes are under way to and from the broker; 0 if absent. */
  lagMs?: () => number;
  /** Called once all is set up, before the first device connects. */
  begun?: (stage: { world: VirtualWorld; broker: SmallBroker; view: RunView }) => void;
  onPhase?: (name: string, stage: { world: VirtualWorld; broker: SmallBroker }) => void;
  interrupt?: AbortSignal;
}

/** No run of a test takes longer, in virtual time. */
const DURATION_MS_MAX = 600_000;
const STEP_MS = 1_000;
const WIRE_MS = 200;

/** `text` is a scenario without `broker.url`. */
export async function virtualRun(
  text: string,
  { misbehaviour, lagMs, begun, onPhase, interrupt }: VirtualRunOptions = {},
): Promise<VirtualRun> {
  const world = new VirtualWorld();
  const broker = new SmallBroker(world, misbehaviour);
  const options: RunOptions = {
    scenario: readScenario(text, "test.yaml", { url: "mqtt://memory.invalid" }),
    firmware: { name: "thermometer", bytes: await thermometer() },
    world,
    interrupt: interrupt ?? new AbortController().signal,
    meter: { cpuUs: () => 0, rssBytes: () => 0 },
    readFile: () => new Uint8Array(0),
    version: "1.2.3",
    openTransport:
      lagMs === undefined ? broker.openTransport : lagging(broker.openTransport, world, lagMs),
    onStart: (view) => begun?.({ world, broker, view }),
    onPhase: (name) => onPhase?.(name, { world, broker }),
  };
  let isOver = false;
  const run = runScenario(options).finally(() => {
    isOver = true;
  });
  run.catch(() => {}); // whoever awaits it below sees the failure
  while (!isOver && world.nowMs() < DURATION_MS_MAX) {
    // Without a timer it waits for something real, such as a module that is being compiled.
    if (world.timerCount > 0) await world.advance(STEP_MS);
    else await new Promise((resolve) => setImmediate(resolve));
  }
  if (!isOver) throw new Error(`no end after ${DURATION_MS_MAX} ms of virtual time`);
  const result = await run;
  await world.advance(WIRE_MS); // what is still under way arrives
  const failed = result.expectations.filter(({ ok }) => !ok).map(({ name }) => name);
  return { result, failed, world, broker };
}

function thermometer(): Promise<Uint8Array> {
  return readFile(new URL("../../dist/thermometer.wasm", import.meta.url));
}
