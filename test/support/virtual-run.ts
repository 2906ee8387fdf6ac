/** A whole run in memory and in virtual time, against a small broker that behaves as the test says. */

import { readModule } from "../../host/src/core/core.ts";
import type { OpenTransport } from "../../host/src/transport/transport.ts";
import type { RunResult } from "../../simulator/src/run/result.ts";
import { type RunOptions, type RunView, runScenario } from "../../simulator/src/run/run.ts";
import type { RunSample } from "../../simulator/src/run/run-sample.ts";
import { readScenario } from "../../simulator/src/scenario/scenario-file.ts";
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
  /** Puts something between the run and the broker. */
  wrap?: (openTransport: OpenTransport) => OpenTransport;
  /** Called once all is set up, before the first device connects. */
  begun?: (stage: { world: VirtualWorld; broker: SmallBroker; view: RunView }) => void;
  onPhase?: (name: string, stage: { world: VirtualWorld; broker: SmallBroker }) => void;
  interrupt?: AbortSignal;
  /** Parts of the fleet, all on this thread. 1 if absent. */
  partCount?: number;
  onSample?: (sample: RunSample) => void;
}

/** No run of a test takes longer, in virtual time. */
const DURATION_MS_MAX = 600_000;
const STEP_MS = 1_000;
const WIRE_MS = 200;

/** `text` is a scenario without `broker.url`. */
export async function virtualRun(
  text: string,
  options: VirtualRunOptions = {},
): Promise<VirtualRun> {
  const { misbehaviour, lagMs, wrap = (open) => open, interrupt } = options;
  const world = new VirtualWorld();
  const broker = new SmallBroker(world, misbehaviour);
  const open = wrap(broker.openTransport);
  const firmware = { name: "thermometer", bytes: await readModule("thermometer") };
  const runOptions: RunOptions = {
    scenario: readScenario(text, "test.yaml", { url: "mqtt://memory.invalid" }),
    firmwareOf: () => firmware,
    environment: { node: "20.0.0", platform: "linux", cpuCount: 2 },
    threadCount: options.partCount ?? 1,
    world,
    interrupt: interrupt ?? new AbortController().signal,
    meter: { cpuUs: () => 1000 * world.nowMs(), rssBytes: () => 0 }, // always busy
    readFile: () => new Uint8Array(0),
    version: "1.2.3",
    openTransport: lagMs === undefined ? open : lagging(open, world, lagMs),
    onStart: (view) => options.begun?.({ world, broker, view }),
    ...(options.onSample === undefined ? {} : { onSample: options.onSample }),
    onPhase: (name) => options.onPhase?.(name, { world, broker }),
  };
  let isOver = false;
  const run = runScenario(runOptions).finally(() => {
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
