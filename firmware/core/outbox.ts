/** The outbox: a run of whole packets, each kept until nobody waits for it. client.ts draws it. */

import { CONTROL_RESERVE_LENGTH, ConnectionState } from "./abi";
import { Client } from "./client";
import { DUP, firstByteOf, PacketType, packetType, qosOf } from "./packet-type";
import {
  loadRemainingLength,
  remainingLengthBytes,
  remainingLengthSize,
  storeRemainingLength,
} from "./remaining-length";
import { copyDown, copyUp, loadU16, storeU16 } from "./wire";

/** What `find` answers when there is no such packet. */
export const NOT_FOUND: u32 = 0xffffffff;

/** No identifier is 0 (2.3.1), so there are this many. */
const PACKET_ID_COUNT: u32 = 65535;

/** How often the search for a free identifier may start anew. Identifiers in use mostly ascend: two rounds do. */
const SEARCH_ROUND_COUNT: u32 = 64;

/** Bytes of a packet with `remainingLength` bytes behind its fixed header. */
export function packetSize(remainingLength: u32): u32 {
  return 1 + remainingLengthSize(remainingLength) + remainingLength;
}

/** True if `length` more bytes fit. May move the packets together for that. */
export function hasRoom(client: Client, length: u32): bool {
  if (client.outboxEnd + length <= client.outboxCapacity) return true;
  compact(client);
  return client.outboxEnd + length <= client.outboxCapacity;
}

/**
 * Puts one whole packet at the end, where it waits for its turn, and writes its fixed header. Returns the address of its
 * body. `hasRoom` has said that it fits.
 */
export function reserveMessage(client: Client, firstByte: u32, remainingLength: u32): usize {
  const at = client.outboxAt + client.outboxEnd;
  client.outboxEnd += packetSize(remainingLength);
  assert(client.outboxEnd <= client.outboxCapacity);
  return storeFixedHeader(at, firstByte, remainingLength);
}

/**
 * Puts one whole packet before all that waits behind the window, and writes its fixed header. Returns the address of its
 * body, or 0 if there is no room.
 */
export function reserveControl(client: Client, type: PacketType, remainingLength: u32): usize {
  const size = packetSize(remainingLength);
  if (!hasRoom(client, size)) return 0;
  const at = client.outboxAt + client.outboxWindow;
  copyUp(at + size, at, client.outboxEnd - client.outboxWindow);
  client.outboxWindow += size;
  client.outboxEnd += size;
  if (type === PacketType.Pubrel) client.inflightCount++;
  return storeFixedHeader(at, firstByteOf(type), remainingLength);
}

/** Queues an acknowledgement. False if there is no room before something was transmitted. */
export function queueAcknowledgement(client: Client, type: PacketType, packetId: u32): bool {
  const body = reserveControl(client, type, 2);
  if (body === 0) return false;
  storeU16(body, packetId); // [MQTT-2.3.1-6]
  return true;
}

/** Opens the window over what waits, as far as `inflightMax` allows. */
export function openWindow(client: Client): void {
  if (client.state !== <u8>ConnectionState.Connected) return;
  while (client.outboxWindow < client.outboxEnd) {
    const at = client.outboxAt + client.outboxWindow;
    const firstByte: u32 = load<u8>(at);
    if (isTracked(firstByte)) {
      const isMessage = packetType(firstByte) === PacketType.Publish;
      if (isMessage && client.inflightCount >= client.inflightMax) return;
      client.inflightCount++;
    }
    client.outboxWindow += lengthOf(at);
  }
}

/** `length` bytes of what may go went to the transport. */
export function advanceSent(client: Client, length: u32): void {
  client.outboxSent += length;
  trim(client);
}

/** The offset of the packet of this type that was sent with this identifier, or NOT_FOUND. */
export function find(client: Client, type: PacketType, packetId: u32): u32 {
  let offset = client.outboxStart;
  while (offset < client.outboxSent) {
    const at = client.outboxAt + offset;
    const end: u32 = offset + lengthOf(at);
    if (end > client.outboxSent) return NOT_FOUND;
    const firstByte: u32 = load<u8>(at);
    if (packetType(firstByte) === type && awaitsAnswer(firstByte) && packetIdOf(at) === packetId)
      return offset;
    offset = end;
  }
  return NOT_FOUND;
}

