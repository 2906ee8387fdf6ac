/** Network Connections of a simulated world: they split, delay, cut, go half-open and refuse, and take only so much at once. */

import type { RandomStream } from "../random.ts";
import type { WillMessage } from "./client-packets.ts";
import type { Clock } from "./clock.ts";
import { chance } from "./streams.ts";

/** How one end of a connection hears of it. Never called from within a call of its own. */
export interface EndHandlers {
  /** There is something to `peek` at. */
  readable(): void;
  /** `write` takes bytes again. */
  writable(): void;
  /** The other end has closed, or the connection broke. What was received can still be read. */
  ended(): void;
}

export interface OpenHandlers extends EndHandlers {
  opened(): void;
}

/** The server's side: it takes over the handlers of a new connection. */
export type AcceptConnection = (connection: Connection) => EndHandlers;

const LATENCY_MIN_MS = 2;
const LATENCY_MAX_MS = 60;

/** Bytes that one direction holds at most: sometimes less than a packet. */
const WINDOW_MIN_LENGTH = 48;
const WINDOW_MAX_LENGTH = 2048;

/** A flaky network cuts a connection within so much time: mostly while its session is being agreed upon. */
const FLAKY_LIFE_MAX_MS = 200;

/** One direction of one connection: keeps the order, loses all or nothing. */
class Pipe {
  /** Bytes given and taken, from the first on. */
  writtenLength = 0;
  readLength = 0;
  /** What enters or is under way never arrives. */
  isDead = false;
  reader: EndHandlers | undefined;
  writer: EndHandlers | undefined;
  readonly #network: Network;
  readonly #random: RandomStream;
  readonly #window: number;
  readonly #arrived: Uint8Array[] = [];
  #lastArrivalMs = 0;
  #isBlocked = false;

  constructor(network: Network, random: RandomStream) {
    this.#network = network;
    this.#random = random;
    this.#window = random.integer(WINDOW_MIN_LENGTH, WINDOW_MAX_LENGTH);
  }

  get room(): number {
    return this.#window - (this.writtenLength - this.readLength);
  }

  /** Takes a copy of as many bytes as the window has room for; returns how many. */
  write(bytes: Uint8Array): number {
    const length = Math.min(this.room, bytes.length);
    this.#isBlocked = length < bytes.length;
    if (length === 0) return 0;
    this.writtenLength += length;
    const copy = bytes.slice(0, length);
    for (let at = 0; at < length; ) {
      const end = at + this.#pieceLength(length - at);
      const piece = at === 0 && end === length ? copy : copy.subarray(at, end);
      this.later(() => this.#arrive(piece));
      at = end;
    }
    return length;
  }

  /** Lets something arrive behind all that is under way. */
  later(run: () => void): void {
    const { clock } = this.#network;
    const arrivalMs = Math.max(
      this.#lastArrivalMs,
      clock.nowMs + this.#network.latencyMs(this.#random),
    );
    this.#lastArrivalMs = arrivalMs;
    clock.after(arrivalMs - clock.nowMs, () => {
      if (!this.isDead) run();
    });
  }

  peek(): Uint8Array | undefined {
    return this.#arrived[0];
  }

  /** The reader has taken `length` bytes of what `peek` shows. */
  consume(length: number): void {
    const chunk = this.#arrived[0];
    if (chunk === undefined) return;
    this.readLength += length;
    if (length === chunk.length) this.#arrived.shift();
    else this.#arrived[0] = chunk.subarray(length);
    if (!this.#isBlocked || this.isDead) return;
    this.#isBlocked = false;
    this.#network.clock.after(this.#network.latencyMs(this.#random), () => this.writer?.writable());
  }

  #arrive(piece: Uint8Array): void {
    this.#arrived.push(piece);
    this.reader?.readable();
  }

  /** Mostly all, now and then a part, sometimes a single byte. */
  #pieceLength(length: number): number {
    const kind = this.#random.integer(0, 15);
    if (kind > 3 || length === 1) return length;
    return kind === 0 ? 1 : this.#random.integer(1, length);
  }
}

/** One end of a connection, as its owner uses it. */
export class End {
  readonly #incoming: Pipe;
  readonly #outgoing: Pipe;

