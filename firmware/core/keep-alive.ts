/** What is due by the clock: PINGREQ and the time limits. Times are subtracted, never compared: they wrap. */

import { ConnectionState, Event, NEVER_MS, Status } from "./abi";
import { Client, isClient, isOpen } from "./client";
import { fail } from "./connection";
import { insertPacket } from "./outbox";
import { FirstByte } from "./packet-type";

/** The part of the keep alive that is left for late timers. */
const MARGIN_DIVISOR: u32 = 8;

/** Does what is due. Returns None, or the Status that ended the connection. */
export function tick(client: Client, nowMs: u32): i32 {
  if (!isClient(client)) return Status.NotAClient;
  if (responseDueMs(client, nowMs) === 0) return fail(client, Status.ResponseTimeout); // [sec-3.2] [sec-3.12.4]
  if (pingDueMs(client, nowMs) === 0) queuePingreq(client, nowMs);
  return Event.None;
}

/** Milliseconds until `tick` has work, or NEVER_MS. */
export function nextDeadlineMs(client: Client, nowMs: u32): u32 {
  if (!isClient(client)) return NEVER_MS;
  return min(responseDueMs(client, nowMs), pingDueMs(client, nowMs));
}

/** The time limit of what the server still owes: CONNACK, PINGRESP, SUBACK, UNSUBACK, or room to send. */
function responseDueMs(client: Client, nowMs: u32): u32 {
  const limitMs = client.responseTimeoutMs;
  let dueMs: u32 = NEVER_MS;
  if (limitMs === 0 || !isOpen(client)) return dueMs;
  if (client.requestCount > 0) dueMs = sooner(dueMs, client.requestAtMs, limitMs, nowMs);
  if (client.isPingPending) dueMs = sooner(dueMs, client.pingAtMs, limitMs, nowMs);
  if (isStalled(client)) {
    dueMs = sooner(dueMs, client.sentAtMs, client.keepAliveMs + limitMs, nowMs);
  }
  return dueMs;
}

/** [MQTT-3.1.2-23] What was received does not count. */
function pingDueMs(client: Client, nowMs: u32): u32 {
  if (!isKeptAlive(client) || isStalled(client)) return NEVER_MS;
  const periodMs: u32 = client.keepAliveMs - client.keepAliveMs / MARGIN_DIVISOR;
  return sooner(NEVER_MS, client.sentAtMs, periodMs, nowMs);
}

function isKeptAlive(client: Client): bool {
  return client.state === <u8>ConnectionState.Connected && client.keepAliveMs > 0;
}

/** Something could go and has not: a PINGREQ behind it would not come any sooner. */
function isStalled(client: Client): bool {
  return isKeptAlive(client) && client.outboxSent < client.outboxWindow;
}

/** Milliseconds until `periodMs` have passed since `sinceMs`, or `dueMs` if that is sooner. */
export function sooner(dueMs: u32, sinceMs: u32, periodMs: u32, nowMs: u32): u32 {
  const passedMs: u32 = nowMs - sinceMs;
  return passedMs < periodMs ? min(dueMs, periodMs - passedMs) : 0;
}

function queuePingreq(client: Client, nowMs: u32): void {
  const body = insertPacket(client, FirstByte.Pingreq, 0);
  assert(body !== 0); // all that could go has gone, so the reserve is free
  if (client.isPingPending) return; // the time limit runs from the first without an answer
  client.isPingPending = true;
  client.pingAtMs = nowMs;
}
