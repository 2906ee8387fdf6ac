/** Every export of reporter.wasm: those of thermometer.wasm, with topics and messages as a profile block says. */

import {
  ConnectionState,
  Event,
  MESSAGE_QOS_SHIFT,
  ProfileItem,
  ProfileWhen,
  QOS_MASK,
  Status,
} from "../../core/abi";
import { Client, isClient } from "../../core/client";
import * as core from "../../core/index";
import { isInMemory } from "../../core/memory";
import { loadU16 } from "../../core/wire";
import { beginReadings, sayFarewell } from "../thermometer/connection";
import * as shared from "../thermometer/exports";
import * as policy from "../thermometer/thermometer";
import { isClientId } from "./client-id";
import { obey } from "./commands";
import { BLOCK, BLOCK_END, BLOCK_LENGTH } from "./memory-map";
import * as messages from "./messages";
import { findItem, flagsOf, isProfile } from "./profile";
import { ask, initReporter, reporterOf, reporterSize } from "./reporter";

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
  configure,
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
} from "../thermometer/exports";

/** The end of the block; a board's record lies below it. */
export const __data_end: usize = BLOCK_END;

/** Bytes of the client's record, the thermometer's and the reporter's behind it. */
export function clientSize(
  receiveCapacity: u32,
  transmitCapacity: u32,
  identityCapacity: u32,
  incomingCount: u32,
  journalCapacity: u32,
): i32 {
  const size = shared.clientSize(
    receiveCapacity,
    transmitCapacity,
    identityCapacity,
    incomingCount,
    journalCapacity,
  );
  return size < 0 ? size : size + <i32>reporterSize();
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
  if (status !== Status.Ok) return status;
  policy.initThermometer(client);
  initReporter(client);
  return Status.Ok;
}

/** With a profile, sets its Will for this client id, too. */
export function setClientId(client: Client, textAt: usize, length: u32): i32 {
  if (!isClient(client)) return Status.NotAClient;
  if (!isInMemory(textAt, length) || !isClientId(textAt, length)) return Status.InvalidArgument;
  const reporter = reporterOf(client);
  const will = findItem(reporter, ProfileItem.Will);
  let status = messages.checkWill(client, will, length);
  if (status !== Status.Ok) return status;
  status = core.setClientId(client, textAt, length);
  if (status !== Status.Ok || reporter.profileLength === 0) return status;
  return messages.applyWill(client, will);
}

/** Takes a block of the embedder's memory as the profile; it must stay as it is while it is used. Sets its Will. */
export function setProfile(client: Client, profileAt: usize, length: u32): i32 {
  if (!isClient(client)) return Status.NotAClient;
  if (client.state !== <u8>ConnectionState.Disconnected) return Status.WrongState;
  if (!isProfile(client, profileAt, length)) return Status.InvalidArgument;
  const reporter = reporterOf(client);
  const profileBefore = reporter.profileAt;
  const lengthBefore = reporter.profileLength;
  reporter.profileAt = profileAt;
  reporter.profileLength = length;
  const idLength = loadU16(client.identityAt);
  const will: usize = idLength > 0 ? findItem(reporter, ProfileItem.Will) : 0; // else with the client id
  let status = messages.checkWill(client, will, idLength);
  if (status === Status.Ok) status = messages.applyWill(client, will);
  if (status === Status.Ok) return Status.Ok;
  reporter.profileAt = profileBefore;
  reporter.profileLength = lengthBefore;
  return status;
}

export function poll(client: Client, nowMs: u32): i32 {
  if (!isClient(client)) return Status.NotAClient;
  const thermometer = policy.thermometerOf(client);
  const reporter = reporterOf(client);
  let event = core.poll(client, nowMs);
  // Each round takes one message of a lost session back.
  while (event === Event.Dropped && isLostTelemetry(client)) {
    core.requeue(client);
    event = core.poll(client, nowMs);
  }
  if (event === Event.Connected) beginConnection(client, client.eventValue !== 0);
  if (event === Event.Published) sayFarewell(client, thermometer, client.packetId);
  if (event === Event.Message) {
    event = obey(client, thermometer, reporter);
    const isCommand = event !== Event.Message;
    if (isCommand && policy.recordState(client, thermometer)) client.isStoreDue = true; // before PUBACK goes
  }
  messages.sayDue(client, thermometer, reporter, nowMs);
  return event;
}

export function connectionLost(client: Client): i32 {
  if (isClient(client)) reporterOf(client).due = 0;
  return shared.connectionLost(client);
}

/** Publishes the goodbye; DISCONNECT follows when it is acknowledged, or when the server takes too long. */
export function disconnect(client: Client, nowMs: u32): i32 {
  if (!isClient(client)) return Status.NotAClient;
  const thermometer = policy.thermometerOf(client);
  const reporter = reporterOf(client);
  if (client.state !== <u8>ConnectionState.Connected) return Status.WrongState;
  if (thermometer.farewellPacketId !== 0) return Status.Ok;
  const goodbye = findItem(reporter, ProfileItem.Goodbye);
  let packetId = 0;
  if (goodbye !== 0) {
    policy.unixMsAt(thermometer, nowMs);
    const last = thermometer.publishedMilliCelsius;
    packetId = messages.publishItem(client, thermometer, goodbye, flagsOf(goodbye), last);
    if (packetId < 0) return packetId;
  }
  reporter.due = 0; // nothing may come behind the goodbye
  if (packetId === 0) return core.disconnect(client, nowMs);
  thermometer.farewellPacketId = <u32>packetId;
  thermometer.farewellAtMs = nowMs;
  return Status.Ok;
}

export function reading(client: Client, milliCelsius: i32, nowMs: u32): i32 {
  if (!isClient(client)) return Status.NotAClient;
  const thermometer = policy.thermometerOf(client);
  const reporter = reporterOf(client);
  const item = findItem(reporter, ProfileItem.Telemetry);
  if (item === 0) return Status.WrongState;
  thermometer.wasPublished = false;
  policy.unixMsAt(thermometer, nowMs); // within the dead band, too, so that nowMs may wrap
  if (policy.isWithinDeadBand(thermometer, milliCelsius)) return 0;
  const flags: u32 = thermometer.flags | (flagsOf(item) & ~QOS_MASK);
  const packetId = messages.publishItem(client, thermometer, item, flags, milliCelsius);
  if (packetId < 0) return packetId;
  policy.markPublished(thermometer, milliCelsius);
  policy.recordState(client, thermometer);
  messages.sayDue(client, thermometer, reporter, nowMs);
  return packetId;
}

/** The Packet Identifier of the last birth: its Published says that the server knows the device to be there. */
export function birthPacketId(client: Client): u32 {
  return isClient(client) ? reporterOf(client).birthPacketId : 0;
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
  return qos === 1 && messages.isOnTelemetry(client, reporterOf(client));
}

function beginConnection(client: Client, sessionPresent: bool): void {
  const thermometer = policy.thermometerOf(client);
  const isSubscribed = sessionPresent && thermometer.hasSubscribed;
  const subscribing: u32 = isSubscribed ? 0 : ProfileWhen.Subscribing;
  ask(reporterOf(client), ProfileWhen.Connected | subscribing);
  beginReadings(thermometer);
}
