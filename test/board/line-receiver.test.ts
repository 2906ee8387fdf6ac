/** What holds for any bytes on a serial line: nothing throws, no text is lost, and a frame that arrives whole is taken. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeFrame, type Frame } from "../../host/src/board/frames.ts";
import { LineReceiver } from "../../host/src/board/line-receiver.ts";
import { encodePacket, PacketReceiver, SmpOperation } from "../../host/src/board/smp-packet.ts";
import { readMessage } from "../../host/src/board/tunnel-messages.ts";
import { concat } from "../support/bytes.ts";
import { VirtualWorld } from "../support/virtual-world.ts";

type Item = { text: number[]; isWhole: boolean } | { packetLine: number[] } | { frame: Frame };

class Listener {
  readonly world = new VirtualWorld();
  readonly items: Item[] = [];
  readonly receiver = new LineReceiver(this.world, {
    text: (line, isWhole) => this.items.push({ text: [...line], isWhole }),
    packetLine: (line) => this.items.push({ packetLine: [...line] }),
    frame: ({ payload, ...frame }) =>
      this.items.push({ frame: { ...frame, payload: Uint8Array.from(payload) } }),
  });

  /** All text bytes in order, with a LF behind each whole line. */
  get text(): number[] {
    return this.items.flatMap((item) => {
      if ("text" in item) return item.isWhole ? [...item.text, 0x0a] : item.text;
      return "packetLine" in item ? [...item.packetLine, 0x0a] : [];
    });
  }
}

/** Bytes as they are likely on such a line. */
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 64 }),
  fc
    .array(fc.constantFrom(0xc0, 0xdb, 0xdc, 0xdd, 0x0a, 0x0d, 0x06, 0x09, 0x04, 0x14, 0x41), {
      maxLength: 64,
    })
    .map((array) => Uint8Array.from(array)),
);

const frame = fc.record({
  kind: fc.nat(255),
  connection: fc.nat(255),
  sequence: fc.nat(255),
  payload: fc.uint8Array({ maxLength: 240 }),
});

describe("any bytes", () => {
  test("are taken without an error, in whatever pieces, and mean the same", () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 20 }), (chunks) => {
        const inPieces = new Listener();
        for (const chunk of chunks) inPieces.receiver.receive(chunk);
        inPieces.receiver.end();
        const atOnce = new Listener();
        atOnce.receiver.receive(concat(...chunks));
        atOnce.receiver.end();
        expect(inPieces.items).toEqual(atOnce.items);
        for (const item of inPieces.items) if ("frame" in item) readMessage(item.frame);
      }),
    );
  });

  test("come out as text, all of them but c0, if no frame is among them", () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 20 }), (chunks) => {
        const listener = new Listener();
        for (const chunk of chunks) listener.receiver.receive(chunk);
        listener.receiver.end();
        fc.pre(!listener.items.some((item) => "frame" in item));
        // A CR before LF is the line's end, too.
        const plain = [...concat(...chunks)].filter((byte) => byte !== 0xc0);
        expect(withoutCr(listener.text)).toEqual(withoutCr(plain));
      }),
    );
  });

  test("as lines of packets make no packet, or a whole one", () => {
    const start = fc.constantFrom([0x06, 0x09], [0x04, 0x14]);
    const base64 = fc.uint8Array({ maxLength: 30 }).map((b) => Buffer.from(b).toString("base64"));
    const line = fc
      .tuple(start, fc.oneof(base64, fc.string({ maxLength: 20 })))
      .map(([first, rest]) => Buffer.concat([Buffer.from(first), Buffer.from(rest)]));
    fc.assert(
      fc.property(fc.array(line, { maxLength: 20 }), (lines) => {
        const packets = new PacketReceiver(new VirtualWorld());
        for (const each of lines) packets.receive(each);
        expect(packets.brokenCount).toBeLessThanOrEqual(lines.length * 2);
      }),
    );
  });
});

describe("a frame", () => {
  test("is taken as it was, whatever text without c0 is around it", () => {
    const text = fc.uint8Array({ maxLength: 40 }).map((b) => b.filter((byte) => byte !== 0xc0));
    fc.assert(
      fc.property(text, frame, text, frame, (before, first, between, second) => {
        const listener = new Listener();
        listener.receiver.receive(concat(before, encodeFrame(first), between, encodeFrame(second)));
        const frames = listener.items.flatMap((item) => ("frame" in item ? [item.frame] : []));
        expect(frames).toEqual([first, second]);
        expect(withoutCr(listener.text)).toEqual(withoutCr([...before, ...between]));
      }),
    );
  });

  test("that is damaged in any bit is not taken, and the next one is", () => {
    const victim = { kind: 4, connection: 7, sequence: 3, payload: Uint8Array.of(0xc0, 0xdb, 1) };
    const next = { kind: 5, connection: 7, sequence: 0, payload: new Uint8Array(6) };
    const whole = encodeFrame(victim);
    for (let bit = 8; bit < (whole.length - 1) * 8; bit++) {
      const damaged = whole.slice();
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const listener = new Listener();
      listener.receiver.receive(concat(damaged, encodeFrame(next)));
      const frames = listener.items.flatMap((item) => ("frame" in item ? [item.frame] : []));
      expect(frames, `bit ${bit}`).toEqual([next]);
    }
  });

  test("is whole, however late, while this process was too busy to look", async () => {
    const listener = new Listener();
    const { world } = listener;
    const whole = encodeFrame({ kind: 4, connection: 1, sequence: 0, payload: new Uint8Array(9) });
    listener.receiver.receive(whole.subarray(0, 8));
    world.setTimer(400, () => world.beBusy(2_000));
    world.setTimer(410, () => listener.receiver.receive(whole.subarray(8)));
    await world.advance(3_000);
    expect(listener.items).toHaveLength(1);
    expect(listener.items[0]).toHaveProperty("frame");
    await world.advance(3_000);
    expect(world.timerCount).toBe(0);
  });
});

test("a packet is taken as it was, whatever its length", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 1_200 }),
      fc.nat(255),
      fc.nat(0xffff),
      (body, sequence, group) => {
        const world = new VirtualWorld();
        const packets = new PacketReceiver(world);
        const packet = {
          operation: SmpOperation.Write,
          version: 0,
          group,
          sequence,
          command: 1,
          body,
        };
        const taken: unknown[] = [];
        const receiver = new LineReceiver(world, {
          text: () => taken.push("text"),
          frame: () => taken.push("frame"),
          packetLine: (line) => {
            expect(line.length).toBeLessThanOrEqual(126);
            const whole = packets.receive(line);
            if (whole !== undefined) taken.push({ ...whole, body: Uint8Array.from(whole.body) });
          },
        });
        receiver.receive(encodePacket(packet));
        expect(taken).toEqual([packet]);
        expect(packets.brokenCount).toBe(0);
      },
    ),
  );
});

/** Without the CRs that stand before a LF. */
function withoutCr(text: number[]): string {
  return Buffer.from(text).toString("latin1").replace(/\r+\n/g, "\n");
}
