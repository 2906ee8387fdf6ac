/** The host's end of the tunnel on one line (docs/wire.md, "The life of a connection"): one connection at a time. */

import type { Timer, World } from "../world.ts";
import { encodeFrame, type Frame } from "./frames.ts";
import {
  CloseReason,
  DATA_LENGTH_MAX,
  messageFrame,
  readMessage,
  type TunnelMessage,
  WIRE_VERSION,
} from "./tunnel-messages.ts";

/** How often HELLO is said, OPEN is repeated, and ASK while something is not yet taken. */
const SECOND_MS = 1_000;

/** How often ASK is said while nothing is under way. */
const IDLE_ASK_MS = 5_000;

/** So many ASK in a row without an answer end the connection. */
const ASK_COUNT_MAX = 3;

/** What the board may send beyond what was taken. */
const WINDOW_LENGTH = 4_096;

/** With more under way a loss of 256 frames would be possible, which sequence numbers of one byte cannot tell. */
const FRAME_COUNT_MAX = 128;

/** CREDIT is said after so many frames, if not a quarter of the window was taken before. */
const CREDIT_FRAME_COUNT = 32;

/** For each connection that is made, on average; a board repeats the OPEN that came too soon after a second. */
const OPEN_INTERVAL_MS = 200;

/** What the tunnel tells its owner. */
export interface TunnelHandlers {
  /** The board wants a Network Connection: make one, then call `accept` or `close`. */
  opening(connection: TunnelConnection): void;
}

/** What a connection tells its owner. Nothing is called after `closed`, and nothing after the owner has ended it. */
export interface ConnectionHandlers {
  /** Bytes of the board. Call `taken` when they have been handed on. They may be kept. */
  received(bytes: Uint8Array): void;
  /** After a `write` that answered false: everything has been sent to the board. */
  drained(): void;
  /** It is over. */
  closed(end: TunnelEnd): void;
}

/** How a connection ended. */
export interface TunnelEnd {
  /** "line": a cable was pulled. "tunnel": this end found that the line had lost something. */
  readonly by: "board" | "tunnel" | "line";
  /** One of `CloseReason`, or a later one. */
  readonly reason: number;
  readonly text: string;
}

export class Tunnel {
  readonly #world: World;
  readonly #write: (bytes: Uint8Array) => void;
  readonly #handlers: TunnelHandlers;
  #connection: TunnelConnection | undefined;
  /** When the next one is due if they come as fast as they may. One may come before: that of a board that was restarted. */
  #dueAtMs = 0;
  #helloTimer: Timer | undefined;
  #ignoredCount = 0;

  /** `write` sends bytes to the board, which is greeted at once. */
  constructor(world: World, write: (bytes: Uint8Array) => void, handlers: TunnelHandlers) {
    this.#world = world;
    this.#write = write;
    this.#handlers = handlers;
    this.#greet();
  }

  /** Frames that made no sense here, or came too soon. */
  get ignoredCount(): number {
    return this.#ignoredCount;
  }

  receive(frame: Frame): void {
    const message = readMessage(frame);
    if (message === undefined || message.kind === "hello" || message.kind === "opened") {
      this.#ignoredCount++;
    } else if (message.kind === "open") {
      this.#open(message);
    } else if (this.#connection?.number === message.connection && this.#connection.isOpen) {
      if (!this.#connection.receive(message)) this.#ignoredCount++;
    } else {
      this.#ignoredCount++;
      if (message.kind !== "close") this.#refuse(message.connection, "not known here");
    }
  }

  /** The bridge ends. */
  end(): void {
    this.#helloTimer?.clear();
    this.#connection?.close(CloseReason.BridgeEnds, "");
  }

  /** The line is over: nothing can be sent any more. */
  lineLost(): void {
    this.#helloTimer?.clear();
    this.#connection?.abandon({ by: "line", reason: CloseReason.NoAnswer, text: "the line ended" });
  }

  /** While no connection stands. */
  #greet(): void {
    if (this.#connection?.isStanding !== true) {
      this.#send({ kind: "hello", version: WIRE_VERSION, unixMs: this.#world.unixMs() });
    }
    this.#helloTimer = this.#world.setTimer(SECOND_MS, () => this.#greet());
  }

  #open({ connection, version, windowLength }: TunnelMessage & { kind: "open" }): void {
    if (version !== WIRE_VERSION) {
      this.#refuse(connection, `this bridge speaks version ${WIRE_VERSION} of the wire`);
      return;
    }
    const present = this.#connection;
    if (present?.number === connection && present.isOpen && !present.wasUsed) {
      present.repeatOpened();
      return;
    }
    const nowMs = this.#world.nowMs();
    const dueAtMs = Math.max(this.#dueAtMs, nowMs);
    if (dueAtMs - nowMs > OPEN_INTERVAL_MS) {
      this.#ignoredCount++;
      return;
    }
    this.#dueAtMs = dueAtMs + OPEN_INTERVAL_MS;
    present?.abandon({ by: "board", reason: CloseReason.ModuleRestarts, text: "it opens another" });
    const send = (message: TunnelMessage) => this.#send(message);
    this.#connection = new TunnelConnection(this.#world, send, connection, windowLength);
    this.#handlers.opening(this.#connection);
  }

