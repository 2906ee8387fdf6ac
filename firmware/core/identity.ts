/** What CONNECT says of a client: identifier, Will, user name, password. They lie as in its payload (3.1.3). */

import { QOS_MASK, RETAIN_FLAG, Status } from "./abi";
import { Client, CONNECT_HEADER_ROOM } from "./client";
import { isInMemory } from "./memory";
import { firstByteOf, isMessageFlags, PacketType } from "./packet-type";
import { remainingLengthSize, storeRemainingLength } from "./remaining-length";
import { isTopicName, TEXT_LENGTH_MAX } from "./topic";
import { isUtf8 } from "./utf8";
import { copyDown, copyUp, loadU16, storeField } from "./wire";

/** Connect Flags (3.1.2.3). */
export const CLEAN_SESSION: u32 = 0x02;
const WILL: u32 = 0x04;
const WILL_QOS_SHIFT: u32 = 3;
const WILL_RETAIN: u32 = 0x20;
const WILL_ALL: u32 = 0x3c;
const PASSWORD: u32 = 0x40;
const USER_NAME: u32 = 0x80;

/** The fields in the order of the payload [MQTT-3.1.3-1], each named by the flag that tells of it. */
const CLIENT_ID: u32 = 0;

/** The variable header: protocol name, level, flags, keep alive (3.1.2). */
const VARIABLE_HEADER_LENGTH: u32 = 10;

/** "MQTT" with its length, and protocol level 4: MQTT 3.1.1. The bytes 00 04 4d 51 54 54 04, the first lowest. */
const PROTOCOL: u64 = 0x04_54_54_51_4d_04_00;

export function setClientId(client: Client, at: usize, length: u32): Status {
  const status = checkText(at, length);
  return status === Status.Ok ? replaceField(client, CLIENT_ID, at, length) : status; // [MQTT-3.1.3-4]
}

export function setUserName(client: Client, at: usize, length: u32): Status {
  const status = checkText(at, length);
  return status === Status.Ok ? replaceField(client, USER_NAME, at, length) : status; // [MQTT-3.1.3-11]
}

export function setPassword(client: Client, at: usize, length: u32): Status {
  if (length > TEXT_LENGTH_MAX || !isInMemory(at, length)) return Status.InvalidArgument;
  return replaceField(client, PASSWORD, at, length);
}

export function clearCredentials(client: Client): void {
  removeFields(client, USER_NAME | PASSWORD);
}

export function setWill(
  client: Client,
  topicAt: usize,
  topicLength: u32,
  payloadAt: usize,
  payloadLength: u32,
  flags: u32,
): Status {
  if (!isMessageFlags(flags)) return Status.InvalidArgument; // [MQTT-3.1.2-14]
  if (payloadLength > TEXT_LENGTH_MAX || !isInMemory(payloadAt, payloadLength))
    return Status.InvalidArgument;
  if (!isInMemory(topicAt, topicLength)) return Status.InvalidArgument;
  if (!isTopicName(topicAt, topicLength)) return Status.InvalidText; // [MQTT-3.1.3-10]
  const length: u32 = 4 + topicLength + payloadLength;
  if (!hasRoomFor(client, WILL, length)) return Status.TooLarge;

  removeFields(client, WILL_ALL);
  const at = insertRoom(client, WILL, length);
  storeField(storeField(at, topicAt, topicLength), payloadAt, payloadLength); // [MQTT-3.1.2-9]
  const retain: u32 = flags & RETAIN_FLAG ? WILL_RETAIN : 0;
  client.connectFlags |= <u8>(WILL | ((flags & QOS_MASK) << WILL_QOS_SHIFT) | retain);
  return Status.Ok;
}

export function clearWill(client: Client): void {
  removeFields(client, WILL_ALL); // [MQTT-3.1.2-11]
}

/** Bytes that a new client id and a new Will may take together, lengths included. */
export function roomForIdAndWill(client: Client): u32 {
  const used: u32 =
    client.identityLength - fieldLength(client, CLIENT_ID) - fieldLength(client, WILL);
  return client.identityCapacity - used;
}

