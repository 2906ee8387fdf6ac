/** A simulated board: a record of the module between guard zones, a clock of its own, and power that fails. */

import type { ConnectionState } from "../../../firmware/core/abi.ts";
import type { Core, CoreExports } from "../../../host/src/core/core.ts";
import { type Capacities, Session } from "../../../host/src/core/session.ts";
import type { RandomStream } from "../random.ts";
import { SimulationFailure } from "./failure.ts";
import type { Fuse } from "./fuse.ts";

/** Bytes before and behind each record that nobody may change. */
const GUARD_LENGTH = 32;
const GUARD_BYTE = 0xa5;
const GUARD_WORD = 0xa5a5a5a5;

export class Board {
  readonly fuse: Fuse;
  readonly session: Session;
  readonly capacities: Capacities;
  readonly #core: Core;
  readonly #deviceIndex: number;
  readonly #recordLength: number;
  readonly #guardsAt: readonly number[];

  /** Each call of the module through `session` passes the fuse. */
  constructor(core: Core, capacities: Capacities, deviceIndex: number, fuse: Fuse) {
    this.#core = core;
    this.#deviceIndex = deviceIndex;
    this.capacities = capacities;
    this.fuse = fuse;
    const beforeAt = this.#takeGuard();
    const fused = { ...core, exports: withFuse(core.exports, fuse) };
    this.session = new Session(fused, capacities);
    const behindAt = this.#takeGuard();
    this.#recordLength = behindAt - this.session.at;
    this.#guardsAt = [beforeAt, behindAt];
  }

  /** As the session's, but who asks is not the board: power does not fail at it. */
  get state(): ConnectionState {
    return this.#core.exports.connectionState(this.session.at);
  }

  /** True if the module has handled all that it was given. */
  get hasHandledAll(): boolean {
    return this.#core.exports.receiveRoom(this.session.at) === this.capacities.receive;
  }

  /** What is left in memory after a loss of power: nothing, old bytes, or anything. */
  scramble(random: RandomStream): void {
    const garbage = new Uint8Array(this.#recordLength);
    const kind = random.integer(0, 2);
    if (kind === 0) garbage.fill(random.integer(0, 255));
    if (kind === 1) for (let at = 0; at < garbage.length; at++) garbage[at] = random.word() & 0xff;
    if (kind < 2) this.#core.memory.write(this.session.at, garbage);
  }

  /** The guard zones are whole, and what is counted fits the buffers. */
  check(): void {
    const { memory, exports } = this.#core;
    for (const guardAt of this.#guardsAt) {
      for (let at = guardAt; at < guardAt + GUARD_LENGTH; at += 4) {
        if (memory.u32(at) !== GUARD_WORD) this.#fail("a byte outside of the record has changed");
      }
    }
    const { at } = this.session;
    const transmitAt = exports.transmitAt(at);
    const transmitEnd = transmitAt + exports.transmitLength(at);
    if (transmitAt < at || transmitEnd > at + this.#recordLength) {
      this.#fail("what is to be sent lies outside of the record");
    }
    if (exports.receiveRoom(at) > this.capacities.receive) {
      this.#fail("there is more room to receive than the buffer has");
    }
  }

  #takeGuard(): number {
    const at = this.#core.arena.take(GUARD_LENGTH);
    this.#core.memory.write(at, new Uint8Array(GUARD_LENGTH).fill(GUARD_BYTE));
    return at;
  }

  #fail(problem: string): never {
    throw new SimulationFailure("memory", this.#deviceIndex, problem);
  }
}

type Call = (...args: number[]) => number;

/** The exports of the module, each of which may be the last before power fails. */
function withFuse(exports: CoreExports, fuse: Fuse): CoreExports {
  const fused: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(exports)) {
    fused[name] = typeof value === "function" ? fusedCall(value as Call, fuse) : value;
  }
  return fused as unknown as CoreExports;
}

function fusedCall(call: Call, fuse: Fuse): Call {
  return (first = 0, second = 0, third = 0, fourth = 0, fifth = 0, sixth = 0) => {
    fuse.call();
    return call(first, second, third, fourth, fifth, sixth);
  };
}
