/** A durable client that loses power, a small server, the wires between them, and what was promised. */

import { expect } from "vitest";
import { Status } from "../../firmware/core/abi.ts";
import { concat, hex, splitPackets } from "./bytes.ts";
import type { CoreClient, CoreEvent, RecordSpec } from "./core-client.ts";
import { clientWithJournal, restoredFrom } from "./durable.ts";
import { journalOf } from "./journal.ts";
import { ModelServer } from "./model-server.ts";
import { WireCheck } from "./wire-check.ts";

export type Qos = 0 | 1 | 2;

/** What becomes of the session at a connection: `torn` is a power loss while the client learns that it is lost. */
export type Fate = "kept" | "forgotten" | "clean" | "torn";

type Step = "poll" | "round" | "store" | "image" | "crash" | "lose" | "subscribe" | "unsubscribe";

/** One step, mostly one call of the core. */
export type Action =
  | { kind: "publish" | "serve"; qos: Qos; length: number }
  | { kind: "transmit" | "up" | "down"; length: number }
  | { kind: Step }
  | { kind: "connect"; fate: Fate }
  | { kind: "wait"; elapsedMs: number };

interface Sent {
  payload: string;
  qos: Qos;
  packetId: number;
  /** From here on it must arrive. */
  isStored: boolean;
  /** Power was lost before it was stored: nobody may ever see it. */
  isLost: boolean;
  /** Reported as Dropped and not requeued: it may or may not have arrived. */
  isInDoubt: boolean;
}

const QOS2_MAX = 3;

/** The limits of this world's client. */
interface Limits {
  startMs: number;
  inflightMax: number;
  journalCapacity: number;
  transmitCapacity: number;
}

export class DurableWorld {
  client: CoreClient;
  readonly server = new ModelServer(QOS2_MAX);
  readonly sent: Sent[] = [];
  readonly served: { payload: string; qos: Qos }[] = [];
  /** What the application has made of its messages, version by version; a note is an index into it. */
  readonly #versions: string[][] = [[]];
  #version = 0;
  readonly #skipped: number[] = [];
  readonly #wire = new WireCheck();
  readonly #limits: Limits;
  readonly #inDoubtFromServer = new Set<string>();
  #generation = 1;
  #wasClean = false;
  #up: Uint8Array = new Uint8Array(0);
  #down: Uint8Array = new Uint8Array(0);
  #count = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.client = clientWithJournal(this.#spec);
    this.#begin();
    this.client.beginJournal(this.#generation, this.#note);
  }

  act(action: Action): void {
    switch (action.kind) {
      case "publish":
        this.#publish(action.qos, action.length);
        break;
      case "serve":
        this.#serve(action.qos, action.length);
        break;
      case "connect":
        this.#connect(action.fate);
        break;
      case "wait":
        this.#take(this.client.wait(action.elapsedMs));
        break;
      case "transmit":
      case "up":
      case "down":
        this.#move(action.kind, action.length);
        break;
      default:
        this.#step(action.kind);
    }
    this.client.core.checkGuards();
  }

  /** Connects for good and lets everything arrive. */
  settle(): void {
    this.#lose();
    this.#connect("kept");
    for (let round = 0; round < 1000; round++) {
      const before = this.#count;
      if (this.#round()) continue;
      if (this.server.unfinished.length === 0 && before === this.#count && this.#isQuiet) return;
    }
    throw new Error("it never comes to rest");
  }

  /** Every promise of the three QoS levels, in both directions. */
  check(): void {
    expect(this.client.call("inflightCount")).toBe(0);
    for (const { payload, qos, isStored, isLost, isInDoubt } of this.sent) {
      const count = this.server.arrived.filter((arrived) => arrived === payload).length;
      const isPromised = qos > 0 && isStored && !isInDoubt;
      expect(count, `${payload} at QoS ${qos}`).toBeGreaterThanOrEqual(isPromised ? 1 : 0);
      expect(count, `${payload} at QoS ${qos}`).toBeLessThanOrEqual(qos === 1 ? Infinity : 1);
      if (isLost && qos > 0) expect(count, `${payload}, which was never stored`).toBe(0);
    }
    const firsts = [...new Set(this.server.arrived)];
    const order = firsts.map((payload) => this.sent.findIndex((sent) => sent.payload === payload));
    expect(order, "the order of first arrival").toEqual(order.toSorted((a, b) => a - b));
    this.#checkServed();
  }

  get #spec(): Partial<RecordSpec> {
    return {
      receiveCapacity: 48,
      transmitCapacity: this.#limits.transmitCapacity,
      incomingCount: QOS2_MAX,
      journalCapacity: this.#limits.journalCapacity,
    };
  }

  get #isQuiet(): boolean {
    const { client } = this;
    const urgentLength = client.storeLength + client.call("transmitLength");
    return this.#up.length + this.#down.length + urgentLength === 0;
  }

