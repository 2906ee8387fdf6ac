/** What waits while other devices take their readings: then all send, one after the other. */

import type { Driver } from "../../../host/src/client/driver.ts";

/** So many wait at most: no message is later by more than some ten microseconds. */
const WAITING_COUNT_MAX = 32;

/** One sensor after the other, and then one socket after the other: each finds what it needs in the processor's caches. */
export class Departures {
  readonly #waiting: Pick<Driver, "sendDue">[] = [];

  add(driver: Pick<Driver, "sendDue">, nowMs: number): void {
    this.#waiting.push(driver);
    if (this.#waiting.length === WAITING_COUNT_MAX) this.send(nowMs);
  }

  /** Nothing waits afterwards, whatever sending brings about. */
  send(nowMs: number): void {
    for (let index = 0; index < this.#waiting.length; index++) {
      this.#waiting[index]?.sendDue(nowMs);
    }
    this.#waiting.length = 0;
  }
}
