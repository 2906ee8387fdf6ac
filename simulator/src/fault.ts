/** The ways in which a device can go, and the Last Will that each must cause. */

import type { World } from "../../host/src/world.ts";
import type { Fleet } from "./fleet.ts";
import type { FaultKind } from "./scenario.ts";
import type { Sensor } from "./sensor.ts";
import type { WillLedger } from "./will-ledger.ts";

/** A server that heard nothing for so many times the keep alive must close [MQTT-3.1.2-24]. */
const SILENCE_FACTOR = 1.5;

export interface FaultSurroundings {
  fleet: Fleet;
  ledger: WillLedger;
  world: World;
  keepAliveMs: number;
  graceMs: number;
}

/** Lets one device go, as `kind` says, and come back after `awayMs`. False if it could not go that way. */
export function injectFault(
  kind: FaultKind,
  sensor: Sensor,
  awayMs: number,
  surroundings: FaultSurroundings,
): boolean {
  const { fleet, ledger, world, graceMs, keepAliveMs } = surroundings;
  const atMs = world.nowMs();
  const expectWill = (earliestMs: number) =>
    ledger.expectWill(sensor.index, {
      fault: kind,
      atMs,
      earliestMs,
      latestMs: earliestMs + graceMs,
    });
  const silentUntilMs = sensor.sentAtMs + SILENCE_FACTOR * keepAliveMs;

  switch (kind) {
    case "tcp-close":
      expectWill(atMs);
      sensor.closeConnection();
      break;
    case "tcp-reset":
      expectWill(atMs);
      sensor.resetConnection();
      break;
    case "protocol-error":
      expectWill(atMs);
      sensor.sendGarbage();
      break;
    case "takeover":
      expectWill(atMs);
      fleet.keepGhost(sensor.takeOver());
      return true; // it is back already
    case "power-loss":
      expectWill(silentUntilMs);
      fleet.keepGhost(sensor.powerOff());
      break;
    case "hang":
      expectWill(silentUntilMs);
      fleet.keepGhost(sensor.hang());
      break;
    case "clean":
      if (!sensor.sayGoodbye()) return false;
      ledger.expectGoodbye(sensor.index, kind);
      break;
  }
  sensor.comeBackIn(awayMs);
  return true;
}
