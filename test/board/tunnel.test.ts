/** The host's end of the tunnel, rule by rule of docs/wire.md, "The life of a connection". */

import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { LineReceiver } from "../../host/src/board/line-receiver.ts";
import { Tunnel, type TunnelConnection, type TunnelEnd } from "../../host/src/board/tunnel.ts";
import {
  CloseReason,
  messageFrame,
  readMessage,
  type TunnelMessage,
} from "../../host/src/board/tunnel-messages.ts";
import { VirtualWorld } from "../support/virtual-world.ts";

const WINDOW_LENGTH = 4_096;

let world: VirtualWorld;
/** What the host said, without HELLO. */
let said: TunnelMessage[];
let hellos: TunnelMessage[];
let connections: TunnelConnection[];
let received: number[];
let ends: TunnelEnd[];
let drainedCount: number;
let tunnel: Tunnel;

beforeEach(() => {
  world = new VirtualWorld();
  said = [];
  hellos = [];
  connections = [];
  received = [];
  ends = [];
  drainedCount = 0;
  const receiver = new LineReceiver(world, {
    text: () => {
      throw new Error("the tunnel says nothing but frames");
    },
    packetLine: () => {},
    frame: (frame) => {
      const message = readMessage(frame);
      if (message === undefined) throw new Error("a frame without meaning");
      (message.kind === "hello" ? hellos : said).push(message);
    },
  });
  tunnel = new Tunnel(world, (bytes) => receiver.receive(bytes), {
    opening: (connection) => {
      connections.push(connection);
      connection.handle({
        received: (bytes) => received.push(...bytes),
        drained: () => drainedCount++,
        closed: (end) => ends.push(end),
      });
    },
  });
});

function hear(...messages: TunnelMessage[]): void {
  for (const message of messages) tunnel.receive(messageFrame(message));
}

function heard(): TunnelMessage[] {
  return said.splice(0);
}

/** A connection that stands, with this window at the board. */
function standing(windowLength = 512, number = 7): TunnelConnection {
  hear(open(windowLength, number));
  const connection = connections.at(-1);
  if (connection === undefined) throw new Error("no connection");
  connection.accept();
  expect(heard()).toEqual([{ kind: "opened", connection: number, windowLength: WINDOW_LENGTH }]);
  return connection;
}

function open(windowLength = 512, connection = 7): TunnelMessage {
  return { kind: "open", connection, version: 1, windowLength };
}

function data(sequence: number, length = 1, connection = 7): TunnelMessage {
  return { kind: "data", connection, sequence, bytes: new Uint8Array(length).fill(sequence) };
}

function credit(takenLength: number, windowLength = 512, connection = 7): TunnelMessage {
  return { kind: "credit", connection, takenLength, windowLength };
}

function ask(sentLength: number): TunnelMessage {
  return { kind: "ask", connection: 7, sentLength };
}

function close(reason: number, text: unknown = expect.any(String), connection = 7) {
  return { kind: "close", connection, reason, text };
}

function dataLengths(messages: TunnelMessage[]): number[] {
  return messages.flatMap((message) => (message.kind === "data" ? [message.bytes.length] : []));
}

describe("HELLO", () => {
  test("is said at once and each second, with the time, while no connection stands", async () => {
    expect(hellos).toEqual([{ kind: "hello", version: 1, unixMs: 1_795_388_880_000 }]);
    await world.advance(2_500);
    expect(hellos).toHaveLength(3);
    expect(hellos[2]).toMatchObject({ unixMs: 1_795_388_882_000 });
    hear(open());
    await world.advance(2_000);
    expect(hellos).toHaveLength(5);
    connections[0]?.accept();
    await world.advance(4_000);
    expect(hellos).toHaveLength(5);
    hear({ kind: "close", connection: 7, reason: 0, text: "" });
    await world.advance(1_000);
    expect(hellos).toHaveLength(6);
  });
});

