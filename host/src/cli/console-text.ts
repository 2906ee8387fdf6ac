/** What a board says to people, made fit for a terminal. */

import { followConsole } from "../board/board-console.ts";
import { Deferred } from "../client/deferred.ts";
import type { World } from "../world.ts";
import { type CliContext, interrupted } from "./command.ts";
import type { DeviceLine } from "./device-options.ts";
import { type Output, printable } from "./output.ts";

/** How the console is printed. */
type ConsoleStyle = "text" | "json" | "raw";

export interface ConsoleJob {
  readonly line: DeviceLine;
  readonly style: ConsoleStyle;
  readonly context: CliContext;
  readonly output: Output;
  /** Ends it, as Ctrl-C does. */
  readonly until?: Promise<void>;
}

/**
 * Prints what the board says until Ctrl-C, over resets and pulled cables. Throws a BoardError if the line cannot be opened at
 * the first attempt.
 */
export async function printConsole(job: ConsoleJob): Promise<void> {
  const { line, style, context, output } = job;
  const { world, stdout } = context;
  const firstFailure = new Deferred<never>();
  let wasOpen = false;
  const follower = followConsole({
    world,
    openLine: style === "raw" ? tapped(line, (chunk) => stdout.write(chunk)) : line.openLine,
    tell: (event) => {
      switch (event.event) {
        case "opened":
          output.note(`${wasOpen ? "The line is back" : "Listening"}: ${printable(event.path)}`);
          wasOpen = true;
          break;
        case "closed":
          if (!wasOpen) firstFailure.fail(event.error);
          else output.note(`${printable(event.error.message)}; waiting until it is back`);
          break;
        case "line":
          if (style === "text") output.result(consoleText(event.text, world, output));
          if (style === "json") output.result(jsonLine(event.text, event.isWhole, world));
          break;
      }
    },
  });
  try {
    const ends = [interrupted(context), firstFailure.promise];
    await Promise.race(job.until === undefined ? ends : [...ends, job.until]);
  } finally {
    await follower.stop();
  }
}

/** One line with the time of day. Colours of the board's own are dropped: they would outlive their line. */
function consoleText(text: string, world: World, output: Output): string {
  return `${output.colors.dim(timeText(world))}  ${plainText(text)}`;
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

function jsonLine(text: string, isWhole: boolean, world: World): string {
  return JSON.stringify({ time: new Date(world.unixMs()).toISOString(), text, isWhole });
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
