/** One conversation with one board: its state, its modules, its configuration, its console. */

import { z } from "zod";
import type { World } from "../world.ts";
import {
  type BoardConfig,
  type ConfigChanges,
  readConfig,
  writeConfig,
  writeKey,
} from "./board-config.ts";
import { BoardError, isInterruption } from "./board-error.ts";
import { type BoardInfo, readInfo } from "./board-info.ts";
import { type BoardLink, type ConsoleLine, openLink } from "./board-link.ts";
import {
  eraseSlot,
  type ImageSlot,
  readImages,
  readSlots,
  type SlotInfo,
  setImage,
} from "./image-state.ts";
import { sendImage } from "./image-upload.ts";
import type { OpenLine } from "./serial-line.ts";
import type { SmpPatience } from "./smp-client.ts";
import { SmpError, SmpGroup } from "./smp-error.ts";
import { WIRE_VERSION } from "./tunnel-messages.ts";
import { reopenDelayMs, unlessAborted, wait } from "./waiting.ts";

export interface BoardOptions {
  readonly world: World;
  readonly openLine: OpenLine;
  /** What the board says to people. */
  readonly console?: ((line: ConsoleLine) => void) | undefined;
  /** The line ended, and not by `close`; `reopen` opens it again. */
  readonly closed?: ((reason: Error) => void) | undefined;
}

export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
  /** How long it may take before the last error is final. 60,000 if absent. */
  readonly patienceMs?: number | undefined;
}

export interface UploadOptions extends WaitOptions {
  readonly onProgress?: ((progress: UploadProgress) => void) | undefined;
}

export interface UploadProgress {
  /** The board had a part of the image before: "resumed". It was lost, and is looked for again: "interrupted". */
  readonly state: "sending" | "resumed" | "interrupted";
  readonly doneLength: number;
  readonly length: number;
  /** Why it was interrupted. */
  readonly reason: string | undefined;
}

const PATIENCE_MS = 60_000;

/** For a first answer. A board in QEMU may take a second to see that somebody has opened its line. */
const GREETING: SmpPatience = { timeoutMs: 1_000, attemptCount: 4 };

/** For what must not be done twice. */
const ONCE: SmpPatience = { timeoutMs: 1_000, attemptCount: 1 };

/** A board that was told to reset goes on for 250 ms. */
const RESET_MS = 300;

const nothing = z.looseObject({});
const echoAnswer = z.object({ r: z.string() });
const paramsAnswer = z.object({ buf_size: z.int().min(128) });

/**
 * Opens the line and finds out whether a board answers. Rejects with a BoardError: as `openLine` does, with "silent", or
 * with "foreign" if something else answers.
 */
export async function openBoard(options: BoardOptions): Promise<Board> {
  const board = new Board(options);
  try {
    await board.meet();
  } catch (error) {
    await board.close();
    throw error;
  }
  return board;
}

/** Each method rejects with a BoardError, which is an SmpError if the board refuses. */
export class Board {
  readonly #options: BoardOptions;
  #link: BoardLink | undefined;
  #path = "";
  /** What the board last said to people since the line was opened. */
  #lastText = "";
  #packetLengthMax = 0;
  #isClosed = false;

  /** `openBoard` makes one. */
  constructor(options: BoardOptions) {
    this.#options = options;
  }

  /** Of the port. */
  get path(): string {
    return this.#path;
  }

