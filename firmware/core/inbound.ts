/** Takes one packet after the other out of the received bytes, and dispatches it. */

import { ConnectionState, Event, Status, SUBSCRIBE_FAILURE } from "./abi";
import { Client, isClient, isOpen } from "./client";
import { acceptConnack, fail, isLosingSession, loseSession } from "./connection";
import { describePacket, forgetEvent, receivedLength, variableHeaderLength } from "./event";
import { acknowledge, checkIncoming, HANDLED, removeIncoming } from "./incoming";
import { hasJournalRoom, record } from "./journal";
import { findKept, markFree, packetIdOf, queueAcknowledgement, release } from "./outbox";
import { FirstByte, isFromServer, PacketType, packetType, qosOf } from "./packet-type";
import { bodyOf, packetEnd, packetLength } from "./remaining-length";
import { continueSkip, isSkipping, skipFromTopic, skipPayload } from "./skip";
import { isTopicName } from "./text";
import { copy, loadU16 } from "./wire";

/**
 * The next event, None if it needs more bytes or room, or the Status that ended the connection. The time is for
 * application modules, which may publish here.
 */
export function poll(client: Client, nowMs: u32): i32 {
  if (!isClient(client)) return Status.NotAClient;
  forgetEvent(client);
  if (!isOpen(client)) {
    client.receiveStart = client.receiveEnd;
    return client.failure;
  }
  // Every packet that is handled takes at least two bytes, or ends a skip.
  let event: i32;
  do {
    event = step(client);
  } while (event === HANDLED);
  if (event === Event.Connected) client.requestAtMs = nowMs; // for what was kept and goes again
  return event < 0 ? fail(client, event) : event;
}

/** Where the next bytes go. Moves what is left of the last chunk to the front. */
export function receiveAt(client: Client): usize {
  if (!isClient(client)) return 0;
  if (client.receiveStart > client.receiveAt) {
    client.receiveEnd = copy(client.receiveAt, client.receiveStart, receivedLength(client));
    client.receiveStart = client.receiveAt;
  }
  return client.receiveEnd;
}

export function receiveRoom(client: Client): u32 {
  return isClient(client) ? client.receiveCapacity - receivedLength(client) : 0;
}

export function received(client: Client, length: u32): Status {
  if (!isClient(client)) return Status.NotAClient;
  const end = client.receiveAt + client.receiveCapacity;
  if (length > <u32>(end - client.receiveEnd)) return Status.InvalidArgument;
  client.receiveEnd += length;
  return Status.Ok;
}

/** Whatever comes in, half of the journal's buffer is left for what the embedder makes of it. */
function step(client: Client): i32 {
  if (!hasJournalRoom(client, client.journalCapacity / 2)) return Event.None;
  if (isLosingSession(client)) return loseSession(client);
  return isSkipping(client) ? continueSkip(client) : takePacket(client);
}

function takePacket(client: Client): i32 {
  const at = client.receiveStart;
  const available = receivedLength(client);
  if (available === 0) return Event.None;
  const firstByte: u32 = load<u8>(at);
  const isConnack = packetType(firstByte) === PacketType.Connack;
  if (!isFromServer(firstByte)) return Status.ProtocolViolation; // [MQTT-2.2.2-2] [sec-3.14]
  if (isConnack !== (client.state === <u8>ConnectionState.Connecting))
    return Status.ProtocolViolation; // [MQTT-3.2.0-1]

  const length = packetLength(at, available);
  if (length <= 0) return length;
  const body = bodyOf(at);
  const bodyLength: u32 = <u32>(at + length - body);
  if (packetType(firstByte) === PacketType.Publish) return takePublish(client, at, <u32>length);
  if (!isPlausible(firstByte, bodyLength)) return Status.MalformedPacket;
  if (<u32>length > client.receiveCapacity) return Status.MalformedPacket;
  if (available < <u32>length) return Event.None;
  const event = takeAnswer(client, firstByte, body, bodyLength);
  if (event !== Event.None) client.receiveStart = at + length;
  return event;
}

/** SUBACK has at least one code; any other packet but PUBLISH has one length only. */
function isPlausible(firstByte: u32, bodyLength: u32): bool {
  const type = packetType(firstByte);
  if (type === PacketType.Suback) return bodyLength > 2;
  return bodyLength === (type === PacketType.Pingresp ? 0 : 2);
}

