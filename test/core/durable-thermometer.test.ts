/** What a thermometer keeps over a loss of power: its telemetry, its seq, the interval it was commanded, its subscription. */

import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { Event, Status } from "../../firmware/core/abi.ts";
import {
  type Core,
  loadCore,
  readModule,
  type ThermometerExports,
} from "../../host/src/core/core.ts";
import { Session } from "../../host/src/core/session.ts";
import { textOf } from "../support/bytes.ts";
import { type ClientPacket, ClientStream } from "../support/client-stream.ts";
import * as packets from "../support/server-packets.ts";

const JOURNAL_CAPACITY = 256;
const CONFIGURED_MS = 1_000;
const NO_NOTE = new Uint8Array(0);

let core: Core<ThermometerExports>;

beforeAll(async () => {
  core = await loadCore<ThermometerExports>(await readModule("thermometer"));
});

/** A board: one life after the other over the same journal, and a server that answers when it is let. */
class Board {
  readonly #qos: number;
  readonly #journalCapacity: number;
  /** Telemetry in the order of its arrival, repetitions at QoS 1 included. */
  readonly arrived: string[] = [];
  journal: Uint8Array[] = [];
  session: Session<ThermometerExports>;
  #stream = new ClientStream();
  readonly #unreleased = new Set<number>();
  #nowMs = 0;

  constructor(qos = 1, journalCapacity = JOURNAL_CAPACITY) {
    this.#qos = qos;
    this.#journalCapacity = journalCapacity;
    this.session = this.#boot();
    if (journalCapacity > 0) this.saveImage();
  }

  get seq(): number {
    return core.exports.sequence(this.session.at);
  }

  get intervalMs(): number {
    return core.exports.intervalMs(this.session.at);
  }

  saveImage(): void {
    this.session.saveImage(1, NO_NOTE, (image) => {
      this.journal = [image.slice()];
    });
  }

  /** Power is lost and comes back. */
  crash(): void {
    this.session = this.#boot();
    for (const batch of this.journal) this.session.restore(batch);
  }

  lose(): void {
    this.session.connectionLost();
  }

