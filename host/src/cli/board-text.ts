/** What a board says about itself, as text for people. */

import type { BoardInfo } from "../board/board-info.ts";
import { printableLine } from "./output.ts";

/** As in "virt-rv32, runtime 0.1.0, wasm3 0.5.0". */
export function boardText({ board, runtime, engine }: BoardInfo): string {
  return printableLine(`${board}, runtime ${runtime}, ${engine}`);
}

/** What its module does, as one or two sentences. */
export function moduleText({ module }: BoardInfo): string {
  const { state, sha256, note } = module;
  if (state === "none") return `It has no module.${noteText(note)}`;
  const name = `Module ${sha256?.slice(0, 12) ?? "?"}…`;
  const what = {
    running: "runs",
    waiting: "has fallen and is started again soon",
    refused: "is refused",
  };
  return `${name} ${what[state]}.${noteText(note)}`;
}

function noteText(note: string | undefined): string {
  return note === undefined || note === "" ? "" : ` The board says: ${printableLine(note)}.`;
}

/** As in "2 h 5 min", "12 s". */
export function spanText(durationMs: number): string {
  const seconds = Math.floor(durationMs / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
