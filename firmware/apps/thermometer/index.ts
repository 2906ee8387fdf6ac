/** Every export of thermometer.wasm: those of the core, with the thermometer's policy in some, and its own. */

import { ConnectionState, Event, MESSAGE_QOS_SHIFT, QOS_MASK, Status } from "../../core/abi";
import { Client, isClient } from "../../core/client";
import * as identity from "../../core/identity";
import * as core from "../../core/index";
import { isInMemory } from "../../core/memory";
import { obey } from "./commands";
import { beginConnection, sayFarewell } from "./connection";
import { clientSize } from "./exports";
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
export {
  clientSize,
  configure,
  connectionLost,
  intervalMs,
  nextDeadlineMs,
  note,
  readingPublished,
  restore,
  saveImage,
  sequence,
  setClock,
  setSequence,
  tick,
} from "./exports";

/** The end of the block; a board's record lies below it. */
export const __data_end: usize = BLOCK_END;

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
    if (policy.recordState(client, thermometer)) client.isStoreDue = true; // before PUBACK goes
  }
  introduce(client, thermometer, nowMs);
  return event;
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
  policy.recordState(client, thermometer);
  return packetId;
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

/** Publishes the birth and subscribes to commands, as soon as there is room. */
function introduce(client: Client, thermometer: policy.Thermometer, nowMs: u32): void {
  if (client.state !== <u8>ConnectionState.Connected) return;
  if (thermometer.isBirthDue) thermometer.isBirthDue = messages.publishOnline(client) < 0;
  if (thermometer.isSubscriptionDue) {
    thermometer.isSubscriptionDue = messages.subscribeToCommands(client, nowMs) < 0;
    thermometer.hasSubscribed = !thermometer.isSubscriptionDue;
  }
}