  constructor(incoming: Pipe, outgoing: Pipe) {
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  attach(handlers: EndHandlers): void {
    this.#incoming.reader = handlers;
    this.#outgoing.writer = handlers;
  }

  /** Bytes that `write` would take. */
  get room(): number {
    return this.#outgoing.room;
  }

  write(bytes: Uint8Array): number {
    return this.#outgoing.write(bytes);
  }

  peek(): Uint8Array | undefined {
    return this.#incoming.peek();
  }

  consume(length: number): void {
    this.#incoming.consume(length);
  }

  /** Sends what is under way, then the end; hears nothing more. */
  close(): void {
    this.#detach();
    const reader = this.#outgoing.reader;
    this.#outgoing.later(() => reader?.ended());
  }

  /** The machine at this end is gone: whatever is on its way to it is lost, and the other end is not told. */
  vanish(): void {
    this.#detach();
    this.#incoming.isDead = true;
  }

  #detach(): void {
    this.#incoming.reader = undefined;
    this.#outgoing.writer = undefined;
  }
}

export class Connection {
  readonly deviceIndex: number;
  readonly openedAtMs: number;
  readonly device: End;
  readonly server: End;
  /** The device has sent DISCONNECT, whole. */
  hasSaidGoodbye = false;
  /** What the device wants to be published if it does not. */
  will: WillMessage | undefined;
  readonly #network: Network;
  readonly #up: Pipe;
  readonly #down: Pipe;
  readonly #random: RandomStream;

  constructor(network: Network, deviceIndex: number, random: RandomStream) {
    this.#network = network;
    this.deviceIndex = deviceIndex;
    this.openedAtMs = network.clock.nowMs;
    this.#random = random;
    this.#up = new Pipe(network, random);
    this.#down = new Pipe(network, random);
    this.device = new End(this.#down, this.#up);
    this.server = new End(this.#up, this.#down);
  }

  /** Everything that the device has sent has been read. */
  get hasServerReadAll(): boolean {
    return this.#up.readLength === this.#up.writtenLength;
  }

  /** A direction is silently dead: nobody is told. */
  kill(direction: "up" | "down"): void {
    (direction === "up" ? this.#up : this.#down).isDead = true;
  }

  get isHalfOpen(): boolean {
    return this.#up.isDead || this.#down.isDead;
  }

  /** Breaks both directions at once; what is under way is lost. Each end is told some time later. */
  cut(): void {
    for (const pipe of [this.#up, this.#down]) {
      pipe.isDead = true;
      this.#network.clock.after(this.#network.latencyMs(this.#random), () => pipe.reader?.ended());
    }
  }
}

export class Network {
  readonly clock: Clock;
  /** Until then there is no server to connect to. */
  isServerDownUntilMs = 0;
  /** Until then a storm delays everything up to `stormLatencyMs`. */
  isStormUntilMs = 0;
  stormLatencyMs = 0;
  /** Until then every other new connection is cut at once. */
  isFlakyUntilMs = 0;
  readonly #accept: AcceptConnection;

  constructor(clock: Clock, accept: AcceptConnection) {
    this.clock = clock;
    this.#accept = accept;
  }

  /** Opens a connection: `opened` follows, or `ended`. */
  open(deviceIndex: number, random: RandomStream, handlers: OpenHandlers): Connection {
    const connection = new Connection(this, deviceIndex, random);
    connection.device.attach(handlers);
    this.clock.after(this.latencyMs(random), () => this.#establish(connection, random, handlers));
    return connection;
  }

  latencyMs(random: RandomStream): number {
    const isStorm = this.clock.nowMs < this.isStormUntilMs;
    return random.integer(LATENCY_MIN_MS, isStorm ? this.stormLatencyMs : LATENCY_MAX_MS);
  }

  #establish(connection: Connection, random: RandomStream, handlers: OpenHandlers): void {
    if (this.clock.nowMs < this.isServerDownUntilMs) {
      // Most refuse at once; a machine that is down does not even do that.
      if (!chance(random, 1 / 4)) handlers.ended();
      return;
    }
    connection.server.attach(this.#accept(connection));
    handlers.opened();
    if (this.clock.nowMs >= this.isFlakyUntilMs || chance(random, 1 / 2)) return;
    this.clock.after(random.integer(0, FLAKY_LIFE_MAX_MS), () => connection.cut());
  }
}