/** False if the fields contradict each other. */
export function isConnectable(client: Client, cleanSession: bool): bool {
  const flags: u32 = client.connectFlags;
  if (flags & PASSWORD && !(flags & USER_NAME)) return false; // [MQTT-3.1.2-22]
  return cleanSession || loadU16(client.identityAt) > 0; // [MQTT-3.1.3-7]
}

/** Writes the headers in front of the payload and offers the packet for transmission. */
export function queueConnect(client: Client, keepAliveSeconds: u32): void {
  const remainingLength: u32 = VARIABLE_HEADER_LENGTH + client.identityLength;
  const headerLength: u32 = 1 + remainingLengthSize(remainingLength) + VARIABLE_HEADER_LENGTH;
  assert(headerLength <= CONNECT_HEADER_ROOM);
  const at = client.identityAt - headerLength;
  store<u8>(at, <u8>firstByteOf(PacketType.Connect));
  const body = storeRemainingLength(at + 1, remainingLength);
  store<u64>(body, PROTOCOL);
  store<u8>(body, client.connectFlags, 7);
  store<u8>(body, <u8>(keepAliveSeconds >> 8), 8);
  store<u8>(body, <u8>keepAliveSeconds, 9);
  client.connectAt = at;
  client.connectLength = headerLength + client.identityLength;
}

function checkText(at: usize, length: u32): Status {
  if (length > TEXT_LENGTH_MAX || !isInMemory(at, length)) return Status.InvalidArgument;
  return isUtf8(at, length) ? Status.Ok : Status.InvalidText;
}

/** Puts one field in the place of the one that was there, if any. */
function replaceField(client: Client, flag: u32, bytesAt: usize, length: u32): Status {
  if (!hasRoomFor(client, flag, 2 + length)) return Status.TooLarge;
  removeFields(client, flag);
  storeField(insertRoom(client, flag, 2 + length), bytesAt, length);
  client.connectFlags |= <u8>flag;
  return Status.Ok;
}

function hasRoomFor(client: Client, flag: u32, length: u32): bool {
  return client.identityLength - fieldLength(client, flag) + length <= client.identityCapacity;
}

/** Removes the fields that `flags` tells of, the last first: where a field lies depends on those before it. */
function removeFields(client: Client, flags: u32): void {
  removeField(client, flags & PASSWORD);
  removeField(client, flags & USER_NAME);
  removeField(client, flags & WILL);
  if (flags === CLIENT_ID) removeBytes(client, client.identityAt, fieldLength(client, CLIENT_ID));
  client.connectFlags &= <u8>~flags;
}

function removeField(client: Client, flag: u32): void {
  if (flag !== 0) removeBytes(client, fieldAt(client, flag), fieldLength(client, flag));
}

function removeBytes(client: Client, at: usize, length: u32): void {
  copyDown(at, at + length, <u32>(client.identityAt + client.identityLength - at) - length);
  client.identityLength -= length;
}

function insertRoom(client: Client, flag: u32, length: u32): usize {
  const at = fieldAt(client, flag);
  copyUp(at + length, at, <u32>(client.identityAt + client.identityLength - at));
  client.identityLength += length;
  return at;
}

/** Where a field lies, or would lie: behind all that come before it. */
function fieldAt(client: Client, flag: u32): usize {
  let at = client.identityAt;
  if (flag === CLIENT_ID) return at;
  at += fieldLength(client, CLIENT_ID);
  if (flag === WILL) return at;
  at += fieldLength(client, WILL);
  if (flag === USER_NAME) return at;
  return at + fieldLength(client, USER_NAME);
}

/** Bytes of a field with its length, 0 if it is absent. A Will has two. */
function fieldLength(client: Client, flag: u32): u32 {
  if (flag !== CLIENT_ID && !(client.connectFlags & flag)) return 0;
  const at = fieldAt(client, flag);
  const first: u32 = 2 + loadU16(at);
  return flag === WILL ? first + 2 + loadU16(at + first) : first;
}
