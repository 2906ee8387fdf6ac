/** The board's end of a tunnel for tests, written plainly and apart from the host's; it speaks over a cable in memory. */

import { encodeFrame } from "../../host/src/board/frames.ts";
import { LineReceiver } from "../../host/src/board/line-receiver.ts";
import {
  messageFrame,
  readMessage,
  type TunnelMessage,
} from "../../host/src/board/tunnel-messages.ts";
import type { World } from "../../host/src/world.ts";
import type { TestCable } from "./test-cable.ts";

export class TunnelPeer {
  readonly #world: World;
  readonly #cable: TestCable;
  readonly #windowLength: number;
  #receiver: LineReceiver;
  state: "down" | "opening" | "up" = "down";
  connection = 0;
  /** How the last connection ended: by which side, and with which reason. */
  ended: { by: "host" | "board"; reason: number; text: string } | undefined;
  /** All bytes of the present or last connection. */
  received: Buffer = Buffer.alloc(0);
  /** False: what arrives is not taken, until `take`. */
  takesAtOnce = true;
  #takenLength = 0;
  #toldLength = 0;
  #expected = 0;
  #queue: Buffer = Buffer.alloc(0);
  #sequence = 0;
  sentLength = 0;
  #takenThere = 0;
  #windowThere = 0;
  #unanswered = 0;
  #seconds = 0;
  helloCount = 0;
  /** The largest number of bytes that were under way to this board at once. */
  pendingLengthMax = 0;

  constructor(world: World, cable: TestCable, windowLength = 512) {
    this.#world = world;
    this.#cable = cable;
    this.#windowLength = windowLength;
    this.#receiver = this.#listen();
    const others = cable.onReceived;
    cable.onReceived = (bytes) => {
      others(bytes);
      this.#receiver.receive(bytes);
    };
    const second = () => {
      this.#everySecond();
      world.setTimer(1_000, second);
    };
    world.setTimer(1_000, second);
  }

  /** Wants a connection from now on. */
  open(): void {
    this.connection = (this.connection + 1) % 256;
    this.state = "opening";
    this.ended = undefined;
    this.received = Buffer.alloc(0);
    this.#queue = Buffer.alloc(0);
    this.#takenLength = 0;
    this.#toldLength = 0;
    this.#expected = 0;
    this.#sequence = 0;
    this.sentLength = 0;
    this.#takenThere = 0;
    this.#unanswered = 0;
    this.#sendOpen();
  }

  /** Sends as the host's window allows; what is over waits here. */
  write(bytes: Uint8Array): void {
    this.#queue = Buffer.concat([this.#queue, bytes]);
    this.#pump();
  }

  /** So many bytes wait here. */
  get waitingLength(): number {
    return this.#queue.length;
  }

  /** Bytes that arrived and were not taken. */
  get pendingLength(): number {
    return this.received.length - this.#takenLength;
  }

  take(length: number): void {
    this.#takenLength += length;
    if (this.#takenLength - this.#toldLength >= this.#windowLength / 4) this.#sendCredit();
  }

  close(reason: number, text = ""): void {
    this.#send({ kind: "close", connection: this.connection, reason, text });
    this.#end("board", reason, text);
  }

  /** Loses its power and gets it back: nothing is known any more. */
  restart(): void {
    this.state = "down";
    this.#receiver.end();
    this.#receiver = this.#listen();
  }

  #listen(): LineReceiver {
    return new LineReceiver(this.#world, {
      text: () => {},
      packetLine: () => {},
      frame: (frame) => {
        const message = readMessage(frame);
        if (message !== undefined) this.#hear(message);
      },
    });
  }

  #hear(message: TunnelMessage): void {
    if (message.kind === "hello") {
      this.helloCount++;
      return;
    }
    if (message.connection !== this.connection || this.state === "down") {
      if (message.kind === "close" || message.kind === "opened") return;
      this.#send({ kind: "close", connection: message.connection, reason: 5, text: "" });
      return;
    }
    switch (message.kind) {
      case "opened":
        if (this.state === "opening") this.#windowThere = message.windowLength;
        this.state = "up";
        this.#pump();
        break;
      case "data":
        this.#hearData(message.sequence, message.bytes);
        break;
      case "credit": {
        const fresh = (message.takenLength - this.#takenThere) >>> 0;
        if (fresh > this.sentLength - this.#takenThere) break;
        this.#takenThere += fresh;
        this.#windowThere = message.windowLength;
        this.#unanswered = 0;
        this.#pump();
        break;
      }
      case "ask":
        if (message.sentLength === this.received.length) this.#sendCredit();
        else this.close(3, "the end was lost");
        break;
      case "close":
        this.#end("host", message.reason, message.text);
        break;
      default:
    }
  }

  #hearData(sequence: number, bytes: Uint8Array): void {
    if (this.state !== "up" || (sequence + 1) % 256 === this.#expected) return;
    if (sequence !== this.#expected) {
      this.close(3, "a frame was lost");
      return;
    }
    this.#expected = (sequence + 1) % 256;
    this.received = Buffer.concat([this.received, bytes]);
    const pendingLength = this.received.length - this.#toldLength;
    this.pendingLengthMax = Math.max(this.pendingLengthMax, pendingLength);
    if (pendingLength > this.#windowLength) this.close(8);
    else if (this.takesAtOnce) this.take(bytes.length);
  }

  #everySecond(): void {
    if (this.state === "opening") this.#sendOpen();
    if (this.state !== "up") return;
    this.#seconds++;
    const isDue = this.sentLength > this.#takenThere || this.#unanswered > 0;
    if (!isDue && this.#seconds % 5 !== 0) return;
    if (this.#unanswered === 3) {
      this.close(4, "no answer");
      return;
    }
    this.#unanswered++;
    this.#send({ kind: "ask", connection: this.connection, sentLength: this.sentLength });
  }

  #pump(): void {
    while (this.state === "up" && this.#queue.length > 0) {
      const room = this.#takenThere + this.#windowThere - this.sentLength;
      if (room <= 0) return;
      const bytes = this.#queue.subarray(0, Math.min(room, 240));
      this.#queue = this.#queue.subarray(bytes.length);
      const { connection } = this;
      this.#send({ kind: "data", connection, sequence: this.#sequence, bytes });
      this.#sequence = (this.#sequence + 1) % 256;
      this.sentLength += bytes.length;
    }
  }

  #sendOpen(): void {
    const { connection } = this;
    this.#send({ kind: "open", connection, version: 1, windowLength: this.#windowLength });
  }

  #sendCredit(): void {
    this.#toldLength = this.#takenLength;
    this.#send({
      kind: "credit",
      connection: this.connection,
      takenLength: this.#takenLength,
      windowLength: this.#windowLength,
    });
  }

  #send(message: TunnelMessage): void {
    this.#cable.send(encodeFrame(messageFrame(message)));
  }

  #end(by: "host" | "board", reason: number, text: string): void {
    this.state = "down";
    this.ended = { by, reason, text };
  }
}
