/** A bar that fills, as one line of text. */

import { printable } from "./output.ts";

const BAR_WIDTH = 24;

/** As in "Sending  ████████░░░░░░░░  50 %  20.5 of 41.0 KiB". */
export function barLine(label: string, doneLength: number, length: number): string {
  const share = length === 0 ? 1 : Math.min(1, doneLength / length);
  const fullCount = Math.floor(share * BAR_WIDTH);
  const bar = "█".repeat(fullCount) + "░".repeat(BAR_WIDTH - fullCount);
  const percent = `${Math.floor(share * 100)}`.padStart(3);
  return `${printable(label)}  ${bar} ${percent} %  ${kib(doneLength)} of ${kib(length)} KiB`;
}

function kib(length: number): string {
  return (length / 1024).toFixed(1);
}
