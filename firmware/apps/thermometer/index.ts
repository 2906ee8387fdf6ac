/** Every export of thermometer.wasm: those of the core, with the thermometer's policy in some, and its own. */

import {
  ConnectionState,
  Event,
  MESSAGE_QOS_SHIFT,
  NEVER_MS,
  QOS_MASK,
  Status,
} from "../../core/abi";
import { Client, isClient } from "../../core/client";
import * as identity from "../../core/identity";
import * as core from "../../core/index";
import { recordNote } from "../../core/journal";
import { sooner } from "../../core/keep-alive";
import { isInMemory } from "../../core/memory";
import { isMessageFlags } from "../../core/packet-type";
import { obey } from "./commands";
import {
  BLOCK,
  BLOCK_END,
  BLOCK_LENGTH,
  COMMAND,
  COMMAND_LENGTH,
  TELEMETRY,
  TELEMETRY_LENGTH,
} from "./memory-map";
import * as messages from "./messages";
import * as policy from "./thermometer";

export {
  __heap_base,
  abiVersion,
  clearCredentials,
  clearWill,
  connect,
  connectionState,
  counter,
  eventAt,
  inflightCount,
  memoryGrown,
  publish,
  receiveAt,
  received,
  receiveRoom,
  requeue,
  setLimits,
  setNextPacketId,
  setPassword,
  setUserName,
  setWill,
  storeAt,
  stored,
  storeLength,
  subscribe,
  transmitAt,
  transmitLength,
  transmitRoom,
  transmitted,
  unsubscribe,
} from "../../core/index";

/** The end of the block; a board's record lies below it. */
export const __data_end: usize = BLOCK_END;

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

export function clientInit(
  client: Client,
  receiveCapacity: u32,
  transmitCapacity: u32,
  identityCapacity: u32,
  incomingCount: u32,
  journalCapacity: u32,
): i32 {
  const size = clientSize(
    receiveCapacity,
    transmitCapacity,
    identityCapacity,
    incomingCount,
    journalCapacity,
  );
  if (size < 0) return size;
  const at = changetype<usize>(client);
  if (at < BLOCK || !isInMemory(at, <u32>size)) return Status.InvalidArgument;
  const status = core.clientInit(
    client,
    receiveCapacity,
    transmitCapacity,
    identityCapacity,
    incomingCount,
    journalCapacity,
  );
  if (status === Status.Ok) policy.initThermometer(client);
  return status;
}

export function setClientId(client: Client, textAt: usize, length: u32): i32 {
  if (!isClient(client)) return Status.NotAClient;
  if (!isInMemory(textAt, length) || !messages.isClientId(textAt, length))
    return Status.InvalidArgument;
  const needed: u32 = 2 + length + messages.willFieldsLength(length);
  if (needed > identity.roomForIdAndWill(client)) return Status.TooLarge;
  const status = core.setClientId(client, textAt, length);
  return status === Status.Ok ? messages.setOfflineWill(client) : status;
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

export function poll(client: Client, nowMs: u32): i32 {
  if (!isClient(client)) return Status.NotAClient;
  const thermometer = policy.thermometerOf(client);
  let event = core.poll(client, nowMs);
  // Each round takes one message of a lost session back.
  while (event === Event.Dropped && isLostTelemetry(client)) {
    core.requeue(client);
    event = core.poll(client, nowMs);
  }
  if (event === Event.Connected) beginConnection(thermometer, client.eventValue !== 0);
  if (event === Event.Published) sayFarewell(client, thermometer, client.packetId);
  if (event === Event.Message && messages.isOwnTopic(client, COMMAND, COMMAND_LENGTH)) {
    event = obey(client, thermometer);
    if (recordState(client, thermometer)) client.isStoreDue = true; // before PUBACK goes
  }
  introduce(client, thermometer, nowMs);
  return event;
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

/** Publishes the farewell; DISCONNECT follows when it is acknowledged, or when the server takes too long. */
export function disconnect(client: Client, nowMs: u32): i32 {
  if (!isClient(client)) return Status.NotAClient;
  const thermometer = policy.thermometerOf(client);
  if (client.state !== <u8>ConnectionState.Connected) return Status.WrongState;
  if (thermometer.farewellPacketId !== 0) return Status.Ok;
  const packetId = messages.publishOffline(client);
  if (packetId < 0) return packetId;
  thermometer.farewellPacketId = <u32>packetId;
  thermometer.farewellAtMs = nowMs;
  thermometer.isBirthDue = false; // nothing may come behind the farewell
  thermometer.isSubscriptionDue = false;
  return Status.Ok;
}

export function reading(client: Client, milliCelsius: i32, nowMs: u32): i32 {
  if (!isClient(client)) return Status.NotAClient;
  const thermometer = policy.thermometerOf(client);
  thermometer.wasPublished = false;
  policy.unixMsAt(thermometer, nowMs); // within the dead band, too, so that nowMs may wrap
  if (policy.isWithinDeadBand(thermometer, milliCelsius)) return 0;
  const packetId = messages.publishTelemetry(client, thermometer, milliCelsius, nowMs);
  if (packetId < 0) return packetId;
  policy.markPublished(thermometer, milliCelsius);
  recordState(client, thermometer);
  return packetId;
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

export function blockAt(): usize {
  return BLOCK;
}

export function blockLength(): u32 {
  return BLOCK_LENGTH;
}

/** Telemetry at QoS 1 goes again as a new message: at least once holds. At QoS 2 it might arrive twice. */
function isLostTelemetry(client: Client): bool {
  const qos: u32 = (client.eventValue >> MESSAGE_QOS_SHIFT) & QOS_MASK;
  return qos === 1 && messages.isOwnTopic(client, TELEMETRY, TELEMETRY_LENGTH);
}

function recordState(client: Client, thermometer: policy.Thermometer): bool {
  const noteAt = policy.noteAt(thermometer);
  return recordNote(client, noteAt, policy.NOTE_LENGTH) === Status.Ok;
}

function beginConnection(thermometer: policy.Thermometer, sessionPresent: bool): void {
  thermometer.isBirthDue = true;
  thermometer.isSubscriptionDue = !sessionPresent || !thermometer.hasSubscribed;
  if (thermometer.hasStarted) return;
  thermometer.hasStarted = true;
  thermometer.isReportDue = true;
}

/** Publishes the birth and subscribes to commands, as soon as there is room. */
function introduce(client: Client, thermometer: policy.Thermometer, nowMs: u32): void {
  if (client.state !== <u8>ConnectionState.Connected) return;
  if (thermometer.isBirthDue) thermometer.isBirthDue = messages.publishOnline(client) < 0;
  if (thermometer.isSubscriptionDue) {
    thermometer.isSubscriptionDue = messages.subscribeToCommands(client, nowMs) < 0;
    thermometer.hasSubscribed = !thermometer.isSubscriptionDue;
  }
}

/** The farewell has arrived, or has had its time: now DISCONNECT may go. */
function sayFarewell(client: Client, thermometer: policy.Thermometer, packetId: u32): void {
  if (thermometer.farewellPacketId === 0 || packetId !== thermometer.farewellPacketId) return;
  core.disconnect(client, 0);
}

function farewellDueMs(client: Client, thermometer: policy.Thermometer, nowMs: u32): u32 {
  const limitMs = client.responseTimeoutMs;
  const isWaiting =
    thermometer.farewellPacketId !== 0 && client.state === <u8>ConnectionState.Connected;
  if (!isWaiting || limitMs === 0) return NEVER_MS;
  return sooner(NEVER_MS, thermometer.farewellAtMs, limitMs, nowMs);
}