describe("OPEN", () => {
  test("asks the owner once, and is answered when the connection stands, each time", () => {
    hear(open(), open());
    expect(connections).toHaveLength(1);
    expect(heard()).toEqual([]);
    connections[0]?.accept();
    hear(open());
    expect(connections).toHaveLength(1);
    expect(heard()).toEqual([
      { kind: "opened", connection: 7, windowLength: WINDOW_LENGTH },
      { kind: "opened", connection: 7, windowLength: WINDOW_LENGTH },
    ]);
  });

  test("is answered with CLOSE if no connection can be made, and asks anew if it is repeated then", () => {
    hear(open());
    connections[0]?.close(CloseReason.BrokerUnreachable, "nobody listens there");
    expect(heard()).toEqual([close(1, "nobody listens there")]);
    expect(ends).toEqual([]);
    hear(open());
    expect(connections).toHaveLength(2);
  });

  test("with another number ends what was there before", () => {
    standing();
    hear(data(0));
    hear(open(512, 8));
    expect(ends).toEqual([expect.objectContaining({ by: "board" })]);
    expect(connections).toHaveLength(2);
    connections[1]?.accept();
    hear(data(0, 3, 8));
    expect(received).toEqual([0, 0, 0, 0]);
  });

  test.each([[data(0)], [ask(0)], [credit(0)]])(
    "with the same number after anything else ($kind) comes from a board that was restarted",
    (message) => {
      standing();
      hear(message, open());
      expect(ends).toEqual([expect.objectContaining({ by: "board" })]);
      expect(connections).toHaveLength(2);
      connections[1]?.accept();
      hear(data(0));
      expect(received.at(-1)).toBe(0);
      expect(ends).toHaveLength(1);
    },
  );

  test("with ever new numbers makes two at once and one in 200 ms from then on, and the one that came too soon when it is repeated", async () => {
    for (let number = 0; number < 100; number++) {
      hear(open(512, number));
      await world.advance(10);
    }
    expect(connections.map(({ number }) => number)).toEqual([0, 1, 20, 40, 60, 80]);
    expect(tunnel.ignoredCount).toBe(94);
    expect(connections.filter(({ isOpen }) => isOpen)).toHaveLength(1);
    await world.advance(1_000);
    hear(open(512, 99));
    expect(connections.at(-1)?.number).toBe(99);
  });

  test("of another version of the wire is refused", () => {
    hear({ kind: "open", connection: 9, version: 2, windowLength: 512 });
    expect(connections).toEqual([]);
    expect(heard()).toEqual([close(5, expect.stringContaining("version 1"), 9)]);
  });
});

describe("DATA of the board", () => {
  test("is taken in order, over the end of the sequence numbers", () => {
    const connection = standing();
    for (let index = 0; index < 600; index++) {
      hear(data(index % 256));
      connection.taken(1);
    }
    expect(received).toEqual(Array.from({ length: 600 }, (_, index) => index % 256));
    expect(ends).toEqual([]);
  });

  test("that is doubled counts once", () => {
    standing();
    hear(data(0), data(0), data(1), data(1));
    expect(received).toEqual([0, 1]);
    expect(ends).toEqual([]);
  });

  test.each([[2], [5], [254]])(
    "that comes out of order (%i after 0) ends the connection",
    (sequence) => {
      standing();
      hear(data(0), data(sequence));
      expect(received).toEqual([0]);
      expect(heard()).toEqual([close(CloseReason.FrameLost)]);
      expect(ends).toEqual([expect.objectContaining({ by: "tunnel", reason: 3 })]);
    },
  );

  test("beyond the window ends the connection", () => {
    const connection = standing();
    for (let index = 0; index < 16; index++) hear(data(index, 240));
    hear(data(16, 240));
    expect(ends).toEqual([]);
    hear(data(17, 16));
    expect(ends).toEqual([]);
    hear(data(18, 1));
    expect(heard()).toEqual([close(CloseReason.WindowExceeded)]);
    expect(ends).toEqual([expect.objectContaining({ reason: 8 })]);
    connection.taken(4_096);
    expect(heard()).toEqual([]);
  });

  test("before the connection stands is not taken", () => {
    hear(open(), data(0));
    expect(received).toEqual([]);
    expect(ends).toEqual([]);
  });
});

describe("CREDIT", () => {
  test("is said when a quarter of the window was taken", () => {
    const connection = standing();
    for (let index = 0; index < 4; index++) hear(data(index, 240));
    connection.taken(960);
    expect(heard()).toEqual([]);
    hear(data(4, 64));
    connection.taken(64);
    expect(heard()).toEqual([credit(1_024, WINDOW_LENGTH)]);
    connection.taken(0);
    expect(heard()).toEqual([]);
  });

  test("is said after 32 frames, however short", () => {
    const connection = standing();
    for (let index = 0; index < 32; index++) {
      hear(data(index));
      connection.taken(1);
    }
    expect(heard()).toEqual([credit(32, WINDOW_LENGTH)]);
  });

  test("is not said for what was not handed on", () => {
    standing();
    for (let index = 0; index < 10; index++) hear(data(index, 240));
    expect(heard()).toEqual([]);
    hear(ask(2_400));
    expect(heard()).toEqual([credit(0, WINDOW_LENGTH)]);
  });
});

