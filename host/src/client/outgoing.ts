/** What the application publishes, from the call until the server has taken it over. */

import { ConnectionState, Counter, Status } from "../../../firmware/core/abi.ts";
import { CoreError, type OutgoingMessage, type Session } from "../core/session.ts";
import { ClosedError, PublishError } from "./client-errors.ts";
import { checkMessage } from "./client-options.ts";
import { Deferred } from "./deferred.ts";

/** What the owner is told. */
export interface OutgoingHandlers {
  /** Something was queued: send it soon. */
  queued(): void;
  /** The outbox is full: send what can be sent at once. */
  full(): void;
  /** A message that had been queued was given up. */
  dropped(error: PublishError): void;
}

/** A message in the outbox. */
interface Entry {
  readonly topic: string;
  /** In the order of publishing. */
  readonly number: number;
  /** Undefined if nobody waits for it. */
  readonly deferred: Deferred<void> | undefined;
}

/** A call of `publish` that waits for room in the outbox. */
interface Waiting {
  readonly message: OutgoingMessage;
  readonly deferred: Deferred<void>;
}

/**
 *   publish ──> waiting ──room──> outbox ──QoS 0: to the transport, QoS 1 and 2: acknowledged──> resolved
 *
 * The outbox is the core's. This mirrors what lies in it, to know whose promise to resolve.
 */
export class Outgoing {
  readonly #handlers: OutgoingHandlers;
  readonly #waitingMax: number;
  readonly #inflightMax: number;
  #session: Session | undefined;
  #isRestored = false;
  readonly #waiting: Waiting[] = [];
  /** QoS 0, not yet at the transport. */
  readonly #unsent: Entry[] = [];
  /** QoS 1 and 2 by Packet Identifier, in the order of publishing. */
  readonly #unacknowledged = new Map<number, Entry>();
  #publishedCount = 0;
  #discardedCount = 0;

  constructor(waitingMax: number, inflightMax: number, handlers: OutgoingHandlers) {
    this.#waitingMax = waitingMax;
    this.#inflightMax = inflightMax;
    this.#handlers = handlers;
  }

  /** From now on messages go into this session's outbox, which may hold some of an earlier life. */
  begin(session: Session, isRestored: boolean): void {
    this.#session = session;
    this.#isRestored = isRestored;
    this.admit();
  }

  /** True if nothing is on its way. */
  get isEmpty(): boolean {
    return (
      this.#waiting.length === 0 && this.#unsent.length === 0 && this.#unacknowledged.size === 0
    );
  }

