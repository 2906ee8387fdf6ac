/** Takes one packet after the other out of the received bytes, and dispatches it. */

import { ConnectionState, Event, Status, SUBSCRIBE_FAILURE } from "./abi";
import { Client } from "./client";
import { acceptConnack, fail, loseSession } from "./connection";
import { describeMessage, dropEventBytes, forgetEvent, variableHeaderLength } from "./event";
import { acknowledge, checkIncoming, HANDLED, removeIncoming } from "./incoming";
import { find, NOT_FOUND, openWindow, queueAcknowledgement, release } from "./outbox";
import { isFromServer, PacketType, packetType, qosOf } from "./packet-type";
import { loadRemainingLength, remainingLengthBytes } from "./remaining-length";
import { beginSkip, continueSkip, isSkipping } from "./skip";
import { filterCountOf } from "./subscribe";
import { isTopicName } from "./topic";
import { copyDown, loadU16 } from "./wire";

/** The next event, None if it needs more bytes or room, or the Status that ended the connection. */
export function poll(client: Client): i32 {
  dropEventBytes(client);
  if (client.state === <u8>ConnectionState.Closed) return client.failure;
  if (client.isLosingSession) return loseSession(client);
  forgetEvent(client);
  if (
    client.state !== <u8>ConnectionState.Connected &&
    client.state !== <u8>ConnectionState.Connecting
  ) {
    client.receiveStart = client.receiveEnd;
    return Event.None;
  }
  // Every packet that is handled takes at least two bytes, or ends a skip.
  while (client.receiveStart < client.receiveEnd || isSkipping(client)) {
    const event = isSkipping(client) ? continueSkip(client) : takePacket(client);
    if (event < 0) return fail(client, event);
    if (event !== HANDLED) return event;
  }
  return Event.None;
}

/** Where the next bytes go. Moves what is left of the last chunk to the front. */
export function receiveAt(client: Client): usize {
  dropEventBytes(client);
  const left: u32 = client.receiveEnd - client.receiveStart;
  if (client.receiveStart > 0) {
    copyDown(client.receiveAt, client.receiveAt + client.receiveStart, left);
    client.receiveStart = 0;
    client.receiveEnd = left;
  }
  return client.receiveAt + left;
}

export function receiveRoom(client: Client): u32 {
  return client.receiveCapacity - (client.receiveEnd - client.receiveStart - client.eventLength);
}

export function received(client: Client, length: u32): Status {
  if (length > client.receiveCapacity - client.receiveEnd) return Status.InvalidArgument;
  client.receiveEnd += length;
  return Status.Ok;
}

function takePacket(client: Client): i32 {
  const at = client.receiveAt + client.receiveStart;
  const available: u32 = client.receiveEnd - client.receiveStart;
  const firstByte: u32 = load<u8>(at);
  const isConnack = packetType(firstByte) === PacketType.Connack;
  if (!isFromServer(firstByte)) return Status.ProtocolViolation; // [MQTT-2.2.2-2] [sec-3.14]
  if (isConnack !== (client.state === <u8>ConnectionState.Connecting))
    return Status.ProtocolViolation; // [MQTT-3.2.0-1]

  const byteCount = remainingLengthBytes(at + 1, available - 1);
  if (byteCount <= 0) return byteCount;
  const remainingLength = loadRemainingLength(at + 1, <u32>byteCount);
  const headerLength: u32 = 1 + <u32>byteCount;
  if (!isPlausible(firstByte, remainingLength)) return Status.MalformedPacket;
  if (remainingLength > client.receiveCapacity - headerLength) {
    if (packetType(firstByte) !== PacketType.Publish) return Status.MalformedPacket;
    return beginSkip(client, firstByte, headerLength, remainingLength);
  }
  if (available < headerLength + remainingLength) return Event.None;

  const event = dispatch(client, firstByte, at + headerLength, remainingLength);
  if (event > 0) client.eventLength = headerLength + remainingLength;
  if (event === HANDLED) dropEventBytes(client);
  return event;
}

/** A packet other than PUBLISH has one length only; SUBACK has at least one code. */
function isPlausible(firstByte: u32, remainingLength: u32): bool {
  switch (packetType(firstByte)) {
    case PacketType.Publish:
    case PacketType.Suback:
      return remainingLength > 2;
    case PacketType.Pingresp:
      return remainingLength === 0;
    default:
      return remainingLength === 2;
  }
}

