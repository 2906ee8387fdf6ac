/** A transport moves bytes in both directions, in order, and knows nothing of MQTT. */

import type { ConnectionError } from "../errors.ts";

/** What a transport tells its owner. Nothing is called after `closed`. */
export interface TransportHandlers {
  /** The Network Connection stands; `write` may be called from now on. Called once, never from within `open`. */
  opened(): void;
  /** Bytes that arrived. They are valid during this call only. */
  received(chunk: Uint8Array): void;
  /** After a `write` that answered false: the transport takes more again. */
  drained(): void;
  /** It is over. Called exactly once; without `reason` if this side asked for it, or the peer ended it in order. */
  closed(reason: ConnectionError | undefined): void;
}

/**
 * One Network Connection. After `close` or `reset` its owner hears nothing but `closed`; after that every method is
 * harmless and does nothing.
 */
export interface Transport {
  /**
   * Sends all of `bytes`, which are valid during this call only. Answers false when more than the transport's
   * high-water mark is waiting: write no more until `drained`.
   */
  write(bytes: Uint8Array): boolean;
  /** Stops `received` until `resume`; what arrives meanwhile waits in the operating system. */
  pause(): void;
  resume(): void;
  /** Sends what was written, then ends the connection in order (TCP: FIN). */
  close(): void;
  /** Ends it at once and throws away what was not sent (TCP: RST). */
  reset(): void;
}

/** Starts to open a Network Connection; the answer comes through `handlers`. Never throws. */
export type OpenTransport = (handlers: TransportHandlers) => Transport;
