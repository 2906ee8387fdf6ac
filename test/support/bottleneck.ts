/** Connections that take no more bytes for a while, as those to a broker that does not read. */

import type {
  OpenTransport,
  Transport,
  TransportHandlers,
} from "../../host/src/transport/transport.ts";

/** What was written since the bottleneck closed. */
interface Held {
  readonly handlers: TransportHandlers;
  readonly transport: Transport;
  readonly writes: Uint8Array[];
}

export class Bottleneck {
  /** Connections that pass freely: those that are opened first. */
  readonly #freeCount: number;
  readonly #held: Held[] = [];
  #isClosed = false;
  #openedCount = 0;
  /** The most that waited on one connection, and how many writes that were. */
  heldLengthMax = 0;
  heldCountMax = 0;

  constructor(freeCount: number) {
    this.#freeCount = freeCount;
  }

  wrap(openTransport: OpenTransport): OpenTransport {
    return (handlers) => {
      const transport = openTransport(handlers);
      return this.#openedCount++ < this.#freeCount ? transport : this.#narrow(transport, handlers);
    };
  }

  /** From now on a write is kept, and answered with false. */
  close(): void {
    this.#isClosed = true;
  }

  /** Passes on what was kept, and takes more. */
  open(): void {
    this.#isClosed = false;
    for (const { handlers, transport, writes } of this.#held.splice(0)) {
      if (writes.length === 0) continue;
      for (const bytes of writes) transport.write(bytes);
      handlers.drained();
    }
  }

  #narrow(transport: Transport, handlers: TransportHandlers): Transport {
    const held: Held = { handlers, transport, writes: [] };
    return {
      write: (bytes) => {
        if (!this.#isClosed) return transport.write(bytes);
        if (held.writes.length === 0) this.#held.push(held);
        held.writes.push(bytes.slice());
        this.heldCountMax = Math.max(this.heldCountMax, held.writes.length);
        const length = held.writes.reduce((sum, write) => sum + write.length, 0);
        this.heldLengthMax = Math.max(this.heldLengthMax, length);
        return false;
      },
      pause: () => transport.pause(),
      resume: () => transport.resume(),
      close: () => transport.close(),
      reset: () => transport.reset(),
    };
  }
}
