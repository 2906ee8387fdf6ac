/** Finds a broker's addresses once for many connections: Node asks the system for each, on one of four threads. */

import { type LookupAddress, type LookupAllOptions, type LookupOptions, lookup } from "node:dns";
import type { LookupFunction } from "node:net";
import type { World } from "../world.ts";

/** A name that moves is followed after so long. */
const FRESH_MS = 5_000;

type Found = (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void;

/** `dns.lookup` as it is needed here. */
export type ResolveHost = (host: string, options: LookupAllOptions, found: Found) => void;

/**
 * Makes the `lookup` of sockets that all connect to one broker. Of several addresses of a family each is the first in
 * turn, so that a fleet spreads over all. What fails is asked again by the next connection.
 */
export function hostLookup(world: World, resolve: ResolveHost = lookup): LookupFunction {
  const names = new Map<string, Name>();
  return (host, options, callback) => {
    const key = `${options.family ?? 0} ${host}`;
    let name = names.get(key);
    if (name === undefined) {
      name = new Name(world, (found) => resolve(host, { ...options, all: true }, found));
      names.set(key, name);
    }
    name.addresses((error, addresses) => answer(callback, options, error, addresses));
  };
}

/** Node wants one address or all of them. */
function answer(
  callback: Parameters<LookupFunction>[2],
  { all = false }: LookupOptions,
  error: NodeJS.ErrnoException | null,
  addresses: LookupAddress[],
): void {
  const [first] = addresses;
  if (error !== null || first === undefined) callback(error ?? nothingFound(), "", 0);
  else if (all) callback(null, addresses);
  else callback(null, first.address, first.family);
}

function nothingFound(): NodeJS.ErrnoException {
  return Object.assign(new Error("the name has no address"), { code: "ENOTFOUND" });
}

/** One host name, in one family or in all. */
class Name {
  readonly #world: World;
  readonly #resolve: (found: Found) => void;
  #known: LookupAddress[] = [];
  #knownAtMs = Number.NEGATIVE_INFINITY;
  #turn = 0;
  /** Who waits for the answer that is under way. */
  #waiting: Found[] = [];

  constructor(world: World, resolve: (found: Found) => void) {
    this.#world = world;
    this.#resolve = resolve;
  }

  addresses(found: Found): void {
    if (this.#world.nowMs() - this.#knownAtMs < FRESH_MS) {
      found(null, this.#inTurn());
      return;
    }
    this.#waiting.push(found);
    if (this.#waiting.length === 1)
      this.#resolve((error, addresses) => this.#learn(error, addresses));
  }

  #learn(error: NodeJS.ErrnoException | null, addresses: LookupAddress[]): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    if (error === null) {
      this.#known = addresses;
      this.#knownAtMs = this.#world.nowMs();
    }
    for (const found of waiting) found(error, error === null ? this.#inTurn() : []);
  }

  /** The family that the system puts first stays first: the other may lead nowhere. */
  #inTurn(): LookupAddress[] {
    const family = this.#known[0]?.family;
    const first = this.#known.filter((address) => address.family === family);
    const others = this.#known.filter((address) => address.family !== family);
    const turn = this.#turn++ % Math.max(1, first.length);
    return [...first.slice(turn), ...first.slice(0, turn), ...others];
  }
}
