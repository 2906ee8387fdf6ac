/** A program: what one fuzz input does to the records of one memory, as data and as text that a person can read. */

import { hex, unhex } from "../support/bytes.ts";

/**
 * What an argument counts from: nothing, the scratch area (where `bytes` of the step lie), the record, the next record,
 * the end of the memory, the clock, the batch to be stored, the bytes that may be received, those that may go.
 */
export const BASES = ["", "s", "r", "n", "m", "now", "j", "in", "out"] as const;
type Base = (typeof BASES)[number];

export interface Argument {
  base: Base;
  offset: number;
}

/** An export's name with all its arguments but the record, or one of the machine's own steps: see machine.ts. */
export interface Step {
  name: string;
  record: number;
  args: Argument[];
  bytes: Uint8Array;
}

export type Program = Step[];

export const RECORD_COUNT = 3;

/** Every record has this client id, "t": `restore` must refuse another. */
export const CLIENT_ID = Uint8Array.of(0x74);

export function plain(offset: number): Argument {
  return { base: "", offset };
}

export function step(
  name: string,
  record: number,
  args: (number | Argument)[] = [],
  bytes: Uint8Array = new Uint8Array(0),
): Step {
  return {
    name,
    record,
    args: args.map((arg) => (typeof arg === "number" ? plain(arg) : arg)),
    bytes,
  };
}

/** One step a line: `publish 0 s 1 s+1 2 1 :61 32 31`. */
export function formatProgram(program: Program): string {
  return program.map(formatStep).join("\n");
}

export function parseProgram(text: string): Program {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map(parseStep);
}

/** Programs with an empty line between two. */
export function formatPrograms(programs: Program[]): string {
  return `${programs.map(formatProgram).join("\n\n")}\n`;
}

export function parsePrograms(text: string): Program[] {
  return text
    .split("\n\n")
    .map(parseProgram)
    .filter((program) => program.length > 0);
}

function formatStep({ name, record, args, bytes }: Step): string {
  const words = [name, String(record), ...args.map(formatArgument)];
  if (bytes.length > 0) words.push(`:${hex(bytes).replaceAll(" ", "")}`);
  return words.join(" ");
}

function formatArgument({ base, offset }: Argument): string {
  if (base === "") return String(offset);
  if (offset === 0) return base;
  return `${base}${offset < 0 ? "" : "+"}${offset}`;
}

function parseStep(line: string): Step {
  const [name = "", record = "", ...rest] = line.split(" ");
  const digits = rest.at(-1)?.startsWith(":") ? (rest.pop() ?? "") : "";
  const pairs = digits.slice(1).match(/../gu) ?? [];
  return {
    name,
    record: Number(record),
    args: rest.map(parseArgument),
    bytes: unhex(pairs.join(" ")),
  };
}

function parseArgument(word: string): Argument {
  const [, base = "", offset = ""] = /^([a-z]*)([-+]?\d*)$/u.exec(word) ?? [];
  if (!isBase(base)) throw new Error(`${word} is no argument of a program`);
  return { base, offset: Number(offset) };
}

function isBase(word: string): word is Base {
  return (BASES as readonly string[]).includes(word);
}
