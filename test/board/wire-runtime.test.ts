/** Replays test/vectors/wire.json for the board's wire.c, and lets its tunnel.c live through bad lines. */

import { readFileSync } from "node:fs";
import { beforeAll, expect, test } from "vitest";
import { encodePacket } from "../../host/src/board/smp-packet.ts";
import { BUILD_PROGRAMS } from "../support/board-driver.ts";
import { describeWith } from "../support/optional.ts";
import { runBoardProgram } from "../support/run-board-program.ts";

interface FrameVector {
  kind: number;
  connection: number;
  sequence: number;
  payload: string;
}

interface WireVectors {
  crc: { bytes: string; crc32: string; crc16: string }[];
  receiver: {
    name: string;
    steps: ({ bytes: string } | { wait: number })[];
    taken: ({ text: string } | { packet: string } | { frame: FrameVector })[];
  }[];
  frames: (FrameVector & { name: string; bytes: string })[];
  packets: { name: string; packet: string; lines: string[] }[];
}

const BUILD_TIMEOUT_MS = 180_000;

const vectors = JSON.parse(
  readFileSync(new URL("../vectors/wire.json", import.meta.url), "utf8"),
) as WireVectors;

/** A seed of one's own: WASMQTT_SEED. */
const seed = process.env["WASMQTT_SEED"] ?? String(Date.now() % 1_000_000);

function lineOf({ kind, connection, sequence, payload }: FrameVector): string {
  return `frame ${kind} ${connection} ${sequence} ${payload}`;
}

describeWith(BUILD_PROGRAMS, "the wire of a board", () => {
  let played: string[];

  beforeAll(() => {
    const lines = vectors.receiver.flatMap(({ steps }) => [
      ...steps.map((step) => ("bytes" in step ? `bytes ${step.bytes}` : `wait ${step.wait}`)),
      "play",
    ]);
    played = runBoardProgram("wire", [], lines).join("\n").split(".\n");
  }, BUILD_TIMEOUT_MS);

  test.each(vectors.receiver.map((vector, index) => ({ ...vector, index })))(
    "$name, in every split",
    ({ taken, index }) => {
      const expected = taken.map((one) => {
        if ("text" in one) return `text ${one.text}`;
        return "packet" in one ? `packet ${one.packet}` : lineOf(one.frame);
      });
      expect(played[index]?.replace(/\.$/, "").split("\n").filter(Boolean)).toEqual(expected);
    },
  );

  test("checksums are those of the vectors", () => {
    const lines = vectors.crc.map(({ bytes }) => `crc ${bytes}`);
    const expected = vectors.crc.map(({ crc32, crc16 }) => `${crc32} ${crc16}`);
    expect(runBoardProgram("wire", [], lines)).toEqual(expected);
  });

  test("frames are written as in the vectors", () => {
    const expected = vectors.frames.map(({ bytes }) => bytes);
    expect(runBoardProgram("wire", [], vectors.frames.map(lineOf))).toEqual(expected);
  });

  test("management packets are written as in the vectors, whatever room the line has", () => {
    const lines = vectors.packets.map(({ packet }) => `packet ${packet}`);
    const expected = vectors.packets.flatMap((vector) => Array(3).fill(vector.lines.join("")));
    expect(runBoardProgram("wire", [], lines)).toEqual(expected);
  });

  test("a frame goes whole or not at all; lines of text that are lost are told of", () => {
    expect(runBoardProgram("wire", [], ["flood", "fit"])).toEqual([
      "2 frames, 41 lines, [59 lines lost], then all is sent",
      "a frame of 16 bytes fits where it fits",
    ]);
  });

  test("lines of text do not hold up an answer", () => {
    expect(runBoardProgram("wire", [], ["compete"])).toEqual(["the answer is on its way"]);
  });

  test("a request that comes while an answer is on its way waits for it", () => {
    const first = `0200000300000100${Buffer.from("one").toString("hex")}`;
    expect(runBoardProgram("wire", [], ["hold"])).toEqual([
      `0 bytes told, one waits, 1 is lost, due in 0 ms: packet ${first}`,
    ]);
  });

  test.each([1152, 1153])("the longest packet has 1,152 bytes: %i", (length) => {
    const body = new Uint8Array(length - 8).fill(7);
    const header = { operation: 2, version: 1, group: 0, sequence: 1, command: 0 } as const;
    const bytes = Buffer.from(encodePacket({ ...header, body })).toString("hex");
    const [taken] = runBoardProgram("wire", [], [`bytes ${bytes}`, "play 97"]);
    expect(taken?.startsWith("packet")).toBe(length === 1152);
  });
});

describeWith(BUILD_PROGRAMS, "the tunnel of a board", () => {
  test(
    "lives as docs/wire.md says",
    () => {
      expect(runBoardProgram("tunnel", [])).toEqual([expect.stringMatching(/^\d+ facts hold$/)]);
    },
    BUILD_TIMEOUT_MS,
  );

  test(
    "delivers a prefix of what was sent over any line, and stands again on a good one",
    () => {
      const [said] = runBoardProgram("tunnel-line", [seed, "300"]);
      const [, connections, ...counts] = (said?.match(/\d+/g) ?? []).map(Number);
      const [toHost, toBoard, inOrder, unreachable, closed, lost, silent, unknown] = counts;
      expect(connections).toBeGreaterThan(1000);
      expect(toHost).toBeGreaterThan(1_000_000);
      expect(toBoard).toBeGreaterThan(1_000_000);
      for (const reason of [inOrder, unreachable, closed, lost, silent, unknown]) {
        expect(reason).toBeGreaterThan(0);
      }
    },
    BUILD_TIMEOUT_MS,
  );
});
