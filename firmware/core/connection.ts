/** CONNECT, CONNACK and DISCONNECT; the only writer of the connection state. */

import { ConnectionState, Event, Status } from "./abi";
import { Client, checkState, isClient } from "./client";
import { describePacket } from "./event";
import { CLEAN_SESSION, isConnectable, queueConnect } from "./identity";
import { RecordByte, record, SESSION_BEGUN, SESSION_BEGUN_CLEAN, SESSION_LOST } from "./journal";
import { compact, giveUp, insertPacket, openWindow, rewind } from "./outbox";
import { DUP, FirstByte, isOffered, PacketType, packetType } from "./packet-type";
import { packetEnd } from "./remaining-length";
import { clear } from "./wire";

/** A keep alive is a Two Byte Integer of seconds (3.1.2.10). */
const KEEP_ALIVE_SECONDS_MAX: u32 = 65535;

/** How far the report of a lost session is, between CONNACK without Session Present and Connected. */
enum LossStep {
  None = 0,
  /** The next message that is in doubt must be found. */
  Searching = 1,
  /** The packet at the window was reported as Dropped. */
  Reported = 2,
}

export function connect(
  client: Client,
  cleanSession: bool,
  keepAliveSeconds: u32,
  responseTimeoutMs: u32,
  nowMs: u32,
): Status {
  const status = checkState(client, ConnectionState.Disconnected); // [MQTT-3.1.0-2]
  if (status !== Status.Ok) return status;
  if (keepAliveSeconds > KEEP_ALIVE_SECONDS_MAX) return Status.InvalidArgument;
  if (<i32>responseTimeoutMs < 0) return Status.InvalidArgument; // its sum with the keep alive must fit
  if (!isConnectable(client, cleanSession)) return Status.InvalidArgument;

  rewind(client); // what was restored
  client.receiveEnd = client.receiveStart; // what came before is of no connection
  client.keepAliveMs = keepAliveSeconds * 1000;
  client.responseTimeoutMs = responseTimeoutMs;
  client.requestCount = 1;
  client.requestAtMs = nowMs;
  client.sentAtMs = nowMs;
  client.state = <u8>ConnectionState.Connecting;
  queueConnect(client, cleanSession, keepAliveSeconds);
  return Status.Ok;
}

/** CONNACK (3.2): `flags` and `returnCode` are its two bytes. */
export function acceptConnack(client: Client, flags: u32, returnCode: u32): i32 {
  const flagsMax: u32 = isClean(client) || returnCode !== 0 ? 0 : 1; // [MQTT-3.2.2-1] [MQTT-3.2.2-4] [sec-3.2.2.1]
  if (client.connectLength > 0 || flags > flagsMax) return Status.ProtocolViolation;
  if (returnCode !== 0) {
    client.state = <u8>ConnectionState.Closed; // [MQTT-3.2.2-5] [sec-3.2.2.3]
    client.eventValue = returnCode;
    return Event.Refused;
  }
  client.requestCount = 0;
  client.sessionPresent = <u8>flags;
  if (flags !== 0 && !client.isStateStale) return becomeConnected(client);

  client.incomingCount = 0; // [MQTT-3.1.2-6] [MQTT-3.2.2-3]
  client.isStateStale = true;
  client.lossStep = <u8>LossStep.Searching;
  record(client, RecordByte.Session, SESSION_LOST);
  return loseSession(client);
}

export function isLosingSession(client: Client): bool {
  return client.lossStep !== <u8>LossStep.None;
}

function isClean(client: Client): bool {
  return (<u32>client.connectFlags & CLEAN_SESSION) !== 0;
}

/**
 * The server has no session: reports each message that was sent before, then Connected. The window serves as the
 * place of the report meanwhile; nothing goes before it is back at the front.
 */
export function loseSession(client: Client): i32 {
  // The embedder has let a reported message go.
  if (client.lossStep === <u8>LossStep.Reported) giveUp(client, client.outboxWindow);
  client.lossStep = <u8>LossStep.Searching;
  while (client.outboxWindow < client.outboxEnd) {
    const at = client.outboxWindow;
    const firstByte: u32 = load<u8>(at);
    if (isOffered(firstByte) || firstByte === FirstByte.Pubrel) {
      client.lossStep = <u8>LossStep.Reported;
      describePacket(client, at);
      return Event.Dropped;
    }
    client.outboxWindow = packetEnd(at);
  }
  client.outboxWindow = client.outboxStart;
  compact(client);
  client.lossStep = <u8>LossStep.None;
  record(client, RecordByte.Session, isClean(client) ? SESSION_BEGUN_CLEAN : SESSION_BEGUN);
  return becomeConnected(client);
}

/** Takes back the Dropped message as a new one: without DUP, its identifier is free in the new session. */
export function requeue(client: Client): Status {
  if (!isClient(client)) return Status.NotAClient;
  if (client.lossStep !== <u8>LossStep.Reported) return Status.WrongState;
  const at = client.outboxWindow;
  const firstByte: u32 = load<u8>(at);
  if (packetType(firstByte) !== PacketType.Publish) return Status.WrongState;
  store<u8>(at, <u8>(firstByte & ~DUP)); // [MQTT-4.3.2-1]
  client.lossStep = <u8>LossStep.Searching;
  client.requeuedCount++;
  return Status.Ok;
}

/** The time is for application modules, which say farewell first. */
export function disconnect(client: Client, _nowMs: u32): Status {
  const status = checkState(client, ConnectionState.Connected);
  if (status !== Status.Ok) return status;
  if (insertPacket(client, FirstByte.Disconnect, 0) === 0) return Status.BufferFull;
  client.state = <u8>ConnectionState.Disconnecting; // the window opens no more [MQTT-3.14.4-2]
  return Status.Ok;
}

/** Ends the connection for a reason that `poll` and `tick` answer from now on. */
export function fail(client: Client, status: i32): i32 {
  client.state = <u8>ConnectionState.Closed; // [MQTT-4.8.0-1]
  client.failure = <i8>status;
  return status;
}

export function connectionLost(client: Client): Status {
  if (!isClient(client)) return Status.NotAClient;
  const from: u32 = offsetof<Client>("state");
  const end: u32 = offsetof<Client>("inflightMax");
  clear(changetype<usize>(client) + from, end - from);
  client.receiveStart = client.receiveAt;
  client.receiveEnd = client.receiveAt;
  client.isStoreDue = client.journalLength > 0;
  rewind(client);
  return Status.Ok;
}

function becomeConnected(client: Client): i32 {
  client.state = <u8>ConnectionState.Connected;
  client.isStateStale = isClean(client);
  client.eventValue = client.sessionPresent;
  openWindow(client, client.outboxEnd);
  return Event.Connected;
}