  #refuse(connection: number, text: string): void {
    this.#send({ kind: "close", connection, reason: CloseReason.Unknown, text });
  }

  #send(message: TunnelMessage): void {
    this.#write(encodeFrame(messageFrame(message)));
  }
}

/**
 *   opening ──accept──> standing ──finish──> finishing ──all sent──> closed
 *      └──── close, CLOSE, a lost frame, no answer, the end of the line ───┘
 */
type State = "opening" | "standing" | "finishing" | "closed";

/** One connection. After its end every method is harmless and does nothing. */
export class TunnelConnection {
  /** As the board numbers it. */
  readonly number: number;
  readonly #world: World;
  readonly #send: (message: TunnelMessage) => void;
  #state: State = "opening";
  #handlers: ConnectionHandlers | undefined;
  /** How to end when everything was sent. */
  #ending: { reason: number; text: string } | undefined;

  /** Not sent yet. */
  readonly #queue: Uint8Array[] = [];
  #isFull = false;
  #sequence = 0;
  #sentLength = 0;
  /** Of what was sent the board has taken so much. */
  #takenThereLength = 0;
  #windowThereLength: number;
  /** Where each frame ended that the board has not taken yet. */
  readonly #frameEnds: number[] = [];

  #wasUsed = false;
  #expectedSequence = 0;
  #receivedLength = 0;
  #takenHereLength = 0;
  #toldTakenLength = 0;
  /** Frames that arrived since the last CREDIT. */
  #untoldFrameCount = 0;

  #timer: Timer | undefined;
  #askedAtMs = 0;
  #unansweredCount = 0;

  constructor(
    world: World,
    send: (message: TunnelMessage) => void,
    number: number,
    windowLength: number,
  ) {
    this.#world = world;
    this.#send = send;
    this.number = number;
    this.#windowThereLength = windowLength;
  }

  get isOpen(): boolean {
    return this.#state !== "closed";
  }

  /** The board has said something in it: if it opens it again it was restarted, and chose the same number by chance. */
  get wasUsed(): boolean {
    return this.#wasUsed;
  }

  get isStanding(): boolean {
    return this.#state === "standing" || this.#state === "finishing";
  }

  /** Who hears of it. Call it while it opens. */
  handle(handlers: ConnectionHandlers): void {
    this.#handlers = handlers;
  }

