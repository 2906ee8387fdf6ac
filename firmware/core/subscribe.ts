/** SUBSCRIBE and UNSUBSCRIBE (3.8, 3.10). They stay in the outbox until they are answered. */

import { ConnectionState, Status } from "./abi";
import { Client, checkState } from "./client";
import { recordPacket } from "./journal";
import { isInMemory } from "./memory";
import {
  checkKeepable,
  hasRequestWaiting,
  hasRoom,
  insertPacket,
  roomNeeded,
  takePacketId,
} from "./outbox";
import { FirstByte } from "./packet-type";
import { isTopicFilter } from "./text";
import { copy, loadU16, storeU16 } from "./wire";

/** Bytes of a SUBACK before its codes, with the longest Remaining Length (3.9). */
const SUBACK_HEADER_LENGTH: u32 = 7;

/**
 * Queues SUBSCRIBE or UNSUBSCRIBE. The filters lie as in the packet: each a length and a text, and in SUBSCRIBE a
 * requested QoS. Returns the Packet Identifier or a Status.
 */
export function request(
  client: Client,
  firstByte: FirstByte,
  filtersAt: usize,
  filtersLength: u32,
  nowMs: u32,
): i32 {
  let status = checkState(client, ConnectionState.Connected);
  if (status !== Status.Ok) return status;
  if (!isInMemory(filtersAt, filtersLength)) return Status.InvalidArgument;
  status = checkFilters(client, firstByte, filtersAt, filtersLength);
  if (status !== Status.Ok) return status;
  const remainingLength: u32 = 2 + filtersLength;
  status = checkKeepable(client, remainingLength, true);
  if (status !== Status.Ok) return status;
  if (!hasRoom(client, roomNeeded(remainingLength))) return Status.BufferFull;
  if (hasRequestWaiting(client)) return Status.BufferFull; // it would be overtaken
  const packetId = takePacketId(client);
  const packetAt = client.outboxWindow; // nothing moves any more: there is room
  const body = insertPacket(client, firstByte, remainingLength);
  storeU16(body, packetId);
  copy(body + 2, filtersAt, filtersLength);
  recordPacket(client, packetAt, firstByte);
  client.requestAtMs = nowMs;
  client.requestCount++;
  return <i32>packetId;
}

/** Ok, InvalidArgument or InvalidText, or TooLarge if the SUBACK would not fit the receive buffer. */
export function checkFilters(
  client: Client,
  firstByte: FirstByte,
  filtersAt: usize,
  filtersLength: u32,
): Status {
  const qosLength: u32 = firstByte === FirstByte.Subscribe ? 1 : 0;
  const end = filtersAt + filtersLength;
  let at = filtersAt;
  let count: u32 = 0;
  while (at < end) {
    const left: u32 = <u32>(end - at);
    if (left < 2) return Status.InvalidArgument;
    const length = loadU16(at);
    const fieldsLength: u32 = 2 + length + qosLength;
    if (left < fieldsLength) return Status.InvalidArgument;
    if (!isTopicFilter(at + 2, length)) return Status.InvalidText; // [MQTT-3.8.3-1] [MQTT-3.10.3-1]
    at += fieldsLength;
    if (qosLength > 0 && load<u8>(at - 1) > 2) return Status.InvalidArgument; // [MQTT-3-8.3-4]
    count++;
  }
  if (count === 0) return Status.InvalidArgument; // [MQTT-3.8.3-3] [MQTT-3.10.3-2]
  return SUBACK_HEADER_LENGTH + count <= client.receiveCapacity ? Status.Ok : Status.TooLarge;
}
