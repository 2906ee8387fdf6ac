/** The numbers that cross the boundary of the core: the one file that asc and tsc both read. */

/** An embedder refuses a module that answers another number. */
export const ABI_VERSION = 2;

/** What `nextDeadlineMs` answers when nothing will ever be due. */
export const NEVER_MS = 0xffffffff;

/** Limits of a client record, all inclusive; `clientSize` answers InvalidArgument outside them. */
export const RECEIVE_CAPACITY_MIN = 16;
export const TRANSMIT_CAPACITY_MIN = 64;
export const IDENTITY_CAPACITY_MIN = 32;
export const CAPACITY_MAX = 0x1000000;
export const INCOMING_COUNT_MAX = 65535;
/** A client without a journal keeps its session in memory only: 0 is possible, too. */
export const JOURNAL_CAPACITY_MIN = 64;

/** Bytes of the outbox that only acknowledgements, SUBSCRIBE, PINGREQ and DISCONNECT may use. */
export const CONTROL_RESERVE_LENGTH = 16;

/** Bytes of the journal's buffer that messages may not use: the header of a batch, and an application's note. */
export const JOURNAL_RESERVE_LENGTH = 24;

/** The format of docs/journal.md. `restore` refuses another. */
export const JOURNAL_VERSION = 1;

/** Where to look in a batch, and in one that is an image. */
export enum BatchField {
  Length = 0,
  Checksum = 4,
  Records = 8,
  Version = 10,
  Generation = 14,
}

/** Answers below zero. From `poll` and `tick` they end the connection: close it, then `connectionLost`. */
export enum Status {
  Ok = 0,

  // What the embedder asked for cannot be done; nothing has changed.
  InvalidArgument = -1,
  /** No client record lies at this address. */
  NotAClient = -2,
  /** Not in this ConnectionState. */
  WrongState = -3,
  /** No room in the buffer concerned: try again when something was acknowledged or transmitted. */
  BufferFull = -4,
  /** Ill-formed UTF-8, U+0000, an empty topic, or a wildcard out of its place. */
  InvalidText = -5,
  /** Larger than the buffer concerned, even when that is empty. */
  TooLarge = -6,
  /** This batch does not follow the one before: torn, changed, or of another life. */
  DamagedImage = -7,
  /** The image of another client id. */
  ForeignImage = -8,
  /** The image has another version of the format than JOURNAL_VERSION. */
  UnknownVersion = -9,

  // What the server did wrong; the connection is over.
  /** The bytes are no MQTT packet. */
  MalformedPacket = -16,
  /** A packet that may not come here, or contradicts the standard. */
  ProtocolViolation = -17,
  /** No CONNACK, PINGRESP, SUBACK or UNSUBACK in time. */
  ResponseTimeout = -18,
  /** More unfinished incoming QoS 2 messages than `incomingCount`. */
  IncomingFull = -19,
}

/** What `poll` and `tick` report, one at a time; `None` says there is no more for now. */
export enum Event {
  None = 0,
  /** CONNACK accepted. Value: Session Present, 0 or 1. */
  Connected = 1,
  /** CONNACK refused; the connection is over. Value: the Connect Return code. */
  Refused = 2,
  /** The server has taken over an outgoing QoS 1 or 2 message. Value: 1 for PUBACK, 2 for PUBCOMP. */
  Published = 3,
  /** SUBACK. Its codes are the payload: 0, 1, 2 or SUBSCRIBE_FAILURE for each filter. */
  Subscribed = 4,
  /** UNSUBACK. */
  Unsubscribed = 5,
  /** An incoming message, valid until the next `poll`. */
  Message = 6,
  /** An incoming message larger than the receive buffer: as Message, but without a payload address. */
  MessageSkipped = 7,
  /** The server has no session: this message, sent before, is in doubt. Comes before Connected. See `requeue`. */
  Dropped = 8,

  /** Application modules start here. The thermometer wants a reading: answer with `reading`. */
  ReadingDue = 64,
  /** A command arrived and was obeyed: see `intervalMs`. */
  CommandDone = 65,
  /** A command arrived that the application does not know. */
  CommandUnknown = 66,
}

