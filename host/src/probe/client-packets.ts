/** The packets of a client as bytes, right and wrong ones: a probe sends what no correct client would (MQTT 3.1.1, chapter 3). */

export type Bytes = string | Uint8Array;

export interface ConnectFields {
  readonly clientId: string;
  readonly cleanSession?: boolean;
  readonly keepAliveSeconds?: number;
  readonly will?: WillFields | undefined;
  readonly username?: string | undefined;
  readonly password?: Uint8Array | undefined;
  /** "MQTT" and 4 if absent. */
  readonly protocol?: { readonly name: string; readonly level: number };
  /** Combined with the flags that the other fields ask for. */
  readonly extraFlags?: number;
}

interface WillFields {
  readonly topic: string;
  readonly payload: Bytes;
  readonly qos: number;
  readonly retain?: boolean;
}

export interface PublishFields {
  readonly topic: Bytes;
  readonly payload?: Bytes;
  /** 3 is possible, and wrong. */
  readonly qos?: number;
  readonly dup?: boolean;
  readonly retain?: boolean;
  /** Sent at QoS 1 and above. */
  readonly packetId?: number;
}

export const DISCONNECT = Uint8Array.of(0xe0, 0);
export const PINGREQ = Uint8Array.of(0xc0, 0);

/** From this level on CONNECT has properties (MQTT 5, 3.1.2.11). */
const LEVEL_WITH_PROPERTIES = 5;

export function connectPacket(fields: ConnectFields): Uint8Array {
  const { will, username, password, cleanSession = true, keepAliveSeconds = 60 } = fields;
  const { name, level } = fields.protocol ?? { name: "MQTT", level: 4 };
  const properties = level >= LEVEL_WITH_PROPERTIES ? [Uint8Array.of(0)] : [];
  const body = [
    text(name),
    Uint8Array.of(level, connectFlags(fields, cleanSession)),
    u16(keepAliveSeconds),
    ...properties,
    text(fields.clientId),
  ];
  if (will !== undefined) body.push(...properties, text(will.topic), text(will.payload));
  if (username !== undefined) body.push(text(username));
  if (password !== undefined) body.push(text(password));
  return packet(0x10, ...body);
}

function connectFlags(fields: ConnectFields, cleanSession: boolean): number {
  const { will, username, password, extraFlags = 0 } = fields;
  let flags = extraFlags;
  if (cleanSession) flags |= 0x02;
  if (will !== undefined) flags |= 0x04 | (will.qos << 3) | (will.retain === true ? 0x20 : 0);
  if (password !== undefined) flags |= 0x40;
  if (username !== undefined) flags |= 0x80;
  return flags;
}

export function publishPacket(fields: PublishFields): Uint8Array {
  const { topic, payload = "", qos = 0, dup = false, retain = false, packetId = 1 } = fields;
  const firstByte = 0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0);
  const identifier = qos > 0 ? [u16(packetId)] : [];
  return packet(firstByte, text(topic), ...identifier, Buffer.from(payload));
}

export function pubackPacket(packetId: number): Uint8Array {
  return packet(0x40, u16(packetId));
}

export function pubrecPacket(packetId: number): Uint8Array {
  return packet(0x50, u16(packetId));
}

export function pubrelPacket(packetId: number): Uint8Array {
  return packet(0x62, u16(packetId));
}

export function pubcompPacket(packetId: number): Uint8Array {
  return packet(0x70, u16(packetId));
}

/** Each filter with the QoS that it asks for. */
export function subscribePacket(
  packetId: number,
  filters: readonly (readonly [filter: Bytes, qos: number])[],
): Uint8Array {
  const body = filters.flatMap(([filter, qos]) => [text(filter), Uint8Array.of(qos)]);
  return packet(0x82, u16(packetId), ...body);
}

export function unsubscribePacket(packetId: number, filter: string): Uint8Array {
  return packet(0xa2, u16(packetId), text(filter));
}

/** Any packet: its first byte, its length, and `body` behind. */
export function packet(firstByte: number, ...body: Uint8Array[]): Uint8Array {
  const length = body.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Uint8Array.of(firstByte), remainingLength(length), ...body]);
}

/** Seven bits a byte, the lowest first (2.2.3). */
function remainingLength(length: number): Uint8Array {
  const bytes: number[] = [];
  let rest = length;
  do {
    const digit = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? digit | 0x80 : digit);
  } while (rest > 0);
  return Uint8Array.from(bytes);
}

/** With its two bytes of length (1.5.3). */
export function text(content: Bytes): Uint8Array {
  const bytes = Buffer.from(content);
  return Buffer.concat([u16(bytes.length), bytes]);
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff);
}
