/** A device and a small server over many lost connections: nothing is lost, doubled or out of order (4.3, 4.4, 4.6). */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Status } from "../../firmware/core/abi.ts";
import { concat } from "../support/bytes.ts";
import { Core, type CoreClient, type CoreEvent } from "../support/core-client.ts";
import { ModelServer } from "../support/model-server.ts";

type Qos = 0 | 1 | 2;
type Action =
  | { kind: "publish" | "serve"; qos: Qos; length: number }
  | { kind: "transmit" | "up" | "down"; length: number }
  | { kind: "poll" | "lose" | "subscribe" }
  | { kind: "connect"; fate: "kept" | "forgotten" | "clean" }
  | { kind: "wait"; elapsedMs: number };

const anyQos = fc.constantFrom<Qos[]>(0, 1, 2);
const anyLength = fc.oneof(fc.nat({ max: 12 }), fc.nat({ max: 90 }));
const anyAction: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("publish"), qos: anyQos, length: anyLength }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant("serve"), qos: anyQos, length: anyLength }),
  },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("transmit"), length: anyLength }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("up"), length: anyLength }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("down"), length: anyLength }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("poll") }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("subscribe") }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("wait"), elapsedMs: fc.nat({ max: 30_000 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("lose") }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("connect"),
      fate: fc.constantFrom("kept", "kept", "kept", "kept", "forgotten", "clean"),
    }),
  },
) as fc.Arbitrary<Action>;

interface Sent {
  payload: string;
  qos: Qos;
  packetId: number;
  /** Reported as Dropped and not requeued: it may or may not have arrived. */
  isInDoubt: boolean;
}

const QOS2_MAX = 3;
const RECEIVE_CAPACITY = 48;

/** Both sides, the wires between them, and what was promised. */
class World {
  readonly client: CoreClient;
  readonly server = new ModelServer(QOS2_MAX);
  readonly sent: Sent[] = [];
  readonly served: { payload: string; qos: Qos }[] = [];
  /** Payloads of the server's messages that the client was given. */
  readonly delivered: string[] = [];
  /** Lengths of those that it was only told of. */
  readonly skipped: number[] = [];
  readonly #inDoubtFromServer = new Set<string>();
  #wasClean = false;
  #up: Uint8Array = new Uint8Array(0);
  #down: Uint8Array = new Uint8Array(0);
  #count = 0;

  constructor(startMs: number, inflightMax: number) {
    this.client = new Core().client({
      receiveCapacity: RECEIVE_CAPACITY,
      transmitCapacity: 256,
      incomingCount: QOS2_MAX,
    });
    this.client.setClientId("t");
    this.client.setLimits(inflightMax);
    this.client.nowMs = startMs;
  }

  act(action: Action): void {
    switch (action.kind) {
      case "publish":
        this.#publish(action.qos, action.length);
        break;
      case "serve":
        this.#serve(action.qos, action.length);
        break;
      case "transmit":
        this.#transmit(action.length);
        break;
      case "up":
        this.#moveUp(action.length);
        break;
      case "down":
        this.#moveDown(action.length);
        break;
      case "poll":
        this.#poll();
        break;
      case "subscribe":
        this.client.subscribe(["s", 2]);
        break;
      case "wait":
        this.#take(this.client.wait(action.elapsedMs));
        break;
      case "lose":
        this.lose();
        break;
      default:
        this.#connect(action.fate);
    }
    this.client.core.checkGuards();
  }

