/** The scripted board behind a real pseudo-terminal, with what modules on trial do: stay, fall, hang. */

import { createHash } from "node:crypto";
import { once } from "node:events";
import { SerialPort } from "serialport";
import { ABI_VERSION } from "../../firmware/core/abi.ts";
import { realWorld } from "../../host/src/world.ts";
import { openPtyPair, type PtyPair } from "./pty-pair.ts";
import { ScriptedBoard, type ScriptedBoardOptions, type SmpMap } from "./scripted-board.ts";
import type { TestCable } from "./test-cable.ts";

/** What happens to a module on trial. */
export type Trial = "runs" | "falls" | "is refused";

export class PtyBoard {
  readonly scripted: ScriptedBoard;
  trial: Trial = "runs";
  /** Other values for the board's `info`. */
  info: SmpMap = {};
  readonly #pair: PtyPair;
  readonly #port: SerialPort;
  #note: string | undefined;
  #startedAtMs = realWorld.nowMs();

  private constructor(pair: PtyPair, port: SerialPort, options: ScriptedBoardOptions) {
    this.#pair = pair;
    this.#port = port;
    const cable = {
      onReceived: (_bytes: Uint8Array) => {},
      send: (bytes: Uint8Array) => {
        if (port.isOpen) port.write(Buffer.from(bytes));
      },
    };
    this.scripted = new ScriptedBoard(realWorld, cable as unknown as TestCable, options);
    port.on("data", (chunk: Buffer) => cable.onReceived(chunk));
    this.scripted.answerInstead = (group, command) => {
      if (group === 0 && command === 5) realWorld.setTimer(260, () => this.#restarted());
      return group === 64 && command === 0 ? this.#told() : undefined;
    };
  }

  /** Needs socat. Close it in a `finally` or an `afterEach`. */
  static async open(options: ScriptedBoardOptions = {}): Promise<PtyBoard> {
    const pair = await openPtyPair();
    const port = new SerialPort({ path: pair.boardPath, baudRate: 115_200, autoOpen: false });
    port.on("error", () => {});
    port.open();
    await once(port, "open");
    return new PtyBoard(pair, port, options);
  }

  /** For `--device`. */
  get path(): string {
    return this.#pair.hostPath;
  }

  /** Bytes as they are, between or instead of what the board says. */
  send(bytes: Uint8Array | string): void {
    this.#port.write(Buffer.from(bytes));
  }

  async close(): Promise<void> {
    if (this.#port.isOpen) await new Promise<void>((resolve) => this.#port.close(() => resolve()));
    await this.#pair.cut();
  }

  /** The scripted board has just started whatever was to be tried. */
  #restarted(): void {
    const { scripted } = this;
    this.#startedAtMs = realWorld.nowMs();
    const tried = scripted.slots[scripted.activeSlot];
    if (this.trial === "runs" || tried?.confirmed !== false) return;
    this.#note =
      this.trial === "falls"
        ? "it fell 3 times: unreachable executed"
        : "it asks for too much memory";
    scripted.say(this.#note);
    scripted.activeSlot = 1 - scripted.activeSlot;
  }

  #told(): SmpMap {
    const { scripted } = this;
    const bytes = scripted.slots[scripted.activeSlot]?.bytes;
    const length = bytes?.readUInt32LE(12) ?? 0;
    const note = this.#note === undefined ? {} : { note: this.#note };
    const module =
      bytes === undefined
        ? { state: "none", ...note }
        : {
            slot: scripted.activeSlot,
            sha: createHash("sha256")
              .update(bytes.subarray(32, 32 + length))
              .digest(),
            size: length,
            state: "running",
            connected: false,
            up: 60_000,
            starts: 1,
            falls: 0,
            published: 7,
            ...note,
          };
    return {
      abi: ABI_VERSION,
      board: "scripted",
      runtime: "wasmqtt 0.1.0",
      engine: "none",
      uptime: Math.round(realWorld.nowMs() - this.#startedAtMs),
      reset: scripted.resetReason,
      wire: 1,
      ram: { heap: 12_000, heapMax: 49_152, stack: 1_800, stackMax: 6_144 },
      link: "serial",
      module,
      ...this.info,
    };
  }
}
