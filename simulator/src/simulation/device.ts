/** A simulated device: the main loop that a board would run around the module, and a life that ends when power fails. */

import { ConnectionState, Event, NEVER_MS, Status } from "../../../firmware/core/abi.ts";
import type { Core } from "../../../host/src/core/core.ts";
import { CoreError, type Session } from "../../../host/src/core/session.ts";
import { SessionKeeper } from "../../../host/src/store/session-keeper.ts";
import type { SessionStore } from "../../../host/src/store/session-store.ts";
import type { RandomStream } from "../random.ts";
import { Board } from "./board.ts";
import type { Conversation } from "./checks/conversation.ts";
import type { WillMessage } from "./client-packets.ts";
import type { Alarm, Clock } from "./clock.ts";
import type { DevicePlan } from "./device-plan.ts";
import { type CheckName, SimulationFailure } from "./failure.ts";
import { Flash, FlashMisuse } from "./flash.ts";
import { Fuse, PowerCut } from "./fuse.ts";
import type { Connection, Network } from "./network.ts";
import { chance, randomDelayMs, randomStream } from "./streams.ts";
import type { Trace } from "./trace.ts";

/** What a device does with its session. */
export interface DeviceApp {
  /** The record is fresh: sets all but the client id. */
  begin(session: Session, lifeNumber: number): void;
  /** The journal held this note; empty if there was no session. */
  restored(note: Uint8Array): void;
  /** For the next CONNECT; also sets it. */
  prepareWill(session: Session): WillMessage;
  event(event: number, session: Session): void;
  /** The connection that the next CONNECT goes to asks for a clean session. */
  readonly wantsCleanSession: boolean;
  /** The number of the next message at each QoS. */
  nextNumbers(session: Session): readonly number[];
  /** Does what is due, at most one message a call; true if it did something. */
  work(session: Session): boolean;
  /** When work is due next, in the world's time. */
  readonly nextWorkMs: number;
}

export interface DeviceSurroundings {
  readonly seed: number;
  readonly clock: Clock;
  readonly network: Network;
  readonly trace: Trace;
  readonly core: Core;
  readonly makeStore: (flash: Flash) => SessionStore;
}

/** Timers are late by up to this. */
const TIMER_LATENESS_MS = 20;

const OPEN_LIMIT_MS = 10_000;
const BACKOFF_BASE_MS = 500;
const BACKOFF_MAX_MS = 20_000;
const POWER_OFF_MEAN_MS = 4000;
const POWER_OFF_MAX_MS = 20_000;
const FAREWELL_PAUSE_MEAN_MS = 15_000;

/** After power returned it may fail again: within so many calls, or bytes of flash. */
const SECOND_CUT_CALLS = 60;
const SECOND_CUT_BYTES = 600;

/** More rounds than this without rest, or alarms without anything to do, are no work any more. */
const ROUNDS_MAX = 10_000;
const IDLE_WAKES_MAX = 100;

export class Device {
  readonly index: number;
  readonly plan: DevicePlan;
  readonly flash: Flash;
  lifeNumber = 0;
  wakeCount = 0;
  /** Planned once, so that it can be asked for after the device's construction. */
  app!: DeviceApp;
  conversation!: Conversation;
  readonly #around: DeviceSurroundings;
  readonly #board: Board;
  readonly #fuse = new Fuse();
  readonly #power: RandomStream;
  readonly #networkRandom: RandomStream;
  readonly #timer: RandomStream;
  #clockJumpMs = 0;
  #isOn = false;
  #isCalm = false;
  #keeper: SessionKeeper | undefined;
  #connection: Connection | undefined;
  #isConnectionOver = false;
  #isFarewell = false;
  #attempt = 0;
  #alarm: Alarm | undefined;
  #reconnectAtMs = Number.POSITIVE_INFINITY;
  #openLimitAtMs = Number.POSITIVE_INFINITY;
  #idleWakeCount = 0;

