/** The outbox: a run of whole packets, each kept until nobody waits for it. client.ts draws it. */

import { CONTROL_RESERVE_LENGTH, ConnectionState, Status } from "./abi";
import { Client, isClient } from "./client";
import { checkRecordable, hasJournalRoom, RECORD_LENGTH, RecordByte, record } from "./journal";
import {
  DUP,
  FirstByte,
  isTracked,
  isUnsentQos0,
  PacketType,
  packetType,
  qosOf,
} from "./packet-type";
import { bodyOf, packetEnd, packetSize, storeFixedHeader } from "./remaining-length";
import { copy, loadU16, storeU16 } from "./wire";

/** No identifier is 0 (2.3.1), so there are this many. */
const PACKET_ID_COUNT: u32 = 65535;

/** How often the search for a free identifier may start anew. Identifiers in use mostly ascend: two rounds do. */
const SEARCH_ROUND_COUNT: u32 = 64;

/** Bytes that must be free for a packet that may not use the reserve. */
export function roomNeeded(remainingLength: u32): u32 {
  return packetSize(remainingLength) + CONTROL_RESERVE_LENGTH;
}

/**
 * Ok if there is an identifier and room in the journal for a packet that needs them, BufferFull if there will be, or
 * TooLarge, also for the outbox.
 */
export function checkKeepable(client: Client, remainingLength: u32, needsPacketId: bool): Status {
  if (roomNeeded(remainingLength) > client.outboxCapacity) return Status.TooLarge;
  if (!needsPacketId) return Status.Ok;
  const status = checkRecordable(client, packetSize(remainingLength));
  if (status !== Status.Ok) return status;
  return hasPacketId(client) ? Status.Ok : Status.BufferFull;
}

/** Bytes that messages can still use. */
export function transmitRoom(client: Client): u32 {
  if (!isClient(client)) return 0;
  compact(client);
  const reserve: u32 = CONTROL_RESERVE_LENGTH;
  const room = roomAtEnd(client);
  return room > reserve ? room - reserve : 0;
}

/** True if `length` bytes can be added to the outbox now. */
export function hasRoom(client: Client, length: u32): bool {
  if (length > roomAtEnd(client)) compact(client);
  return length <= roomAtEnd(client);
}

/** Puts a packet at the end, where it waits for its turn; writes its fixed header. Returns its body. There is room. */
export function appendPacket(client: Client, firstByte: u32, remainingLength: u32): usize {
  const body = storeFixedHeader(client.outboxEnd, firstByte, remainingLength);
  client.outboxEnd = body + remainingLength;
  return body;
}

/** True if a SUBSCRIBE or UNSUBSCRIBE that was kept over a connection waits behind the window. */
export function hasRequestWaiting(client: Client): bool {
  for (let at = client.outboxWindow; at < client.outboxEnd; at = packetEnd(at)) {
    const firstByte: u32 = load<u8>(at);
    if (qosOf(firstByte) > 0 && !isTracked(firstByte)) return true;
  }
  return false;
}

/** Puts a packet before all that waits behind the window; writes its fixed header. Returns its body, 0 without room. */
export function insertPacket(client: Client, firstByte: FirstByte, remainingLength: u32): usize {
  const size = packetSize(remainingLength);
  if (!hasRoom(client, size)) return 0;
  const at = client.outboxWindow;
  client.outboxWindow = at + size;
  client.outboxEnd = copy(at + size, at, <u32>(client.outboxEnd - at));
  return storeFixedHeader(at, firstByte, remainingLength);
}

/** Queues an acknowledgement. False if there is no room before something was transmitted. */
export function queueAcknowledgement(client: Client, firstByte: FirstByte, packetId: u32): bool {
  const body = insertPacket(client, firstByte, 2);
  if (body === 0) return false;
  storeU16(body, packetId); // [MQTT-2.3.1-6]
  return true;
}

/**
 * Opens the window over what waits, as far as `inflightMax` and the journal allow. What lies at `newAt` or behind it is
 * not recorded yet.
 */
