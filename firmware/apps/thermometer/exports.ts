/** What every application that takes readings exports, whatever its messages say: thermometer.wasm and reporter.wasm. */

import { Event, NEVER_MS, Status } from "../../core/abi";
import { Client, isClient } from "../../core/client";
import * as core from "../../core/index";
import { isMessageFlags } from "../../core/packet-type";
import { farewellDueMs, sayFarewell } from "./connection";
import * as policy from "./thermometer";

/** Bytes of the client's record and the thermometer's behind it. */
export function clientSize(
  receiveCapacity: u32,
  transmitCapacity: u32,
  identityCapacity: u32,
  incomingCount: u32,
  journalCapacity: u32,
): i32 {
  const size = core.clientSize(
    receiveCapacity,
    transmitCapacity,
    identityCapacity,
    incomingCount,
    journalCapacity,
  );
  return size < 0 ? size : size + <i32>policy.thermometerSize();
}

export function configure(
  client: Client,
  intervalMs: u32,
  deadBandMilliCelsius: u32,
  flags: u32,
): i32 {
  if (!isClient(client)) return Status.NotAClient;
  if (!policy.isInterval(intervalMs) || !isMessageFlags(flags)) return Status.InvalidArgument;
  const thermometer = policy.thermometerOf(client);
  thermometer.intervalMs = intervalMs;
  thermometer.deadBandMilliCelsius = deadBandMilliCelsius;
  thermometer.flags = flags;
  return Status.Ok;
}

export function setSequence(client: Client, seq: u32): i32 {
  if (!isClient(client)) return Status.NotAClient;
  policy.thermometerOf(client).sequence = seq;
  return Status.Ok;
}

export function setClock(client: Client, unixSeconds: u32, milliseconds: u32, nowMs: u32): i32 {
  if (!isClient(client)) return Status.NotAClient;
  if (milliseconds > 999) return Status.InvalidArgument;
  const thermometer = policy.thermometerOf(client);
  thermometer.unixMs = <u64>unixSeconds * 1000 + milliseconds;
  thermometer.clockAtMs = nowMs;
  return Status.Ok;
}

/** The image holds the thermometer's own note. */
export function saveImage(
  client: Client,
  generation: u32,
  toAt: usize,
  capacity: u32,
  _noteAt: usize,
  _noteLength: u32,
): i32 {
  if (!isClient(client)) return Status.NotAClient;
  const noteAt = policy.noteAt(policy.thermometerOf(client));
  return core.saveImage(client, generation, toAt, capacity, noteAt, policy.NOTE_LENGTH);
}

export function restore(client: Client, batchAt: usize, length: u32): i32 {
  const status = core.restore(client, batchAt, length);
  if (status === Status.Ok && client.payloadLength === policy.NOTE_LENGTH) {
    policy.readNote(policy.thermometerOf(client), client.payloadAt);
  }
  return status;
}

/** An application has the only note. */
export function note(client: Client, _bytesAt: usize, _length: u32): i32 {
  return isClient(client) ? Status.WrongState : Status.NotAClient;
}

export function connectionLost(client: Client): i32 {
  if (!isClient(client)) return Status.NotAClient;
  const thermometer = policy.thermometerOf(client);
  thermometer.farewellPacketId = 0;
  thermometer.isBirthDue = false;
  thermometer.isSubscriptionDue = false;
  // A durable client's SUBSCRIBE is kept, any other is gone with the connection.
  if (client.journalCapacity === 0 && client.requestCount > 0) thermometer.hasSubscribed = false;
  return core.connectionLost(client);
}

export function readingPublished(client: Client): u32 {
  return isClient(client) && policy.thermometerOf(client).wasPublished ? 1 : 0;
}

export function sequence(client: Client): u32 {
  return isClient(client) ? policy.thermometerOf(client).sequence : 0;
}

export function intervalMs(client: Client): u32 {
  return isClient(client) ? policy.thermometerOf(client).intervalMs : 0;
}

export function tick(client: Client, nowMs: u32): i32 {
  if (!isClient(client)) return Status.NotAClient;
  const thermometer = policy.thermometerOf(client);
  const event = core.tick(client, nowMs);
  if (event !== Event.None) return event;
  if (farewellDueMs(client, thermometer, nowMs) === 0) {
    sayFarewell(client, thermometer, thermometer.farewellPacketId);
  }
  if (policy.readingDueMs(thermometer, nowMs) > 0) return Event.None;
  policy.beginInterval(thermometer, nowMs);
  return Event.ReadingDue;
}

export function nextDeadlineMs(client: Client, nowMs: u32): u32 {
  if (!isClient(client)) return NEVER_MS;
  const thermometer = policy.thermometerOf(client);
  const ownMs = min(
    policy.readingDueMs(thermometer, nowMs),
    farewellDueMs(client, thermometer, nowMs),
  );
  return min(core.nextDeadlineMs(client, nowMs), ownMs);
}
