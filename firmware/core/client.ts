/** The client record: its fields, where its buffers lie, its size, its initialisation. */

import {
  CAPACITY_MAX,
  ConnectionState,
  IDENTITY_CAPACITY_MIN,
  INCOMING_COUNT_MAX,
  RECEIVE_CAPACITY_MIN,
  Status,
  TRANSMIT_CAPACITY_MIN,
  WhenFull,
} from "./abi";
import { isInMemory } from "./memory";

/** Marks a record. The address is mixed in, so that a copy of a record is none. */
const MAGIC: u32 = 0x4d515454;

/** Records lie on multiples of this. */
const ALIGNMENT: u32 = 8;

/** Room in front of the CONNECT payload for its headers: 1 + 4 + 10 bytes (3.1.1, 3.1.2). */
export const CONNECT_HEADER_ROOM: u32 = 16;

/** Below the 20 that brokers commonly take. */
const INFLIGHT_MAX: u16 = 16;

/**
 * One client in linear memory. The embedder picks the address and owns the bytes; the core
 * never moves, grows or frees them.
 *
 *   ┌────────┬─ incomingCount × 2 ─┬ 16 ┬ identityCapacity ┬ receiveCapacity ┬ transmitCapacity ┐
 *   │ fields │ identifiers of un-  │ CONNECT: headers and  │ received, not   │ the outbox       │
 *   │        │ finished QoS 2 in   │ payload, in its place │ yet polled      │                  │
 *   └────────┴─────────────────────┴───────────────────────┴─────────────────┴──────────────────┘
 *
 * The outbox is a run of whole MQTT packets, and four offsets in it:
 *
 *   0     outboxStart         outboxSent            outboxWindow          outboxEnd   transmitCapacity
 *   ├─────────┼───────────────────┼─────────────────────┼────────────────────┼───────────────┤
 *   │  free   │ sent, waiting for │ may go now          │ waits for a        │ free          │
 *   │         │ an answer         │                     │ connection or room │               │
 *
 * `outboxSent` may lie within a packet; the other three lie between packets.
 */
@unmanaged
export class Client {
  magic: u32;

  state: u8;
  /** The Connect Flags of the next CONNECT (3.1.2.3). */
  connectFlags: u8;
  /** The Status that ended the connection, 0 if none did. */
  failure: i8;
  whenFull: u8;

  outboxAt: usize;
  outboxCapacity: u32;
  outboxStart: u32;
  outboxSent: u32;
  outboxWindow: u32;
  outboxEnd: u32;

  receiveAt: usize;
  receiveCapacity: u32;
  /** What was received lies from here to `receiveEnd`, as offsets. */
  receiveStart: u32;
  receiveEnd: u32;
  /** Bytes of the last event's packet, which stay until the next call. */
  eventLength: u32;

  /** The last event, in the order of EventField. */
  topicAt: usize;
  topicLength: u32;
  payloadAt: usize;
  payloadLength: u32;
  packetId: u32;
  eventValue: u32;

  inflightCount: u16;
  inflightMax: u16;
  nextPacketId: u16;
  /** So many identifiers from `nextPacketId` on are known to be free. */
  freeIdCount: u16;

  /** 1 between a CONNACK without Session Present and the report of all that is in doubt. */
  isLosingSession: bool;
  /** What is unacknowledged belongs to a session that the server cannot have any more. */
  isStateStale: bool;
  /** 1 while the packet at the window is one that was reported as Dropped and not requeued. */
  isDropping: bool;
  isPingPending: bool;
  /** What the last CONNACK said. */
  sessionPresent: bool;
  skipStep: u8;

  identityAt: usize;
  identityCapacity: u32;
  identityLength: u32;
  /** What of the CONNECT packet goes next, and how much is left. */
  connectAt: usize;
  connectLength: u32;

  incomingAt: usize;
  incomingCapacity: u16;
  incomingCount: u16;

