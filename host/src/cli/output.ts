/** What a command prints: its result on stdout, everything else on stderr. */

import { createColors } from "picocolors";
import type { World } from "../world.ts";

/** A stream of text that may be a terminal. */
export interface TextStream {
  readonly isTTY: boolean;
  write(text: string | Uint8Array): void;
  /** Resolves when the reader has taken most of what was written, or is gone. */
  drained(): Promise<void>;
}

export interface OutputOptions {
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly world: World;
  /** --no-color */
  readonly color: boolean;
  /** --quiet: neither notes nor progress. */
  readonly quiet: boolean;
  /** --no-progress */
  readonly progress: boolean;
}

export type Colors = ReturnType<typeof createColors>;

/** Without a terminal, one line of progress in this time is enough. */
const PROGRESS_INTERVAL_MS = 10_000;

export class Output {
  readonly #options: OutputOptions;
  /** For the text of results. */
  readonly colors: Colors;
  readonly #stderrColors: Colors;
  /** The lines of progress that stand on the terminal now, at the bottom. */
  #block: readonly string[] = [];
  #lineAtMs: number | undefined;

  constructor(options: OutputOptions) {
    this.#options = options;
    this.colors = createColors(hasColors(options.stdout, options));
    this.#stderrColors = createColors(hasColors(options.stderr, options));
  }

  /** A line of the result. */
  result(text: string): void {
    this.#aboveBlock(() => this.#options.stdout.write(`${text}\n`));
  }

  /** The whole result as one JSON document. */
  json(value: unknown): void {
    this.result(JSON.stringify(value, undefined, 2));
  }

  /** Something good to know. */
  note(text: string): void {
    if (!this.#options.quiet) this.#complain(text);
  }

  /** Something that must not be overlooked. */
  warn(text: string): void {
    this.#complain(`${this.#stderrColors.yellow("warning:")} ${text}`);
  }

  /** Why the command ends, and what to do. */
  error(problem: string, remedy: string): void {
    const label = this.#stderrColors.red("error:");
    this.#complain(`${label} ${printable(problem)}\n  ${printable(remedy)}`);
  }

  /**
   * What is going on: on a terminal `block` takes the place of the one before it; elsewhere `line` is printed
   * every 10 seconds.
   */
  progress(block: readonly string[], line: string): void {
    const { quiet, progress, stderr, world } = this.#options;
    if (quiet || !progress) return;
    if (stderr.isTTY) {
      this.#eraseBlock();
      this.#block = block;
      this.#drawBlock();
      return;
    }
    const nowMs = world.nowMs();
    if (this.#lineAtMs !== undefined && nowMs - this.#lineAtMs < PROGRESS_INTERVAL_MS) return;
    this.#lineAtMs = nowMs;
    stderr.write(`${line}\n`);
  }

  /** Leaves the last progress where it stands. */
  endProgress(): void {
    this.#block = [];
  }

  #complain(text: string): void {
    this.#aboveBlock(() => this.#options.stderr.write(`${text}\n`));
  }

  #aboveBlock(write: () => void): void {
    this.#eraseBlock();
    write();
    this.#drawBlock();
  }

  #eraseBlock(): void {
    if (this.#block.length === 0) return;
    this.#options.stderr.write(`\u001b[${this.#block.length}A\u001b[0J`);
  }

  /** Without line wrap, so that the number of lines is known when they are erased. */
  #drawBlock(): void {
    if (this.#block.length === 0) return;
    this.#options.stderr.write(`\u001b[?7l${this.#block.join("\n")}\n\u001b[?7h`);
  }
}

/** --no-color, then NO_COLOR (with any value), then FORCE_COLOR, then whether it is a terminal. */
function hasColors(
  stream: TextStream,
  { env, color }: Pick<OutputOptions, "env" | "color">,
): boolean {
  if (!color || env["NO_COLOR"] !== undefined) return false;
  const force = env["FORCE_COLOR"];
  if (force !== undefined) return force !== "0" && force !== "false";
  return stream.isTTY && env["TERM"] !== "dumb";
}

/** Text from elsewhere, made harmless for a terminal: control characters become \u{…}. Line ends stay. */
export function printable(text: string): string {
  return text.replace(
    /[^\P{Cc}\n]|[\p{Zl}\p{Zp}\p{Bidi_Control}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
}

/** The same for text that has to stay in its line: what comes from elsewhere must not look like a line of ours. */
export function printableLine(text: string): string {
  return printable(text).replaceAll("\n", "\\u{a}");
}