export enum ConnectionState {
  /** No Network Connection. Messages wait in the outbox. */
  Disconnected = 0,
  /** CONNECT is queued or sent. */
  Connecting = 1,
  Connected = 2,
  /** DISCONNECT is queued or sent. What arrives is thrown away [MQTT-3.14.4-2]. */
  Disconnecting = 3,
  /** Refused or failed: the embedder must close the Network Connection. */
  Closed = 4,
}

/** What `publish` does when the outbox has no room. */
export enum WhenFull {
  Refuse = 0,
  DropOldestQos0 = 1,
}

/** What `counter` counts since `clientInit`; each wraps at 2^32. */
export enum Counter {
  /** Messages that `publish` refused because the outbox was full. */
  Refused = 0,
  /** Queued QoS 0 messages thrown away for newer ones. */
  Discarded = 1,
  /** Incoming messages larger than the receive buffer. */
  Skipped = 2,
  /** Acknowledgements that matched nothing under way. */
  Stray = 3,
  /** Messages of a lost session that went again as new ones: see `requeue`. */
  Requeued = 4,
}

/** What lies at `eventAt`: six u32, little endian, at these offsets. Zero where the last event has no such thing. */
export enum EventField {
  TopicAt = 0,
  TopicLength = 4,
  PayloadAt = 8,
  PayloadLength = 12,
  PacketId = 16,
  /** Session Present, return code, QoS of the acknowledgement, or DUP, QoS and RETAIN of a message. */
  Value = 20,
}

/** Flags of an outgoing message: QoS in the two low bits. */
export const QOS_MASK = 3;
export const RETAIN_FLAG = 4;

/** The value of a message's event: flags as in the fixed header of PUBLISH (3.3.1). */
export const MESSAGE_RETAIN = 1;
export const MESSAGE_QOS_SHIFT = 1;
export const MESSAGE_DUP = 8;

/** A filter that the server refused (3.9.3). */
export const SUBSCRIBE_FAILURE = 0x80;

/** A profile block (docs/profiles.md) has at most so many bytes: a board has 4,096 for everything. */
export const PROFILE_LENGTH_MAX = 2048;

/** A topic made of a template has at most so many bytes. */
export const PROFILE_TOPIC_LENGTH_MAX = 256;

/** Where to look in an item of a profile block. The topic's template lies at Topic, the payload's behind it. */
export enum ProfileField {
  Kind = 0,
  /** QoS and RETAIN_FLAG. */
  Flags = 1,
  /** Bits of ProfileWhen. */
  When = 2,
  /** 0 */
  Reserved = 3,
  /** Two bytes each, little endian. */
  TopicLength = 4,
  PayloadLength = 6,
  Topic = 8,
}

/** What an item of a profile block is. */
export enum ProfileItem {
  /** The Last Will. */
  Will = 1,
  /** What a reading becomes. Its QoS is the one that was configured. */
  Telemetry = 2,
  /** What goes before DISCONNECT, which suppresses the Will. */
  Goodbye = 3,
  /** What is said when ProfileWhen says. */
  Say = 4,
  /** The topic is a filter to subscribe to, with the QoS of the flags. */
  Subscribe = 5,
  /** A message that sets the interval: its payload has the number. */
  SetInterval = 6,
  /** A message that asks for a reading. */
  Report = 7,
  /** A message that asks to be told all again: what is Announced, and a reading. */
  Announce = 8,
}

/** When something is said. */
export enum ProfileWhen {
  Connected = 1,
  /** The server does not know this client's subscriptions. */
  Subscribing = 2,
  /** After an Announce. */
  Announced = 4,
  /** After a SetInterval that was obeyed. */
  IntervalSet = 8,
  /** This is the birth, which a Will or a Goodbye takes back: see `birthPacketId`. */
  Birth = 16,
  /** Not before the first reading, and what lies behind it neither. */
  Measured = 32,
}

/** The bytes of a template that stand for something; all from 0x20 on stand for themselves. */
export enum Placeholder {
  ClientId = 1,
  /** Degrees Celsius with two decimals. */
  Temperature = 2,
  Sequence = 3,
  /** Milliseconds since 1970. */
  UnixMs = 4,
  /** Whole seconds since 1970. */
  UnixSeconds = 5,
  /** The three digits behind them. */
  Milliseconds = 6,
  /** 2026-11-23T07:48:00, in UTC. */
  DateTime = 7,
  IntervalSeconds = 8,
  IntervalMs = 9,
}
