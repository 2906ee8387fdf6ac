/** One device in this process: the thermometer module, its connections, and what it tells of itself. */

import { Counter, Event } from "../../../firmware/core/abi.ts";
import type { Core, ThermometerExports } from "../core/core.ts";
import { type ConnectOptions, CoreError, check, Session } from "../core/session.ts";
import { SessionKeeper } from "../store/session-keeper.ts";
import type { SessionStore } from "../store/session-store.ts";
import type { StoreError } from "../store/store-errors.ts";
import type { OpenTransport } from "../transport/transport.ts";
import type { World } from "../world.ts";
import { brokerClosed, ClosedError } from "./client-errors.ts";
import { Deferred } from "./deferred.ts";
import { Driver, type EndReason } from "./driver.ts";
import { Reconnector, type ReconnectPolicy } from "./reconnect.ts";

export interface ThermometerOptions {
  core: Core<ThermometerExports>;
  world: World;
  openTransport: OpenTransport;
  /** 1 to 64 bytes without "/", "+" and "#". */
  clientId: string;
  username: string | undefined;
  password: string | Uint8Array | undefined;
  connect: ConnectOptions;
  reconnect: ReconnectPolicy;
  /** 100 to 86,400,000. */
  intervalMs: number;
  /** A reading nearer to the last published one is not published. */
  deadBandMilliCelsius: number;
  /** QoS, and RETAIN_FLAG if the broker shall keep the last reading. */
  flags: number;
  /** The sensor, in thousandths of a degree Celsius. */
  measure: () => number;
  tell: (event: ThermometerEvent) => void;
  /** Where the session survives the end of this process; in memory only if absent. Needs `cleanSession` to be false. */
  store?: SessionStore | undefined;
  /** The store has failed: the device is over. */
  storeFailed?: (error: StoreError) => void;
}

/** What a thermometer tells of itself. `seq` numbers its telemetry. */
export type ThermometerEvent =
  | { event: "connected"; sessionPresent: boolean }
  /** The connection is over, or could not be made again. */
  | { event: "disconnected"; reason: Error; reconnectInMs: number }
  /** A reading has become a message, which may have to wait for a connection. */
  | { event: "published"; seq: number; celsius: number }
  /** A reading within the dead band. */
  | { event: "unchanged"; celsius: number }
  /** A reading for which the outbox has no room. */
  | { event: "refused"; celsius: number }
  | { event: "acknowledged"; seq: number; afterMs: number }
  /** The broker has forgotten the session: at QoS 2 the message is neither repeated nor known to have arrived. */
  | { event: "dropped"; seq: number }
  | { event: "command"; command: string; isKnown: boolean; intervalMs: number };

/** Counts of messages since the start. */
export interface ThermometerCounts {
  published: number;
  acknowledged: number;
  /** Sent again as new ones, because the broker had forgotten the session. */
  requeued: number;
  refused: number;
  /** QoS 1 and 2: sent or waiting, and not acknowledged so far. */
  unacknowledged: number;
  /** Given up at QoS 2: sent to a broker that then forgot the session. */
  inDoubt: number;
}

/** Telemetry that waits for its acknowledgement. */
interface Outstanding {
  seq: number;
  publishedAtMs: number;
}

const PACKET_ID_MAX = 65_535;

/** Some messages of one turn fit; more are stored in several batches. */
const JOURNAL_CAPACITY = 1024;

export class Thermometer {
  readonly #options: ThermometerOptions;
  readonly #session: Session<ThermometerExports>;
  readonly #driver: Driver<ThermometerExports>;
  readonly #reconnector: Reconnector;
  readonly #outstanding = new Map<number, Outstanding>();
  /** True if the store held a session of this device. */
  readonly isRestored: boolean;
  #publishedCount = 0;
  #acknowledgedCount = 0;
  #droppedCount = 0;
  #firstAttempt: Deferred<void> | undefined;
  #stopping: Deferred<void> | undefined;

