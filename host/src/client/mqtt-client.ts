/** The public MQTT 3.1.1 client: the core, a transport, and promises. */

import { EventEmitter } from "node:events";
import { Event, Status } from "../../../firmware/core/abi.ts";
import { type Core, loadCore, readModule } from "../core/core.ts";
import {
  CoreError,
  type IncomingMessage,
  type OutgoingMessage,
  type Qos,
  Session,
  type Subscription,
} from "../core/session.ts";
import { ConnectionError, ProtocolError, type RefusedError, UsageError } from "../errors.ts";
import { SessionKeeper } from "../store/session-keeper.ts";
import type { StoreError } from "../store/store-errors.ts";
import type { Timer } from "../world.ts";
import { brokerClosed, ClosedError, type PublishError } from "./client-errors.ts";
import {
  type ClientSettings,
  checkRange,
  type MqttClientOptions,
  settle,
} from "./client-options.ts";
import { Deferred } from "./deferred.ts";
import { Driver, type EndReason } from "./driver.ts";
import { Inbox } from "./inbox.ts";
import { Outgoing } from "./outgoing.ts";
import { Reconnector } from "./reconnect.ts";
import { type GrantedSubscription, Requests } from "./requests.ts";

export type { MqttClientOptions } from "./client-options.ts";

/** What the broker answered to CONNECT. */
export interface ConnectedInfo {
  /** True if the broker has kept this client's session: its subscriptions, and what is unacknowledged. */
  sessionPresent: boolean;
}

/** Why a connection ended, or could not be made again. */
export interface DisconnectedInfo {
  /** Undefined if `close()` or `abort()` was called. A StoreError has ended the client. */
  reason: ConnectionError | ProtocolError | RefusedError | StoreError | undefined;
  /** When the next attempt begins; undefined if there will be none. */
  reconnectInMs: number | undefined;
}

/** A message too large for `capacities.receive`: acknowledged as its QoS demands, and lost for this client. */
export interface SkippedMessage {
  /** Empty if the topic alone was too large. */
  topic: string;
  payloadLength: number;
  qos: Qos;
  retain: boolean;
}

/** The events of a client and what listeners are called with. */
export interface MqttClientEvents {
  /** The broker has accepted a connection, the first or a later one. */
  connected: [info: ConnectedInfo];
  /** A connection is over, or an attempt to make it again has failed. */
  disconnected: [info: DisconnectedInfo];
  /** A message has come. A listener holds nobody up, however slow it is: `messages()` does. */
  message: [message: IncomingMessage];
  skipped: [message: SkippedMessage];
  /** The store held a session of an earlier life of this client, and the `note` that was stored with it last. */
  restored: [info: { note: Uint8Array }];
  /** A message was given up after it had been taken; its `publish()` is rejected with the same error. */
  dropped: [error: PublishError];
  /** The broker has forgotten the session and refuses now a topic filter that it granted before. */
  unsubscribed: [topicFilter: string];
}

export interface PublishOptions {
  /** 0: at most once (if absent), 1: at least once, 2: exactly once. */
  qos?: Qos | undefined;
  /** The broker keeps the message for those who subscribe later. */
  retain?: boolean | undefined;
}

export interface SubscribeOptions {
  /** The highest QoS at which messages come, for filters that do not say their own; 0 if absent. */
  qos?: Qos | undefined;
}

export interface MessagesOptions {
  /** How many messages may wait for the loop; 64 if absent. */
  queueMax?: number | undefined;
}

export interface CloseOptions {
  /** How long to wait for what is under way, and then for the end of the connection; 5,000 each if absent. */
  timeoutMs?: number | undefined;
}

/**
 *   idle ──connect()──> connecting ──CONNACK──> connected ──close()──> finishing ──all is done──> leaving
 *    ^                    │     ^                  │ lost                  │ lost       DISCONNECT │
 *    │                    │     └────delay────┐    v                       v                       v
 *    └──the first failed──┴──a later failed──>waiting       any ──abort()──────────────────────> closed
 */
type State =
  | "idle"
  | "connecting"
  | "connected"
  | "waiting"
  /** Takes nothing new, and waits for the answers to what is under way. */
  | "finishing"
  /** DISCONNECT was said. */
  | "leaving"
  | "closed";

/** The driver and its session, which there are as soon as the core is loaded. */
interface Engine {
  readonly session: Session;
  readonly driver: Driver;
  /** With a store only. */
  readonly keeper: SessionKeeper | undefined;
}

