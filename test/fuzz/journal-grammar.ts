/** Records of a journal (docs/journal.md) by their grammar, mostly sound ones. */

import type { RandomStream } from "../../simulator/src/random.ts";
import { concat, lengthPrefixed, packet } from "../support/bytes.ts";
import { fnv1a } from "../support/journal.ts";
import { anyBytes, anyPacketId, chance, mutateBytes, pick, TOPICS } from "./packet-grammar.ts";
import { CLIENT_ID } from "./program.ts";

/** The records of one batch. */
export function journalRecords(random: RandomStream): Uint8Array {
  const count = random.integer(1, 4);
  const records = Array.from({ length: count }, () => journalRecord(random));
  const bytes = concat(...records);
  return chance(random, 0.25) ? mutateBytes(random, bytes) : bytes;
}

function journalRecord(random: RandomStream): Uint8Array {
  const id = anyPacketId(random);
  const identifier = Uint8Array.of(id >> 8, id & 0xff);
  const flag = () => random.integer(0, 1);
  switch (random.integer(0, 9)) {
    case 0:
      return packet(0x20, Uint8Array.of(flag(), flag()));
    case 1:
    case 2: {
      const firstByte = pick(random, [0x32, 0x34, 0x3a, 0x3c, 0x33, 0x35, 0x30, 0x36]);
      const payload = new Uint8Array(random.integer(0, chance(random, 0.2) ? 300 : 8));
      return packet(firstByte, lengthPrefixed(pick(random, TOPICS)), identifier, payload);
    }
    case 3:
      return packet(0x82, identifier, lengthPrefixed("a/#"), Uint8Array.of(random.integer(0, 3)));
    case 4:
      return packet(0xa2, identifier, lengthPrefixed(pick(random, ["a/+", "#", "a#", ""])));
    case 5:
      return packet(0xf0, anyBytes(random, 12));
    case 6:
      return imageBegin(random);
    default:
      return packet(pick(random, [0xb0, 0x62, 0x40, 0x50, 0x70]), identifier);
  }
}

/** The record that begins an image, mostly one of the client "t". */
function imageBegin(random: RandomStream): Uint8Array {
  const version = chance(random, 0.9) ? 1 : random.integer(0, 255);
  const nextPacketId = anyPacketId(random);
  const body = new Uint8Array(12);
  const view = new DataView(body.buffer);
  view.setUint8(0, version);
  view.setUint8(1, random.integer(0, 1));
  view.setUint16(2, nextPacketId);
  view.setUint32(4, random.integer(0, 3), true);
  view.setUint32(8, chance(random, 0.9) ? fnv1a(CLIENT_ID) : random.word(), true);
  return packet(0x10, body);
}
