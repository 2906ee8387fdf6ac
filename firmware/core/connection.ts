/** CONNECT, CONNACK and DISCONNECT; the only writer of the connection state. */

import { ConnectionState, Event, Status } from "./abi";
import { Client } from "./client";
import { describePacket, forgetEvent } from "./event";
import { CLEAN_SESSION, isConnectable, queueConnect } from "./identity";
import { compact, lengthOf, markFree, openWindow, reserveControl, rewind } from "./outbox";
import { DUP, PacketType, packetType } from "./packet-type";

/** A keep alive is a Two Byte Integer of seconds (3.1.2.10). */
const KEEP_ALIVE_SECONDS_MAX: u32 = 65535;

export function connect(
  client: Client,
  cleanSession: bool,
  keepAliveSeconds: u32,
  responseTimeoutMs: u32,
  nowMs: u32,
): Status {
  if (client.state !== <u8>ConnectionState.Disconnected) return Status.WrongState; // [MQTT-3.1.0-2]
  if (keepAliveSeconds > KEEP_ALIVE_SECONDS_MAX) return Status.InvalidArgument;
  if (!isConnectable(client, cleanSession)) return Status.InvalidArgument;

  client.connectFlags = <u8>(
    ((<u32>client.connectFlags & ~CLEAN_SESSION) | (cleanSession ? CLEAN_SESSION : 0))
  );
  client.keepAliveMs = keepAliveSeconds * 1000;
  client.responseTimeoutMs = responseTimeoutMs;
  client.connectAtMs = nowMs;
  client.sentAtMs = nowMs;
  client.state = <u8>ConnectionState.Connecting;
  client.receiveEnd = client.receiveStart; // what came before is of no connection
  queueConnect(client, keepAliveSeconds);
  return Status.Ok;
}

/** CONNACK (3.2): `flags` and `returnCode` are its two bytes. */
export function acceptConnack(client: Client, flags: u32, returnCode: u32): i32 {
  const isConnecting = client.state === <u8>ConnectionState.Connecting;
  if (!isConnecting || client.connectLength > 0) return Status.ProtocolViolation;
  if (flags > 1) return Status.ProtocolViolation; // [sec-3.2.2.1]
  const sessionPresent = flags === 1;
  if (sessionPresent && returnCode !== 0) return Status.ProtocolViolation; // [MQTT-3.2.2-4]
  if (returnCode !== 0) {
    client.state = <u8>ConnectionState.Closed; // [MQTT-3.2.2-5] [sec-3.2.2.3]
    client.eventValue = returnCode;
    return Event.Refused;
  }
  if (sessionPresent && <u32>client.connectFlags & CLEAN_SESSION) return Status.ProtocolViolation; // [MQTT-3.2.2-1]
  client.sessionPresent = sessionPresent;
  if (sessionPresent && !client.isStateStale) return becomeConnected(client);

  client.incomingCount = 0; // [MQTT-3.1.2-6] [MQTT-3.2.2-3]
  client.isStateStale = true;
  client.isLosingSession = true;
  return loseSession(client);
}

/**
 * The server has no session: reports each message that was sent before, then Connected. The window serves as the
 * place of the report meanwhile; nothing goes before it is back at the front.
 */
export function loseSession(client: Client): i32 {
  if (client.isDropping) stepOverDropped(client);
  while (client.outboxWindow < client.outboxEnd) {
    const at = client.outboxAt + client.outboxWindow;
    const firstByte: u32 = load<u8>(at);
    const isPublish = packetType(firstByte) === PacketType.Publish;
    if (packetType(firstByte) === PacketType.Pubrel || (isPublish && (firstByte & DUP) !== 0)) {
      client.isDropping = true;
      describePacket(client, at);
      return Event.Dropped;
    }
    client.outboxWindow += lengthOf(at);
  }
  client.outboxWindow = client.outboxStart;
  compact(client);
  client.isLosingSession = false;
  return becomeConnected(client);
}

/** Takes back the Dropped message as a new one: without DUP, its identifier is free in the new session. */
export function requeue(client: Client): Status {
  const at = client.outboxAt + client.outboxWindow;
  if (!client.isDropping) return Status.WrongState;
  const firstByte: u32 = load<u8>(at);
  if (packetType(firstByte) !== PacketType.Publish) return Status.WrongState;
  store<u8>(at, <u8>(firstByte & ~DUP)); // [MQTT-4.3.2-1]
  client.isDropping = false;
  client.requeuedCount++;
  return Status.Ok;
}

export function disconnect(client: Client): Status {
  if (client.state !== <u8>ConnectionState.Connected) return Status.WrongState;
  if (reserveControl(client, PacketType.Disconnect, 0) === 0) return Status.BufferFull;
  client.state = <u8>ConnectionState.Disconnecting; // the window opens no more [MQTT-3.14.4-2]
  return Status.Ok;
}

/** Ends the connection for a reason that `poll` and `tick` answer from now on. */
export function fail(client: Client, status: i32): i32 {
  client.state = <u8>ConnectionState.Closed; // [MQTT-4.8.0-1]
  client.failure = <i8>status;
  forgetEvent(client);
  return status;
}

export function connectionLost(client: Client): void {
  client.state = <u8>ConnectionState.Disconnected;
  client.failure = 0;
  client.connectLength = 0;
  client.receiveStart = 0;
  client.receiveEnd = 0;
  client.eventLength = 0;
  client.skipStep = 0;
  client.isPingPending = false;
  client.requestCount = 0;
  client.isLosingSession = false;
  client.isDropping = false;
  forgetEvent(client);
  rewind(client);
}

function becomeConnected(client: Client): i32 {
  client.state = <u8>ConnectionState.Connected;
  client.isStateStale = (<u32>client.connectFlags & CLEAN_SESSION) !== 0;
  forgetEvent(client);
  client.eventValue = client.sessionPresent ? 1 : 0;
  openWindow(client);
  return Event.Connected;
}

/** The embedder has let a reported message go. */
function stepOverDropped(client: Client): void {
  const at = client.outboxAt + client.outboxWindow;
  client.outboxWindow += lengthOf(at);
  client.isDropping = false;
  markFree(at);
}
