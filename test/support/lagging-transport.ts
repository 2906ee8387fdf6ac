/** Connections whose bytes are under way for a while, in both directions and in order. */

import type { OpenTransport } from "../../host/src/transport/transport.ts";
import type { World } from "../../host/src/world.ts";

/** What `openTransport` opens, but everything that happens arrives at the other end `lagMs()` later. */
export function lagging(
  openTransport: OpenTransport,
  world: World,
  lagMs: () => number,
): OpenTransport {
  return (handlers) => {
    const outwards = new Line(world, lagMs);
    const inwards = new Line(world, lagMs);
    let isEnding = false;
    const end = (how: "close" | "reset") => {
      isEnding = true;
      outwards.send(() => transport[how]());
    };
    const transport = openTransport({
      opened: () => inwards.send(() => isEnding || handlers.opened()),
      received: (bytes) => {
        const copy = bytes.slice();
        inwards.send(() => isEnding || handlers.received(copy));
      },
      drained: () => {},
      closed: (reason) => inwards.send(() => handlers.closed(isEnding ? undefined : reason)),
    });
    return {
      write: (bytes) => {
        const copy = bytes.slice();
        outwards.send(() => transport.write(copy));
        return true;
      },
      pause: () => transport.pause(),
      resume: () => transport.resume(),
      close: () => end("close"),
      reset: () => end("reset"),
    };
  };
}

/** One direction of a connection. */
class Line {
  readonly #world: World;
  readonly #lagMs: () => number;
  #freeAtMs = 0;

  constructor(world: World, lagMs: () => number) {
    this.#world = world;
    this.#lagMs = lagMs;
  }

  send(arrive: () => void): void {
    const nowMs = this.#world.nowMs();
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs + this.#lagMs());
    this.#world.setTimer(this.#freeAtMs - nowMs, arrive);
  }
}
