/** Keeps a serial line open: when a cable is pulled or a board resets, it looks for the line until it is there again. */

import type { Timer, World } from "../world.ts";
import { type BoardLink, type ConsoleLine, openLink } from "./board-link.ts";
import type { Frame } from "./frames.ts";
import type { OpenLine } from "./serial-line.ts";
import { reopenDelayMs } from "./waiting.ts";

export interface LineKeeperOptions {
  readonly world: World;
  readonly openLine: OpenLine;
  readonly handlers: LineKeeperHandlers;
}

/** What happens on the lines that are opened one after the other. */
interface LineKeeperHandlers {
  opened(link: BoardLink): void;
  console(line: ConsoleLine): void;
  frame(frame: Frame): void;
  /** The line ended, or could not be opened; the next attempt comes after so long. */
  closed(error: Error, retryInMs: number): void;
}

/** A line that stood so long was a good one: after it the delays begin anew. */
const STABLE_MS = 2_000;

export class LineKeeper {
  readonly #options: LineKeeperOptions;
  #link: BoardLink | undefined;
  #opening: Promise<void>;
  #openedAtMs: number | undefined;
  #attempt = 0;
  #timer: Timer | undefined;
  #isStopped = false;

  /** Begins at once. */
  constructor(options: LineKeeperOptions) {
    this.#options = options;
    this.#opening = this.#open();
  }

  /** Ends the line, and looks for it no more. Nothing is told after that. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.clear();
    await this.#opening;
    await this.#link?.close();
  }

  async #open(): Promise<void> {
    const { world, openLine, handlers } = this.#options;
    try {
      this.#link = await openLink(openLine, world, {
        console: (line) => this.#isStopped || handlers.console(line),
        frame: (frame) => this.#isStopped || handlers.frame(frame),
        closed: (reason) => reason !== undefined && this.#closed(reason),
      });
    } catch (error) {
      this.#closed(error as Error);
      return;
    }
    if (this.#isStopped || !this.#link.isOpen) return;
    this.#openedAtMs = world.nowMs();
    handlers.opened(this.#link);
  }

  #closed(error: Error): void {
    if (this.#isStopped) return;
    const { world, handlers } = this.#options;
    const nowMs = world.nowMs();
    if (nowMs - (this.#openedAtMs ?? nowMs) >= STABLE_MS) this.#attempt = 0;
    this.#openedAtMs = undefined;
    const retryInMs = reopenDelayMs(this.#attempt++);
    this.#timer = world.setTimer(retryInMs, () => {
      this.#opening = this.#open();
    });
    handlers.closed(error, retryInMs);
  }
}
