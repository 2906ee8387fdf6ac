/** The one loop: bytes, time and a transport for one session. Runs a plain client and an application module alike. */

import { ConnectionState, Event, NEVER_MS, Status } from "../../../firmware/core/abi.ts";
import type { CoreExports } from "../core/core.ts";
import type { ConnectOptions, Session } from "../core/session.ts";
import { type ConnectionError, ProtocolError, RefusedError } from "../errors.ts";
import type { SessionKeeper } from "../store/session-keeper.ts";
import type { StoreError } from "../store/store-errors.ts";
import type { OpenTransport, Transport } from "../transport/transport.ts";
import type { Timer, World } from "../world.ts";

/** Why a connection ended: nothing if this side asked for it. */
export type EndReason = ConnectionError | ProtocolError | RefusedError | undefined;

/** What a driver tells its owner. */
export interface DriverHandlers {
  /** An event of the module, whose description in the session is valid during this call. `nowMs` is the world's clock. */
  event(event: Event, nowMs: number): void;
  /** The connection is over and the session knows it; the driver may open another. */
  ended(reason: EndReason): void;
  /** Bytes went to the transport: the outbox may have room again. */
  transmitted?(): void;
  /** The session could not be stored: nothing goes out any more, and nothing is due. The connection ends. */
  storeFailed?(error: StoreError): void;
  /**
   * For an owner of many drivers that keeps the time for all of them: call `wake`, or its halves, at this time of the
   * world's clock, and forget what was said before. Infinity: nothing is due. Without it the driver sets timers of its own.
   */
  wakeAt?(atMs: number): void;
}

/** An application may have waited for room with what it says at its first reading: it gets its turn then at the latest. */
const UNASKED_COUNT_MAX = 8;

/** Drives one session over one connection at a time. */
export class Driver<Exports extends CoreExports = CoreExports> {
  readonly session: Session<Exports>;
  readonly #world: World;
  readonly #handlers: DriverHandlers;
  readonly #keeper: SessionKeeper<Exports> | undefined;
  #hasStoreFailed = false;
  #connection: Connection | undefined;
  #timer: Timer | undefined;
  #dueAtMs = Number.POSITIVE_INFINITY;
  #sentAtMs = 0;
  #isPaused = false;
  /** DISCONNECT was asked for. */
  #isParting = false;
  /** What was due was done, and not sent. */
  #hasDoneDue = false;
  /** How often what was due was sent since the session was last asked what else there is. */
  #unaskedCount = 0;
  /** True while events are told: what a handler queues goes when all are told. */
  #isReporting = false;

  /** With a keeper, what the session depends on is stored before it goes out. */
  constructor(
    session: Session<Exports>,
    world: World,
    handlers: DriverHandlers,
    keeper?: SessionKeeper<Exports>,
  ) {
    this.session = session;
    this.#world = world;
    this.#handlers = handlers;
    this.#keeper = keeper;
  }

  /** The Network Connection, while there is one. */
  get transport(): Transport | undefined {
    return this.#connection?.transport;
  }

  /** When bytes last went to a transport, on the world's clock. */
  get sentAtMs(): number {
    return this.#sentAtMs;
  }

  /** True from `open` until `ended`, `detach` included. */
  get isOpen(): boolean {
    return this.#connection !== undefined;
  }

