/** What waits while other devices take their readings: then all send, one after the other. */

import type { Driver } from "../../../host/src/client/driver.ts";
import type { World } from "../../../host/src/world.ts";

/** So many wait at most: no message is later by more than a hundred microseconds. */
const WAITING_COUNT_MAX = 32;

/** One sensor after the other, and then one socket after the other: each finds what it needs in the processor's caches. */
export class Departures {
  readonly #world: Pick<World, "nowMs">;
  readonly #waiting: Pick<Driver, "sendDue">[] = [];

  constructor(world: Pick<World, "nowMs">) {
    this.#world = world;
  }

  add(driver: Pick<Driver, "sendDue">): void {
    this.#waiting.push(driver);
    if (this.#waiting.length >= WAITING_COUNT_MAX) this.send();
  }

  /** Nothing waits afterwards, whatever sending brings about. */
  send(): void {
    const nowMs = this.#world.nowMs();
    try {
      for (let index = 0; index < this.#waiting.length; index++) {
        this.#waiting[index]?.sendDue(nowMs);
      }
    } finally {
      this.#waiting.length = 0;
    }
  }
}