  publish(message: OutgoingMessage): Promise<void> {
    const deferred = new Deferred<void>();
    try {
      checkMessage(message);
      if (!this.#takes(message, deferred)) this.#wait(message, deferred);
    } catch (error) {
      deferred.reject(error as Error);
    }
    return deferred.promise;
  }

  /** False if there is no room now. Throws a CoreError for a message that no outbox would take. */
  tryPublish(message: OutgoingMessage): boolean {
    checkMessage(message);
    return this.#takes(message, undefined);
  }

  /** Lets in what waits, as far as there is room. */
  admit(): void {
    for (;;) {
      const first = this.#waiting[0];
      if (first === undefined || !this.#admits(first)) return;
      this.#waiting.shift();
    }
  }

  /** Bytes went to the transport. */
  transmitted(): void {
    const session = this.#session;
    if (session === undefined || this.#unsent.length === 0) return;
    if (session.state !== ConnectionState.Connected || session.transmitLength > 0) return;
    const heldBackFrom = this.#heldBackFrom(session.inflightCount);
    const keptAt = this.#unsent.findIndex(({ number }) => number >= heldBackFrom);
    const sentCount = keptAt < 0 ? this.#unsent.length : keptAt;
    for (const { deferred } of this.#unsent.splice(0, sentCount)) deferred?.resolve();
  }

  /** The server has taken a message over. */
  acknowledged(packetId: number): void {
    const entry = this.#unacknowledged.get(packetId);
    this.#unacknowledged.delete(packetId);
    entry?.deferred?.resolve();
    if (this.#isRestored) this.transmitted();
  }

  /** The last event of the session is Dropped: the server has no session, and what was sent is in doubt. */
  dropped(): void {
    const session = this.#session;
    if (session === undefined) return;
    const { packetId } = session;
    const { topic, qos } = session.message();
    if (topic === "") {
      this.acknowledged(packetId); // a PUBREL: with its PUBREC the server took the message over [MQTT-4.3.3-2]
    } else if (qos === 1) {
      session.requeue();
    } else {
      const entry = this.#unacknowledged.get(packetId);
      this.#unacknowledged.delete(packetId);
      this.#giveUp(entry, new PublishError("in-doubt", topic));
    }
  }

  /** Nothing goes out any more. */
  end(): void {
    const closed = () => new ClosedError("The client was closed before the message was sent");
    for (const { deferred } of this.#waiting.splice(0)) deferred.fail(closed());
    for (const { deferred } of this.#unsent.splice(0)) deferred?.fail(closed());
    for (const { deferred, topic } of this.#unacknowledged.values()) {
      deferred?.fail(new PublishError("in-doubt", topic));
    }
    this.#unacknowledged.clear();
  }

  /** Puts a message into the outbox, unless others wait before it or it has no room. */
  #takes(message: OutgoingMessage, deferred: Deferred<void> | undefined): boolean {
    if (this.#waiting.length > 0) return false;
    if (this.#queue(message, deferred)) return true;
    this.#handlers.full();
    return this.#waiting.length === 0 && this.#queue(message, deferred);
  }

  #wait(message: OutgoingMessage, deferred: Deferred<void>): void {
    if (this.#waiting.length >= this.#waitingMax) {
      throw new PublishError("too-many-waiting", message.topic);
    }
    const { payload } = message;
    const copy = typeof payload === "string" ? payload : payload.slice();
    this.#waiting.push({ message: { ...message, payload: copy }, deferred });
  }

  /** False if it has to wait on. */
  #admits({ message, deferred }: Waiting): boolean {
    try {
      return this.#queue(message, deferred);
    } catch (error) {
      deferred.reject(error as Error);
      return true;
    }
  }

  /** False if the outbox has no room. Throws a CoreError for a message that no outbox would take. */
  #queue(message: OutgoingMessage, deferred: Deferred<void> | undefined): boolean {
    const session = this.#session;
    if (session === undefined) return false;
    try {
      const packetId = session.publish(message);
      this.#giveUpDiscarded(session);
      this.#remember(packetId, { topic: message.topic, number: this.#publishedCount++, deferred });
    } catch (error) {
      if (error instanceof CoreError && error.status === Status.BufferFull) return false;
      throw error;
    }
    this.#handlers.queued();
    return true;
  }

  #remember(packetId: number, entry: Entry): void {
    if (packetId === 0) this.#unsent.push(entry);
    else this.#unacknowledged.set(packetId, entry);
  }

  /** The core throws away the oldest first. */
  #giveUpDiscarded(session: Session): void {
    const discardedCount = session.counter(Counter.Discarded);
    const newCount = (discardedCount - this.#discardedCount) >>> 0;
    this.#discardedCount = discardedCount;
    for (const entry of this.#unsent.splice(0, newCount)) {
      this.#giveUp(entry, new PublishError("discarded", entry.topic));
    }
  }

  #giveUp(entry: Entry | undefined, error: PublishError): void {
    entry?.deferred?.fail(error);
    this.#handlers.dropped(error);
  }

  /**
   * The number of the first message that may not be sent yet: `inflightCount` messages are under way, which are the
   * oldest unacknowledged ones, and all others wait in their order behind them. How many of those under way are of an
   * earlier life is not known: then all others count as waiting while the window is full.
   */
  #heldBackFrom(inflightCount: number): number {
    if (inflightCount < this.#inflightMax) return Number.POSITIVE_INFINITY;
    const ownCount = this.#isRestored ? 0 : inflightCount;
    let count = 0;
    for (const { number } of this.#unacknowledged.values()) {
      if (count === ownCount) return number;
      count++;
    }
    return Number.POSITIVE_INFINITY;
  }
}