/**
 * An MQTT 3.1.1 client.
 *
 * ```ts
 * const client = new MqttClient({ url: "mqtt://localhost" });
 * await client.connect();
 *
 * await client.subscribe("motes/+/telemetry", { qos: 1 });
 * await client.publish("motes/kitchen/cmd", "report", { qos: 1 });
 * for await (const { topic, payload } of client.messages()) {
 *   console.log(topic, new TextDecoder().decode(payload));
 *   break;
 * }
 *
 * await client.close();
 * ```
 *
 * A lost connection is made again by itself, after delays that grow; subscriptions and unacknowledged messages live on.
 * What is published meanwhile waits in the outbox. Nothing keeps the process alive after `close()` or `abort()`.
 */
export class MqttClient extends EventEmitter<MqttClientEvents> {
  /** What the broker knows this client by; empty if the broker chooses. */
  readonly clientId: string;
  readonly #settings: ClientSettings;
  readonly #outgoing: Outgoing;
  readonly #requests: Requests;
  readonly #reconnector: Reconnector | undefined;
  readonly #inbox: Inbox;
  #state: State = "idle";
  #engine: Engine | undefined;
  /** An event of the session is being told to listeners. */
  #isTelling = false;
  /** The store held a session, and "restored" was not told yet. */
  #isRestorationUntold = false;
  #firstAttempt: Deferred<ConnectedInfo> | undefined;
  #closing: Deferred<void> | undefined;
  #closeTimeoutMs = 0;
  #closeTimer: Timer | undefined;
  /** Set while reading rests, so that those who waited for an answer can begin to listen. */
  #restTimer: Timer | undefined;
  /** Something is to be sent, or read again, at the end of this turn. */
  #isTurnPlanned = false;

