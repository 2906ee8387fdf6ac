/** Every export of thermometer.wasm: those of the core, with the thermometer's policy in some, and its own. */

import {
  ConnectionState,
  Event,
  MESSAGE_QOS_SHIFT,
  NEVER_MS,
  QOS_MASK,
  Status,
} from "../../core/abi";
import { Client, clientAt } from "../../core/client";
import * as identity from "../../core/identity";
import * as core from "../../core/index";
import { isInMemory } from "../../core/memory";
import { isMessageFlags } from "../../core/packet-type";
import { isInterval, obey } from "./commands";
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
): i32 {
  const size = core.clientSize(receiveCapacity, transmitCapacity, identityCapacity, incomingCount);
  return size < 0 ? size : size + <i32>policy.thermometerSize();
}

export function clientInit(
  at: usize,
  receiveCapacity: u32,
  transmitCapacity: u32,
  identityCapacity: u32,
  incomingCount: u32,
): i32 {
  const size = clientSize(receiveCapacity, transmitCapacity, identityCapacity, incomingCount);
  if (size < 0) return size;
  if (at < BLOCK || !isInMemory(at, <u32>size)) return Status.InvalidArgument;
  const status = core.clientInit(
    at,
    receiveCapacity,
    transmitCapacity,
    identityCapacity,
    incomingCount,
  );
  if (status === Status.Ok) policy.initThermometer(changetype<Client>(at));
  return status;
}

export function setClientId(at: usize, textAt: usize, length: u32): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  if (!isInMemory(textAt, length) || !messages.isClientId(textAt, length))
    return Status.InvalidArgument;
  const needed: u32 = 2 + length + messages.willFieldsLength(length);
  if (needed > identity.roomForIdAndWill(client)) return Status.TooLarge;
  const status = core.setClientId(at, textAt, length);
  return status === Status.Ok ? messages.setOfflineWill(client) : status;
}

export function configure(at: usize, intervalMs: u32, deadBandMilliCelsius: u32, flags: u32): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  if (!isInterval(intervalMs) || !isMessageFlags(flags)) return Status.InvalidArgument;
  const thermometer = policy.thermometerOf(client);
  thermometer.intervalMs = intervalMs;
  thermometer.deadBandMilliCelsius = deadBandMilliCelsius;
  thermometer.flags = flags;
  return Status.Ok;
}

export function setSequence(at: usize, seq: u32): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  policy.thermometerOf(client).sequence = seq;
  return Status.Ok;
}

export function setClock(at: usize, unixSeconds: u32, milliseconds: u32, nowMs: u32): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  if (milliseconds > 999) return Status.InvalidArgument;
  const thermometer = policy.thermometerOf(client);
  thermometer.unixMs = <u64>unixSeconds * 1000 + milliseconds;
  thermometer.clockAtMs = nowMs;
  return Status.Ok;
}

export function poll(at: usize, nowMs: u32): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  const thermometer = policy.thermometerOf(client);
  let event = core.poll(at, nowMs);
  // Each round takes one message of a lost session back.
  while (event === Event.Dropped && isLostTelemetry(client)) {
    core.requeue(at);
    event = core.poll(at, nowMs);
  }
  if (event === Event.Connected) beginConnection(thermometer, client.eventValue !== 0);
  if (event === Event.Published) sayFarewell(client, thermometer, client.packetId);
  if (event === Event.Message && messages.isOwnTopic(client, COMMAND, COMMAND_LENGTH)) {
    event = obey(client, thermometer);
  }
  introduce(client, thermometer, nowMs);
  return event;
}

export function connectionLost(at: usize): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  const thermometer = policy.thermometerOf(client);
  thermometer.farewellPacketId = 0;
  thermometer.isBirthDue = false;
  thermometer.isSubscriptionDue = false;
  return core.connectionLost(at);
}

/** Publishes the farewell; DISCONNECT follows when it is acknowledged, or when the server takes too long. */
export function disconnect(at: usize, nowMs: u32): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  const thermometer = policy.thermometerOf(client);
  if (client.state !== <u8>ConnectionState.Connected) return Status.WrongState;
  if (thermometer.farewellPacketId !== 0) return Status.Ok;
  const packetId = messages.publishOffline(client);
  if (packetId < 0) return packetId;
  thermometer.farewellPacketId = <u32>packetId;
  thermometer.farewellAtMs = nowMs;
  return Status.Ok;
}

export function reading(at: usize, milliCelsius: i32, nowMs: u32): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  const thermometer = policy.thermometerOf(client);
  thermometer.wasPublished = false;
  if (policy.isWithinDeadBand(thermometer, milliCelsius)) return 0;
  const packetId = messages.publishTelemetry(client, thermometer, milliCelsius, nowMs);
  if (packetId >= 0) policy.markPublished(thermometer, milliCelsius);
  return packetId;
}

export function readingPublished(at: usize): u32 {
  const client = clientAt(at);
  return client !== null && policy.thermometerOf(client).wasPublished ? 1 : 0;
}

export function sequence(at: usize): u32 {
  const client = clientAt(at);
  return client === null ? 0 : policy.thermometerOf(client).sequence;
}

export function intervalMs(at: usize): u32 {
  const client = clientAt(at);
  return client === null ? 0 : policy.thermometerOf(client).intervalMs;
}

export function tick(at: usize, nowMs: u32): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  const thermometer = policy.thermometerOf(client);
  const event = core.tick(at, nowMs);
  if (event !== Event.None) return event;
  if (farewellDueMs(client, thermometer, nowMs) === 0) {
    sayFarewell(client, thermometer, thermometer.farewellPacketId);
  }
  if (policy.readingDueMs(thermometer, nowMs) > 0) return Event.None;
  policy.beginInterval(thermometer, nowMs);
  return Event.ReadingDue;
}

export function nextDeadlineMs(at: usize, nowMs: u32): u32 {
  const client = clientAt(at);
  if (client === null) return NEVER_MS;
  const thermometer = policy.thermometerOf(client);
  const ownMs = min(
    policy.readingDueMs(thermometer, nowMs),
    farewellDueMs(client, thermometer, nowMs),
  );
  return min(core.nextDeadlineMs(at, nowMs), ownMs);
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

function beginConnection(thermometer: policy.Thermometer, sessionPresent: bool): void {
  thermometer.isBirthDue = true;
  thermometer.isSubscriptionDue = !sessionPresent;
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
  }
}

/** The farewell has arrived, or has had its time: now DISCONNECT may go. */
function sayFarewell(client: Client, thermometer: policy.Thermometer, packetId: u32): void {
  if (thermometer.farewellPacketId === 0 || packetId !== thermometer.farewellPacketId) return;
  core.disconnect(changetype<usize>(client), 0);
}

function farewellDueMs(client: Client, thermometer: policy.Thermometer, nowMs: u32): u32 {
  const limitMs = client.responseTimeoutMs;
  const isWaiting =
    thermometer.farewellPacketId !== 0 && client.state === <u8>ConnectionState.Connected;
  if (!isWaiting || limitMs === 0) return NEVER_MS;
  const passedMs: u32 = nowMs - thermometer.farewellAtMs;
  return passedMs < limitMs ? limitMs - passedMs : 0;
}
