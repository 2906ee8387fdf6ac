/** What happened in a simulated world, in words; kept only while somebody wants to read it. */

import type { Clock } from "./clock.ts";

interface TraceLine {
  readonly atMs: number;
  /** undefined: the broker, or the world. */
  readonly deviceIndex: number | undefined;
  readonly text: string;
}

/** The last events of a run. `isOn` is false in most runs: texts are made only when they are wanted. */
export class Trace {
  readonly isOn: boolean;
  readonly #clock: Clock;
  #lines: TraceLine[] = [];

  constructor(clock: Clock, isOn: boolean) {
    this.#clock = clock;
    this.isOn = isOn;
  }

  add(deviceIndex: number | undefined, text: string): void {
    if (this.isOn) this.#lines.push({ atMs: this.#clock.nowMs, deviceIndex, text });
  }

  /** The last `lineCount` lines that concern a device; all of them if it is undefined. */
  lines(deviceIndex: number | undefined, lineCount: number): string[] {
    const chosen = this.#lines.filter(
      (line) =>
        deviceIndex === undefined ||
        line.deviceIndex === undefined ||
        line.deviceIndex === deviceIndex,
    );
    return chosen.slice(-lineCount).map((line) => {
      const who = line.deviceIndex === undefined ? "world" : `device ${line.deviceIndex}`;
      return `${formatTime(line.atMs)}  ${who.padEnd(9)}  ${line.text}`;
    });
  }
}

/** Hours, minutes, seconds and milliseconds since the world began. */
export function formatTime(atMs: number): string {
  const seconds = Math.floor(atMs / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const clock = parts.map((part) => String(part).padStart(2, "0")).join(":");
  return `${clock}.${String(atMs % 1000).padStart(3, "0")}`;
}
