/** What a server sends, by its grammar: whole packets, packets with a fault, and bytes that are none. */

import type { RandomStream } from "../../simulator/src/random.ts";
import { bytesOf, concat } from "../support/bytes.ts";
import * as packets from "../support/server-packets.ts";

export const TOPICS: readonly Uint8Array[] = [
  "a",
  "a/b",
  "motes/t/cmd",
  "\u20ac/\u{1f321}",
  "$SYS/x",
  "/",
  "t".repeat(40),
].map(bytesOf);
const BAD_TOPICS = ["", "a/+", "#", "a\0b"];
const ILL_FORMED = [
  [0x80],
  [0xc0, 0x80],
  [0xed, 0xa0, 0x80],
  [0xf4, 0x90, 0x80, 0x80],
  [0xe2, 0x82],
];
export const PAYLOADS: readonly Uint8Array[] = [
  "",
  "21.5",
  "report",
  "interval 1000",
  "interval 99999999999",
  "interval",
  "reports",
].map(bytesOf);
/** Mostly larger than the receive buffer. */
const LONG = new Uint8Array(400).fill(0x78);
const RETURN_CODES = [0, 0, 0, 0, 0, 1, 5, 6, 255];
const SUBACK_CODES = [0, 1, 2, 0x80, 0x80, 3, 0x81];

/** Numbers at which something may change. */
export const INTERESTING = [
  ...[0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 65, 127, 128, 129, 255, 256, 999, 1000, 1024],
  ...[16383, 16384, 32767, 32768, 65535, 65536, 2097151, 2097152, 0xffffff, 0x1000000, 0x7fffffff],
  ...[0x80000000, 0xfffffff0, 0xfffffffe, 0xffffffff],
];

export function pick<T>(random: RandomStream, values: readonly T[]): T {
  const value = values[random.integer(0, values.length - 1)];
  if (value === undefined) throw new Error("nothing to pick from");
  return value;
}

export function chance(random: RandomStream, probability: number): boolean {
  return random.uniform() < probability;
}

/** Up to `lengthMax` bytes, any. */
export function anyBytes(random: RandomStream, lengthMax: number): Uint8Array {
  const bytes = new Uint8Array(random.integer(0, lengthMax));
  for (let index = 0; index < bytes.length; index++) bytes[index] = random.word();
  return bytes;
}

/** Mostly one that is in use: both sides count from 1. */
export function anyPacketId(random: RandomStream): number {
  return chance(random, 0.95) ? random.integer(1, 6) : pick(random, [0, 7, 255, 256, 0xffff]);
}

/** One packet that a server may send when connected. */
export function serverPacket(random: RandomStream): Uint8Array {
  const packetId = anyPacketId(random);
  const kind = random.integer(0, 15);
  switch (kind) {
    case 0:
    case 1:
      return packets.puback(packetId);
    case 2:
      return packets.pubrec(packetId);
    case 3:
    case 4:
      return packets.pubcomp(packetId);
    case 5:
    case 6:
      return packets.pubrel(packetId);
    case 7: {
      const codes = Array.from({ length: random.integer(1, 3) }, () => pick(random, SUBACK_CODES));
      return packets.suback(packetId, ...codes);
    }
    case 8:
      return packets.unsuback(packetId);
    case 9:
      return packets.pingresp();
    default:
      return publishPacket(random, packetId);
  }
}

export function connack(random: RandomStream): Uint8Array {
  return packets.connack(chance(random, 0.6), pick(random, RETURN_CODES));
}

/** A packet with a fault that is likely to matter: see the cases. */
export function faultyPacket(random: RandomStream): Uint8Array {
  const bytes = chance(random, 0.8) ? serverPacket(random) : connack(random);
  switch (random.integer(0, 8)) {
    case 0: // other flags or another type
      bytes[0] = (bytes[0] ?? 0) ^ (1 << random.integer(0, 7));
      return bytes;
    case 1: // a Remaining Length that lies
      bytes[1] = pick(random, [0, 1, 2, 3, 127, random.integer(0, 127)]);
      return bytes;
    case 2: // a Remaining Length with more bytes than it needs, or than there may be
      return lengthened(random, bytes);
    case 3: // the length of the topic lies
      if (bytes.length > 4) bytes[random.integer(2, 3)] = random.word();
      return bytes;
    case 4: // its end is missing
      return bytes.subarray(0, random.integer(1, bytes.length));
    case 5: // what follows is not part of it
      return concat(bytes, anyBytes(random, 8));
    case 6:
      return packets.publish({ topic: badTopic(random), qos: random.integer(0, 2) });
    case 7: // a message that never ends
      return concat(Uint8Array.of(0x30 | (random.word() & 0xf), 0xff, 0xff, 0xff, 0x7f), bytes);
    default:
      return mutateBytes(random, bytes);
  }
}

/** One change of the bytes. */
export function mutateBytes(random: RandomStream, original: Uint8Array): Uint8Array {
  const at = original.length === 0 ? 0 : random.integer(0, original.length - 1);
  const bytes = original.slice();
  const from = Math.min(bytes.length, at + random.integer(1, 8));
  switch (random.integer(0, 6)) {
    case 0:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.integer(0, 7));
      return bytes;
    case 1:
      bytes[at] = random.word();
      return bytes;
    case 2:
      bytes[at] = pick(random, INTERESTING);
      return bytes;
    case 3:
      return concat(bytes.subarray(0, at), bytes.subarray(from));
    case 4:
      return concat(bytes.subarray(0, at), anyBytes(random, 6), bytes.subarray(at));
    case 5:
      return concat(bytes.subarray(0, from), bytes.subarray(at));
    default:
      return concat(bytes.subarray(0, at), serverPacket(random), bytes.subarray(at));
  }
}

function publishPacket(random: RandomStream, packetId: number): Uint8Array {
  const qos = random.integer(0, 2);
  const isLong = chance(random, 0.15);
  return packets.publish({
    topic: pick(random, TOPICS),
    payload: isLong ? LONG.subarray(0, random.integer(0, LONG.length)) : pick(random, PAYLOADS),
    qos,
    packetId: packetId || 1,
    dup: qos > 0 && chance(random, 0.2),
    retain: chance(random, 0.2),
  });
}

function badTopic(random: RandomStream): string | Uint8Array {
  if (chance(random, 0.5)) return pick(random, BAD_TOPICS);
  return concat(
    new Uint8Array(random.integer(0, 60)).fill(0x61),
    Uint8Array.from(pick(random, ILL_FORMED)),
  );
}

function lengthened(random: RandomStream, bytes: Uint8Array): Uint8Array {
  const head = Uint8Array.of(bytes[0] ?? 0, (bytes[1] ?? 0) | 0x80);
  const more = new Uint8Array(random.integer(0, 3)).fill(0x80);
  return concat(head, more, Uint8Array.of(0), bytes.subarray(2));
}
