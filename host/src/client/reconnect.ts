/** When to connect again: exponential backoff with full jitter. */

import type { Timer, World } from "../world.ts";

export interface ReconnectPolicy {
  /** The longest first delay; it doubles with each attempt. */
  readonly baseMs: number;
  /** No delay is longer. */
  readonly maxMs: number;
  /** A connection that has stood so long was a good one: after it the delays start again from `baseMs`. */
  readonly stableMs: number;
}

/** What a client does unless it is told otherwise. */
export const RECONNECT_POLICY: ReconnectPolicy = {
  baseMs: 1_000,
  maxMs: 60_000,
  stableMs: 30_000,
};

/** After so many doublings a millisecond has become 24 days. */
const DOUBLING_COUNT_MAX = 31;

/**
 * Full jitter: anywhere between nothing and a bound, which doubles with each attempt (0 for the first) up to `maxMs`.
 * So clients that lost their server at one moment do not come back at one moment.
 */
export function reconnectDelayMs(
  attempt: number,
  random: () => number,
  { baseMs, maxMs }: Pick<ReconnectPolicy, "baseMs" | "maxMs">,
): number {
  const boundMs = Math.min(maxMs, baseMs * 2 ** Math.min(attempt, DOUBLING_COUNT_MAX));
  return Math.floor(random() * boundMs);
}

/**
 * Opens one connection after the other. Two clients with one client id take the server from each other in turn: each
 * connection stands for a moment only, so the delays grow all the same.
 */
export class Reconnector {
  readonly #world: World;
  readonly #policy: ReconnectPolicy;
  readonly #open: () => void;
  #attempt = 0;
  #connectedAtMs: number | undefined;
  #timer: Timer | undefined;

  constructor(world: World, policy: ReconnectPolicy, open: () => void) {
    this.#world = world;
    this.#policy = policy;
    this.#open = open;
  }

  /** The server has accepted the connection. */
  connected(): void {
    this.#connectedAtMs = this.#world.nowMs();
  }

  /** The connection is over, or could not be made: opens the next one after the delay that is returned. */
  schedule(): number {
    if (this.#stoodMs() >= this.#policy.stableMs) this.#attempt = 0;
    this.#connectedAtMs = undefined;
    const delayMs = reconnectDelayMs(this.#attempt, () => this.#world.random(), this.#policy);
    this.#attempt++;
    this.#timer = this.#world.setTimer(delayMs, this.#open);
    return delayMs;
  }

  /** Opens nothing any more. */
  stop(): void {
    this.#timer?.clear();
  }

  #stoodMs(): number {
    return this.#connectedAtMs === undefined ? 0 : this.#world.nowMs() - this.#connectedAtMs;
  }
}