/** Nobody waits any more for the packet at `offset`, which was sent. */
export function release(client: Client, offset: u32): void {
  const at = client.outboxAt + offset;
  const firstByte: u32 = load<u8>(at);
  if (isTracked(firstByte)) client.inflightCount--;
  markFree(at);
  trim(client);
}

/** The packet at `at` is needed no more. Its length stays readable. */
export function markFree(at: usize): void {
  store<u8>(at, <u8>PacketType.Free);
}

/**
 * The connection is gone: puts what is unacknowledged in front, to be sent again in the order of first sending
 * [MQTT-4.4.0-1] [MQTT-4.6.0-1] [MQTT-4.6.0-4], and throws away what belonged to the connection.
 */
export function rewind(client: Client): void {
  let offset = client.outboxStart;
  while (offset < client.outboxEnd) {
    const at = client.outboxAt + offset;
    const firstByte: u32 = load<u8>(at);
    const wasSent = offset < client.outboxSent;
    if (packetType(firstByte) === PacketType.Publish && qosOf(firstByte) > 0) {
      if (wasSent) store<u8>(at, <u8>(firstByte | DUP)); // [MQTT-3.3.1-1]
    } else if (packetType(firstByte) === PacketType.Pubrel) {
      // waits for its PUBCOMP, sent or not
    } else if (packetType(firstByte) !== PacketType.Publish || wasSent) {
      markFree(at); // a QoS 0 message goes once [MQTT-4.3.1-1]
    }
    offset += lengthOf(at);
  }
  client.outboxSent = client.outboxStart;
  client.outboxWindow = client.outboxStart;
  client.inflightCount = 0;
  compact(client);
}

/** Throws away the oldest waiting QoS 0 messages until `length` bytes fit. False, and nothing done, if they cannot. */
export function discardOldestQos0(client: Client, length: u32): bool {
  let missing: i32 = <i32>(client.outboxEnd + length) - <i32>client.outboxCapacity;
  const enough = sumOfQos0(client) >= missing;
  let offset = firstUnsent(client);
  while (enough && missing > 0) {
    assert(offset < client.outboxEnd);
    const at = client.outboxAt + offset;
    const size = lengthOf(at);
    if (isWaitingQos0(at)) {
      markFree(at);
      client.discardedCount++;
      missing -= <i32>size;
    }
    offset += size;
  }
  compact(client);
  return enough;
}

/** Takes an identifier that is not in use [MQTT-2.3.1-2]. Returns 0 if none was found. */
export function takePacketId(client: Client): u32 {
  for (let round: u32 = 0; client.freeIdCount === 0; round++) {
    if (round === SEARCH_ROUND_COUNT) return 0;
    searchFreeIds(client);
  }
  const packetId: u32 = client.nextPacketId;
  client.nextPacketId = successor(packetId);
  client.freeIdCount--;
  return packetId;
}

/** True if a packet of `size` bytes could ever go through this outbox as a message. */
export function fitsEmptyOutbox(client: Client, size: u32): bool {
  return size + CONTROL_RESERVE_LENGTH <= client.outboxCapacity;
}

/** Bytes that messages can still use. */
export function messageRoom(client: Client): u32 {
  compact(client);
  const used: u32 = client.outboxEnd + CONTROL_RESERVE_LENGTH;
  return used < client.outboxCapacity ? client.outboxCapacity - used : 0;
}

/** Bytes of the packet at `at`. */
export function lengthOf(at: usize): u32 {
  const byteCount = <u32>remainingLengthBytes(at + 1, 4);
  return 1 + byteCount + loadRemainingLength(at + 1, byteCount);
}

/** The address of what follows the fixed header of the packet at `at`. */
export function bodyOf(at: usize): usize {
  return at + 1 + <usize>remainingLengthBytes(at + 1, 4);
}

/** A SUBSCRIBE's, UNSUBSCRIBE's, PUBREL's or QoS 1 or 2 PUBLISH's Packet Identifier. */
export function packetIdOf(at: usize): u32 {
  const body = bodyOf(at);
  return packetType(load<u8>(at)) === PacketType.Publish
    ? loadU16(body + 2 + loadU16(body))
    : loadU16(body);
}

