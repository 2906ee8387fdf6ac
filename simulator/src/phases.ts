/** What happens in each kind of phase. */

import type { EmbeddedBroker } from "../../host/src/broker/embedded-broker.ts";
import type { World } from "../../host/src/world.ts";
import { injectFault } from "./fault.ts";
import type { Fleet } from "./fleet.ts";
import type { Observer } from "./observer.ts";
import type {
  BrokerRestartPhase,
  CommandsPhase,
  ConnectPhase,
  FaultPhase,
  Phase,
} from "./scenario.ts";
import type { Sensor } from "./sensor.ts";
import { pause, until } from "./waiting.ts";
import type { WillLedger } from "./will-ledger.ts";

/** What a phase acts upon. */
export interface Stage {
  world: World;
  interrupt: AbortSignal;
  fleet: Fleet;
  ledger: WillLedger;
  observer: Observer;
  /** Undefined where the broker is somebody else's. */
  broker: EmbeddedBroker | undefined;
  keepAliveMs: number;
  graceMs: number;
  /** Commands that were sent to each device. */
  commandsSent: Map<Sensor, number>;
  /** Devices that were connected when the connect phase ended. */
  connectedCount: number;
  restartCount: number;
  /** Tells the person at the keyboard what the result alone would not say. */
  problem: (sentence: string) => void;
}

/** How long a client may take to come back when its broker does. */
const OBSERVER_RETURN_MS = 15_000;

/** Devices whose commands are sent at the same time. */
const SENDING_COUNT = 50;

export function runPhase(phase: Phase, stage: Stage): Promise<void> {
  switch (phase.kind) {
    case "connect":
      return connect(phase, stage);
    case "steady":
      return pause(stage.world, phase.durationMs, stage.interrupt);
    case "fault":
      return fault(phase, stage);
    case "commands":
      return commands(phase, stage);
    case "broker-restart":
      return brokerRestart(phase, stage);
  }
}

async function connect(phase: ConnectPhase, stage: Stage): Promise<void> {
  const { fleet, world, interrupt, problem } = stage;
  const { length } = fleet.sensors;
  fleet.connectAll(phase.ratePerSecond);
  const rampMs = (1000 * length) / phase.ratePerSecond;
  const isDone = () => fleet.connectedCount === length;
  await until(isDone, world, Math.max(phase.timeoutMs, rampMs), interrupt);
  stage.connectedCount = fleet.connectedCount;
  if (stage.connectedCount < length && !interrupt.aborted) {
    problem(
      `${length - stage.connectedCount} devices were not connected within ${phase.timeoutMs} ms.`,
    );
  }
}

async function fault(phase: FaultPhase, stage: Stage): Promise<void> {
  const { fleet, world, interrupt, problem } = stage;
  const startMs = world.nowMs();
  const sensors = fleet.draw(phase.target);
  let missedCount = 0;
  for (const [index, sensor] of sensors.entries()) {
    const atMs = startMs + (index * phase.spreadMs) / sensors.length;
    await pause(world, Math.max(0, atMs - world.nowMs()), interrupt);
    if (interrupt.aborted) return;
    const isInjected = sensor.isConnected && injectFault(phase.fault, sensor, phase.awayMs, stage);
    if (!isInjected) missedCount++;
  }
  if (missedCount > 0) {
    problem(
      `Phase "${phase.name}": ${missedCount} devices could not fail, they were not connected.`,
    );
  }
  await pause(world, startMs + phase.durationMs - world.nowMs(), interrupt);
}

