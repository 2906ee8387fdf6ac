/** What a reporter says: its Will, its telemetry, its goodbye, and what its profile wants said and subscribed to. */

import {
  CONTROL_RESERVE_LENGTH,
  ConnectionState,
  ProfileItem,
  ProfileWhen,
  Status,
} from "../../core/abi";
import { Client } from "../../core/client";
import { clearWill, roomForIdAndWill, setWill } from "../../core/identity";
import { hasRoom } from "../../core/outbox";
import { FirstByte } from "../../core/packet-type";
import { publish } from "../../core/publish";
import { request } from "../../core/subscribe";
import { loadU16, storeU16 } from "../../core/wire";
import { startsWith } from "../thermometer/text";
import { Thermometer, thermometerOf, unixMsAt } from "../thermometer/thermometer";
import {
  TEXT_SCRATCH,
  TOPIC_LENGTH_MAX,
  WILL_PAYLOAD_LENGTH_MAX,
  WILL_PAYLOAD_SCRATCH,
} from "./memory-map";
import {
  findItem,
  flagsOf,
  itemAt,
  itemLength,
  kindOf,
  payloadAt,
  payloadLengthOf,
  topicAt,
  topicLengthOf,
  whenOf,
} from "./profile";
import { Reporter } from "./reporter";
import { compose, lengthAtMost } from "./template";

/** Bytes of a PUBLISH besides topic and payload, at most: fixed header, length of the topic, Packet Identifier. */
const PUBLISH_HEADER_LENGTH: u32 = 9;

/** Ok if a client id of this length fits the record together with the Will of this item, if there is one. */
export function checkWill(client: Client, item: usize, idLength: u32): Status {
  let needed: u32 = 2 + idLength;
  if (item !== 0) {
    const topicLength = topicLengthAtMost(item, idLength);
    const payloadLength = payloadLengthAtMost(item, idLength);
    if (topicLength > TOPIC_LENGTH_MAX) return Status.TooLarge;
    if (payloadLength > WILL_PAYLOAD_LENGTH_MAX) return Status.TooLarge;
    needed += 4 + topicLength + payloadLength;
  }
  return needed <= roomForIdAndWill(client) ? Status.Ok : Status.TooLarge;
}

/** Sets the Will that `checkWill` was asked about, for the client id that is set; or none. */
export function applyWill(client: Client, item: usize): Status {
  if (item === 0) return clearWill(client);
  const thermometer = thermometerOf(client);
  const topicLength = composeTopic(client, item, TEXT_SCRATCH);
  const payloadEnd = compose(
    WILL_PAYLOAD_SCRATCH,
    payloadAt(item),
    payloadLengthOf(item),
    client,
    thermometer,
    0,
  );
  const payloadLength: u32 = <u32>(payloadEnd - WILL_PAYLOAD_SCRATCH);
  return setWill(
    client,
    TEXT_SCRATCH,
    topicLength,
    WILL_PAYLOAD_SCRATCH,
    payloadLength,
    flagsOf(item),
  );
}

/**
 * Publishes what an item says. The payload is composed in the free end of the outbox, behind the place where the packet
 * will lie, so that nothing but the outbox limits its length.
 */
export function publishItem(
  client: Client,
  thermometer: Thermometer,
  item: usize,
  flags: u32,
  milliCelsius: i32,
): i32 {
  const idLength = loadU16(client.identityAt);
  const topicLengthMost = topicLengthAtMost(item, idLength);
  if (topicLengthMost > TOPIC_LENGTH_MAX) return Status.TooLarge;
  const needed: u32 =
    PUBLISH_HEADER_LENGTH +
    topicLengthMost +
    payloadLengthAtMost(item, idLength) +
    CONTROL_RESERVE_LENGTH;
  if (needed > client.outboxCapacity) return Status.TooLarge;
  if (!hasRoom(client, needed)) {
    client.refusedCount++;
    return Status.BufferFull;
  }
  const topicLength = composeTopic(client, item, TEXT_SCRATCH);
  const at = client.outboxEnd + PUBLISH_HEADER_LENGTH + topicLength;
  const end = compose(
    at,
    payloadAt(item),
    payloadLengthOf(item),
    client,
    thermometer,
    milliCelsius,
  );
  return publish(client, TEXT_SCRATCH, topicLength, at, <u32>(end - at), flags);
}

/** Says what is due, in the order of the block, as far as there is room. */
export function sayDue(
  client: Client,
  thermometer: Thermometer,
  reporter: Reporter,
  nowMs: u32,
): void {
  if (reporter.due === 0 || client.state !== <u8>ConnectionState.Connected) return;
  unixMsAt(thermometer, nowMs);
  let item = itemAt(reporter, reporter.dueOffset);
  while (item !== 0) {
    if ((whenOf(item) & reporter.due) !== 0) {
      if ((whenOf(item) & ProfileWhen.Measured) !== 0 && !thermometer.hasPublished) return;
      if (say(client, thermometer, reporter, item, nowMs) === Status.BufferFull) return;
    }
    reporter.dueOffset += itemLength(item);
    item = itemAt(reporter, reporter.dueOffset);
  }
  if ((reporter.due & ProfileWhen.Subscribing) !== 0) thermometer.hasSubscribed = true;
  reporter.due = 0;
}

/** A Packet Identifier, 0 or a Status: what will never fit is left out. */
function say(
  client: Client,
  thermometer: Thermometer,
  reporter: Reporter,
  item: usize,
  nowMs: u32,
): i32 {
  if (kindOf(item) === ProfileItem.Subscribe) return subscribeTo(client, item, nowMs);
  if (kindOf(item) !== ProfileItem.Say) return Status.Ok;
  const last = thermometer.publishedMilliCelsius;
  const packetId = publishItem(client, thermometer, item, flagsOf(item), last);
  if (packetId > 0 && (whenOf(item) & ProfileWhen.Birth) !== 0) {
    reporter.birthPacketId = <u32>packetId;
  }
  return packetId;
}

function subscribeTo(client: Client, item: usize, nowMs: u32): i32 {
  const idLength = loadU16(client.identityAt);
  if (topicLengthAtMost(item, idLength) > TOPIC_LENGTH_MAX) return Status.TooLarge;
  const length = composeTopic(client, item, TEXT_SCRATCH + 2);
  storeU16(TEXT_SCRATCH, length);
  store<u8>(TEXT_SCRATCH + 2 + length, <u8>(flagsOf(item) & 3));
  return request(client, FirstByte.Subscribe, TEXT_SCRATCH, 3 + length, nowMs);
}

/** True if the last event's message is on the topic of telemetry. */
export function isOnTelemetry(client: Client, reporter: Reporter): bool {
  const item = findItem(reporter, ProfileItem.Telemetry);
  if (item === 0) return false;
  if (topicLengthAtMost(item, loadU16(client.identityAt)) > TOPIC_LENGTH_MAX) return false;
  const length = composeTopic(client, item, TEXT_SCRATCH);
  return client.topicLength === length && startsWith(client.topicAt, length, TEXT_SCRATCH, length);
}

/** Returns the length. */
function composeTopic(client: Client, item: usize, to: usize): u32 {
  const thermometer = thermometerOf(client);
  return <u32>(compose(to, topicAt(item), topicLengthOf(item), client, thermometer, 0) - to);
}

function topicLengthAtMost(item: usize, idLength: u32): u32 {
  return lengthAtMost(topicAt(item), topicLengthOf(item), idLength);
}

function payloadLengthAtMost(item: usize, idLength: u32): u32 {
  return lengthAtMost(payloadAt(item), payloadLengthOf(item), idLength);
}
