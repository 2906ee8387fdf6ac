/** What happens in each kind of phase, to one part of a fleet; the others do the same at the same time. */

import type { World } from "../../../host/src/world.ts";
import { formatDuration } from "../duration.ts";
import {
  type BrokerRestartPhase,
  type CommandsPhase,
  type ConnectPhase,
  deviceCount,
  type FaultPhase,
  type Phase,
  type Scenario,
  type SpikePhase,
  type Target,
  targetCount,
} from "../scenario/scenario.ts";
import { pause, until } from "../waiting.ts";
import { injectFault } from "./fault.ts";
import type { Fleet } from "./fleet.ts";
import { type FleetPart, localIndex, partOf } from "./fleet-part.ts";
import type { Sensor } from "./sensor.ts";
import type { Together } from "./together.ts";
import type { WillLedger } from "./will-ledger.ts";

/** What a phase acts upon. */
export interface Stage {
  world: World;
  interrupt: AbortSignal;
  scenario: Scenario;
  part: FleetPart;
  together: Together;
  fleet: Fleet;
  ledger: WillLedger;
  /** False where the broker is somebody else's. */
  hasOwnBroker: boolean;
  /** What was sent to each device. */
  commands: Map<Sensor, CommandCount>;
  /** Devices that were connected when the connect phase ended. */
  connectedCount: number;
  /** Telemetry that a standing connection owes its acknowledgement, at the end and after the time limit. */
  unansweredCount: number;
}

/** Commands to one device. */
interface CommandCount {
  sent: number;
  /** Had arrived before the first was sent: an earlier run had left them at the broker. */
  before: number;
}

/** Devices whose commands are sent at the same time. */
const SENDING_COUNT = 50;

export function runPhase(phase: Phase, stage: Stage): Promise<void> {
  switch (phase.kind) {
    case "connect":
      return connect(phase, stage);
    case "steady":
      return pause(stage.world, phase.durationMs, stage.interrupt);
    case "spike":
      return spike(phase, stage);
    case "fault":
      return fault(phase, stage);
    case "commands":
      return commands(phase, stage);
    case "broker-restart":
      return brokerRestart(phase, stage);
  }
}

async function connect(phase: ConnectPhase, stage: Stage): Promise<void> {
  const { fleet, world, interrupt, scenario, together } = stage;
  const { length } = fleet.sensors;
  const totalCount = deviceCount(scenario.groups);
  fleet.connectAll(phase.ratePerSecond);
  const rampMs = (1000 * totalCount) / phase.ratePerSecond;
  const limitMs = Math.max(phase.timeoutMs, rampMs);
  await until(() => fleet.connectedCount === length, world, limitMs, interrupt);
  stage.connectedCount = fleet.connectedCount;
  const missingCount = await together.sum(length - stage.connectedCount);
  if (missingCount > 0 && !interrupt.aborted) {
    tell(
      stage,
      `Not connected within ${formatDuration(limitMs)}: ${missingCount} of ${totalCount} devices.`,
    );
  }
}

/** Some devices measure more often, or more rarely, for a while. */
async function spike(phase: SpikePhase, stage: Stage): Promise<void> {
  const { world, interrupt, scenario } = stage;
  const { mine, drawnCount } = await draw(phase.target, stage);
  const missingCount = targetCount(phase.target, deviceCount(scenario.groups)) - drawnCount;
  if (missingCount > 0) {
    tell(
      stage,
      `Phase "${phase.name}": ${missingCount} devices went on as before, because they were not connected.`,
    );
  }
  for (const { sensor } of mine) sensor.measureEvery(phase.intervalMs);
  await pause(world, phase.durationMs, interrupt);
  for (const { sensor } of mine) sensor.measureEvery(sensor.group.publish.intervalMs);
}

async function fault(phase: FaultPhase, stage: Stage): Promise<void> {
  const { world, interrupt, scenario, together } = stage;
  const startMs = world.nowMs();
  const { mine, drawnCount } = await draw(phase.target, stage);
  let missedCount = 0;
  for (const { sensor, turn } of mine) {
    const waitMs = startMs + (turn * phase.spreadMs) / drawnCount - world.nowMs();
    if (waitMs > 0) await pause(world, waitMs, interrupt);
    if (interrupt.aborted) break;
    const isInjected = sensor.isConnected && injectFault(phase.fault, sensor, phase.awayMs, stage);
    if (!isInjected) missedCount++;
  }
  await pause(world, startMs + phase.durationMs - world.nowMs(), interrupt);
  missedCount = await together.sum(missedCount);
  missedCount += targetCount(phase.target, deviceCount(scenario.groups)) - drawnCount;
  if (missedCount > 0 && !interrupt.aborted) {
    tell(
      stage,
      `Phase "${phase.name}": ${missedCount} devices could not fail, because they were not connected or their outbox was full.`,
    );
  }
}