describe("DATA to the board", () => {
  test("comes in frames of at most 240 bytes, and never more than the window", () => {
    const connection = standing(512);
    const bytes = Uint8Array.from({ length: 1_000 }, (_, index) => index % 251);
    expect(connection.write(bytes)).toBe(false);
    const first = heard();
    expect(dataLengths(first)).toEqual([240, 240, 32]);
    hear(credit(240, 512));
    const second = heard();
    expect(dataLengths(second)).toEqual([240]);
    expect(drainedCount).toBe(0);
    hear(credit(752, 512));
    const third = heard();
    expect(dataLengths(third)).toEqual([240, 8]);
    expect(drainedCount).toBe(1);
    expect(connection.write(Uint8Array.of(1))).toBe(true);
    const all = [...first, ...second, ...third].flatMap((message) =>
      message.kind === "data" ? [...message.bytes] : [],
    );
    expect(all).toEqual([...bytes]);
    const sequences = [...first, ...second, ...third].map((message) =>
      message.kind === "data" ? message.sequence : -1,
    );
    expect(sequences).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test("is at most 128 frames under way", () => {
    const connection = standing(60_000);
    for (let index = 0; index < 200; index++) connection.write(Uint8Array.of(index));
    expect(heard()).toHaveLength(128);
    hear(credit(64, 60_000));
    expect(heard()).toHaveLength(64);
    hear(credit(128, 60_000));
    const rest = heard();
    expect(rest).toHaveLength(8);
    expect(rest.at(-1)).toMatchObject({ sequence: 199 });
    expect(drainedCount).toBe(1);
  });

  test("is no frame without bytes", () => {
    const connection = standing(512);
    heard();
    expect(connection.write(new Uint8Array(0))).toBe(true);
    expect(heard()).toEqual([]);
  });

  test("is a copy of what was given", () => {
    const connection = standing(1);
    const bytes = Uint8Array.of(1, 2);
    connection.write(bytes);
    bytes.fill(9);
    hear(credit(1, 1));
    expect(heard()).toEqual([
      { kind: "data", connection: 7, sequence: 0, bytes: Buffer.of(1) },
      { kind: "data", connection: 7, sequence: 1, bytes: Buffer.of(2) },
    ]);
  });

  test.each([
    ["is behind what was said before", 100],
    ["is beyond what was sent", 300],
  ])("is not freed by a CREDIT that %s", (_what, takenLength) => {
    const connection = standing(200);
    connection.write(new Uint8Array(500));
    hear(credit(150, 50));
    heard();
    hear(credit(takenLength, 5_000));
    expect(heard()).toEqual([]);
    expect(ends).toEqual([]);
    expect(tunnel.ignoredCount).toBe(1);
  });
});

describe("ASK", () => {
  test("is answered at once, with what was taken", () => {
    const connection = standing();
    hear(data(0, 100));
    connection.taken(60);
    hear(ask(100));
    expect(heard()).toEqual([credit(60, WINDOW_LENGTH)]);
  });

  test("that tells of bytes that never came ends the connection", () => {
    standing();
    hear(data(0, 100), ask(101));
    expect(heard()).toEqual([close(CloseReason.FrameLost)]);
    expect(ends).toEqual([expect.objectContaining({ by: "tunnel", reason: 3 })]);
  });

  test("is said each second while something is not taken, and each 5 s else", async () => {
    const connection = standing();
    connection.write(new Uint8Array(10));
    heard();
    for (let second = 1; second <= 2; second++) {
      await world.advance(1_000);
      expect(heard()).toEqual([ask(10)]);
      hear(credit(5));
    }
    hear(credit(10));
    await world.advance(4_000);
    expect(heard()).toEqual([]);
    await world.advance(1_000);
    expect(heard()).toEqual([ask(10)]);
  });

  test("without an answer, three times, ends the connection", async () => {
    const connection = standing();
    connection.write(new Uint8Array(10));
    heard();
    await world.advance(3_500);
    expect(heard()).toEqual([ask(10), ask(10), ask(10)]);
    expect(ends).toEqual([]);
    await world.advance(500);
    expect(heard()).toEqual([close(CloseReason.NoAnswer)]);
    expect(ends).toEqual([expect.objectContaining({ by: "tunnel", reason: 4 })]);
  });

  test("keeps a silent connection that is answered for, for hours", async () => {
    standing();
    for (let round = 0; round < 1_000; round++) {
      await world.advance(1_000);
      if (heard().length > 0) hear(credit(0));
    }
    expect(ends).toEqual([]);
  });
});

describe("a connection that is not known", () => {
  test.each([[data(0)], [credit(0)], [ask(0)]])("is answered with CLOSE: $kind", (message) => {
    hear(message);
    expect(heard()).toEqual([close(CloseReason.Unknown)]);
    standing(512, 8);
    hear(message);
    expect(heard()).toEqual([close(CloseReason.Unknown)]);
    expect(ends).toEqual([]);
    expect(tunnel.ignoredCount).toBe(2);
  });

  test("and is closed, is not answered", () => {
    hear({ kind: "close", connection: 7, reason: 3, text: "" });
    expect(heard()).toEqual([]);
  });

  test("any more, is answered with CLOSE, too", () => {
    standing();
    hear({ kind: "close", connection: 7, reason: 0, text: "" }, ask(0));
    expect(heard()).toEqual([close(CloseReason.Unknown)]);
  });
});

describe("the end", () => {
  test("comes from the board with its reason", () => {
    standing();
    hear({ kind: "close", connection: 7, reason: 7, text: "trap" });
    expect(ends).toEqual([{ by: "board", reason: 7, text: "trap" }]);
    expect(heard()).toEqual([]);
  });

  test("waits, in order, for what was written", () => {
    const connection = standing(100);
    connection.write(new Uint8Array(150));
    connection.finish(CloseReason.BrokerClosed, "over");
    expect(dataLengths(heard())).toEqual([100]);
    hear(data(0));
    expect(received).toEqual([]);
    hear(credit(100, 100));
    expect(heard()).toEqual([expect.objectContaining({ kind: "data" }), close(2, "over")]);
    expect(ends).toEqual([]);
    expect(connection.isOpen).toBe(false);
  });

  test("comes at once if nothing waits, or nothing stands", () => {
    standing().finish(CloseReason.BrokerClosed, "over");
    expect(heard()).toEqual([close(2, "over")]);
  });

  test("of the bridge is told to the board, that of the line is not", async () => {
    standing();
    tunnel.lineLost();
    expect(ends).toEqual([expect.objectContaining({ by: "line" })]);
    expect(heard()).toEqual([]);
    await world.advance(10_000);
    expect(world.timerCount).toBe(0);
  });

  test("of the bridge stops all timers", () => {
    standing();
    tunnel.end();
    expect(heard()).toEqual([close(CloseReason.BridgeEnds)]);
    expect(ends).toEqual([]);
    expect(world.timerCount).toBe(0);
  });

  test("makes every method harmless", () => {
    const connection = standing();
    hear({ kind: "close", connection: 7, reason: 0, text: "" });
    connection.accept();
    connection.repeatOpened();
    connection.write(Uint8Array.of(1));
    connection.taken(5);
    connection.finish(0, "");
    connection.close(0, "");
    connection.abandon({ by: "line", reason: 0, text: "" });
    expect(heard()).toEqual([]);
    expect(ends).toHaveLength(1);
  });
});

test("whatever frames come, in whatever order, nothing throws and no connection ends twice", () => {
  const number = fc.constantFrom(0, 7, 8);
  const small = fc.constantFrom(0, 1, 2, 255, 240, 4_096, 0xffffffff);
  const message: fc.Arbitrary<TunnelMessage> = fc.oneof(
    fc.record({ kind: fc.constant("hello" as const), version: fc.nat(3), unixMs: fc.nat() }),
    fc.record({
      kind: fc.constant("open" as const),
      connection: number,
      version: fc.constantFrom(1, 1, 1, 2),
      windowLength: fc.constantFrom(0, 1, 300, 0xffff),
    }),
    fc.record({
      kind: fc.constant("opened" as const),
      connection: number,
      windowLength: fc.nat(9),
    }),
    fc.record({
      kind: fc.constant("data" as const),
      connection: number,
      sequence: fc.constantFrom(0, 1, 2, 3, 255),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 240 }),
    }),
    fc.record({
      kind: fc.constant("credit" as const),
      connection: number,
      takenLength: small,
      windowLength: fc.constantFrom(0, 1, 300, 0xffff),
    }),
    fc.record({ kind: fc.constant("ask" as const), connection: number, sentLength: small }),
    fc.record({
      kind: fc.constant("close" as const),
      connection: number,
      reason: fc.nat(255),
      text: fc.string({ maxLength: 50 }),
    }),
  );
  fc.assert(
    fc.property(
      fc.array(fc.oneof(message, fc.constantFrom("accept", "write", "finish")), { maxLength: 60 }),
      (steps) => {
        const openCount = connections.length;
        const endCount = ends.length;
        for (const step of steps) {
          const connection = connections.at(-1);
          if (typeof step === "object") hear(step);
          else if (step === "accept") connection?.accept();
          else if (step === "write") connection?.write(new Uint8Array(500));
          else connection?.finish(CloseReason.BrokerClosed, "over");
        }
        expect(ends.length - endCount).toBeLessThanOrEqual(connections.length - openCount + 1);
        tunnel.receive({ kind: 0x55, connection: 0, sequence: 0, payload: new Uint8Array(3) });
      },
    ),
  );
});
