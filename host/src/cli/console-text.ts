/** What a board says to people, made fit for a terminal. */

import { followConsole } from "../board/board-console.ts";
import { BoardError } from "../board/board-error.ts";
import type { ConsoleLine } from "../board/board-link.ts";
import { Deferred } from "../client/deferred.ts";
import type { World } from "../world.ts";
import { type CliContext, interrupted } from "./command.ts";
import type { DeviceLine } from "./device-options.ts";
import { type Output, printable, printableLine, type TextStream } from "./output.ts";

/** How the console is printed. */
type ConsoleStyle = "text" | "json" | "raw";

export interface ConsoleJob {
  readonly line: DeviceLine;
  readonly style: ConsoleStyle;
  readonly context: CliContext;
  readonly output: Output;
  /** Ends it, as Ctrl-C does. With it, a line that cannot be opened at the first attempt is waited for as well. */
  readonly until?: Promise<void>;
}

/**
 * Prints what the board says until Ctrl-C, over resets and pulled cables. Throws a BoardError if the line cannot be opened at
 * the first attempt, unless there is an `until`.
 */
export async function printConsole(job: ConsoleJob): Promise<void> {
  const { line, style, context, output } = job;
  const { world } = context;
  const firstFailure = new Deferred<never>();
  const printer = printerOf(job);
  let wasOpen = false;
  let problem: string | undefined;
  const follower = followConsole({
    world,
    openLine: style === "raw" ? tapped(line, (chunk) => printer.print(chunk)) : line.openLine,
    tell: (event) => {
      switch (event.event) {
        case "opened":
          output.note(`${wasOpen ? "The line is back" : "Listening"}: ${printable(event.path)}`);
          wasOpen = true;
          problem = undefined;
          break;
        case "closed":
          if (!wasOpen && job.until === undefined) firstFailure.fail(event.error);
          else if (event.error.message !== problem) output.note(waitingText(event.error));
          problem = event.error.message;
          break;
        case "line":
          if (style !== "raw") printer.print(lineText(event, job));
          break;
      }
    },
  });
  try {
    const ends = [interrupted(context), firstFailure.promise];
    await Promise.race(job.until === undefined ? ends : [...ends, job.until]);
  } finally {
    await follower.stop();
    printer.end();
  }
}

function printerOf({ style, context, output }: ConsoleJob): Printer {
  return style === "raw"
    ? new Printer(context, output)
    : linePrinter(style === "json" ? "json" : "text", context, output);
}

/** Prints lines. Where some were left out, "text" and "json" say so in their own way. */
export function linePrinter(style: "text" | "json", context: CliContext, output: Output): Printer {
  const { world } = context;
  return new Printer(context, output, (count) =>
    style === "text"
      ? output.colors.dim(`[${count} lines not shown]`)
      : JSON.stringify({ time: new Date(world.unixMs()).toISOString(), notShownCount: count }),
  );
}

/** What may wait for the reader of stdout, about: what a board says in 23 s at 115,200 baud. */
const UNREAD_LENGTH_MAX = 262_144;

/**
 * Writes to stdout what comes, whether it is read or not. When too much waits for its reader, what comes is left out and
 * counted until all of that is taken, so that memory stays bounded.
 */
class Printer {
  readonly #stdout: TextStream;
  readonly #output: Output;
  readonly #gapLine: ((count: number) => string) | undefined;
  /** Written since the reader was last known to keep up. */
  #unreadLength = 0;
  #isWaiting = false;
  #missedCount = 0;

  /** `gapLine`: the line that stands for so many that were left out; without it, stderr says so. */
  constructor(
    { stdout }: Pick<CliContext, "stdout">,
    output: Output,
    gapLine?: (count: number) => string,
  ) {
    this.#stdout = stdout;
    this.#output = output;
    this.#gapLine = gapLine;
  }

  /** A line, or bytes as they are. */
  print(piece: string | Uint8Array): void {
    if (this.#unreadLength >= UNREAD_LENGTH_MAX) {
      this.#missedCount++;
      return;
    }
    if (typeof piece === "string") this.#output.result(piece);
    else this.#stdout.write(piece);
    this.#unreadLength += piece.length;
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    void this.#stdout.drained().then(() => this.#drained());
  }

  /** Nothing is printed after it. */
  end(): void {
    if (this.#missedCount > 0) this.#warn();
    this.#missedCount = 0;
  }

  #drained(): void {
    this.#isWaiting = false;
    this.#unreadLength = 0;
    const count = this.#missedCount;
    if (count === 0) return;
    if (this.#gapLine === undefined) this.#warn();
    this.#missedCount = 0;
    if (this.#gapLine !== undefined) this.print(this.#gapLine(count));
  }

  #warn(): void {
    const what = this.#gapLine === undefined ? "pieces" : "lines";
    this.#output.warn(
      `${this.#missedCount} ${what} are not shown: stdout was not read fast enough`,
    );
  }
}

/** The problem, and on a line of its own what to do about it. */
function waitingText(error: Error): string {
  return `${printableLine(error.message)}; waiting until it is back${remedyText(error)}`;
}

/** Nothing for errors that name no remedy. */
export function remedyText(error: Error): string {
  return error instanceof BoardError ? `\n  ${printableLine(error.remedy)}` : "";
}

/** One line with the time of day. Colours of the board's own are dropped: they would outlive their line. */
function lineText(
  { text, isWhole }: ConsoleLine,
  { style, context, output }: Pick<ConsoleJob, "style" | "context" | "output">,
): string {
  const { world } = context;
  if (style !== "json") return `${output.colors.dim(timeText(world))}  ${plainText(text)}`;
  return JSON.stringify({ time: new Date(world.unixMs()).toISOString(), text, isWhole });
}

/** Without colours and other sequences, and with every other control character made visible. */
export function plainText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what such sequences begin with
  return printable(text.replace(/\u001b\[[\d;]*m/gu, "").replaceAll("\t", "    "));
}

/** "09:05:03.042", in local time. */
export function timeText(world: World): string {
  const date = new Date(world.unixMs());
  const two = (value: number) => `${value}`.padStart(2, "0");
  const ms = `${date.getMilliseconds()}`.padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${ms}`;
}

/** The same line, whose bytes are seen by `see` as well. */
function tapped(
  { openLine }: DeviceLine,
  see: (chunk: Uint8Array) => void,
): DeviceLine["openLine"] {
  return (handlers) =>
    openLine({
      received: (chunk) => {
        see(chunk);
        handlers.received(chunk);
      },
      closed: (reason) => handlers.closed(reason),
    });
}