async function commands(phase: CommandsPhase, stage: Stage): Promise<void> {
  const { world, interrupt, scenario, together } = stage;
  const { mine, drawnCount } = await draw(phase.target, stage);
  const sensors = mine.map(({ sensor }) => sensor);
  const missingCount = targetCount(phase.target, deviceCount(scenario.groups)) - drawnCount;
  if (missingCount > 0) {
    tell(
      stage,
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
  const failed = { count: 0 };
  const sending = sendCommands(phase, sensors, stage, failed);
  await Promise.race([sending, pause(world, leftMs(), interrupt)]);
  if (phase.whileAway) for (const sensor of sensors) sensor.comeBackIn(0);
  const hasAll = (sensor: Sensor) =>
    arrivedCount(sensor, stage) >= (stage.commands.get(sensor)?.sent ?? 0);
  await until(() => sensors.every(hasAll), world, leftMs(), interrupt);
  const failedCount = await together.sum(failed.count);
  if (failedCount > 0) {
    tell(stage, `Phase "${phase.name}": ${failedCount} commands could not be sent.`);
  }
}

/** Commands of this run that have arrived at a device. */
export function arrivedCount(
  sensor: Sensor,
  { fleet, commands }: Pick<Stage, "fleet" | "commands">,
): number {
  return fleet.books.commandCount(sensor.index) - (commands.get(sensor)?.before ?? 0);
}

/** Sends each of `sensors` its commands, to some of them at a time. */
async function sendCommands(
  { perDevice, text, qos }: CommandsPhase,
  sensors: readonly Sensor[],
  { together, commands, fleet, interrupt }: Stage,
  failed: { count: number },
): Promise<void> {
  const { books } = fleet;
  const send = async (sensor: Sensor) => {
    const count = commands.get(sensor) ?? { sent: 0, before: books.commandCount(sensor.index) };
    commands.set(sensor, count);
    count.sent++;
    await together
      .publish(sensor.kind.profile.commandTopic(sensor.clientId), text, qos)
      .catch(() => {
        count.sent--;
        failed.count++;
      });
  };
  for (let start = 0; start < sensors.length && !interrupt.aborted; start += SENDING_COUNT) {
    const some = sensors.slice(start, start + SENDING_COUNT);
    await Promise.all(
      some.flatMap((sensor) => Array.from({ length: perDevice }, () => send(sensor))),
    );
  }
}

async function brokerRestart(phase: BrokerRestartPhase, stage: Stage): Promise<void> {
  const { fleet, world, interrupt } = stage;
  const startMs = world.nowMs();
  fleet.hold();
  if (stage.hasOwnBroker) await restartOwn(phase, stage);
  else await cutNetwork(phase, stage);
  fleet.release();
  await pause(world, Math.max(0, startMs + phase.durationMs - world.nowMs()), interrupt);
}

/** The Wills die with the broker: it may publish them or not. */
async function restartOwn(phase: BrokerRestartPhase, stage: Stage): Promise<void> {
  const { world, interrupt, ledger, scenario, together } = stage;
  const { graceMs } = scenario.observe;
  ledger.excuse(Number.POSITIVE_INFINITY, world.nowMs() + phase.downtimeMs + graceMs);
  const isBack = await together.restartBroker(phase);
  if (!isBack && !interrupt.aborted) {
    tell(stage, "The observer did not come back after the broker's restart.");
  }
}

/** Somebody else's broker is not ours to stop. Its clients can all vanish at once, though, and come back. */
async function cutNetwork(phase: BrokerRestartPhase, stage: Stage): Promise<void> {
  const { fleet, world, interrupt, ledger } = stage;
  tell(
    stage,
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

/** A device of this part that was drawn, and the how manieth it is of all that were. */
interface Drawn {
  sensor: Sensor;
  turn: number;
}

async function draw(
  target: Target,
  { together, fleet, part }: Stage,
): Promise<{ mine: Drawn[]; drawnCount: number }> {
  const drawn = await together.draw(target);
  const mine = drawn.flatMap((seedIndex, turn): Drawn[] => {
    if (partOf(part.count, seedIndex) !== part.index) return [];
    return [{ sensor: fleet.sensors[localIndex(part.count, seedIndex)] as Sensor, turn }];
  });
  return { mine, drawnCount: drawn.length };
}

/** Of what all parts found out together, one of them tells. */
function tell({ part, together }: Stage, sentence: string): void {
  if (part.index === 0) together.problem(sentence);
}
