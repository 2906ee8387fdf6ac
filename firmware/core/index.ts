/** Every export of core.wasm. docs/abi.md says what each is for and when to call it. */

import { ABI_VERSION, Counter, Status, WhenFull } from "./abi";
import { Client, initClient, isClient } from "./client";
import * as connection from "./connection";
import * as event from "./event";
import { Field, setField } from "./identity";
import { HEAP_BASE } from "./memory";
import { openWindow } from "./outbox";
import { FirstByte } from "./packet-type";
import { request } from "./subscribe";

export { clientSize } from "./client";
export { connect, connectionLost, disconnect, requeue } from "./connection";
export { clearCredentials, clearWill, setWill } from "./identity";
export { poll, receiveAt, received, receiveRoom } from "./inbound";
export { note, storeAt, storeLength } from "./journal";
export { nextDeadlineMs, tick } from "./keep-alive";
export { memoryGrown } from "./memory";
export { transmitRoom } from "./outbox";
export { publish } from "./publish";
export { restore } from "./restore";
export { saveImage } from "./session-image";
export { stored } from "./stored";
export { transmitAt, transmitLength, transmitted } from "./transmit";

/** Read by WAMR, which gives an instance so many bytes and no more. */
export { HEAP_BASE as __heap_base };

/** The core has no data: what lies below HEAP_BASE belongs to the embedder. */
export const __data_end: u32 = 16;

const PACKET_ID_MAX: u32 = 65535;

export function abiVersion(): u32 {
  return ABI_VERSION;
}

export function clientInit(
  client: Client,
  receiveCapacity: u32,
  transmitCapacity: u32,
  identityCapacity: u32,
  incomingCount: u32,
  journalCapacity: u32,
): Status {
  const status = initClient(
    client,
    receiveCapacity,
    transmitCapacity,
    identityCapacity,
    incomingCount,
    journalCapacity,
  );
  return status === Status.Ok ? connection.connectionLost(client) : status; // puts the buffers in order
}

export function setLimits(client: Client, inflightMax: u32, whenFull: u32): Status {
  if (!isClient(client)) return Status.NotAClient;
  if (inflightMax === 0 || inflightMax > PACKET_ID_MAX) return Status.InvalidArgument;
  if (whenFull > <u32>WhenFull.DropOldestQos0) return Status.InvalidArgument;
  client.inflightMax = <u16>inflightMax;
  client.whenFull = <u8>whenFull;
  openWindow(client, client.outboxEnd);
  return Status.Ok;
}

export function setNextPacketId(client: Client, packetId: u32): Status {
  if (!isClient(client)) return Status.NotAClient;
  if (packetId === 0 || packetId > PACKET_ID_MAX) return Status.InvalidArgument;
  client.nextPacketId = <u16>packetId;
  client.freeIdCount = 0;
  return Status.Ok;
}

export function setClientId(client: Client, textAt: usize, length: u32): Status {
  return setField(client, Field.ClientId, textAt, length);
}

export function setUserName(client: Client, textAt: usize, length: u32): Status {
  return setField(client, Field.UserName, textAt, length);
}

export function setPassword(client: Client, bytesAt: usize, length: u32): Status {
  return setField(client, Field.Password, bytesAt, length);
}

export function subscribe(client: Client, filtersAt: usize, filtersLength: u32, nowMs: u32): i32 {
  return request(client, FirstByte.Subscribe, filtersAt, filtersLength, nowMs);
}

export function unsubscribe(client: Client, filtersAt: usize, filtersLength: u32, nowMs: u32): i32 {
  return request(client, FirstByte.Unsubscribe, filtersAt, filtersLength, nowMs);
}

export function connectionState(client: Client): i32 {
  return isClient(client) ? <i32>client.state : Status.NotAClient;
}

/** Where the last event is described, as EventField lays it out; the same for the life of the record. */
export function eventAt(client: Client): usize {
  return isClient(client) ? event.eventAt(client) : 0;
}

export function inflightCount(client: Client): u32 {
  return isClient(client) ? client.inflightCount : 0;
}

export function counter(client: Client, which: u32): u32 {
  if (!isClient(client) || which > <u32>Counter.Requeued) return 0;
  return load<u32>(changetype<usize>(client) + which * 4, offsetof<Client>("refusedCount"));
}