  /** Connects nothing yet. Throws a UsageError if the options contradict each other; with `core`, what `store` throws. */
  constructor(options: MqttClientOptions) {
    super();
    this.#settings = settle(options);
    this.clientId = this.#settings.clientId;
    const { waitingMax, inflightMax, world, reconnect } = this.#settings;
    const queued = () => this.#planTurn();
    this.#outgoing = new Outgoing(waitingMax, inflightMax, {
      queued,
      full: () => this.#makeRoom(),
      dropped: (error) => this.#tell("dropped", error),
    });
    this.#requests = new Requests(waitingMax, world, {
      queued,
      unsubscribed: (topicFilter) => this.#tell("unsubscribed", topicFilter),
    });
    this.#inbox = new Inbox({
      hasListener: () => this.listenerCount("message") > 0,
      message: (message) => this.#tell("message", message),
      roomMade: queued,
    });
    // What came while nobody listened is delivered when this turn of the event loop is over.
    (this as EventEmitter).on("newListener", queued);
    this.#reconnector =
      reconnect === undefined ? undefined : new Reconnector(world, reconnect, () => this.#open());
    if (this.#settings.core !== undefined) this.#begin(this.#settings.core);
  }

  /** True between CONNACK and the end of the connection. */
  get isConnected(): boolean {
    return this.#state === "connected";
  }

  /**
   * Makes the first connection, with one attempt. Later ones are made by themselves.
   *
   * Rejects with a ConnectionError (nobody there, not trusted, no answer), a RefusedError (CONNACK with a return code)
   * or a ProtocolError (no MQTT); then it may be called again. What was published stays queued. With a store, also with a
   * StoreError if what it holds is not this client's session.
   */
  connect(): Promise<ConnectedInfo> {
    if (this.#state !== "idle") return Promise.reject(this.#notIdle());
    this.#state = "connecting";
    const attempt = new Deferred<ConnectedInfo>();
    this.#firstAttempt = attempt;
    this.#load().then(
      () => {
        this.#tellRestored();
        this.#open();
      },
      (error: Error) => this.#connectFailed(error),
    );
    return attempt.promise;
  }

  /**
   * Publishes a message. Works without a connection, too: the message waits in the outbox.
   *
   * Resolves at QoS 1 and 2 when the broker has taken the message over, at QoS 0 when it went to the transport. While
   * the outbox is full it waits for room, in order: await it to publish no faster than the network.
   *
   * ```ts
   * await client.publish("motes/kitchen/status", "online", { qos: 1, retain: true });
   * ```
   *
   * Rejects with a CoreError (a topic that cannot be published on, a message larger than the outbox), a PublishError
   * (`failure` "in-doubt": sent at QoS 2 to a broker that then forgot the session; "discarded"; "too-many-waiting") or
   * a ClosedError.
   */
  publish(
    topic: string,
    payload: string | Uint8Array,
    options: PublishOptions = {},
  ): Promise<void> {
    if (this.#isEnding()) return Promise.reject(this.#closedError());
    return this.#outgoing.publish(messageOf(topic, payload, options));
  }

  /**
   * Publishes a message if the outbox has room for it now, for readings that are worthless tomorrow. False: it was
   * refused, as always before the first `connect()`. Nothing tells whether the message arrives, but "dropped" if it is
   * given up. Throws a CoreError for a message that no outbox would take.
   */
  tryPublish(topic: string, payload: string | Uint8Array, options: PublishOptions = {}): boolean {
    if (this.#isEnding()) return false;
    return this.#outgoing.tryPublish(messageOf(topic, payload, options));
  }

  /**
   * Subscribes to one or more topic filters, and again whenever the broker has forgotten them. Waits for a connection.
   *
   * ```ts
   * const [granted] = await client.subscribe("motes/#", { qos: 1 });
   * if (granted?.grantedQos === undefined) throw new Error("not allowed");
   * ```
   *
   * Whoever awaits this and then calls `messages()` or `on("message")` at once misses nothing; later, up to 64 messages
   * wait. Rejects with a CoreError (no topic filter, too large) or a ClosedError.
   */
  subscribe(
    topicFilters: string | readonly (string | Subscription)[],
    options: SubscribeOptions = {},
  ): Promise<GrantedSubscription[]> {
    if (this.#isEnding()) return Promise.reject(this.#closedError());
    const { qos = 0 } = options;
    const list = typeof topicFilters === "string" ? [topicFilters] : topicFilters;
    return this.#requests.subscribe(
      list.map((filter) => (typeof filter === "string" ? { topicFilter: filter, qos } : filter)),
    );
  }

  /** Takes subscriptions back; resolves when the broker knows. Rejects as `subscribe` does. */
  unsubscribe(topicFilters: string | readonly string[]): Promise<void> {
    if (this.#isEnding()) return Promise.reject(this.#closedError());
    return this.#requests.unsubscribe(
      typeof topicFilters === "string" ? [topicFilters] : topicFilters,
    );
  }

  /**
   * All messages from now on, for a `for await`, and up to 64 that came while nobody listened. It ends with `close()`
   * and `abort()`, behind the last message; if the connection is lost and `reconnect` is false, by throwing the reason.
   *
   * When `queueMax` messages wait, reading stops until half of them are taken: the broker notices, and nothing piles up
   * here. Only while an answer to this client's own `publish` or `subscribe` is awaited, which comes behind them, up to
   * 64 times as many may wait. A loop that takes nothing for longer than keep alive and response timeout together loses
   * the connection, for the broker's answers to the keep alive wait as well.
   *
   * ```ts
   * for await (const { topic, payload, retain } of client.messages()) await store(topic, payload);
   * ```
   */
  messages({ queueMax = 64 }: MessagesOptions = {}): AsyncIterableIterator<IncomingMessage> {
    checkRange("queueMax", queueMax, 1, Number.MAX_SAFE_INTEGER);
    return this.#inbox.open(queueMax);
  }

  /**
   * Takes nothing new, waits for what is under way, says DISCONNECT, so that the Last Will is not published, and ends
   * the connection. Without a connection it waits for nothing. What is still pending then is rejected. Never rejects;
   * harmless a second time.
   */
  close({ timeoutMs = 5_000 }: CloseOptions = {}): Promise<void> {
    if (this.#closing !== undefined) return this.#closing.promise;
    const closing = new Deferred<void>();
    this.#closing = closing;
    if (this.#state === "connected") {
      this.#state = "finishing";
      this.#closeTimeoutMs = timeoutMs;
      this.#setCloseTimer(() => this.#sayGoodbye());
      this.#planTurn();
    } else {
      this.#end(undefined);
      closing.resolve();
    }
    return closing.promise;
  }

  /**
   * Ends everything at once, without DISCONNECT: the broker publishes the Last Will. What is pending is rejected.
   * Harmless at any time.
   */
  abort(): void {
    this.#end(undefined);
  }

  /**
   * Stores `bytes` together with what has just happened: all of it survives, or nothing. Called from within a "message"
   * listener, it makes the message and what the listener made of it one: after a loss of power either both are there, or
   * the broker sends the message again. Only the last note counts; "restored" brings it back.
   *
   * ```ts
   * client.on("message", ({ payload }) => {
   *   total += Number(new TextDecoder().decode(payload));
   *   client.keepNote(new TextEncoder().encode(String(total)));
   * });
   * ```
   *
   * At most 8,000 bytes with the default capacities: half of `capacities.journal` is always free then. Throws a UsageError
   * without a `store` or before the first `connect()`, a CoreError if the note is too large.
   */
  keepNote(bytes: Uint8Array): void {
    const keeper = this.#engine?.keeper;
    if (keeper === undefined) {
      throw new UsageError(
        "A note is kept in the store, and this client has none, or has not begun",
        "Give the option store, and call connect() before",
      );
    }
    keeper.keepNote(bytes);
    this.#planTurn();
  }

  async #load(): Promise<void> {
    if (this.#engine === undefined) this.#begin(await loadCore(await readModule("core")));
  }

  #tellRestored(): void {
    const keeper = this.#engine?.keeper;
    if (!this.#isRestorationUntold || keeper === undefined) return;
    this.#isRestorationUntold = false;
    this.#tell("restored", { note: keeper.note.slice() });
  }

  #begin(core: Core): void {
    const { capacities, clientId, will, username, password, world, store } = this.#settings;
    const session = new Session(core, capacities);
    session.setClientId(clientId);
    session.setWill(will);
    session.setCredentials(username, password);
    session.setLimits(this.#settings.inflightMax, this.#settings.whenFull);
    // The broker may remember identifiers of an earlier life of this client.
    session.setNextPacketId(1 + Math.floor(world.random() * PACKET_ID_MAX));
    const keeper = store === undefined ? undefined : new SessionKeeper(session, store);
    const isRestored = keeper?.restore() ?? false;
    const handlers = {
      event: (event: Event) => this.#onEvent(event, session),
      ended: (reason: EndReason) => this.#onEnded(reason),
      transmitted: () => this.#onTransmitted(),
      storeFailed: (error: StoreError) => this.#onStoreFailed(error),
    };
    const driver = new Driver(session, world, handlers, keeper);
    this.#engine = { session, driver, keeper };
    this.#isRestorationUntold = isRestored;
    this.#requests.begin(session, keeper !== undefined);
    this.#outgoing.begin(session, isRestored);
  }

  #open(): void {
    if (this.#state === "closed") return;
    this.#state = "connecting";
    this.#engine?.driver.open(this.#settings.openTransport, this.#settings.connect);
  }

  /** Not while an event is told: what its listener makes of it must be stored together with it. */
  #makeRoom(): void {
    if (!this.#isTelling) this.#engine?.driver.flush();
  }

  #onEvent(event: Event, session: Session): void {
    if (this.#state === "closed") return;
    this.#isTelling = true;
    try {
      this.#handle(event, session);
    } finally {
      this.#isTelling = false;
    }
    this.#planTurn();
  }

  #handle(event: Event, session: Session): void {
    switch (event) {
      case Event.Connected:
        this.#onConnected({ sessionPresent: session.eventValue === 1 });
        break;
      case Event.Published:
        this.#outgoing.acknowledged(session.packetId);
        break;
      case Event.Subscribed:
        this.#requests.subscribed(session.packetId, session.payload());
        this.#rest();
        break;
      case Event.Unsubscribed:
        this.#requests.unsubscribed(session.packetId);
        break;
      case Event.Message:
        this.#inbox.deliver(session.message());
        if (this.#isFull()) this.#engine?.driver.pause();
        break;
      case Event.MessageSkipped: {
        const { topic, qos, retain } = session.message();
        this.#tell("skipped", { topic, payloadLength: session.payloadLength, qos, retain });
        break;
      }
      case Event.Dropped:
        this.#outgoing.dropped();
        break;
    }
  }

  #onConnected(info: ConnectedInfo): void {
    this.#state = "connected";
    this.#reconnector?.connected();
    this.#requests.connected(info.sessionPresent);
    this.#firstAttempt?.resolve(info);
    this.#firstAttempt = undefined;
    this.#rest();
    this.#tell("connected", info);
  }

  #onTransmitted(): void {
    this.#outgoing.transmitted();
    this.#planTurn();
  }

  #onEnded(reason: EndReason): void {
    const explained = this.#explain(reason);
    this.#requests.connectionLost();
    if (this.#state === "leaving") this.#end(undefined);
    else if (this.#state === "finishing") this.#end(explained);
    else if (this.#firstAttempt !== undefined) this.#connectFailed(explained);
    else if (this.#state !== "closed") this.#onLost(explained);
  }

  #onStoreFailed(error: StoreError): void {
    if (this.#firstAttempt !== undefined) this.#connectFailed(error);
    this.#end(error);
  }

  #onLost(reason: DisconnectedInfo["reason"]): void {
    if (this.#reconnector === undefined) {
      this.#end(reason);
      return;
    }
    this.#state = "waiting";
    this.#outgoing.admit();
    const reconnectInMs = this.#reconnector.schedule();
    this.#tell("disconnected", { reason, reconnectInMs });
  }

  #connectFailed(reason: Error): void {
    if (this.#state === "closed") return;
    this.#state = "idle";
    this.#engine?.driver.stop();
    this.#firstAttempt?.reject(reason);
    this.#firstAttempt = undefined;
  }

  /** Why the connection ended, in words for whoever listens. */
  #explain(reason: EndReason): Exclude<EndReason, undefined> {
    if (reason === undefined) return brokerClosed();
    const isLate = reason instanceof ProtocolError && reason.status === Status.ResponseTimeout;
    if (!isLate || !this.#isFull()) return reason;
    return new ConnectionError(
      "timeout",
      "The broker's answers wait behind messages that nobody took in time",
      "Take messages faster, or give messages() a larger queueMax",
      { cause: reason },
    );
  }

  /**
   * Reads on when this turn of the event loop is over. Until then those who awaited an answer can begin to listen: the
   * messages that come behind it are not lost on them.
   */
  #rest(): void {
    this.#engine?.driver.pause();
    this.#restTimer ??= this.#settings.world.setTimer(0, () => {
      this.#restTimer = undefined;
      this.#resume();
    });
  }

  #resume(): void {
    if (this.#restTimer === undefined && !this.#isFull()) this.#engine?.driver.resume();
  }

  /** True if no more messages should come for now. */
  #isFull(): boolean {
    return this.#inbox.isFull(!this.#isQuiet());
  }

  /** True if nothing is under way to the broker or waits for its answer. */
  #isQuiet(): boolean {
    return this.#outgoing.isEmpty && this.#requests.isEmpty;
  }

  /** What is published, asked and taken in one turn of the event loop goes out together. */
  #planTurn(): void {
    if (this.#isTurnPlanned) return;
    this.#isTurnPlanned = true;
    queueMicrotask(() => {
      this.#isTurnPlanned = false;
      this.#turn();
    });
  }

  #turn(): void {
    this.#requests.send();
    this.#outgoing.admit();
    this.#inbox.deliverBacklog();
    this.#resume();
    this.#engine?.driver.flush();
    if (this.#state === "finishing" && this.#isQuiet()) this.#sayGoodbye();
  }

  #sayGoodbye(): void {
    this.#state = "leaving";
    this.#setCloseTimer(() => this.#end(undefined));
    const driver = this.#engine?.driver;
    try {
      driver?.disconnect();
    } catch (error) {
      if (!(error instanceof CoreError)) throw error;
      driver?.abort("close"); // the outbox has no room for two bytes: the broker takes nothing
    }
  }

  #setCloseTimer(callback: () => void): void {
    this.#closeTimer?.clear();
    this.#closeTimer = this.#settings.world.setTimer(this.#closeTimeoutMs, callback);
  }

  #end(reason: DisconnectedInfo["reason"]): void {
    if (this.#state === "closed") return;
    const hadConnection = ["connected", "finishing", "leaving"].includes(this.#state);
    this.#state = "closed";
    this.#reconnector?.stop();
    this.#closeTimer?.clear();
    this.#restTimer?.clear();
    this.#engine?.driver.abort("reset");
    this.#engine?.driver.stop();
    this.#outgoing.end();
    this.#requests.end();
    this.#firstAttempt?.fail(this.#closedError());
    this.#inbox.end(reason);
    if (hadConnection) this.#tell("disconnected", { reason, reconnectInMs: undefined });
    this.#closing?.resolve();
  }

  /** A listener that throws is a bug of its owner, reported as such; the protocol goes on. */
  #tell<Name extends keyof MqttClientEvents>(name: Name, ...args: MqttClientEvents[Name]): void {
    try {
      (this as EventEmitter).emit(name, ...args);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  /** True if nothing new is taken. */
  #isEnding(): boolean {
    return this.#closing !== undefined || this.#state === "closed";
  }

  #closedError(): ClosedError {
    return new ClosedError("The client is closed; make a new one");
  }

  #notIdle(): Error {
    if (this.#isEnding()) return this.#closedError();
    return new UsageError(
      "connect() was called before, and the client is connected or about to be",
      "Call it once; a lost connection is made again by itself",
    );
  }
}

/** Packet Identifiers go from 1 to this (2.3.1). */
const PACKET_ID_MAX = 65_535;

function messageOf(
  topic: string,
  payload: string | Uint8Array,
  { qos = 0, retain = false }: PublishOptions,
): OutgoingMessage {
  return { topic, payload, qos, retain };
}
