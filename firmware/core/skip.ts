/** A message larger than the receive buffer: read as it comes, reported once, thrown away, acknowledged at its end. */

import { Event, Status } from "./abi";
import { Client } from "./client";
import { describeMessage, dropEventBytes, FLAGS_MASK, variableHeaderLength } from "./event";
import { acknowledge, checkIncoming, HANDLED } from "./incoming";
import { qosOf } from "./packet-type";
import { isTopicName, nextTopicName } from "./topic";
import { UTF8_BOUNDARY, UTF8_ILL_FORMED } from "./utf8";
import { loadU16 } from "./wire";

/** What comes next of the message. */
enum SkipStep {
  Nothing = 0,
  /** A topic too long to be kept, then the identifier. */
  Topic = 1,
  Payload = 2,
}

export function isSkipping(client: Client): bool {
  return client.skipStep !== <u8>SkipStep.Nothing;
}

/** Reads as much of the header as fits the buffer. `headerLength` is that of the fixed header. */
export function beginSkip(
  client: Client,
  firstByte: u32,
  headerLength: u32,
  remainingLength: u32,
): i32 {
  const body = client.receiveAt + client.receiveStart + headerLength;
  const available: u32 = client.receiveEnd - client.receiveStart;
  if (available < headerLength + 2) return Event.None;
  const topicLength = loadU16(body);
  const bodyLength = variableHeaderLength(firstByte, topicLength);
  if (topicLength === 0 || bodyLength > remainingLength) return Status.MalformedPacket; // [MQTT-4.7.3-1]

  client.skipFirstByte = <u8>firstByte;
  client.skipPacketId = 0;
  client.skipLeft = remainingLength - bodyLength;
  if (headerLength + bodyLength > client.receiveCapacity) {
    client.skipStep = <u8>SkipStep.Topic;
    client.skipTopicLeft = topicLength;
    client.skipTopicState = UTF8_BOUNDARY;
    client.skipIdLeft = qosOf(firstByte) > 0 ? 2 : 0;
    client.receiveStart += headerLength + 2;
    return HANDLED;
  }
  if (available < headerLength + bodyLength) return Event.None;
  if (!isTopicName(body + 2, topicLength)) return Status.MalformedPacket;
  client.skipStep = <u8>SkipStep.Payload;
  if (qosOf(firstByte) > 0) client.skipPacketId = <u16>loadU16(body + 2 + topicLength);
  client.eventLength = headerLength + bodyLength;
  const event = announce(client);
  if (event === Event.MessageSkipped) describeMessage(client, firstByte, body, 0, client.skipLeft);
  return event;
}

export function continueSkip(client: Client): i32 {
  dropEventBytes(client);
  if (client.skipStep === <u8>SkipStep.Topic) return skipTopic(client);
  const length = min(client.skipLeft, client.receiveEnd - client.receiveStart);
  client.receiveStart += length;
  client.skipLeft -= length;
  if (client.skipLeft > 0) return Event.None;
  if (!acknowledge(client, qosOf(client.skipFirstByte), client.skipPacketId)) return Event.None; // [MQTT-4.5.0-2]
  client.skipStep = <u8>SkipStep.Nothing;
  return HANDLED;
}

/** Checks the topic byte by byte, then reads the identifier. */
function skipTopic(client: Client): i32 {
  while (client.skipTopicLeft > 0 || client.skipIdLeft > 0) {
    if (client.receiveStart === client.receiveEnd) return Event.None;
    const byte: u32 = load<u8>(client.receiveAt + client.receiveStart);
    client.receiveStart++;
    if (client.skipTopicLeft > 0) {
      client.skipTopicLeft--;
      client.skipTopicState = nextTopicName(client.skipTopicState, byte);
      if (client.skipTopicState === UTF8_ILL_FORMED) return Status.MalformedPacket;
    } else {
      client.skipIdLeft--;
      client.skipPacketId = <u16>(((<u32>client.skipPacketId) << 8) | byte);
    }
  }
  if (client.skipTopicState !== UTF8_BOUNDARY) return Status.MalformedPacket;
  client.skipStep = <u8>SkipStep.Payload;
  return announce(client);
}

/** Reports the message, unless it is a repetition. */
function announce(client: Client): i32 {
  const verdict = checkIncoming(client, qosOf(client.skipFirstByte), client.skipPacketId);
  if (verdict !== Status.Ok) return verdict;
  client.packetId = client.skipPacketId;
  client.payloadLength = client.skipLeft;
  client.eventValue = <u32>client.skipFirstByte & FLAGS_MASK;
  client.skippedCount++;
  return Event.MessageSkipped;
}
