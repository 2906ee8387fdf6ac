/** The client record: its fields, where its buffers lie, its size, its initialisation. */

import {
  CAPACITY_MAX,
  ConnectionState,
  IDENTITY_CAPACITY_MIN,
  INCOMING_COUNT_MAX,
  JOURNAL_CAPACITY_MIN,
  RECEIVE_CAPACITY_MIN,
  Status,
  TRANSMIT_CAPACITY_MIN,
} from "./abi";
import { isInMemory } from "./memory";
import { clear } from "./wire";

/** Marks a record. The address is mixed in, so that a copy of a record is none. */
const MAGIC: u32 = 0x4d515454;

/** Records lie on multiples of this. */
const ALIGNMENT: u32 = 8;

/** Room in front of the CONNECT payload for its headers: 1 + 4 + 10 bytes (3.1.1, 3.1.2). */
const CONNECT_HEADER_ROOM: u32 = 16;

/** An empty text is its length. */
const EMPTY_TEXT_LENGTH: u32 = 2;

/** Below the 20 that brokers commonly take. */
const INFLIGHT_MAX: u16 = 16;

/**
 * One client in linear memory. The embedder picks the address and owns the bytes; the core
 * never moves, grows or frees them.
 *
 *   ┌────────┬ incomingCount × 2 ┬ 16 ┬ identityCapacity ┬ receiveCapacity ┬ journalCapacity ┬ transmitCapacity ┐
 *   │ fields │ identifiers of    │ CONNECT: headers and  │ received, not   │ to be stored:   │ the outbox       │
 *   │        │ unfinished QoS 2  │ payload, in its place │ yet polled      │ see journal.ts  │                  │
 *   └────────┴───────────────────┴───────────────────────┴─────────────────┴─────────────────┴──────────────────┘
 *
 * The outbox is a run of whole MQTT packets, and four addresses in it, each between two packets:
 *
 * outboxAt outboxStart         outboxSent            outboxWindow          outboxEnd   + outboxCapacity
 *   ├─────────┼───────────────────┼─────────────────────┼────────────────────┼───────────────┤
 *   │  free   │ sent, waiting for │ may go now          │ waits for a        │ free          │
 *   │         │ an answer         │                     │ connection or room │               │
 */
@unmanaged
export class Client {
  // The fields that the code names most lie in front: an offset below 128 takes one byte less in the module.
  magic: u32;

  // What ends with the Network Connection, from here to `inflightMax`: a multiple of 8 bytes.
  state: u8;
  /** The Status that ended the connection, 0 if none did. */
  failure: i8;
  lossStep: u8;
  skipStep: u8;
  /** Bytes of the CONNECT packet that are still to go. */
  connectLength: u32;
  /** The last event, in the order of EventField. */
  topicAt: usize;
  topicLength: u32;
  payloadAt: usize;
  payloadLength: u32;
  packetId: u32;
  eventValue: u32;
  /** CONNECT, SUBSCRIBE and UNSUBSCRIBE without an answer. */
  requestCount: u16;
  isPingPending: bool;
  skipFirstByte: u8;
  skipPacketId: u16;
  inflightCount: u16;

  inflightMax: u16;
  nextPacketId: u16;
  /** So many identifiers from `nextPacketId` on are known to be free. */
  freeIdCount: u16;
  /** The Connect Flags of the last CONNECT; those of the Will are for the next, too (3.1.2.3). */
  connectFlags: u8;
  whenFull: u8;
  /** What the last CONNACK said, 0 or 1. */
  sessionPresent: u8;
  /** What is unacknowledged belongs to a session that the server cannot have any more. */
  isStateStale: bool;
  /** Nothing goes before the batch is stored. */
  isStoreDue: bool;

  /** The batch that is to be stored next, 0 bytes without a journal; see journal.ts. */
  journalAt: usize;
  journalCapacity: u32;
  /** Bytes of records in it. */
  journalLength: u32;
  /** Of the batch that was stored last. */
  journalChecksum: u32;

  outboxAt: usize;
  outboxCapacity: u32;
  outboxStart: usize;
  outboxSent: usize;
  /** Bytes of the packet at `outboxSent` that have gone: not all. */
  outboxPartLength: u32;
  outboxWindow: usize;
  outboxEnd: usize;

  receiveAt: usize;
  receiveCapacity: u32;
  /** What was received and not polled lies from here to `receiveEnd`; the last event's packet may lie before it. */
  receiveStart: usize;
  receiveEnd: usize;

  incomingCapacity: u16;
  incomingCount: u16;

