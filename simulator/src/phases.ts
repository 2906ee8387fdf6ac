/** What happens in each kind of phase. */

import type { EmbeddedBroker } from "../../host/src/broker/embedded-broker.ts";
import type { World } from "../../host/src/world.ts";
import { formatDuration } from "./duration.ts";
import { injectFault } from "./fault.ts";
import type { Fleet } from "./fleet.ts";
import type { Observer } from "./observer.ts";
import {
  type BrokerRestartPhase,
  type CommandsPhase,
  type ConnectPhase,
  type FaultPhase,
  type Phase,
  targetCount,
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
  /** What was sent to each device. */
  commands: Map<Sensor, CommandCount>;
  /** Devices that were connected when the connect phase ended. */
  connectedCount: number;
  restartCount: number;
  /** Telemetry that a standing connection owes its acknowledgement, at the end and after the time limit. */
  unansweredCount: number;
  /** Tells the person at the keyboard what the result alone would not say. */
  problem: (sentence: string) => void;
}

/** Commands to one device. */
interface CommandCount {
  sent: number;
  /** Had arrived before the first was sent: an earlier run had left them at the broker. */
  before: number;
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
  const limitMs = Math.max(phase.timeoutMs, rampMs);
  await until(() => fleet.connectedCount === length, world, limitMs, interrupt);
  stage.connectedCount = fleet.connectedCount;
  const missingCount = length - stage.connectedCount;
  if (missingCount > 0 && !interrupt.aborted) {
    problem(
      `Not connected within ${formatDuration(limitMs)}: ${missingCount} of ${length} devices.`,
    );
  }
}

async function fault(phase: FaultPhase, stage: Stage): Promise<void> {
  const { fleet, world, interrupt, problem } = stage;
  const startMs = world.nowMs();
  const sensors = fleet.draw(phase.target);
  let missedCount = 0;
  for (const [index, sensor] of sensors.entries()) {
    const waitMs = startMs + (index * phase.spreadMs) / sensors.length - world.nowMs();
    if (waitMs > 0) await pause(world, waitMs, interrupt);
    if (interrupt.aborted) return;
    const isInjected = sensor.isConnected && injectFault(phase.fault, sensor, phase.awayMs, stage);
    if (!isInjected) missedCount++;
  }
  missedCount += targetCount(phase.target, fleet.sensors.length) - sensors.length;
  if (missedCount > 0) {
    problem(
      `Phase "${phase.name}": ${missedCount} devices could not fail, because they were not connected or their outbox was full.`,
    );
  }
  await pause(world, startMs + phase.durationMs - world.nowMs(), interrupt);
}

async function commands(phase: CommandsPhase, stage: Stage): Promise<void> {
  const { fleet, world, interrupt, problem } = stage;
  const sensors = fleet.draw(phase.target);
  const missingCount = targetCount(phase.target, fleet.sensors.length) - sensors.length;
  if (missingCount > 0) {
    problem(
      `Phase "${phase.name}": ${missingCount} devices got no commands, because they were not connected.`,
    );
  }
  const endMs = world.nowMs() + phase.timeoutMs;
  const leftMs = () => Math.max(0, endMs - world.nowMs());
  if (phase.whileAway) {
    for (const sensor of sensors) sayGoodbye(sensor, stage);
    await until(() => sensors.every(({ isOff }) => isOff), world, leftMs(), interrupt);
  }
  // Commands wait for the observer's connection; the run does not.
  await Promise.race([sendCommands(phase, sensors, stage), pause(world, leftMs(), interrupt)]);
  if (phase.whileAway) for (const sensor of sensors) sensor.comeBackIn(0);
  const hasAll = (sensor: Sensor) =>
    arrivedCount(sensor, stage) >= (stage.commands.get(sensor)?.sent ?? 0);
  await until(() => sensors.every(hasAll), world, leftMs(), interrupt);
}

/** Commands of this run that have arrived at a device. */
export function arrivedCount(
  sensor: Sensor,
  { fleet, commands }: Pick<Stage, "fleet" | "commands">,
): number {
  return fleet.commandCount(sensor.index) - (commands.get(sensor)?.before ?? 0);
}

/** Sends each of `sensors` its commands, to some of them at a time. */
async function sendCommands(
  { name, perDevice, text, qos }: CommandsPhase,
  sensors: readonly Sensor[],
  { observer, commands, fleet, interrupt, problem }: Stage,
): Promise<void> {
  let failedCount = 0;
  const send = async (sensor: Sensor) => {
    const count = commands.get(sensor) ?? { sent: 0, before: fleet.commandCount(sensor.index) };
    commands.set(sensor, count);
    count.sent++;
    await observer.client.publish(`motes/${sensor.clientId}/cmd`, text, { qos }).catch(() => {
      count.sent--;
      failedCount++;
    });
  };
  for (let start = 0; start < sensors.length && !interrupt.aborted; start += SENDING_COUNT) {
    const some = sensors.slice(start, start + SENDING_COUNT);
    await Promise.all(
      some.flatMap((sensor) => Array.from({ length: perDevice }, () => send(sensor))),
    );
  }
  if (failedCount > 0) problem(`Phase "${name}": ${failedCount} commands could not be sent.`);
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
  { downtimeMs, keepState }: BrokerRestartPhase,
  stage: Stage,
): Promise<void> {
  const { world, interrupt, ledger, observer, graceMs, problem } = stage;
  ledger.excuse(Number.POSITIVE_INFINITY, world.nowMs() + downtimeMs + graceMs);
  observer.brokerStops();
  await broker.stop({ keepState });
  await pause(world, downtimeMs, interrupt);
  await broker.start();
  const isBack = await until(() => observer.seesAll, world, OBSERVER_RETURN_MS, interrupt);
  if (!isBack && !interrupt.aborted)
    problem("The observer did not come back after the broker's restart.");
}

/** Somebody else's broker is not ours to stop. Its clients can all vanish at once, though, and come back. */
async function cutNetwork(phase: BrokerRestartPhase, stage: Stage): Promise<void> {
  const { fleet, world, interrupt, ledger, problem } = stage;
  problem(
    `Phase "${phase.name}": this broker is not ours to restart. All connections were reset at once instead, for ${formatDuration(phase.downtimeMs)}.`,
  );
  const atMs = world.nowMs();
  for (const sensor of fleet.sensors) {
    if (!sensor.isConnected) continue;
    ledger.expectWill(sensor.index, { fault: "tcp-reset", atMs, earliestMs: atMs });
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
