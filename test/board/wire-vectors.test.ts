/** Replays test/vectors/wire.json, which the C of a board replays, too: each vector whole and cut at every place. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { crc16, crc32 } from "../../host/src/board/crc.ts";
import { encodeFrame, readFrame } from "../../host/src/board/frames.ts";
import { LineReceiver } from "../../host/src/board/line-receiver.ts";
import {
  encodePacket,
  PacketReceiver,
  type SmpOperation,
  type SmpPacket,
} from "../../host/src/board/smp-packet.ts";
import { messageFrame, readMessage } from "../../host/src/board/tunnel-messages.ts";
import { VirtualWorld } from "../support/virtual-world.ts";

interface FrameVector {
  kind: number;
  connection: number;
  sequence: number;
  payload: string;
}

type Step = { bytes: string } | { wait: number };
type Taken = { text: string } | { packet: string } | { frame: FrameVector };

interface WireVectors {
  crc: { bytes: string; crc32: string; crc16: string }[];
  receiver: { name: string; steps: Step[]; taken: Taken[] }[];
  frames: ({ name: string; bytes: string } & FrameVector)[];
  packets: { name: string; packet: string; lines: string[] }[];
}

const vectors = JSON.parse(
  readFileSync(new URL("../vectors/wire.json", import.meta.url), "utf8"),
) as WireVectors;

test.each(vectors.crc)("the checksums of $bytes", (vector) => {
  const bytes = Buffer.from(vector.bytes, "hex");
  expect(crc32(bytes).toString(16).padStart(8, "0")).toBe(vector.crc32);
  expect(crc16(bytes).toString(16).padStart(4, "0")).toBe(vector.crc16);
});

describe("the receiver", () => {
  test.each(vectors.receiver)("$name", async ({ steps, taken }) => {
    expect(await receive(steps)).toEqual(taken);
    const longest = Math.max(...steps.map((step) => ("bytes" in step ? step.bytes.length / 2 : 0)));
    for (let cutAt = 1; cutAt < longest; cutAt++) {
      expect(await receive(steps, cutAt), `cut at ${cutAt}`).toEqual(taken);
    }
    expect(await receive(steps, 0), "byte by byte").toEqual(taken);
  });
});

describe("frames are written", () => {
  test.each(vectors.frames)("$name", ({ kind, connection, sequence, payload, bytes }) => {
    const frame = { kind, connection, sequence, payload: Buffer.from(payload, "hex") };
    expect(Buffer.from(encodeFrame(frame)).toString("hex")).toBe(bytes);
    expect(readFrame(Buffer.from(bytes, "hex").subarray(1, -1))).toEqual(frame);
  });

  test.each(vectors.frames)("and mean something: $name", (vector) => {
    const { kind, connection, sequence } = vector;
    const frame = { kind, connection, sequence, payload: Buffer.from(vector.payload, "hex") };
    const message = readMessage(frame);
    if (message === undefined) throw new Error("it means nothing");
    const written = messageFrame(message);
    expect({ ...written, payload: Buffer.from(written.payload) }).toEqual(frame);
  });
});

describe("packets are written", () => {
  test.each(vectors.packets)("$name", ({ packet, lines }) => {
    const bytes = encodePacket(packetOf(packet));
    expect(Buffer.from(bytes).toString("hex")).toBe(lines.join(""));
  });
});

/** What is taken of `steps`: whole, cut at one place, or byte by byte (`cutAt` 0). */
async function receive(steps: Step[], cutAt?: number): Promise<Taken[]> {
  const world = new VirtualWorld();
  const packets = new PacketReceiver(world);
  const taken: Taken[] = [];
  const receiver = new LineReceiver(world, {
    text: (line) => taken.push({ text: Buffer.from(line).toString("hex") }),
    packetLine: (line) => {
      const packet = packets.receive(line);
      if (packet !== undefined) taken.push({ packet: packetHex(packet) });
    },
    frame: ({ payload, ...frame }) =>
      taken.push({ frame: { ...frame, payload: Buffer.from(payload).toString("hex") } }),
  });
  for (const step of steps) {
    if ("wait" in step) await world.advance(step.wait);
    else for (const piece of pieces(Buffer.from(step.bytes, "hex"), cutAt)) receiver.receive(piece);
  }
  return taken;
}

function pieces(bytes: Buffer, cutAt: number | undefined): Uint8Array[] {
  if (cutAt === undefined) return [bytes];
  if (cutAt === 0) return Array.from(bytes, (byte) => Uint8Array.of(byte));
  return [bytes.subarray(0, cutAt), bytes.subarray(cutAt)];
}

function packetOf(hex: string): SmpPacket {
  const bytes = Buffer.from(hex, "hex");
  return {
    operation: (bytes.readUInt8(0) & 7) as SmpOperation,
    version: bytes.readUInt8(0) >> 3,
    group: bytes.readUInt16BE(4),
    sequence: bytes.readUInt8(6),
    command: bytes.readUInt8(7),
    body: bytes.subarray(8),
  };
}

function packetHex({ operation, version, group, sequence, command, body }: SmpPacket): string {
  const header = Buffer.alloc(8);
  header.writeUInt8(operation | (version << 3), 0);
  header.writeUInt16BE(body.length, 2);
  header.writeUInt16BE(group, 4);
  header.writeUInt8(sequence, 6);
  header.writeUInt8(command, 7);
  return Buffer.concat([header, body]).toString("hex");
}