  /** Opens a Network Connection and sends CONNECT on it. Ends one that is open only by `disconnect` or `abort`. */
  open(openTransport: OpenTransport, options: ConnectOptions): void {
    if (this.#connection !== undefined) throw new Error("The driver has a connection already");
    const connection = new Connection(this, options);
    this.#connection = connection;
    connection.transport = openTransport(connection);
  }

  /** Sends what the session has queued. Call it after `publish`, `subscribe` and their like. */
  flush(): void {
    if (this.#isReporting) return;
    this.#keep();
    const connection = this.#connection;
    if (connection === undefined) return;
    const nowMs = this.#world.nowMs();
    this.#transmit(connection, nowMs);
    this.#closeAfterDisconnect(connection);
    this.#armTimer(nowMs);
  }

  /**
   * Takes in nothing more until `resume`: neither messages nor what else the server sends. It waits in the operating
   * system, and then at the server. A connection that is being made still gets its CONNACK.
   */
  pause(): void {
    this.#isPaused = true;
  }

  /** Goes on after `pause`. Not from within a handler. */
  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    const connection = this.#connection;
    if (connection === undefined) return;
    const nowMs = this.#world.nowMs();
    this.#run(connection, nowMs);
    this.#feedRest(connection, nowMs);
  }

  /** Says farewell, sends DISCONNECT and closes; `ended` follows. Throws a CoreError when not connected. */
  disconnect(): void {
    this.session.disconnect(this.#world.nowMs());
    this.#isParting = true;
    this.flush();
  }

  /** Ends the Network Connection without DISCONNECT: in order (FIN), or at once (RST). `ended` follows. */
  abort(how: "close" | "reset"): void {
    const transport = this.#connection?.transport;
    if (how === "close") transport?.close();
    else transport?.reset();
  }

  /**
   * Lets go of the Network Connection without a byte or a FIN, as a device does that loses power. The transport is
   * the caller's now: it must be drained or ended some day. `ended` is not called.
   */
  detach(): Transport | undefined {
    const transport = this.#connection?.transport;
    this.#forget();
    return transport;
  }

  /** Stops the clock too: the device is as dead as its connection looks. */
  stop(): void {
    this.#hasDoneDue = false;
    this.#dueAtMs = Number.POSITIVE_INFINITY;
    this.#setTimer(this.#dueAtMs, 0);
  }

  /** A transport has opened. */
  opened(connection: Connection): void {
    if (connection !== this.#connection) return;
    const nowMs = this.#world.nowMs();
    this.session.connect(connection.options, nowMs);
    this.#run(connection, nowMs);
  }

  /** Bytes have arrived. */
  received(connection: Connection, chunk: Uint8Array): void {
    if (connection !== this.#connection) return;
    const taken = this.#feed(connection, chunk, this.#world.nowMs());
    if (taken === chunk.length || connection !== this.#connection) return;
    connection.rest = chunk.slice(taken);
    connection.transport?.pause();
  }

  /** The transport takes more bytes again. */
  drained(connection: Connection): void {
    if (connection !== this.#connection) return;
    connection.isBlocked = false;
    const nowMs = this.#world.nowMs();
    this.#run(connection, nowMs);
    this.#feedRest(connection, nowMs);
  }

  /** The Network Connection is over. */
  closed(connection: Connection, reason: ConnectionError | undefined): void {
    if (connection !== this.#connection) return;
    this.#takeHeld(connection);
    this.#forget();
    this.#handlers.ended(connection.reason ?? reason);
  }

  /** Looks at the clock again: what was configured may be due earlier now. */
  reschedule(): void {
    this.#armTimer(this.#world.nowMs());
  }

  /** Does what is due, and sends it; for an owner with `wakeAt`. Too early or too often is harmless. */
  wake(nowMs = this.#world.nowMs()): void {
    this.doDue(nowMs);
    this.sendDue(this.#world.nowMs());
  }

  /** The first half of `wake`: does what is due. The owner of many lets a number of them do it before they send. */
  doDue(nowMs: number): void {
    this.#dueAtMs = Number.POSITIVE_INFINITY;
    this.#hasDoneDue = true;
    // A flush may have read the clock since: for the session it must not go back.
    this.#report(this.#connection, Math.max(nowMs, this.#sentAtMs), true);
  }

  /**
   * The second half of `wake`: sends what was due. What that has taken of the outbox's room and gives back is hardly news
   * to what waits for room, so the session is asked only now and then if it is, or if more is due, or something was stored.
   * `nowMs` is read after the handlers have had their say, who may have asked something of the session. Harmless after
   * `stop`.
   */
  sendDue(nowMs: number): void {
    if (!this.#hasDoneDue) return;
    this.#hasDoneDue = false;
    const hasStored = this.#keep();
    const connection = this.#connection;
    if (connection !== undefined && this.#transmit(connection, nowMs)) {
      this.#closeAfterDisconnect(connection);
    }
    const delayMs = this.session.nextDeadlineMs(nowMs);
    const isAsked = hasStored || delayMs === 0 || ++this.#unaskedCount >= UNASKED_COUNT_MAX;
    if (isAsked && connection !== undefined) this.#run(connection, nowMs);
    else this.#armTimerIn(delayMs, nowMs);
  }

  #forget(): void {
    this.#connection = undefined;
    this.#isParting = false;
    this.session.connectionLost();
    this.#keep();
    this.#armTimer(this.#world.nowMs());
  }

  /** Gives the session as much as it takes; returns how much that was. */
  #feed(connection: Connection, chunk: Uint8Array, nowMs: number): number {
    let offset = 0;
    while (offset < chunk.length && connection === this.#connection && !this.#isHolding()) {
      const length = this.session.receive(chunk, offset);
      if (length === 0) break;
      offset += length;
      this.#run(connection, nowMs);
    }
    return offset;
  }

  #feedRest(connection: Connection, nowMs: number): void {
    const rest = connection.rest;
    if (rest === undefined || connection !== this.#connection) return;
    const taken = this.#feed(connection, rest, nowMs);
    connection.rest = taken === rest.length ? undefined : rest.subarray(taken);
    if (connection.rest === undefined) connection.transport?.resume();
  }

  /** Reports all events and sends all bytes; one may make room for the other. */
  #run(connection: Connection, enteredAtMs: number): void {
    this.#unaskedCount = 0;
    let nowMs = enteredAtMs;
    let delayMs = 0;
    let hasSent = false;
    for (;;) {
      this.#report(connection, nowMs, false);
      // Handlers may have asked something of the session, at a later time than this one: to look back would make it overdue.
      nowMs = this.#world.nowMs();
      delayMs = this.session.nextDeadlineMs(nowMs);
      // What a connection makes due, such as a first reading, goes with what it has queued.
      if (delayMs === 0) this.#report(connection, nowMs, true);
      if (connection !== this.#connection || !this.#passOn(connection, nowMs)) break;
      hasSent = true;
    }
    if (hasSent && connection === this.#connection) this.#closeAfterDisconnect(connection);
    if (delayMs === 0 || connection !== this.#connection) this.#armTimer(nowMs);
    else this.#armTimerIn(delayMs, nowMs);
  }

  /** Stores and sends; true if that was anything. */
  #passOn(connection: Connection, nowMs: number): boolean {
    const hasStored = this.#keep();
    return this.#transmit(connection, nowMs) || hasStored;
  }

  /** True if something was stored. */
  #keep(): boolean {
    if (this.#keeper === undefined || this.#hasStoreFailed) return false;
    try {
      return this.#keeper.keep();
    } catch (error) {
      this.#hasStoreFailed = true;
      this.abort("reset");
      this.#handlers.storeFailed?.(error as StoreError);
      return false;
    }
  }

  /** Tells all events: of what has arrived, or of what is due. */
  #report(connection: Connection | undefined, nowMs: number, isDue: boolean): void {
    const isNested = this.#isReporting;
    this.#isReporting = true;
    try {
      this.#ask(connection, nowMs, isDue);
    } finally {
      this.#isReporting = isNested;
    }
  }

  /** Asks until there are no more events, or the connection is over. */
  #ask(connection: Connection | undefined, nowMs: number, isDue: boolean): void {
    while (connection === this.#connection && (isDue || !this.#isHolding())) {
      const event = isDue ? this.session.tick(nowMs) : this.session.poll(nowMs);
      if (event === Event.None) return;
      const isEvent = this.#tell(event, connection, nowMs);
      if (isDue || !isEvent) return; // if more is due, `nextDeadlineMs` says so
    }
  }

  /** False if it was not an event but a Status, which ends the connection. */
  #tell(event: number, connection: Connection | undefined, nowMs: number): boolean {
    if (event < 0) {
      if (connection !== undefined) this.#end(connection, new ProtocolError(event));
      return false;
    }
    if (event === Event.Refused && connection !== undefined) {
      this.#end(connection, new RefusedError(this.session.eventValue));
    }
    this.#handlers.event(event, nowMs);
    return true;
  }

  /** True while a connection that stands is paused. */
  #isHolding(): boolean {
    if (!this.#isPaused || this.#connection?.isOver !== false) return false;
    return this.session.state === ConnectionState.Connected;
  }

  /** What has come before the end of the connection counts, paused or not. */
  #takeHeld(connection: Connection): void {
    if (!this.#isHolding()) return;
    connection.isOver = true;
    const nowMs = this.#world.nowMs();
    this.#run(connection, nowMs);
    this.#feedRest(connection, nowMs);
  }

  /** A server that does not answer will not answer a FIN either. */
  #end(connection: Connection, reason: ProtocolError | RefusedError): void {
    connection.reason = reason;
    const isSilent = reason instanceof ProtocolError && reason.status === Status.ResponseTimeout;
    if (isSilent) connection.transport?.reset();
    else connection.transport?.close();
  }

  /** Sends what may go; true if that was anything. */
  #transmit(connection: Connection, nowMs: number): boolean {
    if (connection.isBlocked) return false;
    const { session } = this;
    const length = session.transmitLength;
    if (length === 0) return false;
    connection.isBlocked = connection.transport?.write(session.toTransmit(length)) === false;
    this.#sentAtMs = nowMs;
    session.transmitted(length, nowMs);
    this.#handlers.transmitted?.();
    return true;
  }

  #closeAfterDisconnect(connection: Connection): void {
    if (!this.#isParting) return;
    const isSaid =
      this.session.state === ConnectionState.Disconnecting && this.session.transmitLength === 0;
    if (isSaid) connection.transport?.close(); // [MQTT-3.14.4-1]
  }

  #armTimer(nowMs: number): void {
    this.#armTimerIn(this.session.nextDeadlineMs(nowMs), nowMs);
  }

  /** Sets the timer if something is due before it; an early timer finds nothing to do and is set again. */
  #armTimerIn(delayMs: number, nowMs: number): void {
    if (this.#hasStoreFailed) return;
    if (delayMs === NEVER_MS || nowMs + delayMs >= this.#dueAtMs) return;
    this.#dueAtMs = nowMs + delayMs;
    this.#setTimer(this.#dueAtMs, delayMs);
  }

  #setTimer(atMs: number, delayMs: number): void {
    if (this.#handlers.wakeAt !== undefined) {
      this.#handlers.wakeAt(atMs);
      return;
    }
    this.#timer?.clear();
    this.#timer =
      atMs === Number.POSITIVE_INFINITY
        ? undefined
        : this.#world.setTimer(delayMs, () => this.wake());
  }
}

/** One Network Connection of a driver. What an abandoned one still says is not heard. */
class Connection {
  readonly options: ConnectOptions;
  transport: Transport | undefined;
  /** Why this side ends it. */
  reason: EndReason;
  /** The transport takes no more bytes for now. */
  isBlocked = false;
  /** The transport has closed. */
  isOver = false;
  /** What arrived and does not fit. The transport is paused meanwhile. */
  rest: Uint8Array | undefined;
  readonly #driver: Driver;

  constructor(driver: Driver, options: ConnectOptions) {
    this.#driver = driver;
    this.options = options;
  }

  opened(): void {
    this.#driver.opened(this);
  }

  received(chunk: Uint8Array): void {
    this.#driver.received(this, chunk);
  }

  drained(): void {
    this.#driver.drained(this);
  }

  closed(reason: ConnectionError | undefined): void {
    this.#driver.closed(this, reason);
  }
}
