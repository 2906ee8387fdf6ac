/** A serial line in memory: the host opens one end, a board in the test has the other, and the test pulls the cable. */

import { BoardError } from "../../host/src/board/board-error.ts";
import type { LineHandlers, OpenLine } from "../../host/src/board/serial-line.ts";
import type { World } from "../../host/src/world.ts";

/** What becomes of a few bytes on the way: nothing, others, or more of them. */
export type Spoil = (bytes: Uint8Array) => Uint8Array;

export interface TestCableOptions {
  readonly path?: string;
  /** For the bytes to the board, and for those from it. They are given in pieces that end with LF or c0 where they have one. */
  readonly toBoard?: Spoil;
  readonly toHost?: Spoil;
}

export class TestCable {
  readonly path: string;
  readonly #world: World;
  readonly #options: TestCableOptions;
  #handlers: LineHandlers | undefined;
  #isPlugged = true;
  /** Bytes to the board arrive here. */
  onReceived: (bytes: Uint8Array) => void = () => {};
  /** The host has opened the line. */
  onOpened: () => void = () => {};
  openCount = 0;
  /** All that the host has written. */
  readonly written: Uint8Array[] = [];

  constructor(world: World, options: TestCableOptions = {}) {
    this.#world = world;
    this.#options = options;
    this.path = options.path ?? "/dev/ttyTEST0";
  }

  get isOpen(): boolean {
    return this.#handlers !== undefined;
  }

  readonly openLine: OpenLine = async (handlers) => {
    if (!this.#isPlugged) {
      throw new BoardError("no-port", `There is no port ${this.path}`, "Plug the cable in");
    }
    if (this.isOpen) {
      throw new BoardError("busy", `${this.path} is in use`, "End the other program");
    }
    this.#handlers = handlers;
    this.openCount++;
    this.onOpened();
    return {
      path: this.path,
      write: (bytes) => {
        if (this.#handlers === handlers) this.#carry(bytes, "toBoard");
      },
      close: async () => this.#end(handlers, undefined),
    };
  };

  /** The board sends. Nobody may listen. */
  send(bytes: Uint8Array): void {
    this.#carry(bytes, "toHost");
  }

  /** Pulls the cable. The host's line ends, and cannot be opened before `plug`. */
  pull(): void {
    this.#isPlugged = false;
    this.drop();
  }

  plug(): void {
    this.#isPlugged = true;
  }

  /** The line ends, and may be opened again at once: what a USB board does when it resets. */
  drop(): void {
    if (this.#handlers === undefined) return;
    this.#end(this.#handlers, new BoardError("lost", "The line ended", "Check the cable"));
  }

  #end(handlers: LineHandlers, reason: Error | undefined): void {
    if (this.#handlers !== handlers) return;
    this.#handlers = undefined;
    handlers.closed(reason);
  }

  /** Bytes are under way for a moment, so that no call answers another from within. */
  #carry(bytes: Uint8Array, direction: "toBoard" | "toHost"): void {
    const listener = this.#handlers;
    const spoil = this.#options[direction] ?? ((piece) => piece);
    if (direction === "toBoard") this.written.push(bytes.slice());
    for (const spoiled of spoiledPieces(bytes, spoil)) {
      this.#world.setTimer(0, () => {
        if (direction === "toBoard") this.onReceived(spoiled);
        else if (listener === this.#handlers) listener?.received(spoiled);
      });
    }
  }
}

/** Loses, doubles and damages pieces: each of them happens to `rate` (0 to 1) of the pieces. */
export function noise(random: () => number, rate: number): Spoil {
  return (bytes) => {
    if (random() < rate) return new Uint8Array();
    if (random() < rate) return Uint8Array.from([...bytes, ...bytes]);
    if (random() >= rate) return bytes;
    const damaged = bytes.slice();
    const at = Math.floor(random() * damaged.length);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << Math.floor(random() * 8));
    return damaged;
  };
}

/** Repeatable numbers from 0 to 1 (the generator of Park and Miller). */
export function seeded(seed: number): () => number {
  let state = (seed % 2_147_483_646) + 1;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return (state - 1) / 2_147_483_646;
  };
}

/** What arrives of `bytes`, spoiled piece by piece. */
export function* spoiledPieces(bytes: Uint8Array, spoil: Spoil): Generator<Uint8Array> {
  for (const piece of pieces(bytes)) yield spoil(piece);
}

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  let from = 0;
  for (let at = 0; at < bytes.length; at++) {
    const isEnd = bytes[at] === 0x0a || (bytes[at] === 0xc0 && at > from);
    if (!isEnd && at < bytes.length - 1) continue;
    yield bytes.slice(from, at + 1);
    from = at + 1;
  }
}
