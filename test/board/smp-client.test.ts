/** Whatever a board answers, a request is settled: with an answer, or with an error that says what to do. */

import { encode } from "cborg";
import fc from "fast-check";
import { expect, test } from "vitest";
import { BoardError } from "../../host/src/board/board-error.ts";
import { readInfo } from "../../host/src/board/board-info.ts";
import { readImages, readSlots } from "../../host/src/board/image-state.ts";
import { SmpClient } from "../../host/src/board/smp-client.ts";
import { encodePacket, PacketReceiver } from "../../host/src/board/smp-packet.ts";
import { VirtualWorld } from "../support/virtual-world.ts";

/** A client whose every request is answered with `body`. */
function answeredWith(body: Uint8Array): SmpClient {
  const world = new VirtualWorld();
  const packets = new PacketReceiver(world);
  const linesOf = (bytes: Uint8Array) =>
    Buffer.from(bytes)
      .toString("latin1")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => Buffer.from(line, "latin1"));
  const client: SmpClient = new SmpClient(world, (bytes) => {
    for (const line of linesOf(bytes)) {
      const request = packets.receive(line);
      if (request === undefined) continue;
      const operation = request.operation === 0 ? 1 : 3;
      const answer = encodePacket({ ...request, operation, body });
      queueMicrotask(() => {
        for (const answered of linesOf(answer)) client.receive(answered);
      });
    }
  });
  return client;
}

async function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error: unknown) => error);
}

test("any bytes as the answer", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 80 }), async (body) => {
      const error = await outcome(readInfo(answeredWith(body)));
      expect(error).toBeInstanceOf(BoardError);
      expect((error as BoardError).remedy).not.toBe("");
    }),
  );
});

test.each([
  ["no map", "01"],
  ["nothing", ""],
  ["a map that is cut", "a162726"],
  ["bytes behind the map", "a000"],
  ["a key twice", "a26272630062726300"],
  ["undefined as a value", "a1617af7"],
  ["not a number", "a1617afb7ff8000000000000"],
  ["a number that is too large", "a1617a1bffffffffffffffff"],
  ["a code that is a text", "a16272636131"],
])("%s makes no sense", async (_what, body) => {
  const error = await outcome(readImages(answeredWith(Buffer.from(body, "hex"))));
  expect(error).toMatchObject({ failure: "foreign", message: expect.stringContaining("no sense") });
});

test("maps of indefinite length are read, as Zephyr's servers write them", async () => {
  const body = Buffer.from(
    "bf66696d61676573 9fff 6b73706c6974537461747573 00ff".replaceAll(" ", ""),
    "hex",
  );
  expect(await readImages(answeredWith(body))).toEqual([]);
});

test("without the size of the largest image the smallest slot decides", async () => {
  const slots = [
    { slot: 0, size: 65_536 },
    { slot: 1, size: 32_768 },
  ];
  const client = answeredWith(encode({ images: [{ image: 0, slots }] }));
  expect(await readSlots(client)).toMatchObject({ imageLengthMax: 32_768 });
});

test("a board without slots makes no sense", async () => {
  const client = answeredWith(encode({ images: [{ image: 0, slots: [] }] }));
  expect(await outcome(readSlots(client))).toMatchObject({ failure: "foreign" });
});

test("numbers, texts and keys that nobody knows are no obstacle", async () => {
  const client = answeredWith(encode({ images: [], splitStatus: 0, later: { a: [1, "b"] } }));
  expect(await readImages(client)).toEqual([]);
});
