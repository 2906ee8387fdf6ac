/** How a connection begins and ends: what is due then, and the farewell that DISCONNECT waits for. */

import { ConnectionState, NEVER_MS } from "../../core/abi";
import { Client } from "../../core/client";
import * as core from "../../core/index";
import { sooner } from "../../core/keep-alive";
import { Thermometer } from "./thermometer";

export function beginConnection(thermometer: Thermometer, sessionPresent: bool): void {
  thermometer.isBirthDue = true;
  thermometer.isSubscriptionDue = !sessionPresent || !thermometer.hasSubscribed;
  beginReadings(thermometer);
}

/** With the first connection. */
export function beginReadings(thermometer: Thermometer): void {
  if (thermometer.hasStarted) return;
  thermometer.hasStarted = true;
  thermometer.isReportDue = true;
}

/** The farewell has arrived, or has had its time: now DISCONNECT may go. */
export function sayFarewell(client: Client, thermometer: Thermometer, packetId: u32): void {
  if (thermometer.farewellPacketId === 0 || packetId !== thermometer.farewellPacketId) return;
  core.disconnect(client, 0);
}

export function farewellDueMs(client: Client, thermometer: Thermometer, nowMs: u32): u32 {
  const limitMs = client.responseTimeoutMs;
  const isWaiting =
    thermometer.farewellPacketId !== 0 && client.state === <u8>ConnectionState.Connected;
  if (!isWaiting || limitMs === 0) return NEVER_MS;
  return sooner(NEVER_MS, thermometer.farewellAtMs, limitMs, nowMs);
}
