/** The ways in which a device can go, and the Last Will that each must cause. */

import type { World } from "../../../host/src/world.ts";
import type { FaultKind, Scenario } from "../scenario/scenario.ts";
import type { Fleet } from "./fleet.ts";
import type { Sensor } from "./sensor.ts";
import type { WillLedger } from "./will-ledger.ts";

/** A server that heard nothing for so many times the keep alive must close [MQTT-3.1.2-24]. */
const SILENCE_FACTOR = 1.5;

export interface FaultSurroundings {
  fleet: Fleet;
  ledger: WillLedger;
  world: World;
  scenario: Pick<Scenario, "broker">;
}

/** Lets one device go, as `kind` says, and come back after `awayMs`. False if it could not go that way. */
export function injectFault(
  kind: FaultKind,
  sensor: Sensor,
  awayMs: number,
  surroundings: FaultSurroundings,
): boolean {
  const { fleet, ledger, world, scenario } = surroundings;
  const atMs = world.nowMs();
  const expectWill = (earliestMs: number) =>
    ledger.expectWill(sensor.index, { fault: kind, atMs, earliestMs });
  const silentUntilMs = sensor.sentAtMs + SILENCE_FACTOR * 1000 * scenario.broker.keepAliveSeconds;

  switch (kind) {
    case "tcp-close":
      expectWill(atMs);
      sensor.closeConnection();
      sensor.reconnectIn(awayMs);
      break;
    case "tcp-reset":
      expectWill(atMs);
      sensor.resetConnection();
      sensor.reconnectIn(awayMs);
      break;
    case "protocol-error":
      expectWill(atMs);
      sensor.sendGarbage();
      sensor.reconnectIn(awayMs);
      break;
    case "takeover":
      expectWill(atMs);
      fleet.keepGhost(sensor, sensor.takeOver()); // it is back already
      break;
    case "power-loss":
      expectWill(silentUntilMs);
      fleet.keepGhost(sensor, sensor.powerOff());
      sensor.comeBackIn(awayMs);
      break;
    case "hang":
      expectWill(silentUntilMs);
      fleet.keepGhost(sensor, sensor.hang());
      sensor.comeBackIn(awayMs);
      break;
    case "clean":
      if (!sensor.sayGoodbye()) return false;
      ledger.expectGoodbye(sensor.index, kind);
      sensor.comeBackIn(awayMs);
      break;
  }
  return true;
}
