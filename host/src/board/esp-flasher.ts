/** Talks to the ROM of Espressif's chips: what they are, and how the board's runtime gets onto them the first time. */

import { createHash } from "node:crypto";
import type { ESPLoader } from "esptool-js";
import { UsageError } from "../errors.ts";
import { BoardError } from "./board-error.ts";
import { loadEsptool } from "./serial-port-library.ts";
import { WebSerialPort } from "./web-serial.ts";

export interface EspOptions {
  readonly path: string;
  /** As in "linux". */
  readonly platform: string;
  /** Speed after the first words, which are always at 115,200 baud. */
  readonly baudRate: number;
  /** What the tool says while it works, line by line. */
  readonly tell: (line: string) => void;
}

/** Bytes, and where they go in the chip's flash. */
export interface FlashPart {
  readonly address: number;
  readonly bytes: Uint8Array;
}

export interface EspChip {
  /** As in "ESP32-C3 (QFN32)". */
  readonly chip: string;
  readonly features: string;
  readonly macAddress: string;
  readonly crystalMhz: number;
  /** As in "4MB"; undefined if the flash does not say. */
  readonly flashSize: string | undefined;
}

const ROM_BAUD_RATE = 115_200;

/**
 * Resets the chip into its ROM, does `work` with it, and resets it into what is in its flash. Throws a BoardError if nothing
 * that speaks the protocol is there, or if it fails.
 */
export async function withEspChip<Result>(
  options: EspOptions,
  work: (chip: EspChipSession) => Promise<Result>,
): Promise<Result> {
  const { ESPLoader: Loader, Transport } = await loadEsptool();
  const port = await WebSerialPort.at(options.path, options.platform);
  // The types are those of a browser's port, which has more than is used.
  const transport = new Transport(port as unknown as ConstructorParameters<typeof Transport>[0]);
  transport.trace = () => {}; // it would go to the console
  const loader = new Loader({
    transport,
    baudrate: options.baudRate,
    romBaudrate: ROM_BAUD_RATE,
    terminal: terminalFor(options.tell),
  });
  try {
    await connected(loader, options.path);
    const result = await understood(() => work(new EspChipSession(loader)));
    await understood(() => loader.after("hard_reset"));
    return result;
  } finally {
    await port.close();
  }
}

export class EspChipSession {
  readonly #loader: ESPLoader;

  constructor(loader: ESPLoader) {
    this.#loader = loader;
  }

  async describe(): Promise<EspChip> {
    const loader = this.#loader;
    const { chip } = loader;
    const features: unknown = await chip.getChipFeatures(loader);
    return {
      chip: await chip.getChipDescription(loader),
      features: Array.isArray(features) ? features.join(", ") : String(features),
      macAddress: await chip.readMac(loader),
      crystalMhz: await chip.getCrystalFreq(loader),
      flashSize: await loader.detectFlashSize(),
    };
  }

  /** Writes and compares checksums. `onProgress` gets compressed bytes of the part with this index. */
  async write(
    parts: readonly FlashPart[],
    onProgress: (partIndex: number, doneLength: number, length: number) => void,
  ): Promise<void> {
    await this.#loader.writeFlash({
      fileArray: parts.map(({ address, bytes }) => ({ address, data: Uint8Array.from(bytes) })),
      flashMode: "keep",
      flashFreq: "keep",
      flashSize: "keep",
      eraseAll: false,
      compress: true,
      reportProgress: onProgress,
      calculateMD5Hash: (image) => createHash("md5").update(image).digest("hex"),
    });
  }

  /** All of it: runtime, modules, configuration, keys. */
  async erase(): Promise<void> {
    await this.#loader.eraseFlash();
  }
}

/** Its lines come in pieces, and with a terminal's control characters. */
function terminalFor(tell: (line: string) => void) {
  const say = (text: string) => {
    const line = text.trim();
    if (line !== "" && !GREETING.test(line)) tell(line);
  };
  return { clean: () => {}, write: say, writeLine: say };
}

/** It introduces itself. */
const GREETING = /^(esptool\.js|Serial port)/u;

async function connected(loader: ESPLoader, path: string): Promise<void> {
  try {
    await loader.main();
  } catch (cause) {
    if (cause instanceof BoardError) throw cause;
    throw new BoardError(
      "silent",
      `No chip of Espressif's answers at ${path}: ${(cause as Error).message}`,
      "Hold the button BOOT, press RESET, let BOOT go, and try again. Other boards are installed with their maker's tool",
      { cause },
    );
  }
}

async function understood<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof BoardError || cause instanceof UsageError) throw cause;
    throw new BoardError(
      "failed",
      `The chip did not do what it was asked to: ${(cause as Error).message}`,
      "Try again with a lower speed, as in --baud 115200, and a short cable; or use Espressif's esptool with the same files",
      { cause },
    );
  }
}
