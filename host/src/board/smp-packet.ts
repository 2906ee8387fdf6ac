/** Packets of the Simple Management Protocol, and the lines that carry them over a console (docs/wire.md, Zephyr's "SMP over console"). */

import type { World } from "../world.ts";
import { crc16 } from "./crc.ts";

/** One request or answer. */
export interface SmpPacket {
  readonly operation: SmpOperation;
  /** 0 for SMP version 1, 1 for version 2. */
  readonly version: number;
  readonly group: number;
  /** 0 to 255. */
  readonly sequence: number;
  readonly command: number;
  /** A CBOR map. */
  readonly body: Uint8Array;
}

export const SmpOperation = { Read: 0, ReadAnswer: 1, Write: 2, WriteAnswer: 3 } as const;
export type SmpOperation = (typeof SmpOperation)[keyof typeof SmpOperation];

/** Of header and map, in bytes. */
export const SMP_HEADER_LENGTH = 8;

/** A packet that is not whole so long after its first line is dropped. */
const PACKET_TIMEOUT_MS = 3_000;

/** Two bytes before the base64 of the first line of a packet, and of the others. */
const FIRST_LINE = [0x06, 0x09];
const OTHER_LINE = [0x04, 0x14];

/** What fits between those two bytes and LF in a line of 127. */
const BASE64_LENGTH_MAX = 124;

const LENGTH_LENGTH = 2;
const CRC_LENGTH = 2;

/** True if a line, without its LF, begins as one of a packet does. */
export function isPacketLine(line: Uint8Array): boolean {
  return beginsWith(line, FIRST_LINE) || beginsWith(line, OTHER_LINE);
}

/** The packet as lines, each with its LF. */
export function encodePacket(packet: SmpPacket): Uint8Array {
  const content = Buffer.alloc(LENGTH_LENGTH + SMP_HEADER_LENGTH + packet.body.length + CRC_LENGTH);
  content.writeUInt16BE(content.length - LENGTH_LENGTH, 0);
  content.writeUInt8(packet.operation | (packet.version << 3), 2);
  content.writeUInt16BE(packet.body.length, 4);
  content.writeUInt16BE(packet.group, 6);
  content.writeUInt8(packet.sequence, 8);
  content.writeUInt8(packet.command, 9);
  content.set(packet.body, LENGTH_LENGTH + SMP_HEADER_LENGTH);
  const crcAt = content.length - CRC_LENGTH;
  content.writeUInt16BE(crc16(content.subarray(LENGTH_LENGTH, crcAt)), crcAt);

  const text = content.toString("base64");
  const lines: Uint8Array[] = [];
  for (let from = 0; from < text.length; from += BASE64_LENGTH_MAX) {
    const start = from === 0 ? FIRST_LINE : OTHER_LINE;
    const piece = text.slice(from, from + BASE64_LENGTH_MAX);
    lines.push(Uint8Array.from(start), Buffer.from(`${piece}\n`, "latin1"));
  }
  return Buffer.concat(lines);
}

/** Puts lines together to packets. */
export class PacketReceiver {
  readonly #world: World;
  #gathered: Buffer | undefined;
  #startedAtMs = 0;
  #brokenCount = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Packets and lines that made no sense. */
  get brokenCount(): number {
    return this.#brokenCount;
  }

  /** Takes a line for which `isPacketLine` holds. Answers the packet that it completes. */
  receive(line: Uint8Array): SmpPacket | undefined {
    const piece = base64Bytes(line.subarray(FIRST_LINE.length));
    const before = this.#before(line);
    if (piece === undefined || before === undefined) return this.#drop();

    const content = Buffer.concat([before, piece]);
    if (content.length < LENGTH_LENGTH) return this.#drop();
    const missing = LENGTH_LENGTH + content.readUInt16BE(0) - content.length;
    if (missing > 0) {
      this.#gathered = content;
      return undefined;
    }
    this.#gathered = undefined;
    const packet = missing === 0 ? readPacket(content.subarray(LENGTH_LENGTH)) : undefined;
    return packet ?? this.#drop();
  }

  /** What the line continues; nothing for a first one, undefined if there is nothing to continue. */
  #before(line: Uint8Array): Buffer | undefined {
    const nowMs = this.#world.nowMs();
    if (beginsWith(line, FIRST_LINE)) {
      if (this.#gathered !== undefined) this.#drop();
      this.#startedAtMs = nowMs;
      return Buffer.alloc(0);
    }
    return nowMs - this.#startedAtMs > PACKET_TIMEOUT_MS ? undefined : this.#gathered;
  }

  #drop(): undefined {
    this.#gathered = undefined;
    this.#brokenCount++;
  }
}

function beginsWith(line: Uint8Array, [first, second]: readonly number[]): boolean {
  return line[0] === first && line[1] === second;
}

/** Each line is base64 by itself, with padding at most at its end; undefined if it is none. */
function base64Bytes(line: Uint8Array): Buffer | undefined {
  const text = Buffer.from(line).toString("latin1");
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  return Buffer.from(text, "base64");
}

/** Header, map and CRC. */
function readPacket(content: Buffer): SmpPacket | undefined {
  const crcAt = content.length - CRC_LENGTH;
  if (crcAt < SMP_HEADER_LENGTH) return undefined;
  if (content.readUInt16BE(crcAt) !== crc16(content.subarray(0, crcAt))) return undefined;
  if (content.readUInt16BE(2) !== crcAt - SMP_HEADER_LENGTH) return undefined;
  const operation = content.readUInt8(0) & 0x07;
  if (operation > SmpOperation.WriteAnswer) return undefined;
  return {
    operation: operation as SmpOperation,
    version: (content.readUInt8(0) >> 3) & 0x03,
    group: content.readUInt16BE(4),
    sequence: content.readUInt8(6),
    command: content.readUInt8(7),
    body: content.subarray(SMP_HEADER_LENGTH, crcAt),
  };
}
