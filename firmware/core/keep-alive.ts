/** What is due by the clock: PINGREQ and the time limits. Times are subtracted, never compared: they wrap. */

import { ConnectionState, Event, NEVER_MS, Status } from "./abi";
import { Client } from "./client";
import { fail } from "./connection";
import { reserveControl } from "./outbox";
import { PacketType } from "./packet-type";

/** The part of the keep alive that is left for late timers. */
const MARGIN_DIVISOR: u32 = 8;

/** Does what is due. Returns None, or the Status that ended the connection. */
export function tick(client: Client, nowMs: u32): i32 {
  if (responseDueMs(client, nowMs) === 0) return fail(client, Status.ResponseTimeout); // [sec-3.2] [sec-3.12.4]
  if (pingDueMs(client, nowMs) === 0) queuePingreq(client, nowMs);
  return Event.None;
}

/** Milliseconds until `tick` has work, or NEVER_MS. */
export function nextDeadlineMs(client: Client, nowMs: u32): u32 {
  return min(responseDueMs(client, nowMs), pingDueMs(client, nowMs));
}

/** The time limit of what the server still owes: CONNACK, PINGRESP, SUBACK, UNSUBACK, or room to send. */
function responseDueMs(client: Client, nowMs: u32): u32 {
  const limitMs = client.responseTimeoutMs;
  if (limitMs === 0) return NEVER_MS;
  if (client.state === <u8>ConnectionState.Connecting && !client.isLosingSession) {
    return leftMs(client.connectAtMs, limitMs, nowMs);
  }
  if (client.state !== <u8>ConnectionState.Connected) return NEVER_MS;
  let dueMs: u32 = NEVER_MS;
  if (client.isPingPending) dueMs = leftMs(client.pingAtMs, limitMs, nowMs);
  if (client.requestCount > 0) dueMs = min(dueMs, leftMs(client.requestAtMs, limitMs, nowMs));
  if (isStalled(client))
    dueMs = min(dueMs, leftMs(client.sentAtMs, client.keepAliveMs + limitMs, nowMs));
  return dueMs;
}

/** [MQTT-3.1.2-23] What was received does not count. */
function pingDueMs(client: Client, nowMs: u32): u32 {
  const isWatching = client.state === <u8>ConnectionState.Connected && client.keepAliveMs > 0;
  if (!isWatching || isStalled(client)) return NEVER_MS;
  return leftMs(client.sentAtMs, client.keepAliveMs - client.keepAliveMs / MARGIN_DIVISOR, nowMs);
}

/** Something could go and has not: a PINGREQ behind it would not come any sooner. */
function isStalled(client: Client): bool {
  return client.keepAliveMs > 0 && client.outboxSent < client.outboxWindow;
}

function leftMs(sinceMs: u32, periodMs: u32, nowMs: u32): u32 {
  const passedMs: u32 = nowMs - sinceMs;
  return passedMs < periodMs ? periodMs - passedMs : 0;
}

function queuePingreq(client: Client, nowMs: u32): void {
  const body = reserveControl(client, PacketType.Pingreq, 0);
  assert(body !== 0); // all that could go has gone, so the reserve is free
  if (client.isPingPending) return; // the time limit runs from the first without an answer
  client.isPingPending = true;
  client.pingAtMs = nowMs;
}
