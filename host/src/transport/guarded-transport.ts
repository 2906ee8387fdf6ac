/** What every transport must get right once: which call is allowed when, one `closed`, and the time limits. */

import type { LookupFunction } from "node:net";
import { ConnectionError } from "../errors.ts";
import type { Timer, World } from "../world.ts";
import type { BrokerUrl } from "./broker-url.ts";
import type { Secure } from "./tls.ts";
import type { Transport, TransportHandlers } from "./transport.ts";

/** How long `close` waits for what was written to leave and for the peer's answer; then the rest is thrown away. */
export const CLOSE_TIMEOUT_MS = 5_000;

/** How long a Network Connection may take to open, with TLS and WebSocket, unless it is told otherwise. */
export const OPEN_TIMEOUT_MS = 10_000;

/** Bytes that may wait in a transport before `write` answers false, unless it is told otherwise. */
export const HIGH_WATER_LENGTH = 16_384;

/** What every connection needs to know of its peer. */
export interface ConnectionLimits {
  readonly world: World;
  /** What errors call the peer. */
  readonly where: string;
  /** How long it may take to open. */
  readonly timeoutMs: number;
}

/** What all connections to one broker share. */
export interface Dial extends ConnectionLimits {
  readonly url: BrokerUrl;
  /** An address of this machine. */
  readonly localAddress: string | undefined;
  readonly highWaterLength: number;
  /** Finds the addresses of a host name. */
  readonly lookup: LookupFunction;
  /** Starts TLS on a connected socket; without it the connection is plain. */
  readonly secure: Secure | undefined;
}

/**
 *   opening ──opened──> open ──close, reset, peer's end──> closing ──ended──> closed
 *      └──close, reset────────────────────────────────────────┘                  │
 *   opening, open ──ended after failed───────────────────────────────────────────┘
 */
type State = "opening" | "open" | "closing" | "closed";

/**
 * A transport whose kinds only move bytes. The kind reports what happens with the protected methods, in any order
 * and as often as it likes; its owner is told in the order that `TransportHandlers` promises. Once the owner has
 * called `close` or `reset`, it hears nothing but `closed`.
 */
export abstract class GuardedTransport implements Transport {
  readonly #limits: ConnectionLimits;
  readonly #handlers: TransportHandlers;
  #state: State = "opening";
  #failure: ConnectionError | undefined;
  /** The limit of the state that has one: opening, closing. */
  #timer: Timer | undefined;

  constructor(limits: ConnectionLimits, handlers: TransportHandlers) {
    this.#limits = limits;
    this.#handlers = handlers;
    this.#timer = limits.world.setTimer(limits.timeoutMs, () => this.#openTimedOut());
  }

  protected get where(): string {
    return this.#limits.where;
  }

  write(bytes: Uint8Array): boolean {
    if (this.#state === "opening") throw new Error("write() was called before opened()");
    return this.#state === "open" && this.send(bytes);
  }

  pause(): void {
    if (this.#state === "open") this.stopReading();
  }

  resume(): void {
    if (this.#state === "open") this.startReading();
  }

  close(): void {
    if (this.#state === "open") {
      this.endInOrder();
    } else if (this.#state === "opening") {
      this.#state = "closing";
      this.destroy();
    }
  }

  reset(): void {
    if (this.#state === "closed") return;
    this.#state = "closing";
    this.abort();
  }

  /** Takes a copy of `bytes`; answers false when more than the high-water mark is waiting. */
  protected abstract send(bytes: Uint8Array): boolean;
  protected abstract stopReading(): void;
  protected abstract startReading(): void;
  /** Flushes and ends in order; `ended` follows. */
  protected abstract finish(): void;
  /** Throws the connection away in any state; `ended` follows. */
  protected abstract destroy(): void;
  /** The same, and the peer is told rudely. */
  protected abstract abort(): void;

  protected opened(): void {
    if (this.#state !== "opening") return;
    this.#state = "open";
    this.#clearTimer();
    this.#handlers.opened();
  }

  protected received(chunk: Uint8Array): void {
    if (this.#state === "open") this.#handlers.received(chunk);
  }

  protected drained(): void {
    if (this.#state === "open") this.#handlers.drained();
  }

  /** Keeps the first reason that comes before the end was asked for. */
  protected failed(reason: ConnectionError): void {
    if (this.#state === "opening" || this.#state === "open") this.#failure ??= reason;
  }

  /** The owner asked for the end, or the peer sends no more: what was written still leaves, within the limit. */
  protected endInOrder(): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#timer = this.#limits.world.setTimer(CLOSE_TIMEOUT_MS, () => this.destroy());
    this.startReading(); // A paused connection would never see the peer's answer.
    this.finish();
  }

  /** Nothing of the connection is left. */
  protected ended(): void {
    if (this.#state === "closed") return;
    const isInOrder = this.#state === "closing";
    this.#state = "closed";
    this.#clearTimer();
    this.#handlers.closed(this.#failure ?? (isInOrder ? undefined : this.#lost()));
  }

  #clearTimer(): void {
    this.#timer?.clear();
    this.#timer = undefined;
  }

  #openTimedOut(): void {
    this.failed(
      new ConnectionError(
        "timeout",
        `${this.where} did not answer within ${this.#limits.timeoutMs} ms`,
        "Check host and port, and whether a firewall lies between",
      ),
    );
    this.destroy();
  }

  #lost(): ConnectionError {
    return new ConnectionError(
      "lost",
      `The connection to ${this.where} ended without a word`,
      "Look into the broker's log",
    );
  }
}
