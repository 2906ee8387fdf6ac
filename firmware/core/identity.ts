/** What CONNECT says of a client: identifier, Will, user name, password. They lie as in its payload (3.1.3). */

import { Status } from "./abi";
import { Client, isClient, isConnecting } from "./client";
import { isInMemory } from "./memory";
import { checkMessage } from "./message";
import { FirstByte } from "./packet-type";
import { packetSize, storeFixedHeader } from "./remaining-length";
import { isText, TEXT_LENGTH_MAX } from "./text";
import { copy, storeField, storeU16 } from "./wire";

/** The fields in the order of the payload [MQTT-3.1.3-1]. */
export enum Field {
  ClientId = 0,
  /** Topic and payload. */
  Will = 1,
  UserName = 2,
  Password = 3,
}

/** Connect Flags (3.1.2.3). */
export const CLEAN_SESSION: u32 = 0x02;
const WILL: u32 = 0x04;
const WILL_ALL: u32 = 0x3c;
const PASSWORD: u32 = 0x40;
const USER_NAME: u32 = 0x80;

/** QoS and RETAIN of the Will lie in the Connect Flags as in the embedder's flags, so much higher. */
const WILL_FLAGS_SHIFT: u32 = 3;

/** The variable header: protocol name, level, flags, keep alive (3.1.2). */
const VARIABLE_HEADER_LENGTH: u32 = 10;

/** "MQTT" with its length, and protocol level 4: MQTT 3.1.1. The bytes 00 04 4d 51 54 54 04, the first lowest. */
const PROTOCOL: u64 = 0x04_54_54_51_4d_04_00;

/** Sets any field but the Will. */
export function setField(client: Client, field: Field, at: usize, length: u32): Status {
  const state = checkIdle(client);
  if (state !== Status.Ok) return state;
  if (length > TEXT_LENGTH_MAX || !isInMemory(at, length)) return Status.InvalidArgument;
  if (field !== Field.Password && !isText(at, length, true)) return Status.InvalidText; // [MQTT-3.1.3-4] [MQTT-3.1.3-11]
  const fieldAt = resize(client, field, 2 + length);
  if (fieldAt === 0) return Status.TooLarge;
  storeField(fieldAt, at, length);
  return Status.Ok;
}

export function setWill(
  client: Client,
  topicAt: usize,
  topicLength: u32,
  payloadAt: usize,
  payloadLength: u32,
  flags: u32,
): Status {
  const state = checkIdle(client);
  if (state !== Status.Ok) return state;
  if (payloadLength > TEXT_LENGTH_MAX) return Status.InvalidArgument;
  const status = checkMessage(topicAt, topicLength, payloadAt, payloadLength, flags); // [MQTT-3.1.2-14] [MQTT-3.1.3-10]
  if (status !== Status.Ok) return status;
  const at = resize(client, Field.Will, 4 + topicLength + payloadLength);
  if (at === 0) return Status.TooLarge;
  storeField(storeField(at, topicAt, topicLength), payloadAt, payloadLength); // [MQTT-3.1.2-9]
  client.connectFlags = <u8>(WILL | (flags << WILL_FLAGS_SHIFT));
  return Status.Ok;
}

export function clearWill(client: Client): Status {
  const state = checkIdle(client);
  if (state !== Status.Ok) return state;
  resize(client, Field.Will, 0);
  client.connectFlags = 0; // [MQTT-3.1.2-11]
  return Status.Ok;
}

export function clearCredentials(client: Client): Status {
  const state = checkIdle(client);
  if (state !== Status.Ok) return state;
  resize(client, Field.UserName, 0);
  resize(client, Field.Password, 0);
  return Status.Ok;
}

/** Ok if the fields may change: CONNECT is sent from where they lie. */
function checkIdle(client: Client): Status {
  if (!isClient(client)) return Status.NotAClient;
  return isConnecting(client) ? Status.WrongState : Status.Ok;
}

/** Bytes that a new client id and a new Will may take together, lengths included. */
export function roomForIdAndWill(client: Client): u32 {
  return client.identityCapacity - client.userNameLength - client.passwordLength;
}

/** False if the fields contradict each other. */
export function isConnectable(client: Client, cleanSession: bool): bool {
  if (client.passwordLength > 0 && client.userNameLength === 0) return false; // [MQTT-3.1.2-22]
  return cleanSession || client.clientIdLength > 2; // [MQTT-3.1.3-7]
}

/** Writes the headers in front of the payload and offers the packet for transmission. */
export function queueConnect(client: Client, cleanSession: bool, keepAliveSeconds: u32): void {
  let flags: u32 = <u32>client.connectFlags & WILL_ALL;
  if (cleanSession) flags |= CLEAN_SESSION;
  if (client.userNameLength > 0) flags |= USER_NAME;
  if (client.passwordLength > 0) flags |= PASSWORD;
  client.connectFlags = <u8>flags;
  const remainingLength: u32 = VARIABLE_HEADER_LENGTH + client.identityLength;
  const length = packetSize(remainingLength);
  client.connectLength = length;
  const at = client.identityAt + client.identityLength - length;
  const body = storeFixedHeader(at, FirstByte.Connect, remainingLength);
  store<u64>(body, PROTOCOL);
  store<u8>(body, <u8>flags, 7);
  storeU16(body + 8, keepAliveSeconds);
}

/** Gives a field so many bytes, whatever it had; what lies behind it moves. Returns its address, 0 if they do not fit. */
function resize(client: Client, field: Field, length: u32): usize {
  const firstLengthAt = changetype<usize>(client) + offsetof<Client>("clientIdLength");
  const lengthAt = firstLengthAt + <u32>field * 4;
  const oldLength = load<u32>(lengthAt);
  const newTotal: u32 = client.identityLength - oldLength + length;
  if (newTotal > client.identityCapacity) return 0;

  let at = client.identityAt;
  for (let before = firstLengthAt; before < lengthAt; before += 4) at += load<u32>(before);
  const rest = at + oldLength;
  copy(at + length, rest, <u32>(client.identityAt + client.identityLength - rest));
  store<u32>(lengthAt, length);
  client.identityLength = newTotal;
  return at;
}