  constructor(index: number, plan: DevicePlan, around: DeviceSurroundings) {
    this.index = index;
    this.plan = plan;
    this.#around = around;
    this.#power = randomStream(around.seed, index, "power");
    this.#networkRandom = randomStream(around.seed, index, "network");
    this.#timer = randomStream(around.seed, index, "timer");
    this.#board = new Board(around.core, plan.capacities, index, this.#fuse);
    this.flash = new Flash(plan.flash, this.#fuse, this.#power);
  }

  get clientId(): string {
    return `device-${this.index}`;
  }

  get session(): Session {
    return this.#board.session;
  }

  get connection(): Connection | undefined {
    return this.#connection;
  }

  get isConnected(): boolean {
    return this.#isOn && this.#board.state === ConnectionState.Connected;
  }

  /** The board's own clock: u32 milliseconds from anywhere. */
  get nowMs(): number {
    const { clockStartMs, clockRate } = this.plan;
    const passedMs = Math.floor(this.#around.clock.nowMs * clockRate);
    return (clockStartMs + passedMs + this.#clockJumpMs) >>> 0;
  }

  powerUp(): void {
    this.#isOn = true;
    this.lifeNumber++;
    this.#say(`power is on, life ${this.lifeNumber}`);
    this.#fuse.disarm();
    if (this.lifeNumber > 1 && !this.#isCalm && chance(this.#power, 1 / 4)) this.#armAgain();
    this.#guarded(() => {
      const { session, plan } = this;
      session.reset(plan.capacities);
      this.app.begin(session, this.lifeNumber);
      session.setClientId(this.clientId);
      if (plan.isDurable) this.#restore();
      this.#attempt = 0;
      this.#reconnectAtMs = this.#around.clock.nowMs;
      this.#loop();
    });
  }

  /** Power fails at once: whatever the device has not sent is gone. */
  powerDown(): void {
    if (!this.#isOn) return;
    this.#isOn = false;
    this.#say("power fails");
    this.#fuse.disarm();
    if (this.#alarm !== undefined) this.#alarm.isOff = true;
    this.#alarm = undefined;
    this.#connection?.device.vanish();
    if (chance(this.#power, 1 / 2)) this.#connection?.kill("up");
    this.#connection = undefined;
    this.conversation.powerLost();
    this.#board.scramble(this.#power);
    const offMs = Math.min(POWER_OFF_MAX_MS, randomDelayMs(this.#power, POWER_OFF_MEAN_MS));
    this.#around.clock.after(offMs, () => this.powerUp());
  }

  /** Power fails after so many calls of the module, or bytes of flash, or at last after `limitMs`. */
  armPowerCut(after: { calls: number } | { bytes: number }, limitMs: number): void {
    if (!this.#isOn) return;
    if ("calls" in after) this.#fuse.armCalls(after.calls);
    else this.#fuse.armBytes(after.bytes);
    const life = this.lifeNumber;
    this.#around.clock.after(limitMs, () => {
      if (this.lifeNumber === life) this.powerDown();
    });
  }

  /** Power fails no more. */
  calm(): void {
    this.#isCalm = true;
    this.#fuse.disarm();
  }

  /** Says goodbye, and comes back later. */
  farewell(): void {
    if (!this.isConnected) return;
    this.#guarded(() => {
      this.#say("says goodbye");
      try {
        this.session.disconnect(this.nowMs);
        this.#isFarewell = true;
      } catch (error) {
        if (!isBufferFull(error)) throw error;
      }
      this.#loop();
    });
  }

  jumpClock(byMs: number): void {
    this.#clockJumpMs += byMs;
    if (this.#isOn) this.wake();
  }

  /** Something may be due. */
  wake(): void {
    this.#guarded(() => this.#loop());
  }

  /** Puts the application's state into the next batch; without a journal it is lost with the rest. */
  keepNote(bytes: Uint8Array): void {
    this.#keeper?.keepNote(bytes);
  }

  #armAgain(): void {
    if (chance(this.#power, 1 / 2)) this.#fuse.armCalls(this.#power.integer(0, SECOND_CUT_CALLS));
    else this.#fuse.armBytes(this.#power.integer(0, SECOND_CUT_BYTES));
  }

  #restore(): void {
    const keeper = new SessionKeeper(this.session, this.#around.makeStore(this.flash));
    this.#keeper = undefined;
    keeper.restore();
    this.#keeper = keeper;
    this.app.restored(keeper.note);
    this.#say("has restored its session");
  }

  /** What the module or the flash refuses, or traps on, is a finding; that power fails is none. */
  #guarded(run: () => void): void {
    if (!this.#isOn) return;
    try {
      run();
    } catch (error) {
      if (error instanceof PowerCut) this.powerDown();
      else throw asFailure(error, this.index);
    }
  }

  #loop(): void {
    this.wakeCount++;
    this.#openIfDue();
    this.#tick();
    for (let round = 0; this.#round(); round++) {
      if (round > ROUNDS_MAX) this.#fail("starvation", "the main loop never rests");
    }
    this.#closeIfOver();
    this.#board.check();
    this.#plan();
  }

  /** Everything once, as a board's main loop would; true if that was anything. */
  #round(): boolean {
    const hasPolled = this.#poll();
    const hasReceived = this.#receive();
    const hasWorked = this.app.work(this.session);
    const hasKept = this.#keep();
    const hasSent = this.#transmit();
    return hasPolled || hasReceived || hasWorked || hasKept || hasSent;
  }

  #poll(): boolean {
    const { session } = this;
    let hasHappened = false;
    for (;;) {
      const event = session.poll(this.nowMs);
      if (event === Event.None) break;
      hasHappened = true;
      if (!this.#take(event)) return true;
    }
    if (this.#board.hasHandledAll) this.conversation.settled();
    return hasHappened;
  }

  /** False if the connection is over. */
  #take(event: number): boolean {
    if (event < 0 || event === Event.Refused) {
      if (this.#connection === undefined) return false;
      this.#say(`gives up the connection: ${Status[event] ?? "refused"}`);
      if (event === Status.MalformedPacket || event === Status.ProtocolViolation) {
        this.#fail("conversation", `it takes a packet of the broker for ${Status[event]}`);
      }
      this.#endConnection();
      return false;
    }
    if (event === Event.Connected) this.#attempt = 0;
    this.app.event(event, this.session);
    return true;
  }

  #receive(): boolean {
    const end = this.#connection?.device;
    const chunk = end?.peek();
    if (end === undefined || chunk === undefined) return false;
    if (this.session.state === ConnectionState.Disconnected) return false; // CONNECT is still to come
    const length = this.session.receive(chunk, 0);
    if (length === 0) return false;
    this.conversation.received(chunk.subarray(0, length));
    end.consume(length);
    return true;
  }

  #keep(): boolean {
    if (this.#keeper === undefined) return false;
    const before = this.flash.programmedLength;
    if (!this.#keeper.keep()) return false;
    this.conversation.stored();
    if (this.#around.trace.isOn) this.#say(`stores ${this.flash.programmedLength - before} bytes`);
    return true;
  }

  #transmit(): boolean {
    const connection = this.#connection;
    if (connection === undefined || this.#isConnectionOver) return false;
    const bytes = this.session.toTransmit();
    if (bytes.length === 0) return false;
    const room = connection.device.room;
    const length = Math.min(room, bytes.length);
    this.conversation.sent(bytes, length);
    connection.device.write(bytes);
    if (length === 0) return false;
    const isLast = length === bytes.length && this.#board.state === ConnectionState.Disconnecting;
    if (isLast) connection.hasSaidGoodbye = true;
    this.session.transmitted(length, this.nowMs);
    return true;
  }

  #tick(): void {
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const event = this.session.tick(this.nowMs);
      if (event === Event.None || !this.#take(event)) return;
    }
    this.#fail("starvation", "tick always has something to report");
  }

  #openIfDue(): void {
    const nowMs = this.#around.clock.nowMs;
    if (nowMs >= this.#openLimitAtMs) this.#endConnection();
    if (this.#connection !== undefined || nowMs < this.#reconnectAtMs) return;
    this.#reconnectAtMs = Number.POSITIVE_INFINITY;
    this.#openLimitAtMs = nowMs + OPEN_LIMIT_MS;
    this.#isConnectionOver = false;
    this.#isFarewell = false;
    const connection = this.#around.network.open(this.index, this.#networkRandom, {
      opened: () => this.#ifCurrent(connection, () => this.#connect(connection)),
      readable: () => this.#ifCurrent(connection, () => this.#loop()),
      writable: () => this.#ifCurrent(connection, () => this.#loop()),
      ended: () => this.#ifCurrent(connection, () => this.#lose()),
    });
    this.#connection = connection;
  }

  #ifCurrent(connection: Connection, run: () => void): void {
    if (this.#isOn && connection === this.#connection) this.#guarded(run);
  }

  #connect(connection: Connection): void {
    const { keepAliveSeconds, responseTimeoutMs } = this.plan;
    this.#openLimitAtMs = Number.POSITIVE_INFINITY;
    connection.will = this.app.prepareWill(this.session);
    this.conversation.opened();
    const cleanSession = this.app.wantsCleanSession;
    this.session.connect({ cleanSession, keepAliveSeconds, responseTimeoutMs }, this.nowMs);
    this.#loop();
  }

  /** The network says that it is over. What has come before still counts. */
  #lose(): void {
    this.#say("hears that its connection is gone");
    this.#isConnectionOver = true;
    this.#loop();
    if (this.#connection !== undefined) {
      this.#endConnection();
      this.#loop();
    }
  }

  #closeIfOver(): void {
    const isSaid =
      this.session.state === ConnectionState.Disconnecting && this.session.transmitLength === 0;
    if (!isSaid || this.#connection === undefined) return;
    this.#endConnection(); // [MQTT-3.14.4-1]
  }

  #endConnection(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    connection.device.close();
    this.#connection = undefined;
    this.#openLimitAtMs = Number.POSITIVE_INFINITY;
    this.conversation.closed();
    this.session.connectionLost();
    this.#keep();
    const boundMs = Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** this.#attempt++);
    const pauseMs = this.#isFarewell
      ? randomDelayMs(this.#timer, FAREWELL_PAUSE_MEAN_MS)
      : this.#timer.uniform() * boundMs;
    this.#reconnectAtMs = this.#around.clock.nowMs + Math.floor(pauseMs);
  }

  /** Sets the alarm for what is due next. */
  #plan(): void {
    const nowMs = this.#around.clock.nowMs;
    const deadlineMs = this.session.nextDeadlineMs(this.nowMs);
    this.#idleWakeCount = deadlineMs === 0 ? this.#idleWakeCount + 1 : 0;
    if (this.#idleWakeCount > IDLE_WAKES_MAX) {
      this.#fail("deadline", "something is due all the time, and tick does not do it");
    }
    let dueAtMs = Math.min(this.#reconnectAtMs, this.#openLimitAtMs, this.app.nextWorkMs);
    if (deadlineMs !== NEVER_MS) {
      const delayMs = Math.ceil(deadlineMs / this.plan.clockRate);
      dueAtMs = Math.min(dueAtMs, nowMs + delayMs + this.#timer.integer(0, TIMER_LATENESS_MS));
    }
    if (this.#alarm !== undefined && !this.#alarm.isOff && this.#alarm.atMs > nowMs) {
      if (this.#alarm.atMs <= dueAtMs) return;
      this.#alarm.isOff = true;
    }
    if (dueAtMs === Number.POSITIVE_INFINITY) return;
    this.#alarm = this.#around.clock.after(Math.max(1, dueAtMs - nowMs), () => this.wake());
  }

  #say(text: string): void {
    this.#around.trace.add(this.index, text);
  }

  #fail(check: CheckName, problem: string): never {
    throw new SimulationFailure(check, this.index, problem);
  }
}

export function isBufferFull(error: unknown): boolean {
  return error instanceof CoreError && error.status === Status.BufferFull;
}

function asFailure(error: unknown, deviceIndex: number): unknown {
  if (error instanceof SimulationFailure || !(error instanceof Error)) return error;
  if (error instanceof FlashMisuse)
    return new SimulationFailure("flash", deviceIndex, error.message);
  const isRestore = error.name === "StoreError";
  return new SimulationFailure(
    isRestore ? "restore" : "trap",
    deviceIndex,
    `${error.name}: ${error.message}`,
  );
}