  /** What is still to come of a message that is being skipped: its topic, then the rest. See skip.ts. */
  skipTopicLength: u32;
  skipLength: u32;

  keepAliveMs: u32;
  responseTimeoutMs: u32;
  /** When bytes went last, PINGREQ was queued, a request was queued. */
  sentAtMs: u32;
  pingAtMs: u32;
  requestAtMs: u32;

  identityAt: usize;
  identityCapacity: u32;
  identityLength: u32;
  /** Bytes of client id, Will, user name and password with their lengths, 0 if absent. In the order of Field. */
  clientIdLength: u32;
  willLength: u32;
  userNameLength: u32;
  passwordLength: u32;

  /** In the order of Counter. */
  refusedCount: u32;
  discardedCount: u32;
  skippedCount: u32;
  strayCount: u32;
  requeuedCount: u32;
}

/** True if there is a client where the embedder says. */
export function isClient(client: Client): bool {
  const at = changetype<usize>(client);
  return isInMemory(at, offsetof<Client>()) && client.magic === (MAGIC ^ <u32>at);
}

/** Ok if there is a client in this ConnectionState where the embedder says. */
export function checkState(client: Client, state: ConnectionState): Status {
  if (!isClient(client)) return Status.NotAClient;
  return client.state === <u8>state ? Status.Ok : Status.WrongState;
}

/** True while CONNECT is under way. Its packet is built where the fields of the identity lie. */
export function isConnecting(client: Client): bool {
  return client.state === <u8>ConnectionState.Connecting;
}

/** True if packets may come. */
export function isOpen(client: Client): bool {
  return isConnecting(client) || client.state === <u8>ConnectionState.Connected;
}

/** Bytes of a record, or InvalidArgument. A multiple of 8. */
export function clientSize(
  receiveCapacity: u32,
  transmitCapacity: u32,
  identityCapacity: u32,
  incomingCount: u32,
  journalCapacity: u32,
): i32 {
  const isPossible =
    isCapacity(receiveCapacity, RECEIVE_CAPACITY_MIN) &&
    isCapacity(transmitCapacity, TRANSMIT_CAPACITY_MIN) &&
    isCapacity(identityCapacity, IDENTITY_CAPACITY_MIN) &&
    incomingCount <= <u32>INCOMING_COUNT_MAX &&
    (journalCapacity === 0 || isCapacity(journalCapacity, JOURNAL_CAPACITY_MIN));
  if (!isPossible) return Status.InvalidArgument;
  const size: u32 =
    <u32>offsetof<Client>() +
    incomingCount * 2 +
    CONNECT_HEADER_ROOM +
    identityCapacity +
    receiveCapacity +
    journalCapacity +
    transmitCapacity;
  return <i32>((size + ALIGNMENT - 1) & ~(ALIGNMENT - 1));
}

/** Makes a record whose buffers are not in order yet: `connectionLost` does that. */
export function initClient(
  client: Client,
  receiveCapacity: u32,
  transmitCapacity: u32,
  identityCapacity: u32,
  incomingCount: u32,
  journalCapacity: u32,
): Status {
  const size = clientSize(
    receiveCapacity,
    transmitCapacity,
    identityCapacity,
    incomingCount,
    journalCapacity,
  );
  if (size < 0) return <Status>size;
  const at = changetype<usize>(client);
  if (at === 0 || at % ALIGNMENT !== 0 || !isInMemory(at, <u32>size)) return Status.InvalidArgument;

  clear(at, <u32>size);
  client.magic = MAGIC ^ <u32>at;
  client.incomingCapacity = <u16>incomingCount;
  const identityAt = at + offsetof<Client>() + incomingCount * 2 + CONNECT_HEADER_ROOM;
  const receiveAt = identityAt + identityCapacity;
  const journalAt = receiveAt + receiveCapacity;
  client.identityAt = identityAt;
  client.identityCapacity = identityCapacity;
  client.identityLength = EMPTY_TEXT_LENGTH;
  client.clientIdLength = EMPTY_TEXT_LENGTH; // [MQTT-3.1.3-3]
  client.receiveAt = receiveAt;
  client.receiveCapacity = receiveCapacity;
  client.journalAt = journalAt;
  client.journalCapacity = journalCapacity;
  client.outboxAt = journalAt + journalCapacity;
  client.outboxCapacity = transmitCapacity;
  client.nextPacketId = 1;
  client.inflightMax = INFLIGHT_MAX;
  return Status.Ok;
}

function isCapacity(value: u32, least: u32): bool {
  return value >= least && value <= <u32>CAPACITY_MAX;
}
