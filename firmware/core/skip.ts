/** A message larger than the receive buffer: read as it comes, reported once, thrown away, acknowledged at its end. */

import { Event, Status } from "./abi";
import { Client } from "./client";
import { FLAGS_MASK, receivedLength } from "./event";
import { acknowledge, checkIncoming, HANDLED } from "./incoming";
import { qosOf } from "./packet-type";
import { CHARACTER_LENGTH_MAX, characterLength } from "./text";
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

/** Begins with the topic, which does not fit the buffer. */
export function skipFromTopic(client: Client, topicLength: u32): i32 {
  client.skipTopicLength = topicLength;
  client.skipStep = <u8>SkipStep.Topic;
  return HANDLED;
}

/** Reports the message, unless it is a repetition, and begins with the payload. */
export function skipPayload(client: Client, packetId: u32): i32 {
  const verdict = checkIncoming(client, qosOf(client.skipFirstByte), packetId);
  client.skipPacketId = <u16>packetId;
  client.skipStep = <u8>SkipStep.Payload;
  if (verdict !== Status.Ok) return verdict;
  client.packetId = packetId;
  client.payloadLength = client.skipLength;
  client.eventValue = <u32>client.skipFirstByte & FLAGS_MASK;
  client.skippedCount++;
  return Event.MessageSkipped;
}

export function continueSkip(client: Client): i32 {
  if (client.skipStep === <u8>SkipStep.Topic) return skipTopic(client);
  const length = min(client.skipLength, receivedLength(client));
  client.receiveStart += length;
  client.skipLength -= length;
  if (client.skipLength > 0) return Event.None;
  if (!acknowledge(client, qosOf(client.skipFirstByte), client.skipPacketId)) return Event.None; // [MQTT-4.5.0-2]
  client.skipStep = <u8>SkipStep.Nothing;
  return HANDLED;
}

/** Checks the topic character by character, then reads the identifier. */
function skipTopic(client: Client): i32 {
  let left = client.skipTopicLength;
  while (left > 0) {
    const available = min(left, receivedLength(client));
    if (available === 0) return Event.None;
    const length = characterLength(client.receiveStart, available, false);
    if (length === 0) {
      const isWhole = available >= min(left, CHARACTER_LENGTH_MAX);
      return isWhole ? Status.MalformedPacket : Event.None;
    }
    client.receiveStart += length;
    left -= length;
    client.skipTopicLength = left;
  }
  if (qosOf(client.skipFirstByte) === 0) return skipPayload(client, 0);
  if (receivedLength(client) < 2) return Event.None;
  const packetIdAt = client.receiveStart;
  client.receiveStart = packetIdAt + 2;
  return skipPayload(client, loadU16(packetIdAt));
}
