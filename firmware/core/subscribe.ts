/** SUBSCRIBE and UNSUBSCRIBE (3.8, 3.10). They stay in the outbox until they are answered. */

import { CONTROL_RESERVE_LENGTH, ConnectionState, Status } from "./abi";
import { Client } from "./client";
import { isInMemory } from "./memory";
import {
  bodyOf,
  fitsEmptyOutbox,
  hasRoom,
  lengthOf,
  packetSize,
  reserveControl,
  takePacketId,
} from "./outbox";
import { PacketType } from "./packet-type";
import { isTopicFilter } from "./topic";
import { copyDown, loadU16, storeU16 } from "./wire";

/** Bytes of a SUBACK before its codes, with the longest Remaining Length (3.9). */
const SUBACK_HEADER_LENGTH: u32 = 7;

/**
 * Queues SUBSCRIBE or UNSUBSCRIBE. The filters lie as in the packet: each a length and a text, and in SUBSCRIBE a
 * requested QoS. Returns the Packet Identifier or a Status.
 */
export function request(
  client: Client,
  type: PacketType,
  filtersAt: usize,
  filtersLength: u32,
  nowMs: u32,
): i32 {
  if (client.state !== <u8>ConnectionState.Connected) return Status.WrongState;
  if (!isInMemory(filtersAt, filtersLength)) return Status.InvalidArgument;
  const status = checkFilters(client, type, filtersAt, filtersLength);
  if (status !== Status.Ok) return status;
  const remainingLength: u32 = 2 + filtersLength;
  const size = packetSize(remainingLength);
  if (!fitsEmptyOutbox(client, size)) return Status.TooLarge;
  if (!hasRoom(client, size + CONTROL_RESERVE_LENGTH)) return Status.BufferFull;
  const packetId = takePacketId(client);
  if (packetId === 0) return Status.BufferFull;

  const body = reserveControl(client, type, remainingLength);
  storeU16(body, packetId);
  copyDown(body + 2, filtersAt, filtersLength);
  client.requestAtMs = nowMs;
  client.requestCount++;
  return <i32>packetId;
}

/** How many filters the SUBSCRIBE at `at` has. */
export function filterCountOf(at: usize): u32 {
  const end = at + lengthOf(at);
  let count: u32 = 0;
  for (let filter = bodyOf(at) + 2; filter < end; filter += 3 + loadU16(filter)) count++;
  return count;
}

function checkFilters(
  client: Client,
  type: PacketType,
  filtersAt: usize,
  filtersLength: u32,
): Status {
  const qosLength: u32 = type === PacketType.Subscribe ? 1 : 0;
  let done: u32 = 0;
  let count: u32 = 0;
  while (done < filtersLength) {
    if (filtersLength - done < 2) return Status.InvalidArgument;
    const length = loadU16(filtersAt + done);
    if (filtersLength - done < 2 + length + qosLength) return Status.InvalidArgument;
    if (!isTopicFilter(filtersAt + done + 2, length)) return Status.InvalidText; // [MQTT-3.8.3-1] [MQTT-3.10.3-1]
    done += 2 + length + qosLength;
    if (qosLength > 0 && load<u8>(filtersAt + done - 1) > 2) return Status.InvalidArgument; // [MQTT-3-8.3-4]
    count++;
  }
  if (count === 0) return Status.InvalidArgument; // [MQTT-3.8.3-3] [MQTT-3.10.3-2]
  return SUBACK_HEADER_LENGTH + count <= client.receiveCapacity ? Status.Ok : Status.TooLarge;
}
