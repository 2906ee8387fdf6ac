/** What frames mean (docs/wire.md): the seven messages of the tunnel, read from frames and written as such. */

import type { Frame } from "./frames.ts";

/** The version of the wire that both sides must speak. */
export const WIRE_VERSION = 1;

/** Of the byte stream, in one DATA. */
export const DATA_LENGTH_MAX = 240;

/** At most so many bytes of text go with a CLOSE. */
const CLOSE_TEXT_LENGTH_MAX = 200;

/** Why a connection is over. */
export const CloseReason = {
  /** What was sent before it counts. */
  InOrder: 0,
  BrokerUnreachable: 1,
  BrokerClosed: 2,
  FrameLost: 3,
  NoAnswer: 4,
  Unknown: 5,
  BridgeEnds: 6,
  ModuleRestarts: 7,
  WindowExceeded: 8,
} as const;

/** One message. Numbers of bytes in CREDIT and ASK count from the beginning of the connection, modulo 2^32. */
export type TunnelMessage =
  /** There is a bridge, and what time it is, in milliseconds since 1970. */
  | { readonly kind: "hello"; readonly version: number; readonly unixMs: number }
  /** The board wants a Network Connection, and may be sent so many bytes. */
  | {
      readonly kind: "open";
      readonly connection: number;
      readonly version: number;
      readonly windowLength: number;
    }
  | { readonly kind: "opened"; readonly connection: number; readonly windowLength: number }
  | {
      readonly kind: "data";
      readonly connection: number;
      readonly sequence: number;
      readonly bytes: Uint8Array;
    }
  /** So many bytes were taken; so many more may be under way beyond them. */
  | {
      readonly kind: "credit";
      readonly connection: number;
      readonly takenLength: number;
      readonly windowLength: number;
    }
  /** So many bytes were sent: answer with "credit". */
  | { readonly kind: "ask"; readonly connection: number; readonly sentLength: number }
  /** `reason` is one of `CloseReason`, or a later one. */
  | {
      readonly kind: "close";
      readonly connection: number;
      readonly reason: number;
      readonly text: string;
    };

const KINDS = {
  hello: 0x01,
  open: 0x02,
  opened: 0x03,
  data: 0x04,
  credit: 0x05,
  ask: 0x06,
  close: 0x07,
} as const satisfies Record<TunnelMessage["kind"], number>;

export function messageFrame(message: TunnelMessage): Frame {
  return {
    kind: KINDS[message.kind],
    connection: message.kind === "hello" ? 0 : message.connection,
    sequence: message.kind === "data" ? message.sequence : 0,
    payload: payloadOf(message),
  };
}

/** Undefined if the kind is unknown, or the payload has not the length that its kind asks for. */
export function readMessage(frame: Frame): TunnelMessage | undefined {
  const { kind, connection, sequence } = frame;
  const payload = Buffer.from(frame.payload);
  const { length } = payload;
  if (kind === KINDS.hello && length === 9) {
    const unixMs = Number(payload.readBigUInt64LE(1));
    return { kind: "hello", version: payload.readUInt8(0), unixMs };
  }
  if (kind === KINDS.open && length === 3) {
    const windowLength = payload.readUInt16LE(1);
    return { kind: "open", connection, version: payload.readUInt8(0), windowLength };
  }
  if (kind === KINDS.opened && length === 2) {
    return { kind: "opened", connection, windowLength: payload.readUInt16LE(0) };
  }
  if (kind === KINDS.data && length >= 1 && length <= DATA_LENGTH_MAX) {
    return { kind: "data", connection, sequence, bytes: payload };
  }
  if (kind === KINDS.credit && length === 6) {
    const windowLength = payload.readUInt16LE(4);
    return { kind: "credit", connection, takenLength: payload.readUInt32LE(0), windowLength };
  }
  if (kind === KINDS.ask && length === 4) {
    return { kind: "ask", connection, sentLength: payload.readUInt32LE(0) };
  }
  if (kind === KINDS.close && length >= 1 && length <= 1 + CLOSE_TEXT_LENGTH_MAX) {
    const text = payload.subarray(1).toString("utf8");
    return { kind: "close", connection, reason: payload.readUInt8(0), text };
  }
  return undefined;
}

function payloadOf(message: TunnelMessage): Uint8Array {
  switch (message.kind) {
    case "hello":
      return Buffer.concat([u8(message.version), u64(message.unixMs)]);
    case "open":
      return Buffer.concat([u8(message.version), u16(message.windowLength)]);
    case "opened":
      return u16(message.windowLength);
    case "data":
      return message.bytes;
    case "credit":
      return Buffer.concat([u32(message.takenLength), u16(message.windowLength)]);
    case "ask":
      return u32(message.sentLength);
    case "close":
      return Buffer.concat([u8(message.reason), shortened(message.text)]);
  }
}

/** UTF-8 that has room in a CLOSE, cut between two characters. */
function shortened(text: string): Uint8Array {
  const bytes = Buffer.alloc(CLOSE_TEXT_LENGTH_MAX);
  return bytes.subarray(0, bytes.write(text, "utf8"));
}

function u8(value: number): Uint8Array {
  return Uint8Array.of(value);
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(Math.floor(value)));
  return bytes;
}