  info(): Promise<BoardInfo> {
    return readInfo(this.#smp);
  }

  /** The modules that it has. */
  images(): Promise<ImageSlot[]> {
    return readImages(this.#smp);
  }

  /** How large a module may be. */
  slots(): Promise<SlotInfo> {
    return readSlots(this.#smp);
  }

  /**
   * Brings an image into the slot that does not run. Goes on where the board lost something, and where an earlier upload
   * of the same image stopped; if the line or the board is gone it waits for them, so long as `patienceMs` without progress.
   */
  async upload(image: Uint8Array, options: UploadOptions = {}): Promise<void> {
    const { signal, patienceMs = PATIENCE_MS, onProgress } = options;
    const { world } = this.#options;
    const { length } = image;
    let doneLength = 0;
    let progressAtMs = world.nowMs();
    const tell = (state: UploadProgress["state"], reason?: string) =>
      onProgress?.({ state, doneLength, length, reason });

    for (let isDone = false; !isDone; ) {
      let isFirst = true;
      const progressed = (offset: number) => {
        if (offset > doneLength) progressAtMs = world.nowMs();
        const isResumed = isFirst && offset > PROGRESS_LENGTH_MIN;
        isFirst = false;
        doneLength = offset;
        tell(isResumed ? "resumed" : "sending");
      };
      try {
        await sendImage(this.#smp, image, {
          packetLengthMax: this.#packetLengthMax,
          progressed,
          signal,
        });
        isDone = true;
      } catch (error) {
        const restMs = patienceMs - (world.nowMs() - progressAtMs);
        if (!isInterruption(error) || restMs <= 0) throw error;
        tell("interrupted", error.message);
        await this.reopen({ signal, patienceMs: restMs });
      }
    }
  }

  /** The module is tried once, from the next reset. */
  test(hash: Uint8Array): Promise<ImageSlot[]> {
    return setImage(this.#smp, hash, false);
  }

  /** The module stays: the one that runs, or the one with this hash from the next reset. */
  confirm(hash?: Uint8Array): Promise<ImageSlot[]> {
    return setImage(this.#smp, hash, true);
  }

  /** Without `slot` the one that does not run. */
  erase(slot?: number): Promise<void> {
    return eraseSlot(this.#smp, slot);
  }

  /** Resolves when the board has said that it will restart, which it does 250 ms later. */
  async reset(patience?: SmpPatience): Promise<void> {
    await this.#smp.request({
      what: "restart",
      operation: "write",
      group: SmpGroup.Os,
      command: 5,
      answer: nothing,
      patience,
    });
  }

  /** Resets, and resolves when the board has started anew and answers. */
  async restart(options: WaitOptions = {}): Promise<BoardInfo> {
    const { world } = this.#options;
    const patienceMs = options.patienceMs ?? PATIENCE_MS;
    const before = await this.info();
    const askedAtMs = world.nowMs();
    let heardAtMs: number | undefined;
    for (;;) {
      if (heardAtMs === undefined && (await this.#resetOnce())) heardAtMs = world.nowMs();
      await wait(world, RESET_MS, options.signal);
      const spentMs = world.nowMs() - askedAtMs;
      const info = await this.reopen({ ...options, patienceMs: patienceMs - spentMs });
      const sinceHeardMs = heardAtMs === undefined ? 0 : world.nowMs() - heardAtMs;
      if (info.uptimeMs < Math.max(before.uptimeMs, sinceHeardMs)) return info;
      if (spentMs >= patienceMs) throw this.#didNotRestart();
    }
  }

  /**
   * False if nothing was answered. Then the board may restart all the same, and must be looked at before it is asked
   * again: a module on trial gives way with the second restart.
   */
  async #resetOnce(): Promise<boolean> {
    try {
      await this.reset(ONCE);
      return true;
    } catch (error) {
      if (!isInterruption(error)) throw error;
      return false;
    }
  }

  /** Resolves when the line is open, opened again if it was lost, and the board answers. */
  async reopen({ signal, patienceMs = PATIENCE_MS }: WaitOptions = {}): Promise<BoardInfo> {
    const { world } = this.#options;
    const endAtMs = world.nowMs() + patienceMs;
    for (let attempt = 0; ; attempt++) {
      try {
        return await unlessAborted(this.meet(), signal);
      } catch (error) {
        if (!(error instanceof BoardError) || world.nowMs() >= endAtMs) throw error;
      }
      await wait(world, reopenDelayMs(attempt), signal);
    }
  }

  config(): Promise<BoardConfig> {
    return readConfig(this.#smp);
  }

  /** The board restarts its module with it at once. */
  configure(changes: ConfigChanges): Promise<void> {
    return writeConfig(this.#smp, changes);
  }

  /** Gives the board the key (32 bytes, Ed25519) that modules must be signed with from now on; it can have only one. */
  provision(publicKey: Uint8Array): Promise<void> {
    return writeKey(this.#smp, publicKey);
  }

  async echo(text: string): Promise<string> {
    const { r } = await this.#smp.request({
      what: "repeat a text",
      operation: "write",
      group: SmpGroup.Os,
      command: 0,
      body: { d: text },
      answer: echoAnswer,
    });
    return r;
  }

  /** Leaves the line, for good. Harmless a second time. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#link?.close();
  }

  /** Opens the line if it is not open, and asks who is there: once, with the patience of a greeting. */
  async meet(): Promise<BoardInfo> {
    const link = this.#link?.isOpen === true ? this.#link : await this.#open();
    try {
      const info = await readInfo(link.smp, GREETING);
      if (info.wireVersion !== WIRE_VERSION) throw this.#otherVersion(info);
      const { buf_size } = await link.smp.request({
        what: "tell how much it takes at once",
        operation: "read",
        group: SmpGroup.Os,
        command: 6,
        answer: paramsAnswer,
      });
      this.#packetLengthMax = buf_size;
      return info;
    } catch (error) {
      throw this.#strange(error, link);
    }
  }

  get #smp() {
    if (this.#link === undefined) throw new Error("A board is made by openBoard()");
    return this.#link.smp;
  }

  async #open(): Promise<BoardLink> {
    const { openLine, world, console, closed } = this.#options;
    this.#lastText = "";
    const link = await openLink(openLine, world, {
      console: (line) => {
        this.#lastText = line.text;
        console?.(line);
      },
      closed: (reason) => {
        if (reason !== undefined) closed?.(reason);
      },
    });
    this.#link = link;
    this.#path = link.path;
    if (this.#isClosed) await link.close();
    return link;
  }

  /** What it means if a board that should greet does not. */
  #strange(error: unknown, link: BoardLink): unknown {
    const isSilent = error instanceof BoardError && error.failure === "silent";
    if (error instanceof SmpError) {
      return new BoardError(
        "foreign",
        `What answers at ${link.path} knows SMP, but is no board of ours`,
        "Install the runtime: wasmqtt firmware install; or choose another port with -d",
        { cause: error },
      );
    }
    if (!isSilent) return error;
    if (link.receivedLength === 0) {
      return new BoardError(
        "silent",
        `Nothing answers at ${link.path}`,
        "Check the cable and the board's power. A new board needs the runtime first: wasmqtt firmware install",
        { cause: error },
      );
    }
    const text = this.#lastText.slice(0, 80);
    const said = text === "" ? "but not to what it is asked" : `as in ${JSON.stringify(text)}`;
    return new BoardError(
      "foreign",
      `What is at ${link.path} speaks, ${said}: it is no board of ours`,
      "Choose another port with -d, or install the runtime: wasmqtt firmware install. Illegible text means another speed: --baud",
      { cause: error },
    );
  }

  #otherVersion({ wireVersion, runtime }: BoardInfo): BoardError {
    return new BoardError(
      "foreign",
      `The board at ${this.#path} (${runtime}) speaks version ${wireVersion} of the wire, and this program version ${WIRE_VERSION}`,
      "Use versions that belong together: wasmqtt firmware install brings the runtime of this one",
    );
  }

  #didNotRestart(): BoardError {
    return new BoardError(
      "failed",
      `The board at ${this.#path} was told to restart, and goes on`,
      "Take its power away for a moment",
    );
  }
}

/** The answer to the first packet: an upload that begins has no more than that. */
const PROGRESS_LENGTH_MIN = 512;