export function openWindow(client: Client, newAt: usize): void {
  if (client.state !== <u8>ConnectionState.Connected) return;
  let at = client.outboxWindow;
  for (; at < client.outboxEnd; at = packetEnd(at)) {
    const firstByte: u32 = load<u8>(at);
    if (!isTracked(firstByte)) {
      if (qosOf(firstByte) > 0) client.requestCount++; // it was kept over a connection
      continue;
    }
    if (client.inflightCount >= client.inflightMax) break;
    if (at < newAt && !recordOffer(client, at, firstByte)) break;
    client.inflightCount++;
  }
  client.outboxWindow = at;
}

/** Records that the message at `at` may go, unless that is known. False if there is no room. */
function recordOffer(client: Client, at: usize, firstByte: u32): bool {
  if (packetType(firstByte) !== PacketType.Publish || (firstByte & DUP) !== 0) return true;
  if (!hasJournalRoom(client, RECORD_LENGTH)) return false;
  record(client, RecordByte.Offered, packetIdOf(at));
  return true;
}

/**
 * `length` bytes of what may go went to the transport. DUP marks each PUBLISH of which a byte has gone: that byte is
 * needed no more on this connection, and on the next one DUP must be set [MQTT-3.3.1-1].
 */
export function advanceSent(client: Client, length: u32): void {
  let at = client.outboxSent;
  let left: u32 = client.outboxPartLength + length;
  while (left > 0) {
    const firstByte: u32 = load<u8>(at);
    const end = packetEnd(at);
    const size: u32 = <u32>(end - at);
    if (packetType(firstByte) === PacketType.Publish) store<u8>(at, <u8>(firstByte | DUP));
    if (left < size) break;
    left -= size;
    if (qosOf(firstByte) === 0) markFree(at); // nobody answers it
    at = end;
  }
  client.outboxPartLength = left;
  client.outboxSent = at;
  trim(client);
}

/** The packet before `end` with this identifier, kept until it is answered; or `end`. */
export function findKept(client: Client, packetId: u32, end: usize): usize {
  let at = client.outboxStart;
  for (; at < end; at = packetEnd(at)) {
    if (qosOf(load<u8>(at)) > 0 && packetIdOf(at) === packetId) break;
  }
  return at;
}

/** Nobody waits any more for the packet at `at`, which was sent. */
export function release(client: Client, at: usize): void {
  if (isTracked(load<u8>(at))) client.inflightCount--;
  else client.requestCount--;
  giveUp(client, at);
  trim(client);
  openWindow(client, client.outboxEnd);
}

/** Takes the packet at `at` out of the Session State. */
export function giveUp(client: Client, at: usize): void {
  record(client, RecordByte.Complete, packetIdOf(at));
  markFree(at);
}

/** The packet at `at` is needed no more. Its length stays readable. */
export function markFree(at: usize): void {
  store<u8>(at, <u8>FirstByte.Free);
}

/**
 * The connection is gone: puts what is unacknowledged in front, to be sent again in the order of first sending
 * [MQTT-4.4.0-1] [MQTT-4.6.0-1] [MQTT-4.6.0-4], and throws away what belonged to the connection.
 */
export function rewind(client: Client): void {
  const start = client.outboxStart;
  for (let at = start; at < client.outboxEnd; at = packetEnd(at)) {
    const firstByte: u32 = load<u8>(at);
    if (!isKept(client, firstByte) && !isUnsentQos0(firstByte)) markFree(at); // QoS 0 goes once [MQTT-4.3.1-1]
  }
  client.outboxSent = start;
  client.outboxPartLength = 0;
  client.outboxWindow = start;
  compact(client);
}

/** True for what outlives the connection. A durable client's SUBSCRIBE and UNSUBSCRIBE do, too. */
function isKept(client: Client, firstByte: u32): bool {
  return client.journalCapacity > 0 ? qosOf(firstByte) > 0 : isTracked(firstByte);
}