  /** Connects for good and lets everything arrive. */
  settle(): void {
    this.lose();
    this.#connect("kept");
    for (let round = 0; round < 1000; round++) {
      const before = this.#count;
      this.#transmit(1000);
      this.#moveUp(1000);
      this.#moveDown(1000);
      if (this.#poll()) continue;
      if (this.server.unfinished.length === 0 && before === this.#count && this.#isQuiet) return;
    }
    throw new Error("it never comes to rest");
  }

  get #isQuiet(): boolean {
    return this.#up.length + this.#down.length + this.client.call("transmitLength") === 0;
  }

  lose(): void {
    this.client.connectionLost();
    if (this.#wasClean) this.#doubtServed();
    this.server.close();
    this.#up = new Uint8Array(0);
    this.#down = new Uint8Array(0);
  }

  /** Every promise of the three QoS levels, in both directions. */
  check(): void {
    expect(this.client.call("inflightCount")).toBe(0);
    for (const { payload, qos, isInDoubt } of this.sent) {
      const count = this.server.arrived.filter((arrived) => arrived === payload).length;
      expect(count, `${payload} at QoS ${qos}`).toBeGreaterThanOrEqual(
        qos === 0 || isInDoubt ? 0 : 1,
      );
      expect(count, `${payload} at QoS ${qos}`).toBeLessThanOrEqual(qos === 1 ? Infinity : 1);
    }
    const firsts = [...new Set(this.server.arrived)];
    const order = firsts.map((payload) => this.sent.findIndex((sent) => sent.payload === payload));
    expect(order, "the order of first arrival").toEqual(order.toSorted((a, b) => a - b));
    this.#checkServed();
  }

  /** A message that was skipped is known by its length alone, and told of again if the connection ended within it. */
  #checkServed(): void {
    const unseenLengths: number[] = [];
    for (const { payload, qos } of this.served) {
      const count = this.delivered.filter((delivered) => delivered === payload).length;
      expect(count, `${payload} at QoS ${qos}`).toBeLessThanOrEqual(qos === 1 ? Infinity : 1);
      const isPromised = qos > 0 && !this.#inDoubtFromServer.has(payload);
      if (isPromised && count === 0) unseenLengths.push(payload.length);
    }
    for (const length of unseenLengths) {
      const missing = unseenLengths.filter((unseen) => unseen === length).length;
      const told = this.skipped.filter((skipped) => skipped === length).length;
      expect(told, `messages of ${length} bytes`).toBeGreaterThanOrEqual(missing);
    }
  }

  #publish(qos: Qos, length: number): void {
    const payload = `${this.#count++} `.padEnd(length, "x");
    const packetId = this.client.publish("d", payload, { qos });
    if (packetId === Status.BufferFull) return;
    expect(packetId).toBeGreaterThanOrEqual(0);
    this.sent.push({ payload, qos, packetId, isInDoubt: false });
  }

  #serve(qos: Qos, length: number): void {
    const payload = `${this.#count++} `.padEnd(length, "x");
    if (this.server.publish(payload, qos)) this.served.push({ payload, qos });
    this.#takeReplies();
  }

  #transmit(length: number): void {
    const taken = Math.min(length, this.client.call("transmitLength"));
    this.#up = concat(this.#up, this.client.core.bytes(this.client.call("transmitAt"), taken));
    this.client.call("transmitted", taken, this.client.nowMs);
  }

  #moveUp(length: number): void {
    this.server.read(this.#up.slice(0, length));
    this.#up = this.#up.slice(length);
    this.#takeReplies();
  }

  #takeReplies(): void {
    this.#down = concat(this.#down, this.server.takeReplies());
  }

  #moveDown(length: number): void {
    const taken = this.client.receive(this.#down.slice(0, length));
    this.#down = this.#down.slice(taken);
  }

  #poll(): boolean {
    const event = this.client.poll();
    this.#take(event);
    return event !== undefined;
  }

  #connect(fate: "kept" | "forgotten" | "clean"): void {
    if (this.client.state !== "Disconnected") return;
    this.server.open();
    const cleanSession = fate === "clean";
    expect(this.client.connect({ cleanSession, keepAliveSeconds: 20 })).toBe(Status.Ok);
    if (fate !== "kept" || this.#wasClean) this.#loseSession();
    this.#wasClean = cleanSession;
  }

  #doubtServed(): void {
    for (const payload of this.server.unfinished) this.#inDoubtFromServer.add(payload);
  }

  /** Goes on until the client knows of it: a CONNACK that is lost would hide that the server has forgotten. */
  #loseSession(): void {
    this.#doubtServed();
    this.server.forget();
    this.#transmit(1000);
    this.#moveUp(1000);
    this.#moveDown(4);
    while (this.client.state !== "Connected") this.#poll();
  }

  #take(event: CoreEvent | undefined): void {
    if (event?.kind === "Failed") throw new Error(`the core failed: ${event.status}`);
    if (event?.kind === "Message") this.delivered.push(event.payload);
    if (event?.kind === "MessageSkipped") this.skipped.push(event.payloadLength);
    if (event?.kind === "Dropped") this.#takeDropped(event);
    if (event?.kind === "Published") this.#finish(event.packetId);
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
    const sent = this.sent.findLast((message) => message.packetId === packetId);
    if (sent === undefined) throw new Error(`nothing was sent with identifier ${packetId}`);
  }
}

describe("whatever happens on the way, in any pieces and over any number of connections", () => {
  test("QoS 1 arrives at least once, QoS 2 exactly once, and the order is kept [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT-4.4.0-1] [MQTT-4.6.0-1] [MQTT-4.1.0-1]", () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 0xffffffff }),
        fc.integer({ min: 1, max: 20 }),
        fc.array(anyAction, { minLength: 50, maxLength: 400, size: "max" }),
        (startMs, inflightMax, actions) => {
          const world = new World(startMs, inflightMax);
          for (const action of actions) world.act(action);
          world.settle();
          world.check();
        },
      ),
      { numRuns: 300 },
    );
  });
});