  /**
   * Throws a CoreError for a client id, an interval or flags that the module does not take, and a StoreError for a store
   * that holds no session of this device.
   */
  constructor(options: ThermometerOptions) {
    const { core, world, username, password } = options;
    this.#options = options;
    const credentialsLength = Buffer.byteLength(username ?? "") + Buffer.byteLength(password ?? "");
    const identity = 256 + credentialsLength;
    this.#session = new Session(core, {
      receive: 512,
      transmit: 4096,
      identity,
      incomingCount: 16,
      journal: options.store === undefined ? 0 : JOURNAL_CAPACITY,
    });
    this.#configure();
    const { store } = options;
    const keeper = store === undefined ? undefined : new SessionKeeper(this.#session, store);
    this.isRestored = keeper?.restore() ?? false;
    const handlers = {
      event: (event: Event) => this.#onEvent(event),
      ended: (reason: EndReason) => this.#onEnded(reason),
      storeFailed: (error: StoreError) => this.#onStoreFailed(error),
    };
    this.#driver = new Driver(this.#session, world, handlers, keeper);
    this.#reconnector = new Reconnector(world, options.reconnect, () => this.#open());
  }

  /** The seq of the next telemetry. */
  get sequence(): number {
    return this.#options.core.exports.sequence(this.#session.at) >>> 0;
  }

  get counts(): ThermometerCounts {
    return {
      published: this.#publishedCount,
      acknowledged: this.#acknowledgedCount,
      requeued: this.#session.counter(Counter.Requeued),
      refused: this.#session.counter(Counter.Refused),
      unacknowledged: this.#outstanding.size,
      inDoubt: this.#droppedCount,
    };
  }

  /** Makes the first connection; later ones are made by themselves. Rejects as `MqttClient.connect` does. */
  connect(): Promise<void> {
    this.#firstAttempt = new Deferred<void>();
    this.#open();
    return this.#firstAttempt.promise;
  }

  /** Publishes the farewell, says DISCONNECT, and ends. Without a connection there is no farewell. */
  stop(): Promise<void> {
    if (this.#stopping !== undefined) return this.#stopping.promise;
    this.#stopping = new Deferred<void>();
    this.#reconnector.stop();
    try {
      this.#driver.disconnect();
    } catch (error) {
      if (!(error instanceof CoreError)) throw error;
      this.#abandon(); // not connected, or no room for the farewell
    }
    return this.#stopping.promise;
  }

  /** Everything that a board is told before it connects. */
  #configure(): void {
    const { core, world, clientId, username, password } = this.#options;
    const { intervalMs, deadBandMilliCelsius, flags } = this.#options;
    const { at } = this.#session;
    this.#session.setClientId(clientId);
    this.#session.setCredentials(username, password);
    this.#session.setNextPacketId(1 + Math.floor(world.random() * PACKET_ID_MAX));
    check("configure", core.exports.configure(at, intervalMs, deadBandMilliCelsius, flags));
    this.#setClock();
  }

  #setClock(): void {
    const { core, world } = this.#options;
    const unixMs = world.unixMs();
    const { at } = this.#session;
    const seconds = Math.floor(unixMs / 1000);
    check("setClock", core.exports.setClock(at, seconds, unixMs % 1000, world.nowMs()));
  }

  #open(): void {
    this.#driver.open(this.#options.openTransport, this.#options.connect);
  }

  #abandon(): void {
    this.#driver.abort("reset");
    if (!this.#driver.isOpen) this.#end();
  }

  #end(): void {
    this.#driver.stop();
    this.#firstAttempt?.fail(new ClosedError("The device was stopped before it was connected"));
    this.#stopping?.resolve();
  }

  #onEvent(event: Event): void {
    const session = this.#session;
    switch (event) {
      case Event.Connected:
        this.#reconnector.connected();
        this.#setClock();
        this.#options.tell({ event: "connected", sessionPresent: session.eventValue === 1 });
        this.#firstAttempt?.resolve();
        this.#firstAttempt = undefined;
        break;
      case Event.ReadingDue:
        this.#measure();
        break;
      case Event.Published:
        this.#onAcknowledged(session.packetId);
        break;
      case Event.Dropped:
        this.#onDropped(session.packetId);
        break;
      case Event.CommandDone:
      case Event.CommandUnknown:
        this.#onCommand(event === Event.CommandDone);
        break;
    }
  }

  #measure(): void {
    const { core, world, measure, tell } = this.#options;
    const { at } = this.#session;
    const milliCelsius = measure();
    const celsius = hundredthsOf(milliCelsius) / 100;
    const nowMs = world.nowMs();
    const packetId = core.exports.reading(at, milliCelsius, nowMs);
    if (packetId < 0) {
      tell({ event: "refused", celsius });
      return;
    }
    if (core.exports.readingPublished(at) === 0) {
      tell({ event: "unchanged", celsius });
      return;
    }
    const seq = this.sequence - 1;
    this.#publishedCount++;
    if (packetId > 0) this.#outstanding.set(packetId, { seq, publishedAtMs: nowMs });
    tell({ event: "published", seq, celsius });
    this.#driver.flush();
  }

  #onAcknowledged(packetId: number): void {
    const outstanding = this.#outstanding.get(packetId);
    if (outstanding === undefined) return; // the birth, or the farewell
    this.#outstanding.delete(packetId);
    this.#acknowledgedCount++;
    const afterMs = this.#options.world.nowMs() - outstanding.publishedAtMs;
    this.#options.tell({ event: "acknowledged", seq: outstanding.seq, afterMs });
  }

  /** The broker has taken over what was released already: a PUBREL has no topic. */
  #onDropped(packetId: number): void {
    if (this.#session.topic() === "") {
      this.#onAcknowledged(packetId);
      return;
    }
    if (!this.#session.topic().endsWith("/telemetry")) return;
    this.#outstanding.delete(packetId);
    this.#droppedCount++;
    const text = new TextDecoder().decode(this.#session.payload());
    const { seq } = JSON.parse(text) as { seq: number }; // it may come from an earlier life of the device
    this.#options.tell({ event: "dropped", seq });
  }

  #onCommand(isKnown: boolean): void {
    const command = new TextDecoder().decode(this.#session.payload());
    const intervalMs = this.#options.core.exports.intervalMs(this.#session.at);
    this.#options.tell({ event: "command", command, isKnown, intervalMs });
    this.#driver.reschedule();
  }

  #onStoreFailed(error: StoreError): void {
    this.#stopping ??= new Deferred();
    this.#reconnector.stop();
    this.#end();
    this.#options.storeFailed?.(error);
  }

  #onEnded(reason: EndReason): void {
    if (this.#stopping !== undefined) {
      this.#end();
      return;
    }
    const explained = reason ?? brokerClosed();
    if (this.#firstAttempt !== undefined) {
      this.#driver.stop();
      this.#firstAttempt.reject(explained);
      this.#firstAttempt = undefined;
      return;
    }
    const reconnectInMs = this.#reconnector.schedule();
    this.#options.tell({ event: "disconnected", reason: explained, reconnectInMs });
  }
}

/** As the module rounds for its payload: half away from zero. */
function hundredthsOf(thousandths: number): number {
  return Math.sign(thousandths) * Math.round(Math.abs(thousandths) / 10);
}
