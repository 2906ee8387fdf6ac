/** The packages that talk to boards: optional, and loaded only when a board is wanted. */

import { BoardError } from "./board-error.ts";

/** node-serialport. Throws a BoardError where it is not installed. */
export function loadSerialPort(): Promise<typeof import("serialport")> {
  return load("serialport", () => import("serialport"));
}

/** Espressif's tool for the ROM of their chips. Throws a BoardError where it is not installed. */
export function loadEsptool(): Promise<typeof import("esptool-js")> {
  return load("esptool-js", () => import("esptool-js"));
}

/** Throws a BoardError with what to type if `importIt` fails. */
export async function load<Library>(
  name: string,
  importIt: () => Promise<Library>,
): Promise<Library> {
  try {
    return await importIt();
  } catch (cause) {
    throw new BoardError(
      "not-installed",
      `The package ${name}, which boards need, cannot be loaded: ${firstLine(cause)}`,
      `Install it where wasmqtt is installed: npm install ${name} (with -g after an installation with -g). It is an optional dependency, which npm leaves out with --omit=optional`,
      { cause },
    );
  }
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n", 1)[0] ?? "";
}
