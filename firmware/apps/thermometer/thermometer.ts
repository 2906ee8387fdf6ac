/** What a thermometer has besides its client: when it measures, and what it says next. */

import { NEVER_MS, Status } from "../../core/abi";
import { Client } from "../../core/client";
import { recordNote } from "../../core/journal";
import { sooner } from "../../core/keep-alive";
import { clear, copy } from "../../core/wire";

/** How often a reading is due until something else is configured. */
const INTERVAL_MS: u32 = 10_000;

const INTERVAL_MS_MIN: u32 = 100;
const INTERVAL_MS_MAX: u32 = 86_400_000;

/** Acknowledged telemetry is what a load test measures, and what a dead battery should not lose. */
const TELEMETRY_QOS: u32 = 1;

/**
 * Lies behind the client's record, which ends with the outbox:
 *
 *   ┌───────────────┬─────────────┐
 *   │ client record │ thermometer │
 *   └───────────────┴─────────────┘
 */
@unmanaged
export class Thermometer {
  /** Wall time at `clockAtMs`, milliseconds since 1970. */
  unixMs: u64;
  clockAtMs: u32;

  intervalMs: u32;
  /** When the current interval began. */
  measuredAtMs: u32;
  deadBandMilliCelsius: u32;
  /** QoS and RETAIN_FLAG of telemetry. */
  flags: u32;

  // What survives a loss of power, from here to `publishedMilliCelsius`: the note of docs/journal.md.
  /** The seq of the next telemetry. */
  sequence: u32;
  /** The interval that a command has set, 0 if none did. */
  commandedIntervalMs: u32;

  publishedMilliCelsius: i32;
  /** The farewell that must be acknowledged before DISCONNECT goes, 0 if there is none; and since when. */
  farewellPacketId: u32;
  farewellAtMs: u32;

  /** Readings begin with the first connection, so that the birth comes first. */
  hasStarted: bool;
  hasPublished: bool;
  /** The last reading became a message. */
  wasPublished: bool;
  /** A reading is due now. */
  isReportDue: bool;
  /** The next reading is published whatever the dead band. */
  isForced: bool;
  /** The birth, and the subscription to commands, wait for room in the outbox. */
  isBirthDue: bool;
  isSubscriptionDue: bool;
  /** The subscription was made, or is kept in the outbox until it is. */
  hasSubscribed: bool;
}

/** Bytes of what survives. */
export const NOTE_LENGTH: u32 = 8;

export function isInterval(intervalMs: u32): bool {
  return intervalMs >= INTERVAL_MS_MIN && intervalMs <= INTERVAL_MS_MAX;
}

/** Bytes behind the client's record; a multiple of 8. */
export function thermometerSize(): u32 {
  return (<u32>offsetof<Thermometer>() + 7) & ~7;
}

export function thermometerOf(client: Client): Thermometer {
  return changetype<Thermometer>((client.outboxAt + client.outboxCapacity + 7) & ~7);
}

/** Where what survives lies. */
export function noteAt(thermometer: Thermometer): usize {
  return changetype<usize>(thermometer) + offsetof<Thermometer>("sequence");
}

/** Takes back what survived. What was commanded counts more than what is configured. */
export function readNote(thermometer: Thermometer, at: usize): void {
  copy(noteAt(thermometer), at, NOTE_LENGTH);
  if (isInterval(thermometer.commandedIntervalMs)) {
    thermometer.intervalMs = thermometer.commandedIntervalMs;
  }
}

export function initThermometer(client: Client): void {
  const thermometer = thermometerOf(client);
  clear(changetype<usize>(thermometer), thermometerSize());
  thermometer.intervalMs = INTERVAL_MS;
  thermometer.sequence = 1;
  thermometer.flags = TELEMETRY_QOS;
}

/** Wall time at `nowMs`. Moves the base along, so that `nowMs` may wrap. */
export function unixMsAt(thermometer: Thermometer, nowMs: u32): u64 {
  const passedMs: u32 = nowMs - thermometer.clockAtMs;
  thermometer.unixMs += passedMs;
  thermometer.clockAtMs = nowMs;
  return thermometer.unixMs;
}

/** Milliseconds until a reading is due, or NEVER_MS. */
export function readingDueMs(thermometer: Thermometer, nowMs: u32): u32 {
  if (!thermometer.hasStarted || thermometer.farewellPacketId !== 0) return NEVER_MS;
  if (thermometer.isReportDue) return 0;
  return sooner(NEVER_MS, thermometer.measuredAtMs, thermometer.intervalMs, nowMs);
}

/** Begins the next interval where the last one ended, so that late ticks do not add up. Missed ones are left out. */
export function beginInterval(thermometer: Thermometer, nowMs: u32): void {
  if (thermometer.isReportDue) {
    thermometer.isReportDue = false;
    thermometer.isForced = true;
    thermometer.measuredAtMs = nowMs;
    return;
  }
  const passedMs: u32 = nowMs - thermometer.measuredAtMs;
  thermometer.measuredAtMs = nowMs - (passedMs % thermometer.intervalMs);
}

/** True if a reading is nearer to the last published one than the dead band, and nobody asked for it. */
export function isWithinDeadBand(thermometer: Thermometer, milliCelsius: i32): bool {
  if (thermometer.isForced || !thermometer.hasPublished) return false;
  const last = thermometer.publishedMilliCelsius;
  const distance: u32 =
    milliCelsius > last ? <u32>milliCelsius - <u32>last : <u32>last - <u32>milliCelsius;
  return distance < thermometer.deadBandMilliCelsius;
}

export function markPublished(thermometer: Thermometer, milliCelsius: i32): void {
  thermometer.publishedMilliCelsius = milliCelsius;
  thermometer.hasPublished = true;
  thermometer.wasPublished = true;
  thermometer.isForced = false;
  thermometer.sequence++;
}

/** Puts what survives into the journal of a durable client; false if there is no room, or no journal. */
export function recordState(client: Client, thermometer: Thermometer): bool {
  return recordNote(client, noteAt(thermometer), NOTE_LENGTH) === Status.Ok;
}