function storeFixedHeader(at: usize, firstByte: u32, remainingLength: u32): usize {
  store<u8>(at, <u8>firstByte);
  return storeRemainingLength(at + 1, remainingLength);
}

/** Part of the Session State: a QoS 1 or 2 PUBLISH or a PUBREL (4.1) [sec-4.1]. */
function isTracked(firstByte: u32): bool {
  const type = packetType(firstByte);
  return type === PacketType.Pubrel || (type === PacketType.Publish && qosOf(firstByte) > 0);
}

/** True if a packet that was sent must stay until it is answered. */
function awaitsAnswer(firstByte: u32): bool {
  const type = packetType(firstByte);
  return isTracked(firstByte) || type === PacketType.Subscribe || type === PacketType.Unsubscribe;
}

/** Gives up the front of the outbox, as far as nobody waits for it. */
function trim(client: Client): void {
  while (client.outboxStart < client.outboxSent) {
    const at = client.outboxAt + client.outboxStart;
    const end: u32 = client.outboxStart + lengthOf(at);
    if (end > client.outboxSent || awaitsAnswer(load<u8>(at))) return;
    client.outboxStart = end;
  }
  if (client.outboxStart === client.outboxEnd) {
    client.outboxStart = 0;
    client.outboxSent = 0;
    client.outboxWindow = 0;
    client.outboxEnd = 0;
  }
}

/** Moves all that is still needed to the front. */
export function compact(client: Client): void {
  const sent = client.outboxSent;
  const window = client.outboxWindow;
  let offset = client.outboxStart;
  let end: u32 = 0;
  client.outboxSent = 0;
  client.outboxWindow = 0;
  while (offset < client.outboxEnd) {
    const at = client.outboxAt + offset;
    const size = lengthOf(at);
    const firstByte: u32 = load<u8>(at);
    const next: u32 = offset + size;
    const isKept =
      next <= sent ? awaitsAnswer(firstByte) : packetType(firstByte) !== PacketType.Free;
    if (isKept) {
      if (end !== offset) copyDown(client.outboxAt + end, at, size);
      if (offset < sent) client.outboxSent = end + sent - offset;
      end += size;
    }
    if (next <= sent) client.outboxSent = end;
    if (next <= window) client.outboxWindow = end;
    offset = next;
  }
  client.outboxStart = 0;
  client.outboxEnd = end;
}

/** The first packet of which no byte was sent. */
function firstUnsent(client: Client): u32 {
  let offset = client.outboxStart;
  while (offset < client.outboxSent) offset += lengthOf(client.outboxAt + offset);
  return offset;
}

function isWaitingQos0(at: usize): bool {
  const firstByte: u32 = load<u8>(at);
  return packetType(firstByte) === PacketType.Publish && qosOf(firstByte) === 0;
}

function sumOfQos0(client: Client): i32 {
  let sum: u32 = 0;
  let offset = firstUnsent(client);
  while (offset < client.outboxEnd) {
    const at = client.outboxAt + offset;
    const size = lengthOf(at);
    if (isWaitingQos0(at)) sum += size;
    offset += size;
  }
  return <i32>sum;
}

/** Looks how many identifiers from `nextPacketId` on are free; steps over those that are not. */
function searchFreeIds(client: Client): void {
  let freeIdCount: u32 = PACKET_ID_COUNT;
  let offset = client.outboxStart;
  while (offset < client.outboxEnd) {
    const at = client.outboxAt + offset;
    if (awaitsAnswer(load<u8>(at))) {
      const packetId = packetIdOf(at);
      if (packetId === <u32>client.nextPacketId) {
        client.nextPacketId = successor(packetId);
        freeIdCount = 0;
      }
      const distance = distanceTo(packetId, client.nextPacketId);
      if (distance < freeIdCount) freeIdCount = distance;
    }
    offset += lengthOf(at);
  }
  client.freeIdCount = <u16>freeIdCount;
}

function distanceTo(packetId: u32, from: u32): u32 {
  return packetId >= from ? packetId - from : packetId + PACKET_ID_COUNT - from;
}

function successor(packetId: u32): u16 {
  return packetId === PACKET_ID_COUNT ? 1 : <u16>(packetId + 1);
}