  keepAliveMs: u32;
  responseTimeoutMs: u32;
  /** When bytes went last, CONNECT was queued, PINGREQ was queued, a request was queued. */
  sentAtMs: u32;
  connectAtMs: u32;
  pingAtMs: u32;
  requestAtMs: u32;
  /** SUBSCRIBE and UNSUBSCRIBE without an answer. */
  requestCount: u32;

  /** In the order of Counter. */
  refusedCount: u32;
  discardedCount: u32;
  skippedCount: u32;
  strayCount: u32;
  requeuedCount: u32;

  /** What is still to come of a message that is being skipped: its topic, then the rest. See skip.ts. */
  skipTopicLeft: u32;
  skipTopicState: u32;
  skipLeft: u32;
  skipPacketId: u16;
  skipIdLeft: u8;
  skipFirstByte: u8;

  /** Bytes of the whole record. */
  size: u32;
}

/** The client at `at`, or null if there is none. */
export function clientAt(at: usize): Client | null {
  if ((at & (ALIGNMENT - 1)) !== 0 || !isInMemory(at, offsetof<Client>())) return null;
  const client = changetype<Client>(at);
  return client.magic === (MAGIC ^ <u32>at) ? client : null;
}

/** Bytes of a record, or InvalidArgument. A multiple of 8. */
export function clientSize(
  receiveCapacity: u32,
  transmitCapacity: u32,
  identityCapacity: u32,
  incomingCount: u32,
): i32 {
  const isPossible =
    isWithin(receiveCapacity, RECEIVE_CAPACITY_MIN, CAPACITY_MAX) &&
    isWithin(transmitCapacity, TRANSMIT_CAPACITY_MIN, CAPACITY_MAX) &&
    isWithin(identityCapacity, IDENTITY_CAPACITY_MIN, CAPACITY_MAX) &&
    isWithin(incomingCount, 0, INCOMING_COUNT_MAX);
  if (!isPossible) return Status.InvalidArgument;
  const size: u32 =
    <u32>offsetof<Client>() +
    incomingCount * 2 +
    CONNECT_HEADER_ROOM +
    identityCapacity +
    receiveCapacity +
    transmitCapacity;
  return <i32>((size + ALIGNMENT - 1) & ~(ALIGNMENT - 1));
}

export function clientInit(
  at: usize,
  receiveCapacity: u32,
  transmitCapacity: u32,
  identityCapacity: u32,
  incomingCount: u32,
): Status {
  const size = clientSize(receiveCapacity, transmitCapacity, identityCapacity, incomingCount);
  if (size < 0) return <Status>size;
  if (at === 0 || (at & (ALIGNMENT - 1)) !== 0 || !isInMemory(at, <u32>size))
    return Status.InvalidArgument;

  for (let offset: u32 = 0; offset < <u32>size; offset += ALIGNMENT) store<u64>(at + offset, 0);
  const client = changetype<Client>(at);
  client.magic = MAGIC ^ <u32>at;
  client.size = <u32>size;
  client.incomingAt = at + offsetof<Client>();
  client.incomingCapacity = <u16>incomingCount;
  client.identityAt = client.incomingAt + incomingCount * 2 + CONNECT_HEADER_ROOM;
  client.identityCapacity = identityCapacity;
  client.identityLength = 2; // an empty client id [MQTT-3.1.3-3]
  client.receiveAt = client.identityAt + identityCapacity;
  client.receiveCapacity = receiveCapacity;
  client.outboxAt = client.receiveAt + receiveCapacity;
  client.outboxCapacity = transmitCapacity;
  client.nextPacketId = 1;
  client.inflightMax = INFLIGHT_MAX;
  client.whenFull = <u8>WhenFull.Refuse;
  client.state = <u8>ConnectionState.Disconnected;
  return Status.Ok;
}

function isWithin(value: u32, lowest: u32, highest: u32): bool {
  return value >= lowest && value <= highest;
}