/** `body` lies behind the fixed header. */
function dispatch(client: Client, firstByte: u32, body: usize, remainingLength: u32): i32 {
  const type = packetType(firstByte);
  if (type === PacketType.Publish) return takePublish(client, firstByte, body, remainingLength);
  if (type === PacketType.Connack) return acceptConnack(client, load<u8>(body), load<u8>(body, 1));
  if (type === PacketType.Pingresp) {
    client.isPingPending = false;
    return HANDLED;
  }
  const packetId = loadU16(body);
  if (packetId === 0) return Status.ProtocolViolation; // [sec-2.3.1]
  switch (type) {
    case PacketType.Puback:
      return takePuback(client, packetId);
    case PacketType.Pubrec:
      return takePubrec(client, packetId);
    case PacketType.Pubrel:
      return takePubrel(client, packetId);
    case PacketType.Pubcomp:
      return answered(client, PacketType.Pubrel, packetId, 2);
    case PacketType.Suback:
      return takeSuback(client, packetId, body + 2, remainingLength - 2);
    default:
      return takeUnsuback(client, packetId);
  }
}

function takePublish(client: Client, firstByte: u32, body: usize, remainingLength: u32): i32 {
  const topicLength = loadU16(body);
  const headerLength = variableHeaderLength(firstByte, topicLength);
  if (headerLength > remainingLength) return Status.MalformedPacket;
  if (!isTopicName(body + 2, topicLength)) return Status.MalformedPacket; // [MQTT-1.5.3-1] [MQTT-3.3.2-2]

  const qos = qosOf(firstByte);
  const packetId: u32 = qos > 0 ? loadU16(body + 2 + topicLength) : 0;
  const verdict = checkIncoming(client, qos, packetId);
  if (verdict < 0) return verdict;
  if (!acknowledge(client, qos, packetId)) return Event.None;
  if (verdict === HANDLED) return HANDLED; // [MQTT-4.3.3-2]
  client.packetId = packetId;
  describeMessage(client, firstByte, body, body + headerLength, remainingLength - headerLength);
  return Event.Message;
}

/** A PUBACK for a QoS 2 message ends it as well: a server that knows no QoS 2 answers so. */
function takePuback(client: Client, packetId: u32): i32 {
  return answered(client, PacketType.Publish, packetId, 1);
}

/** From here on only PUBREL may be sent for this message [MQTT-4.3.3-1]. It takes the place of the PUBLISH. */
function takePubrec(client: Client, packetId: u32): i32 {
  const offset = find(client, PacketType.Publish, packetId);
  if (offset === NOT_FOUND || qosOf(load<u8>(client.outboxAt + offset)) !== 2) return stray(client);
  release(client, offset);
  const isQueued = queueAcknowledgement(client, PacketType.Pubrel, packetId); // [MQTT-4.6.0-4]
  assert(isQueued);
  return HANDLED;
}

/** An unknown identifier is answered too: the server would wait for ever. */
function takePubrel(client: Client, packetId: u32): i32 {
  if (!queueAcknowledgement(client, PacketType.Pubcomp, packetId)) return Event.None;
  removeIncoming(client, packetId);
  return HANDLED;
}

function takeSuback(client: Client, packetId: u32, codesAt: usize, codeCount: u32): i32 {
  const offset = find(client, PacketType.Subscribe, packetId); // [MQTT-2.3.1-7]
  if (offset === NOT_FOUND) return stray(client);
  if (filterCountOf(client.outboxAt + offset) !== codeCount) return Status.ProtocolViolation; // [MQTT-3.8.4-5]
  for (let index: u32 = 0; index < codeCount; index++) {
    const code: u32 = load<u8>(codesAt + index);
    if (code > 2 && code !== SUBSCRIBE_FAILURE) return Status.ProtocolViolation; // [MQTT-3.9.3-2]
  }
  release(client, offset);
  client.requestCount--;
  client.packetId = packetId;
  client.payloadAt = codesAt;
  client.payloadLength = codeCount;
  return Event.Subscribed;
}

function takeUnsuback(client: Client, packetId: u32): i32 {
  const offset = find(client, PacketType.Unsubscribe, packetId);
  if (offset === NOT_FOUND) return stray(client);
  release(client, offset);
  client.requestCount--;
  client.packetId = packetId;
  return Event.Unsubscribed;
}

/** The server has taken over the message whose last packet is of this type. */
function answered(client: Client, type: PacketType, packetId: u32, qos: u32): i32 {
  const offset = find(client, type, packetId);
  if (offset === NOT_FOUND) return stray(client);
  release(client, offset);
  openWindow(client);
  client.packetId = packetId;
  client.eventValue = qos;
  return Event.Published;
}

function stray(client: Client): i32 {
  client.strayCount++;
  return HANDLED;
}
