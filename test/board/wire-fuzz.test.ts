/** Hostile bytes for both ends of a board's line: nothing breaks, every whole request is answered, and both implementations read the same. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { encodeFrame } from "../../host/src/board/frames.ts";
import { LineReceiver } from "../../host/src/board/line-receiver.ts";
import { wrapModule } from "../../host/src/board/module-image.ts";
import {
  encodePacket,
  PacketReceiver,
  type SmpOperation,
} from "../../host/src/board/smp-packet.ts";
import { readModule } from "../../host/src/core/core.ts";
import { BUILD_PROGRAMS } from "../support/board-driver.ts";
import { describeWith } from "../support/optional.ts";
import { runBoardProgram } from "../support/run-board-program.ts";
import { VirtualWorld } from "../support/virtual-world.ts";

type Step = { bytes: Buffer } | { wait: number };

/** A seed of one's own: WASMQTT_SEED. */
const seed = process.env["WASMQTT_SEED"] ?? String(Date.now() % 1_000_000);

const BUILD_TIMEOUT_MS = 180_000;

const STREAM_COUNT = 200;
const STREAM_LENGTH = 500;

/** No two of them together are one of the limits of docs/wire.md. */
const WAITS_MS = [97, 401, 499, 503, 1700, 3100];

describeWith(BUILD_PROGRAMS, `the line of a board, seed ${seed}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "wasmqtt-"));
  const imagePath = join(folder, "module.img");

  beforeAll(async () => {
    const version = { major: 1, minor: 2, revision: 3, build: 0 };
    writeFileSync(imagePath, wrapModule(await readModule("thermometer"), { version }).bytes);
  });

  afterAll(() => rmSync(folder, { recursive: true }));

  test(
    "takes any bytes, and answers every whole request",
    () => {
      const [said] = runBoardProgram("wire-fuzz", [seed, "100", imagePath]);
      const [, bytes, requests, answers, whole, frames, lines, taken, refused] = (
        said?.match(/\d+/g) ?? []
      ).map(Number);
      expect(bytes).toBeGreaterThan(5_000_000);
      expect(requests).toBeGreaterThan(5000);
      expect(answers).toBeGreaterThan(5000);
      expect(whole).toBeGreaterThan(4000);
      expect(frames).toBeGreaterThan(1000);
      expect(lines).toBeGreaterThan(10_000);
      expect(taken).toBeGreaterThan(5);
      expect(refused).toBeGreaterThan(20);
    },
    BUILD_TIMEOUT_MS,
  );

  test(
    "is read by the board as by the host, in many splits",
    async () => {
      const chance = chanceFrom(Number(seed));
      const streams = Array.from({ length: STREAM_COUNT }, () => streamOf(chance));
      const lines = streams.flatMap((steps) => [
        ...steps.map((step) =>
          "wait" in step ? `wait ${step.wait}` : `bytes ${step.bytes.toString("hex")}`,
        ),
        "play 29",
      ]);
      const read = runBoardProgram("wire", [], lines).join("\n").split(/^\.$/m);
      for (const [index, steps] of streams.entries()) {
        const expected = await readByHost(steps);
        expect(read[index]?.split("\n").filter(Boolean), `stream ${index}`).toEqual(expected);
      }
    },
    BUILD_TIMEOUT_MS,
  );
});

/** What the host takes of it, written as tests/wire.c writes it. */
async function readByHost(steps: readonly Step[]): Promise<string[]> {
  const world = new VirtualWorld();
  const packets = new PacketReceiver(world);
  const taken: string[] = [];
  const receiver = new LineReceiver(world, {
    text: (line) => taken.push(`text ${Buffer.from(line).toString("hex")}`),
    packetLine: (line) => {
      const packet = packets.receive(line);
      if (packet !== undefined) {
        const lines = Buffer.from(encodePacket(packet)).toString("latin1").trimEnd().split("\n");
        const content = Buffer.concat(lines.map((one) => Buffer.from(one.slice(2), "base64")));
        taken.push(`packet ${content.subarray(2, -2).toString("hex")}`);
      }
    },
    frame: ({ kind, connection, sequence, payload }) =>
      taken.push(`frame ${kind} ${connection} ${sequence} ${Buffer.from(payload).toString("hex")}`),
  });
  for (const step of steps) {
    if ("wait" in step) await world.advance(step.wait);
    else receiver.receive(step.bytes);
  }
  return taken;
}

type Chance = (below: number) => number;

/** Frames, packets, text and noise, some of it damaged, with pauses. */
function streamOf(chance: Chance): Step[] {
  const steps: Step[] = [];
  let length = 0;
  let waitCount = 0;
  while (length < STREAM_LENGTH) {
    if (chance(6) === 0 && waitCount < 16) {
      steps.push({ wait: WAITS_MS[chance(WAITS_MS.length)] ?? 0 });
      waitCount++;
      continue;
    }
    const bytes = damaged(pieceOf(chance), chance);
    steps.push({ bytes });
    length += bytes.length;
  }
  return steps;
}

function pieceOf(chance: Chance): Buffer {
  const anyBytes = (count: number) => Buffer.from(Array.from({ length: count }, () => chance(256)));
  switch (chance(5)) {
    case 0: {
      const payload = anyBytes(chance(chance(6) === 0 ? 250 : 20));
      const [kind, connection, sequence] = [chance(8), chance(256), chance(256)];
      return Buffer.from(encodeFrame({ kind, connection, sequence, payload }));
    }
    case 1: {
      const operation = chance(4) as SmpOperation;
      const [group, sequence, command] = [chance(65_536), chance(256), chance(256)];
      const body = anyBytes(chance(200));
      const version = chance(4);
      return Buffer.from(encodePacket({ operation, version, group, sequence, command, body }));
    }
    case 2:
      return Buffer.from("text for people, 21.5 °C\r\n".slice(chance(10)));
    case 3:
      return Buffer.alloc(chance(8) === 0 ? 1100 : chance(60), "a line that goes on ");
    default:
      return Buffer.from(
        Array.from(
          { length: chance(12) },
          () => [0xc0, 0xdb, 0xdc, 0x0a, 0x0d, 0x06][chance(6)] ?? 0,
        ),
      );
  }
}

/** Sometimes a byte is changed, or some are missing. */
function damaged(bytes: Buffer, chance: Chance): Buffer {
  if (bytes.length === 0) return bytes;
  const at = chance(bytes.length);
  switch (chance(8)) {
    case 0:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << chance(8));
      return bytes;
    case 1:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + chance(4))]);
    default:
      return bytes;
  }
}

/** Mulberry32: the same numbers for the same seed. */
function chanceFrom(start: number): Chance {
  let state = start;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}
