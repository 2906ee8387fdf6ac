/** The board as QEMU runs it: its flash is a file that outlives it, and to stop it is to cut its power (SIGKILL). */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Board, openBoard } from "../../host/src/board/board.ts";
import { type Emulator, startEmulator } from "../../host/src/board/emulator.ts";
import type { OpenLine } from "../../host/src/board/serial-line.ts";
import { serialLineAt } from "../../host/src/board/serial-port.ts";
import { realWorld } from "../../host/src/world.ts";
import { BUILD_PROGRAMS, makeBoard } from "./board-driver.ts";

/** Without these there is no emulated board. */
export const EMULATOR_PROGRAMS = [
  ...BUILD_PROGRAMS,
  "qemu-system-riscv32",
  "riscv64-unknown-elf-gcc",
];

/** Builds the runtime; answers where it is. */
export function emulatedRuntime(): string {
  return makeBoard("build/virt-rv32/board.elf");
}

/** End it in a `finally` or an `afterAll`. */
export class EmulatedBoard {
  /** What the console has said while the line was plugged in, over restarts. */
  readonly said: string[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), "wasmqtt-qemu-"));
  readonly #elfPath = emulatedRuntime();
  #emulator: Emulator | undefined;
  #board: Board | undefined;

  /** Switches it on; its line is a socket, which does not have to be looked for each time. */
  async start(): Promise<void> {
    this.#emulator = await startEmulator({
      world: realWorld,
      flashPath: join(this.#folder, "flash.img"),
      socketPath: this.devicePath,
      elfPath: this.#elfPath,
    });
  }

  /** The power fails. Harmless without it. */
  async cut(): Promise<void> {
    const emulator = this.#emulator;
    this.#emulator = undefined;
    await emulator?.stop();
    await this.unplug();
  }

  async end(): Promise<void> {
    await this.cut();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** What `--device` takes. */
  get devicePath(): string {
    return join(this.#folder, "line");
  }

  get openLine(): OpenLine {
    return serialLineAt(this.devicePath, { platform: process.platform });
  }

  /** Opens its line for management. */
  async plug(): Promise<Board> {
    this.#board ??= await openBoard({
      world: realWorld,
      openLine: this.openLine,
      console: ({ text }) => this.said.push(text),
    });
    return this.#board;
  }

  /** Leaves the line to others. */
  async unplug(): Promise<void> {
    const board = this.#board;
    this.#board = undefined;
    await board?.close();
  }
}