function takePublish(client: Client, at: usize, length: u32): i32 {
  const available = receivedLength(client);
  const isWhole = length <= client.receiveCapacity;
  const firstByte: u32 = load<u8>(at);
  const body = bodyOf(at);
  const needed: u32 = isWhole ? length : <u32>(body - at) + 2;
  if (available < needed) return Event.None;
  const topicLength = loadU16(body);
  const headerLength: u32 = <u32>(body - at) + variableHeaderLength(firstByte, topicLength);
  if (headerLength > length) return Status.MalformedPacket;
  client.skipFirstByte = <u8>firstByte; // in case that it is skipped
  client.skipLength = length - headerLength;
  if (headerLength > client.receiveCapacity) {
    client.receiveStart = body + 2;
    return skipFromTopic(client, topicLength);
  }
  if (available < headerLength) return Event.None;
  if (!isTopicName(body + 2, topicLength)) return Status.MalformedPacket; // [MQTT-1.5.3-1] [MQTT-3.3.2-2]

  const qos = qosOf(firstByte);
  const packetId: u32 = qos > 0 ? packetIdOf(at) : 0;
  if (!isWhole) {
    client.receiveStart = at + headerLength;
    const event = skipPayload(client, packetId);
    if (event === Event.MessageSkipped) {
      client.topicAt = body + 2;
      client.topicLength = topicLength;
    }
    return event;
  }
  const verdict = checkIncoming(client, qos, packetId);
  if (verdict < 0) return verdict;
  if (!acknowledge(client, qos, packetId)) return Event.None;
  client.receiveStart = at + length;
  if (verdict === HANDLED) return HANDLED; // [MQTT-4.3.3-2]
  describePacket(client, at);
  return Event.Message;
}

/** Takes any packet but PUBLISH. */
function takeAnswer(client: Client, firstByte: u32, body: usize, bodyLength: u32): i32 {
  const type = packetType(firstByte);
  if (type === PacketType.Connack) return acceptConnack(client, load<u8>(body), load<u8>(body, 1));
  if (type === PacketType.Pingresp) {
    client.isPingPending = false;
    return HANDLED;
  }
  const packetId = loadU16(body);
  if (packetId === 0) return Status.ProtocolViolation; // [sec-2.3.1]
  if (type === PacketType.Pubrel) return takePubrel(client, packetId);

  const sentEnd = client.outboxSent;
  const request = findKept(client, packetId, sentEnd); // [MQTT-2.3.1-7]
  if (request === sentEnd || !isAnswer(type, load<u8>(request))) {
    client.strayCount++;
    return HANDLED;
  }
  if (type === PacketType.Pubrec) return takePubrec(client, request, packetId);
  if (type === PacketType.Suback && !isSuback(request, body, bodyLength))
    return Status.ProtocolViolation;

  release(client, request);
  client.packetId = packetId;
  if (type === PacketType.Unsuback) return Event.Unsubscribed;
  if (type === PacketType.Suback) {
    client.payloadAt = body + 2;
    client.payloadLength = bodyLength - 2;
    return Event.Subscribed;
  }
  // A PUBACK for a QoS 2 message ends it as well: a server that knows no QoS 2 answers so.
  client.eventValue = type === PacketType.Puback ? 1 : 2;
  return Event.Published;
}

/** True if a packet of this type answers what begins with `requestByte` and waits for an answer. */
function isAnswer(type: u32, requestByte: u32): bool {
  if (type === PacketType.Pubrec) return qosOf(requestByte) === 2; // a PUBLISH: nothing else has QoS 2
  return packetType(requestByte) === type - 1; // each other type follows that of its request
}

/** From here on only PUBREL may be sent for this message [MQTT-4.3.3-1]. It takes the place of the PUBLISH. */
function takePubrec(client: Client, publishAt: usize, packetId: u32): i32 {
  markFree(publishAt);
  const isQueued = queueAcknowledgement(client, FirstByte.Pubrel, packetId); // [MQTT-4.6.0-4]
  assert(isQueued); // it is shorter than the PUBLISH
  record(client, FirstByte.Pubrel, packetId);
  return HANDLED;
}

/** An unknown identifier is answered too: the server would wait for ever. */
function takePubrel(client: Client, packetId: u32): i32 {
  if (!queueAcknowledgement(client, FirstByte.Pubcomp, packetId)) return Event.None;
  if (removeIncoming(client, packetId)) record(client, FirstByte.Pubcomp, packetId);
  return HANDLED;
}

/** True if it has a code for each filter, and none that does not exist. */
function isSuback(subscribeAt: usize, body: usize, bodyLength: u32): bool {
  const filtersEnd = packetEnd(subscribeAt);
  let codeAt = body + 2;
  for (let at = bodyOf(subscribeAt) + 2; at < filtersEnd; at += 3 + loadU16(at)) {
    const code: u32 = load<u8>(codeAt);
    if (code > 2 && code !== SUBSCRIBE_FAILURE) return false; // [MQTT-3.9.3-2]
    codeAt++;
  }
  return codeAt === body + bodyLength; // [MQTT-3.8.4-5]
}