  /** The Network Connection stands. */
  accept(): void {
    if (this.#state !== "opening") return;
    this.#state = "standing";
    this.repeatOpened();
    this.#askedAtMs = this.#world.nowMs();
    this.#timer = this.#world.setTimer(SECOND_MS, () => this.#tick());
  }

  /** The board asks again: OPENED was lost, or is being waited for. */
  repeatOpened(): void {
    if (!this.isStanding) return;
    this.#send({ kind: "opened", connection: this.number, windowLength: WINDOW_LENGTH });
  }

  /** Sends a copy of `bytes`, now or when the board has room. Answers false when some wait: write no more until `drained`. */
  write(bytes: Uint8Array): boolean {
    if (this.#state !== "standing") return true;
    if (bytes.length > 0) this.#queue.push(bytes.slice());
    this.#pump();
    this.#isFull = this.#queue.length > 0;
    return !this.#isFull;
  }

  /** So many more bytes of the board have been handed on. */
  taken(length: number): void {
    if (!this.isStanding) return;
    this.#takenHereLength += length;
    const untoldLength = this.#takenHereLength - this.#toldTakenLength;
    if (untoldLength >= WINDOW_LENGTH / 4 || this.#untoldFrameCount >= CREDIT_FRAME_COUNT) {
      this.#sendCredit();
    }
  }

  /** Ends it when everything that was written has been sent; nothing more is received. */
  finish(reason: number, text: string): void {
    if (this.#state !== "standing" || this.#queue.length === 0) {
      this.close(reason, text);
      return;
    }
    this.#state = "finishing";
    this.#ending = { reason, text };
    this.#handlers = undefined;
  }

  /** Ends it at once. */
  close(reason: number, text: string): void {
    if (this.#state === "closed") return;
    this.#send({ kind: "close", connection: this.number, reason, text });
    this.#handlers = undefined;
    this.#close();
  }

  /** It has ended: its owner is told, the board is not. */
  abandon(end: TunnelEnd): void {
    if (this.#state === "closed") return;
    this.#close();
    this.#handlers?.closed(end);
  }

  /** Takes a message of this connection; `Tunnel` calls it. False: it made no sense, and was ignored. */
  receive(message: TunnelMessage): boolean {
    this.#wasUsed = true;
    if (message.kind === "close") {
      this.abandon({ by: "board", reason: message.reason, text: message.text });
      return true;
    }
    if (!this.isStanding) return false;
    switch (message.kind) {
      case "data":
        return this.#takeData(message.sequence, message.bytes);
      case "credit":
        return this.#takeCredit(message.takenLength, message.windowLength);
      case "ask":
        return this.#answer(message.sentLength);
      default:
        return false;
    }
  }

  #takeData(sequence: number, bytes: Uint8Array): boolean {
    const isDoubled = (sequence + 1) % 256 === this.#expectedSequence;
    if (isDoubled) return false;
    if (sequence !== this.#expectedSequence) {
      this.#fail(CloseReason.FrameLost, "a frame of the board was lost");
      return true;
    }
    this.#expectedSequence = (sequence + 1) % 256;
    this.#receivedLength += bytes.length;
    this.#untoldFrameCount++;
    if (this.#receivedLength - this.#toldTakenLength > WINDOW_LENGTH) {
      this.#fail(CloseReason.WindowExceeded, "the board sent more than the window allows");
    } else {
      this.#handlers?.received(bytes);
    }
    return true;
  }

  #takeCredit(takenModulo: number, windowLength: number): boolean {
    const length = (takenModulo - this.#takenThereLength) >>> 0;
    if (length > this.#sentLength - this.#takenThereLength) return false;
    this.#takenThereLength += length;
    this.#windowThereLength = windowLength;
    this.#unansweredCount = 0;
    const firstUntaken = this.#frameEnds.findIndex((end) => end > this.#takenThereLength);
    this.#frameEnds.splice(0, firstUntaken < 0 ? this.#frameEnds.length : firstUntaken);
    this.#pump();
    if (this.#queue.length === 0) this.#emptied();
    return true;
  }

  /** Everything that was written has been sent. */
  #emptied(): void {
    if (this.#ending !== undefined) {
      this.close(this.#ending.reason, this.#ending.text);
    } else if (this.#isFull) {
      this.#isFull = false;
      this.#handlers?.drained();
    }
  }

  #answer(sentModulo: number): boolean {
    if (sentModulo === this.#receivedLength >>> 0) this.#sendCredit();
    else this.#fail(CloseReason.FrameLost, "the last frames of the board were lost");
    return true;
  }

  /** Sends what the window has room for. */
  #pump(): void {
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      const room = this.#takenThereLength + this.#windowThereLength - this.#sentLength;
      if (room <= 0 || this.#frameEnds.length >= FRAME_COUNT_MAX) return;
      const bytes = first.subarray(0, Math.min(room, DATA_LENGTH_MAX));
      if (bytes.length < first.length) this.#queue[0] = first.subarray(bytes.length);
      else this.#queue.shift();
      this.#send({ kind: "data", connection: this.number, sequence: this.#sequence, bytes });
      this.#sequence = (this.#sequence + 1) % 256;
      this.#sentLength += bytes.length;
      this.#frameEnds.push(this.#sentLength);
    }
  }

  #sendCredit(): void {
    this.#toldTakenLength = this.#takenHereLength;
    this.#untoldFrameCount = 0;
    this.#send({
      kind: "credit",
      connection: this.number,
      takenLength: this.#takenHereLength >>> 0,
      windowLength: WINDOW_LENGTH,
    });
  }

  /** Once a second. */
  #tick(): void {
    const nowMs = this.#world.nowMs();
    const isUnderWay = this.#sentLength > this.#takenThereLength || this.#queue.length > 0;
    const isAskDue =
      isUnderWay || this.#unansweredCount > 0 || nowMs - this.#askedAtMs >= IDLE_ASK_MS;
    if (isAskDue && this.#unansweredCount === ASK_COUNT_MAX) {
      this.#fail(CloseReason.NoAnswer, "the board does not answer");
      return;
    }
    if (isAskDue) {
      this.#send({ kind: "ask", connection: this.number, sentLength: this.#sentLength >>> 0 });
      this.#askedAtMs = nowMs;
      this.#unansweredCount++;
    }
    this.#timer = this.#world.setTimer(SECOND_MS, () => this.#tick());
  }

  #fail(reason: number, text: string): void {
    this.#send({ kind: "close", connection: this.number, reason, text });
    this.abandon({ by: "tunnel", reason, text });
  }

  #close(): void {
    this.#state = "closed";
    this.#timer?.clear();
    this.#queue.length = 0;
  }
}