/** Throws away the oldest waiting QoS 0 messages until `length` bytes fit. False, and nothing done, if they cannot. */
export function discardOldestQos0(client: Client, length: u32): bool {
  const missing: u32 = length - roomAtEnd(client);
  if (!freeQos0(client, missing, true)) return false;
  freeQos0(client, missing, false);
  compact(client);
  return true;
}

/** True if an identifier is not in use, which `takePacketId` takes [MQTT-2.3.1-2]. */
function hasPacketId(client: Client): bool {
  for (let round: u32 = 0; client.freeIdCount === 0; round++) {
    if (round === SEARCH_ROUND_COUNT) return false;
    searchFreeIds(client);
  }
  return true;
}

export function takePacketId(client: Client): u32 {
  const packetId: u32 = client.nextPacketId;
  client.nextPacketId = successor(packetId);
  client.freeIdCount--;
  return packetId;
}

/** A SUBSCRIBE's, UNSUBSCRIBE's, PUBREL's or QoS 1 or 2 PUBLISH's Packet Identifier. */
export function packetIdOf(at: usize): u32 {
  const body = bodyOf(at);
  const isPublish = packetType(load<u8>(at)) === PacketType.Publish;
  return loadU16(isPublish ? body + 2 + loadU16(body) : body);
}

/** Moves all that is still needed to the front. */
export function compact(client: Client): void {
  const sent = client.outboxSent;
  const window = client.outboxWindow;
  let end = client.outboxAt;
  client.outboxSent = end;
  client.outboxWindow = end;
  let at = client.outboxStart;
  client.outboxStart = end;
  while (at < client.outboxEnd) {
    const next = packetEnd(at);
    if (load<u8>(at) !== <u8>FirstByte.Free) {
      end = at === end ? next : copy(end, at, <u32>(next - at));
    }
    at = next;
    if (at <= sent) client.outboxSent = end;
    if (at <= window) client.outboxWindow = end;
  }
  client.outboxEnd = end;
}

/** Gives up the front of the outbox, as far as nobody waits for it. */
function trim(client: Client): void {
  let at = client.outboxStart;
  for (; at < client.outboxSent; at = packetEnd(at)) {
    if (load<u8>(at) !== <u8>FirstByte.Free) break;
  }
  client.outboxStart = at;
  if (at === client.outboxEnd) compact(client);
}

/** Bytes behind the last packet. */
function roomAtEnd(client: Client): u32 {
  return <u32>(client.outboxAt + client.outboxCapacity - client.outboxEnd);
}

/** Frees the oldest waiting QoS 0 messages, `length` bytes or some more. A trial only tells if there are so many. */
function freeQos0(client: Client, length: u32, isTrial: bool): bool {
  let freed: u32 = 0;
  let at = client.outboxSent;
  while (at < client.outboxEnd && freed < length) {
    const next = packetEnd(at);
    if (isUnsentQos0(load<u8>(at))) {
      freed += <u32>(next - at);
      if (!isTrial) {
        markFree(at);
        client.discardedCount++;
      }
    }
    at = next;
  }
  return freed >= length;
}

/** Looks how many identifiers from `nextPacketId` on are free; steps over those that are not. */
function searchFreeIds(client: Client): void {
  let freeIdCount: u32 = PACKET_ID_COUNT;
  for (let at = client.outboxStart; at < client.outboxEnd; at = packetEnd(at)) {
    if (qosOf(load<u8>(at)) === 0) continue;
    const nextPacketId: u32 = client.nextPacketId;
    const distance: u32 = (packetIdOf(at) + PACKET_ID_COUNT - nextPacketId) % PACKET_ID_COUNT;
    if (distance === 0) client.nextPacketId = successor(nextPacketId);
    freeIdCount = min(freeIdCount, distance);
  }
  client.freeIdCount = <u16>freeIdCount;
}

/** The identifier that follows: no identifier is 0. */
export function successor(packetId: u32): u16 {
  return <u16>((packetId % PACKET_ID_COUNT) + 1);
}