async function commands(phase: CommandsPhase, stage: Stage): Promise<void> {
  const { fleet, world, interrupt, commandsSent, problem } = stage;
  const sensors = fleet.draw(phase.target);
  const endMs = world.nowMs() + phase.timeoutMs;
  const leftMs = () => Math.max(0, endMs - world.nowMs());
  if (phase.whileAway) {
    for (const sensor of sensors) sayGoodbye(sensor, stage);
    await until(() => sensors.every(({ isOff }) => isOff), world, leftMs(), interrupt);
  }

  let failedCount = 0;
  for (let start = 0; start < sensors.length; start += SENDING_COUNT) {
    const some = sensors.slice(start, start + SENDING_COUNT);
    failedCount += await sendCommands(phase, some, stage);
  }
  if (failedCount > 0) problem(`Phase "${phase.name}": ${failedCount} commands could not be sent.`);

  if (phase.whileAway) for (const sensor of sensors) sensor.comeBackIn(0);
  const hasAll = (sensor: Sensor) =>
    fleet.commandCount(sensor.index) >= (commandsSent.get(sensor) ?? 0);
  await until(() => sensors.every(hasAll), world, leftMs(), interrupt);
}

/** Sends each of `sensors` its commands; returns how many could not be sent. */
async function sendCommands(
  { perDevice, text, qos }: CommandsPhase,
  sensors: readonly Sensor[],
  { observer, commandsSent }: Stage,
): Promise<number> {
  const sendings = sensors.flatMap((sensor) => {
    commandsSent.set(sensor, (commandsSent.get(sensor) ?? 0) + perDevice);
    const topic = `motes/${sensor.clientId}/cmd`;
    return Array.from({ length: perDevice }, () => observer.client.publish(topic, text, { qos }));
  });
  const outcomes = await Promise.allSettled(sendings);
  return outcomes.filter(({ status }) => status === "rejected").length;
}

async function brokerRestart(phase: BrokerRestartPhase, stage: Stage): Promise<void> {
  const { fleet, world, interrupt, broker } = stage;
  const startMs = world.nowMs();
  fleet.hold();
  stage.restartCount++;
  if (broker === undefined) await cutNetwork(phase, stage);
  else await restartOwn(broker, phase, stage);
  fleet.release();
  await pause(world, Math.max(0, startMs + phase.durationMs - world.nowMs()), interrupt);
}

/** The Wills die with the broker: it may publish them or not. */
async function restartOwn(
  broker: EmbeddedBroker,
  phase: BrokerRestartPhase,
  stage: Stage,
): Promise<void> {
  const { fleet, world, interrupt, ledger, observer, graceMs, keepAliveMs, problem } = stage;
  const untilMs = world.nowMs() + phase.downtimeMs + 2 * keepAliveMs + graceMs;
  for (const sensor of fleet.sensors) {
    if (sensor.isConnected) ledger.tolerateWill(sensor.index, untilMs);
  }
  await broker.restart({ keepState: phase.keepState, downtimeMs: phase.downtimeMs });
  const isBack = await until(() => observer.isConnected, world, OBSERVER_RETURN_MS, interrupt);
  if (!isBack && !interrupt.aborted)
    problem("The observer did not come back after the broker's restart.");
}

/** Somebody else's broker is not ours to stop. Its clients can all vanish at once, though, and come back. */
async function cutNetwork(phase: BrokerRestartPhase, stage: Stage): Promise<void> {
  const { fleet, world, interrupt, ledger, graceMs, problem } = stage;
  problem(
    `Phase "${phase.name}": this broker is not ours to restart. All connections were reset at once instead, for ${phase.downtimeMs} ms.`,
  );
  const atMs = world.nowMs();
  for (const sensor of fleet.sensors) {
    if (!sensor.isConnected) continue;
    const will = { fault: "tcp-reset", atMs, earliestMs: atMs, latestMs: atMs + graceMs } as const;
    ledger.expectWill(sensor.index, will);
    sensor.resetConnection();
  }
  await pause(world, phase.downtimeMs, interrupt);
}

/** The device says `offline` itself; whoever watches will see it. */
export function sayGoodbye(sensor: Sensor, { ledger }: Pick<Stage, "ledger">): boolean {
  if (!sensor.isConnected || !sensor.sayGoodbye()) return false;
  ledger.expectGoodbye(sensor.index);
  return true;
}
