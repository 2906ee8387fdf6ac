/** Tells apart what arrives on a serial line: text for people, lines of management packets, frames (docs/wire.md). */

import type { Timer, World } from "../world.ts";
import { FRAME_END, FRAME_LENGTH_MAX, type Frame, readFrame } from "./frames.ts";
import { isPacketLine } from "./smp-packet.ts";

/** A longer line is cut; LF does not count. */
const LINE_LENGTH_MAX = 512;

/** A frame whose last byte came longer ago is none. */
const FRAME_TIMEOUT_MS = 500;

/** A timer that fires so much later than it should says that this process was busy, and not that the line was silent. */
const BUSY_MS = 100;

const LF = 0x0a;
const CR = 0x0d;

/** What arrived, each thing as soon as it is whole, in order. The bytes may be kept. */
export interface LineReceiverHandlers {
  /** Text without its LF and a CR before that. Not whole if it ended without LF: it was too long, or a frame began. */
  text(line: Uint8Array, isWhole: boolean): void;
  /** A whole line that begins as a packet's does, with or without sense, without LF and CR. */
  packetLine(line: Uint8Array): void;
  frame(frame: Frame): void;
}

/** The receiving end of one line. Nothing that arrives can make it throw, and no byte of text is lost. */
export class LineReceiver {
  readonly #world: World;
  readonly #handlers: LineReceiverHandlers;
  #isInside = false;
  /** Outside: the line so far. Inside: nothing. */
  #line: number[] = [];
  /** Inside: the frame so far, escapes as they came. */
  #frame: number[] = [];
  #lastByteAtMs = 0;
  #timer: Timer | undefined;

  constructor(world: World, handlers: LineReceiverHandlers) {
    this.#world = world;
    this.#handlers = handlers;
  }

  receive(chunk: Uint8Array): void {
    for (const byte of chunk) {
      if (this.#isInside) this.#takeInside(byte);
      else this.#takeOutside(byte);
    }
    this.#watchFrame();
  }

  /** The line is over: what was gathered is text. */
  end(): void {
    this.#leaveFrame();
    this.#endLine(false);
    this.#timer?.clear();
  }

  #takeOutside(byte: number): void {
    if (byte === FRAME_END) {
      this.#endLine(false);
      this.#isInside = true;
    } else {
      this.#addToLine(byte);
    }
  }

  #takeInside(byte: number): void {
    if (byte !== FRAME_END) {
      this.#frame.push(byte);
      if (this.#frame.length > FRAME_LENGTH_MAX) this.#leaveFrame();
      return;
    }
    if (this.#frame.length === 0) return;
    const frame = readFrame(Uint8Array.from(this.#frame));
    if (frame !== undefined) {
      this.#frame = [];
      this.#isInside = false;
      this.#handlers.frame(frame);
      return;
    }
    // This byte may have been the beginning of a frame.
    this.#leaveFrame();
    this.#takeOutside(byte);
  }

  /** What was gathered is text after all. */
  #leaveFrame(): void {
    const bytes = this.#frame;
    this.#frame = [];
    this.#isInside = false;
    for (const byte of bytes) this.#addToLine(byte);
  }

  #addToLine(byte: number): void {
    if (byte === LF) {
      this.#endLine(true);
      return;
    }
    if (this.#line.length === LINE_LENGTH_MAX) this.#endLine(false);
    this.#line.push(byte);
  }

  #endLine(isWhole: boolean): void {
    const bytes = this.#line;
    this.#line = [];
    if (isWhole && bytes.at(-1) === CR) bytes.pop();
    if (bytes.length === 0 && !isWhole) return;
    const line = Uint8Array.from(bytes);
    if (isWhole && isPacketLine(line)) this.#handlers.packetLine(line);
    else this.#handlers.text(line, isWhole);
  }

  #watchFrame(): void {
    this.#lastByteAtMs = this.#world.nowMs();
    if (this.#isInside) this.#timer ??= this.#setTimer(FRAME_TIMEOUT_MS);
  }

  #setTimer(delayMs: number): Timer {
    const dueAtMs = this.#world.nowMs() + delayMs;
    return this.#world.setTimer(delayMs, () => {
      this.#timer = undefined;
      if (!this.#isInside) return;
      const nowMs = this.#world.nowMs();
      // What arrived while this process was busy has not been read yet.
      if (nowMs - dueAtMs > BUSY_MS) this.#lastByteAtMs = nowMs;
      const restMs = this.#lastByteAtMs + FRAME_TIMEOUT_MS - nowMs;
      if (restMs > 0) this.#timer = this.#setTimer(restMs);
      else this.#leaveFrame();
    });
  }
}