  get #note(): Uint8Array {
    return Uint8Array.of(this.#version >> 8, this.#version & 0xff);
  }

  get #taken(): string[] {
    return this.#versions[this.#version] ?? [];
  }

  #begin(): void {
    this.client.setLimits(this.#limits.inflightMax);
    this.client.nowMs = this.#limits.startMs;
  }

  #step(kind: Step): void {
    if (kind === "poll") this.#poll();
    if (kind === "round") this.#round();
    if (kind === "store") this.#keep();
    if (kind === "image") this.#saveImage();
    if (kind === "crash") this.#crash();
    if (kind === "lose") this.#lose();
    if (kind === "subscribe") this.client.subscribe(["s", 2]);
    if (kind === "unsubscribe") this.client.unsubscribe("t");
  }

  /** Stores, sends and takes in whatever there is, once; false if nothing was reported. */
  #round(): boolean {
    this.#keep();
    this.#move("transmit", 1000);
    this.#move("up", 1000);
    this.#move("down", 1000);
    return this.#poll();
  }

  #publish(qos: Qos, length: number): void {
    const payload = `${this.#count++} `.padEnd(length, "x");
    const packetId = this.client.publish("d", payload, { qos });
    if (packetId === Status.BufferFull || packetId === Status.TooLarge) return;
    expect(packetId).toBeGreaterThanOrEqual(0);
    this.sent.push({
      payload,
      qos,
      packetId,
      isStored: false,
      isLost: false,
      isInDoubt: false,
    });
  }

  #serve(qos: Qos, length: number): void {
    const payload = `${this.#count++} `.padEnd(length, "x");
    if (this.server.publish(payload, qos)) this.served.push({ payload, qos });
    this.#takeReplies();
  }

  #keep(): void {
    if (this.client.keep().length > 0) this.#markStored();
  }

  #saveImage(): void {
    this.client.beginJournal(++this.#generation, this.#note);
    this.#markStored();
  }

  #markStored(): void {
    for (const sent of this.sent) sent.isStored ||= !sent.isLost;
  }

  #move(kind: "transmit" | "up" | "down", length: number): void {
    if (kind === "up") {
      this.#wire.fromClient(this.#up.slice(0, length));
      this.server.read(this.#up.slice(0, length));
      this.#up = this.#up.slice(length);
      this.#takeReplies();
    } else if (kind === "down") {
      const taken = this.client.receive(this.#down.slice(0, length));
      this.#wire.toClient(this.#down.slice(0, taken));
      this.#down = this.#down.slice(taken);
    } else {
      const taken = Math.min(length, this.client.call("transmitLength"));
      this.#up = concat(this.#up, this.client.core.bytes(this.client.call("transmitAt"), taken));
      this.client.call("transmitted", taken, this.client.nowMs);
    }
  }

  #takeReplies(): void {
    this.#down = concat(this.#down, this.server.takeReplies());
  }

  #poll(): boolean {
    const event = this.client.poll();
    this.#take(event);
    return event !== undefined;
  }

  #lose(): void {
    this.client.connectionLost();
    this.#cut();
  }

  #cut(): void {
    if (this.#wasClean) this.#doubtServed();
    this.server.close();
    this.#up = new Uint8Array(0);
    this.#down = new Uint8Array(0);
  }

  /** Power is lost: what was stored is all that is left. */
  #crash(): void {
    const journal = this.client.journal ?? [];
    this.#checkJournal(journal);
    this.#cut();
    for (const sent of this.sent) sent.isLost ||= !sent.isStored;
    this.client = clientWithJournal(this.#spec);
    for (const batch of journal) {
      expect(this.client.restore(batch)).toBe(Status.Ok);
      const [high = 0, low = 0] = this.client.restoredNote ?? this.#note;
      if (this.client.restoredNote !== undefined) this.#version = high * 256 + low;
    }
    this.client.journal = journal;
    this.#begin();
  }

  /** What is stored, and what would be if the connection were lost now, says the same as an image of this moment. */
  #checkJournal(journal: Uint8Array[]): void {
    const image = this.client.saveImage();
    const isLosing = this.client.state === "Connecting"; // what is requeued is recorded at the end of that
    this.client.connectionLost();
    const pending = this.client.batch();
    const rest = pending.length > 0 ? [pending] : [];
    const fromBatches = restoredFrom([...journal, ...rest], this.#spec).saveImage();
    if (!isLosing) expect(contentOf(fromBatches)).toEqual(contentOf(image));
    for (const packetIds of [image, fromBatches].map(packetIdsOf)) {
      expect(new Set(packetIds).size, "identifiers in use").toBe(packetIds.length);
    }
  }

  #connect(fate: Fate): void {
    if (this.client.state !== "Disconnected") return;
    this.server.open();
    this.#wire.open();
    const cleanSession = fate === "clean";
    expect(this.client.connect({ cleanSession, keepAliveSeconds: 20 })).toBe(Status.Ok);
    const isLost = fate !== "kept" || this.#wasClean;
    this.#wasClean = cleanSession;
    if (isLost) this.#loseSession(fate === "torn");
  }

  #doubtServed(): void {
    for (const payload of this.server.unfinished) this.#inDoubtFromServer.add(payload);
  }

  /**
   * Goes on until it is stored that the session is lost: a CONNACK that nobody remembers would hide that the server
   * has forgotten, and MQTT 3.1.1 has no remedy. If it is torn, power is lost at that moment.
   */
  #loseSession(isTorn: boolean): void {
    this.#doubtServed();
    this.server.forget();
    this.#wire.forget();
    this.#keep();
    this.#move("transmit", 1000);
    this.#move("up", 1000);
    this.#move("down", 4);
    do {
      this.#poll();
      this.#keep();
    } while (!isTorn && this.client.state !== "Connected");
    if (isTorn) this.#crash();
  }

  #take(event: CoreEvent | undefined): void {
    if (event?.kind === "Failed") throw new Error(`the core failed: ${event.status}`);
    if (event?.kind === "Message") this.#takeMessage(event.payload, event.qos);
    if (event?.kind === "MessageSkipped") this.#skipped.push(event.payloadLength);
    if (event?.kind === "Dropped") this.#takeDropped(event);
    if (event?.kind === "Published") this.#finish(event.packetId);
  }

  /** Its part of the state goes into the journal with what the core knows of the message. */
  #takeMessage(payload: string, qos: number): void {
    this.#version = this.#versions.push([...this.#taken, payload]) - 1;
    if (qos > 0) expect(this.client.note(this.#note)).toBe(Status.Ok);
  }

  #takeDropped(event: Extract<CoreEvent, { kind: "Dropped" }>): void {
    if (event.topic === "") {
      this.#finish(event.packetId);
      return;
    }
    const sent = this.sent.find(({ payload }) => payload === event.payload);
    if (sent === undefined) throw new Error("a message was dropped that was never sent");
    if (event.qos === 1) expect(this.client.call("requeue")).toBe(Status.Ok);
    else sent.isInDoubt = true;
  }

  #finish(packetId: number): void {
    if (!this.sent.some((sent) => sent.packetId === packetId && !sent.isLost)) {
      throw new Error(`nothing was sent with identifier ${packetId}`);
    }
  }

  /** A message that was skipped is known by its length alone, and told of again if it was not acknowledged. */
  #checkServed(): void {
    const unseenLengths: number[] = [];
    for (const { payload, qos } of this.served) {
      const count = this.#taken.filter((taken) => taken === payload).length;
      expect(count, `${payload} at QoS ${qos}`).toBeLessThanOrEqual(qos === 1 ? Infinity : 1);
      const isPromised = qos > 0 && !this.#inDoubtFromServer.has(payload);
      if (isPromised && count === 0) unseenLengths.push(payload.length);
    }
    for (const length of unseenLengths) {
      const missing = unseenLengths.filter((unseen) => unseen === length).length;
      const told = this.#skipped.filter((skipped) => skipped === length).length;
      expect(told, `messages of ${length} bytes`).toBeGreaterThanOrEqual(missing);
    }
  }
}

const DUP = 8;

/**
 * What an image says, but for the next identifier, DUP, which batches set when a message may go, and the order of
 * requests.
 */
function contentOf(image: Uint8Array) {
  const [begin = "", ...records] = journalOf([image])[0] ?? [];
  const of = (...digits: string[]) => records.filter((record) => digits.includes(record[0] ?? ""));
  const messages = of("3").map((record) => {
    const firstByte = Number.parseInt(record, 16) & ~DUP;
    return `${firstByte.toString(16)}${record.slice(2)}`;
  });
  return {
    begin: begin.slice(0, "10 0c 01 00".length),
    messages,
    releases: of("6"),
    requests: of("8", "a").toSorted(),
    incoming: of("5").toSorted(),
  };
}

/** The identifiers of all packets that are kept. */
function packetIdsOf(image: Uint8Array): string[] {
  return splitPackets(image.slice(8)).flatMap((record) => {
    const type = (record[0] ?? 0) >> 4;
    if (type === 3) {
      const at = 4 + (record[2] ?? 0) * 256 + (record[3] ?? 0);
      return [hex(record.slice(at, at + 2))];
    }
    return type === 6 || type === 8 || type === 10 ? [hex(record.slice(2, 4))] : [];
  });
}
