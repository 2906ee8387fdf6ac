/** Brings an image to a board, packet by packet, and goes on where the board wants it (docs/wire.md, group 1, command 1). */

import { createHash } from "node:crypto";
import { encode } from "cborg";
import { z } from "zod";
import { BoardError } from "./board-error.ts";
import type { SmpClient } from "./smp-client.ts";
import { SmpGroup } from "./smp-error.ts";
import { SMP_HEADER_LENGTH } from "./smp-packet.ts";
import { unlessAborted } from "./waiting.ts";

export interface SendOptions {
  /** The longest packet that the board takes, in bytes. */
  readonly packetLengthMax: number;
  /** The board has so many bytes. The first call says how many it had before. */
  readonly progressed: (doneLength: number) => void;
  readonly signal: AbortSignal | undefined;
}

/** A longer packet would have to be repeated too often on a bad line, and be hardly quicker on a good one. */
const PACKET_LENGTH_MAX = 512;

/** For the first packet the board may erase its slot; the others it has only to write. */
const FIRST_PATIENCE = { timeoutMs: 3_000, attemptCount: 10 };
const PATIENCE = { timeoutMs: 1_000, attemptCount: 8 };

/** A board that so often wants no more than it had does not get anywhere. */
const STANDSTILL_COUNT_MAX = 20;

const uploadAnswer = z.object({ off: z.int().min(0) });

/** Sends what the board does not have yet. Rejects as `SmpClient.request` does, and with the signal's reason. */
export async function sendImage(
  smp: SmpClient,
  image: Uint8Array,
  { packetLengthMax, progressed, signal }: SendOptions,
): Promise<void> {
  const sha = createHash("sha256").update(image).digest();
  let doneLength = 0;
  let standstillCount = 0;
  for (let offset = 0; offset < image.length || offset === 0; ) {
    const head = offset === 0 ? { image: 0, len: image.length, sha } : {};
    const body = withData({ ...head, off: offset }, image.subarray(offset), packetLengthMax);
    const answered = smp.request({
      what: "take a module",
      remedy:
        "See what it has and how much room: wasmqtt slots; and what the file is: wasmqtt inspect FILE",
      operation: "write",
      group: SmpGroup.Image,
      command: 1,
      body,
      answer: uploadAnswer,
      patience: offset === 0 ? FIRST_PATIENCE : PATIENCE,
    });
    const { off } = await unlessAborted(answered, signal);
    standstillCount = off > doneLength ? 0 : standstillCount + 1;
    if (off > image.length || standstillCount > STANDSTILL_COUNT_MAX) {
      throw noSense(off, image.length);
    }
    doneLength = Math.max(doneLength, off);
    offset = off;
    progressed(off);
  }
}

/** As much of `data` as the packet has room for. */
function withData(
  body: Readonly<Record<string, unknown>>,
  data: Uint8Array,
  packetLengthMax: number,
): Record<string, unknown> {
  const longestLength = Math.min(packetLengthMax, PACKET_LENGTH_MAX);
  const emptyLength =
    encode({ ...body, data: new Uint8Array(longestLength) }).length - longestLength;
  const room = longestLength - SMP_HEADER_LENGTH - emptyLength;
  return { ...body, data: data.subarray(0, room) };
}

function noSense(offset: number, length: number): BoardError {
  return new BoardError(
    "failed",
    `The board does not get on with the upload: it wants byte ${offset} of ${length} again and again`,
    "Erase the slot and try it again: wasmqtt slots --erase; see what the board says: wasmqtt monitor",
  );
}