  /** CONNECT and CONNACK. What the thermometer says then waits. */
  connect(sessionPresent: boolean): void {
    this.#stream = new ClientStream();
    const options = { cleanSession: false, keepAliveSeconds: 0, responseTimeoutMs: 0 };
    this.session.connect(options, this.#nowMs);
    this.send();
    this.receive(packets.connack(sessionPresent));
  }

  /** Connects; gives what is sent behind CONNECT, which nobody answers. */
  introduction(sessionPresent: boolean): ClientPacket[] {
    this.connect(sessionPresent);
    this.store();
    return this.send();
  }

  reading(milliCelsius: number): number {
    return core.exports.reading(this.session.at, milliCelsius, this.#nowMs);
  }

  /** True if something was urgent. */
  store(): boolean {
    const batch = this.session.batch();
    if (batch.length === 0) return false;
    this.journal.push(batch.slice());
    this.session.batchStored();
    return true;
  }

  /** Everything that may go now. */
  send(): ClientPacket[] {
    const bytes = this.session.toTransmit().slice();
    this.session.transmitted(bytes.length, this.#nowMs);
    return this.#stream.read(bytes);
  }

  receive(packet: Uint8Array): string[] {
    expect(this.session.receive(packet, 0)).toBe(packet.length);
    const events: string[] = [];
    for (let event = this.session.poll(this.#nowMs); event !== Event.None; ) {
      events.push(Event[event] ?? Status[event] ?? "?");
      event = this.session.poll(this.#nowMs);
    }
    return events;
  }

  /** Stores, sends, and takes in what a server answers; `answer` false: it is lost on the way back. */
  exchange(isAnswered = true): void {
    for (let round = 0; round < 100; round++) {
      this.store();
      const sent = this.send();
      if (sent.length === 0) return;
      for (const packet of sent) {
        const answer = this.#serve(packet);
        if (isAnswered && answer !== undefined) this.receive(answer);
        this.store();
      }
    }
    throw new Error("it never comes to rest");
  }

  #serve(packet: ClientPacket): Uint8Array | undefined {
    if (packet.type === "SUBSCRIBE") return packets.suback(packet.packetId, 1);
    if (packet.type === "PUBREL") {
      this.#unreleased.delete(packet.packetId);
      return packets.pubcomp(packet.packetId);
    }
    if (packet.type !== "PUBLISH") return undefined;
    const isRepeated = packet.qos === 2 && this.#unreleased.has(packet.packetId);
    if (packet.topic === "motes/k/telemetry" && !isRepeated) {
      this.arrived.push(textOf(packet.payload));
    }
    if (packet.qos === 1) return packets.puback(packet.packetId);
    this.#unreleased.add(packet.packetId);
    return packets.pubrec(packet.packetId);
  }

  #boot(): Session<ThermometerExports> {
    const session = new Session(core, {
      receive: 256,
      transmit: 1024,
      identity: 256,
      incomingCount: 4,
      journal: this.#journalCapacity,
    });
    session.setClientId("k");
    expect(core.exports.configure(session.at, CONFIGURED_MS, 0, this.#qos)).toBe(Status.Ok);
    return session;
  }
}

/** What may happen to a board, of which a loss of the connection or of power is followed by a new connection. */
const STEPS: { [name: string]: (board: Board) => void } = {
  reading: (board) => board.reading(board.seq * 10),
  store: (board) => board.store(),
  send: (board) => board.exchange(false),
  exchange: (board) => board.exchange(),
  image: (board) => board.saveImage(),
  lose(board) {
    board.lose();
    board.connect(true);
    board.exchange();
  },
  crash(board) {
    board.crash();
    board.connect(true);
    board.exchange();
  },
};

function subscribeCount(sent: ClientPacket[]): number {
  return sent.filter(({ type }) => type === "SUBSCRIBE").length;
}

const seqOf = (telemetry: string) => Number(/"seq":(\d+)/.exec(telemetry)?.[1]);

describe.each([1, 2])("seq at QoS %i", (qos) => {
  test("is in the same batch as its telemetry", () => {
    const board = new Board(qos);
    board.reading(20_000);
    expect(board.seq).toBe(2);
    board.crash();
    expect(board.seq).toBe(1);
    board.reading(20_000);
    expect(board.store()).toBe(true);
    board.crash();
    expect(board.seq).toBe(2);
    expect(board.introduction(false)).toMatchObject([
      { type: "PUBLISH", topic: "motes/k/telemetry" },
      { type: "PUBLISH", topic: "motes/k/status" },
      { type: "SUBSCRIBE" },
    ]);
  });

  test("survives in an image", () => {
    const board = new Board(qos);
    board.reading(20_000);
    board.saveImage();
    board.crash();
    expect(board.seq).toBe(2);
  });

  test("neither repeats nor skips, wherever power is lost [MQTT-4.3.2-1] [MQTT-4.3.3-1]", () => {
    const anyStep = fc.constantFrom(...Object.keys(STEPS), "reading");
    fc.assert(
      fc.property(fc.array(anyStep, { minLength: 10, maxLength: 80, size: "max" }), (steps) => {
        const board = new Board(qos);
        board.connect(false);
        for (const step of steps) STEPS[step]?.(board);
        board.crash();
        board.connect(true);
        board.exchange();
        const messages = qos === 2 ? board.arrived : [...new Set(board.arrived)];
        expect(messages.map(seqOf)).toEqual(messages.map((_, index) => index + 1));
        expect(board.seq).toBe(messages.length + 1);
      }),
      { numRuns: 100 },
    );
  });
});

describe("a commanded interval", () => {
  const command = packets.publish({ topic: "motes/k/cmd", payload: "interval 5000", qos: 1 });

  function commanded(): Board {
    const board = new Board();
    board.connect(false);
    board.exchange();
    expect(board.receive(command)).toEqual(["CommandDone"]);
    return board;
  }

  test("is stored before PUBACK goes [MQTT-4.3.2-2]", () => {
    const board = commanded();
    expect(board.send()).toEqual([]);
    expect(board.store()).toBe(true);
    expect(board.send()).toEqual([{ type: "PUBACK", packetId: 1 }]);
  });

  test("is not in force if power was lost before: the server sends the command again", () => {
    const board = commanded();
    board.crash();
    expect(board.intervalMs).toBe(CONFIGURED_MS);
    board.connect(true);
    expect(board.receive(command)).toEqual(["CommandDone"]);
    expect(board.intervalMs).toBe(5_000);
  });

  test.each(["batches", "an image"])(
    "survives in %s and counts more than what is configured",
    (kind) => {
      const board = commanded();
      if (kind === "batches") board.store();
      else board.saveImage();
      for (let life = 0; life < 3; life++) {
        board.crash();
        expect(board.intervalMs).toBe(5_000);
        board.connect(true);
        board.exchange();
        board.saveImage();
      }
    },
  );

  test("that was never given leaves what is configured", () => {
    const board = new Board();
    board.reading(20_000);
    board.store();
    board.crash();
    expect(board.intervalMs).toBe(CONFIGURED_MS);
    expect(board.seq).toBe(2);
  });
});

test("an application has the only note", () => {
  const board = new Board();
  expect(core.exports.note(board.session.at, 0, 0)).toBe(Status.WrongState);
  board.reading(20_000);
  board.session.saveImage(1, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), (image) => {
    board.journal = [image.slice()];
  });
  board.crash();
  expect([board.seq, board.intervalMs]).toEqual([2, CONFIGURED_MS]);
});

describe("the subscription to commands", () => {
  test.each([
    ["is made again, in memory only", 0],
    ["is kept and goes again, with a journal", JOURNAL_CAPACITY],
  ])("%s, when the connection was lost before SUBACK, and only then", (_, journalCapacity) => {
    const board = new Board(1, journalCapacity);
    expect(subscribeCount(board.introduction(false))).toBe(1);
    board.lose();
    expect(subscribeCount(board.introduction(true))).toBe(1);
    board.lose();
    board.connect(true);
    board.exchange();
    board.lose();
    expect(subscribeCount(board.introduction(true))).toBe(0);
  });

  test("is made after a loss of power at any moment before SUBACK", () => {
    for (const isStored of [false, true]) {
      const board = new Board();
      board.connect(false);
      if (isStored) board.store();
      board.crash();
      expect(subscribeCount(board.introduction(true))).toBeGreaterThan(0);
    }
  });
});
