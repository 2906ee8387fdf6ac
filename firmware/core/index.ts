/** Every export of core.wasm. docs/abi.md says what each is for and when to call it. */

import { ABI_VERSION, ConnectionState, Counter, NEVER_MS, Status, WhenFull } from "./abi";
import { Client, clientAt } from "./client";
import * as connection from "./connection";
import * as event from "./event";
import * as identity from "./identity";
import * as inbound from "./inbound";
import * as keepAlive from "./keep-alive";
import { HEAP_BASE } from "./memory";
import * as outbox from "./outbox";
import { PacketType } from "./packet-type";
import * as publishing from "./publish";
import { request } from "./subscribe";

export { clientInit, clientSize } from "./client";
export { memoryGrown } from "./memory";

/** Read by WAMR, which gives an instance so many bytes and no more. */
export { HEAP_BASE as __heap_base };

/** The core has no data: what lies below HEAP_BASE belongs to the embedder. */
export const __data_end: u32 = 16;

const PACKET_ID_MAX: u32 = 65535;

export function abiVersion(): u32 {
  return ABI_VERSION;
}

export function setLimits(at: usize, inflightMax: u32, whenFull: u32): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  if (inflightMax === 0 || inflightMax > PACKET_ID_MAX) return Status.InvalidArgument;
  if (whenFull > <u32>WhenFull.DropOldestQos0) return Status.InvalidArgument;
  client.inflightMax = <u16>inflightMax;
  client.whenFull = <u8>whenFull;
  outbox.openWindow(client);
  return Status.Ok;
}

export function setNextPacketId(at: usize, packetId: u32): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  if (packetId === 0 || packetId > PACKET_ID_MAX) return Status.InvalidArgument;
  client.nextPacketId = <u16>packetId;
  client.freeIdCount = 0;
  return Status.Ok;
}

export function setClientId(at: usize, textAt: usize, length: u32): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  return isConnecting(client) ? Status.WrongState : identity.setClientId(client, textAt, length);
}

export function setWill(
  at: usize,
  topicAt: usize,
  topicLength: u32,
  payloadAt: usize,
  payloadLength: u32,
  flags: u32,
): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  if (isConnecting(client)) return Status.WrongState;
  return identity.setWill(client, topicAt, topicLength, payloadAt, payloadLength, flags);
}

export function clearWill(at: usize): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  if (isConnecting(client)) return Status.WrongState;
  identity.clearWill(client);
  return Status.Ok;
}

export function setUserName(at: usize, textAt: usize, length: u32): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  return isConnecting(client) ? Status.WrongState : identity.setUserName(client, textAt, length);
}

export function setPassword(at: usize, bytesAt: usize, length: u32): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  return isConnecting(client) ? Status.WrongState : identity.setPassword(client, bytesAt, length);
}

export function clearCredentials(at: usize): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  if (isConnecting(client)) return Status.WrongState;
  identity.clearCredentials(client);
  return Status.Ok;
}

export function connect(
  at: usize,
  cleanSession: u32,
  keepAliveSeconds: u32,
  responseTimeoutMs: u32,
  nowMs: u32,
): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  return connection.connect(client, cleanSession !== 0, keepAliveSeconds, responseTimeoutMs, nowMs);
}

export function connectionLost(at: usize): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  connection.connectionLost(client);
  return Status.Ok;
}

/** The time is for application modules, which say farewell first. */
export function disconnect(at: usize, _nowMs: u32): i32 {
  const client = clientAt(at);
  return client === null ? Status.NotAClient : connection.disconnect(client);
}

export function connectionState(at: usize): i32 {
  const client = clientAt(at);
  return client === null ? Status.NotAClient : <i32>client.state;
}

export function receiveAt(at: usize): usize {
  const client = clientAt(at);
  return client === null ? 0 : inbound.receiveAt(client);
}

export function receiveRoom(at: usize): u32 {
  const client = clientAt(at);
  return client === null ? 0 : inbound.receiveRoom(client);
}

export function received(at: usize, length: u32): i32 {
  const client = clientAt(at);
  return client === null ? Status.NotAClient : inbound.received(client, length);
}

/** The time is for application modules, whose `poll` may publish. */
export function poll(at: usize, _nowMs: u32): i32 {
  const client = clientAt(at);
  return client === null ? Status.NotAClient : inbound.poll(client);
}

/** Where the last event is described, as EventField lays it out; the same for the life of the record. */
export function eventAt(at: usize): usize {
  const client = clientAt(at);
  return client === null ? 0 : event.eventAt(client);
}

export function transmitAt(at: usize): usize {
  const client = clientAt(at);
  if (client === null) return 0;
  return isConnecting(client) ? client.connectAt : client.outboxAt + client.outboxSent;
}

export function transmitLength(at: usize): u32 {
  const client = clientAt(at);
  return client === null ? 0 : lengthToTransmit(client);
}

export function transmitted(at: usize, length: u32, nowMs: u32): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  if (length > lengthToTransmit(client)) return Status.InvalidArgument;
  if (length === 0) return Status.Ok;
  client.sentAtMs = nowMs;
  if (isConnecting(client)) {
    client.connectAt += length;
    client.connectLength -= length;
  } else {
    outbox.advanceSent(client, length);
  }
  return Status.Ok;
}

export function publish(
  at: usize,
  topicAt: usize,
  topicLength: u32,
  payloadAt: usize,
  payloadLength: u32,
  flags: u32,
): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  return publishing.publish(client, topicAt, topicLength, payloadAt, payloadLength, flags);
}

export function subscribe(at: usize, filtersAt: usize, filtersLength: u32, nowMs: u32): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  return request(client, PacketType.Subscribe, filtersAt, filtersLength, nowMs);
}

export function unsubscribe(at: usize, filtersAt: usize, filtersLength: u32, nowMs: u32): i32 {
  const client = clientAt(at);
  if (client === null) return Status.NotAClient;
  return request(client, PacketType.Unsubscribe, filtersAt, filtersLength, nowMs);
}

export function requeue(at: usize): i32 {
  const client = clientAt(at);
  return client === null ? Status.NotAClient : connection.requeue(client);
}

export function inflightCount(at: usize): u32 {
  const client = clientAt(at);
  return client === null ? 0 : client.inflightCount;
}

export function transmitRoom(at: usize): u32 {
  const client = clientAt(at);
  return client === null ? 0 : outbox.messageRoom(client);
}

export function counter(at: usize, which: u32): u32 {
  const client = clientAt(at);
  if (client === null || which > <u32>Counter.Requeued) return 0;
  return load<u32>(at + which * 4, offsetof<Client>("refusedCount"));
}

export function tick(at: usize, nowMs: u32): i32 {
  const client = clientAt(at);
  return client === null ? Status.NotAClient : keepAlive.tick(client, nowMs);
}

export function nextDeadlineMs(at: usize, nowMs: u32): u32 {
  const client = clientAt(at);
  return client === null ? NEVER_MS : keepAlive.nextDeadlineMs(client, nowMs);
}

function isConnecting(client: Client): bool {
  return client.state === <u8>ConnectionState.Connecting;
}

function lengthToTransmit(client: Client): u32 {
  if (isConnecting(client)) return client.connectLength;
  const mayGo =
    client.state === <u8>ConnectionState.Connected ||
    client.state === <u8>ConnectionState.Disconnecting;
  return mayGo ? client.outboxWindow - client.outboxSent : 0;
}
