/** Connections in memory, for tests and simulated worlds: time passes only through the World. */

import { ConnectionError } from "../errors.ts";
import type { World } from "../world.ts";
import { GuardedTransport, HIGH_WATER_LENGTH, OPEN_TIMEOUT_MS } from "./guarded-transport.ts";
import type { OpenTransport, TransportHandlers } from "./transport.ts";

/** The two ends of one connection. Each may be opened once; `opened` comes when both are. */
export interface MemoryPair {
  readonly client: OpenTransport;
  readonly server: OpenTransport;
}

export function memoryPair(world: World, highWaterLength = HIGH_WATER_LENGTH): MemoryPair {
  const ends: MemoryTransport[] = [];
  const endOf = (): OpenTransport => {
    let isUsed = false;
    return (handlers) => {
      if (isUsed) throw new Error("This end of the memory pair was opened before");
      isUsed = true;
      const end = new MemoryTransport(handlers, world, highWaterLength);
      ends.push(end);
      const [first, second] = ends;
      if (first !== undefined && second !== undefined) first.join(second);
      return end;
    };
  };
  return { client: endOf(), server: endOf() };
}

/**
 * A listener in memory: each connection that is opened with the result is handed to `accept`, which opens its other
 * end.
 */
export function memoryListener(
  world: World,
  accept: (server: OpenTransport) => void,
): OpenTransport {
  return (handlers) => {
    const pair = memoryPair(world);
    accept(pair.server);
    return pair.client(handlers);
  };
}

class MemoryTransport extends GuardedTransport {
  readonly #world: World;
  readonly #highWaterLength: number;
  #peer: MemoryTransport | undefined;
  /** What the peer wrote and this end has not received yet. */
  readonly #inbox: Uint8Array[] = [];
  #inboxLength = 0;
  #isDeliveryDue = false;
  #isPaused = false;
  /** `write` answered false. */
  #isFull = false;
  /** No byte follows what was written. */
  #hasFinished = false;
  /** No byte follows what is in the inbox. */
  #hasPeerFinished = false;
  #isDestroyed = false;

  constructor(handlers: TransportHandlers, world: World, highWaterLength: number) {
    super({ world, where: "memory", timeoutMs: OPEN_TIMEOUT_MS }, handlers);
    this.#world = world;
    this.#highWaterLength = highWaterLength;
  }

  /** Connects two ends that are both opening. */
  join(peer: MemoryTransport): void {
    this.#peer = peer;
    peer.#peer = this;
    if (this.#isDestroyed) {
      peer.#breakOff();
      return;
    }
    this.#world.setTimer(0, () => {
      this.opened();
      peer.opened();
    });
  }

  protected send(bytes: Uint8Array): boolean {
    const peer = this.#peer;
    if (peer === undefined) throw new Error("A memory end is open, but has no peer");
    peer.#inbox.push(bytes.slice());
    peer.#inboxLength += bytes.length;
    peer.#scheduleDelivery();
    this.#isFull = peer.#inboxLength > this.#highWaterLength;
    return !this.#isFull;
  }

  protected stopReading(): void {
    this.#isPaused = true;
  }

  protected startReading(): void {
    this.#isPaused = false;
    this.#scheduleDelivery();
  }

  protected finish(): void {
    this.#hasFinished = true;
    const peer = this.#peer;
    if (peer === undefined) return;
    peer.#hasPeerFinished = true;
    peer.#scheduleDelivery();
  }

  protected destroy(): void {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    this.#inbox.length = 0;
    this.#world.setTimer(0, () => this.ended());
    if (this.#peer !== undefined) this.#peer.#breakOff();
  }

  protected abort(): void {
    this.destroy();
  }

  #breakOff(): void {
    this.failed(
      new ConnectionError(
        "lost",
        "The other end in memory broke the connection off",
        "Open a new pair",
      ),
    );
    this.destroy();
  }

  #scheduleDelivery(): void {
    if (this.#isDeliveryDue) return;
    this.#isDeliveryDue = true;
    this.#world.setTimer(0, () => {
      this.#isDeliveryDue = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    while (!this.#isPaused) {
      const chunk = this.#inbox.shift();
      if (chunk === undefined) break;
      this.#inboxLength -= chunk.length;
      this.received(chunk);
    }
    if (this.#inbox.length > 0) return;
    if (this.#peer !== undefined) this.#peer.#emptied();
    if (this.#isPaused || !this.#hasPeerFinished) return;
    this.endInOrder();
    if (this.#hasFinished) this.ended();
  }

  #emptied(): void {
    if (!this.#isFull) return;
    this.#isFull = false;
    this.drained();
  }
}
