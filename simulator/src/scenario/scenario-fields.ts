/**
 * The kinds of value that a scenario is made of: each is checked, read into a plain number or text, and says in its own
 * error what is allowed. A text that starts with "must be" is followed by what was found (`scenario-file.ts`).
 */

import { z } from "zod";
import { didYouMean } from "../did-you-mean.ts";
import { DURATION_PATTERN, formatDuration, parseDurationMs } from "../duration.ts";
import type { Target } from "./scenario.ts";

/** An object that refuses unknown keys. Its error has one line for each of them, in their order. */
export function strict<Shape extends z.ZodRawShape>(shape: Shape) {
  const known = Object.keys(shape);
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? issue.keys.map((key) => unknownKey(key, known)).join("\n")
        : `must be a mapping of keys (${known.join(", ")})`,
  });
}

function unknownKey(key: string, known: readonly string[]): string {
  const guess = didYouMean(key, known);
  const question = guess === undefined ? "" : ` Did you mean "${guess}"?`;
  return `has an unknown key ${JSON.stringify(key)}.${question} Allowed: ${known.join(", ")}`;
}

export function wholeNumber(minimum: number, maximum: number) {
  const error = `must be a whole number from ${minimum} to ${maximum}`;
  return z.int({ error }).min(minimum, { error }).max(maximum, { error });
}

export function decimal(minimum: number, maximum: number) {
  const error = `must be a number from ${minimum} to ${maximum}`;
  return z.number({ error }).min(minimum, { error }).max(maximum, { error });
}

export function trueOrFalse() {
  return z.boolean({ error: "must be true or false" });
}

/** One of some words. */
export function oneOf<const Word extends string>(words: readonly Word[]) {
  return z.enum(words, {
    error: ({ input }) => {
      const guess = typeof input === "string" ? didYouMean(input, words) : undefined;
      const hint = guess === undefined ? "" : ` (did you mean ${guess}?)`;
      return `must be one of ${words.join(", ")}${hint}`;
    },
  });
}

/** 0, 1 or 2. */
export function qos() {
  return z.literal([0, 1, 2], { error: "must be 0, 1 or 2" });
}

/** Control characters and lone surrogates: no MQTT text (1.5.3), and no good in a terminal. */
const UNPRINTABLE = /\p{Cc}|\p{Cs}/u;

/** Text on one line. */
export function line(lengthMax: number) {
  const error = `must be a text of 1 to ${lengthMax} characters, without control characters (numbers in quotes)`;
  return z
    .string({ error })
    .min(1, { error })
    .max(lengthMax, { error })
    .refine((text) => !UNPRINTABLE.test(text), { error });
}

/** Text for people, which may have several lines. */
export function prose(lengthMax: number) {
  const error = `must be a text of at most ${lengthMax} characters, without control characters`;
  return z
    .string({ error })
    .max(lengthMax, { error })
    .refine((text) => !UNPRINTABLE.test(text.replaceAll("\n", "")), { error });
}

/** `500ms`, `10s`, `2m`, `1h`, or a number of milliseconds; read into milliseconds. */
export function duration(
  minimumMs: number,
  maximumMs: number,
  error = `must be a duration from ${formatDuration(minimumMs)} to ${formatDuration(maximumMs)}, such as 500ms, 10s, 2m or 1h`,
) {
  return z
    .union([z.number({ error }), z.string({ error }).regex(DURATION_PATTERN, { error })], { error })
    .transform((value) => (typeof value === "number" ? value : (parseDurationMs(value) ?? 0)))
    .refine((valueMs) => valueMs >= minimumMs && valueMs <= maximumMs, { error });
}

/** `500/s`, or a number per second. */
export function rate(minimumPerSecond: number, maximumPerSecond: number) {
  const error = `must be a rate from ${minimumPerSecond}/s to ${maximumPerSecond}/s, such as 500/s`;
  return z
    .union([z.number({ error }), z.string({ error }).regex(/^\d+(\.\d+)?\/s$/, { error })], {
      error,
    })
    .transform((value) => (typeof value === "number" ? value : Number.parseFloat(value)))
    .refine((value) => value >= minimumPerSecond && value <= maximumPerSecond, { error });
}

const PERCENT_PATTERN = /^\d+(\.\d+)?%$/;

/** `0%` to `100%`, read into a share from 0 to 1. */
export function percent() {
  const error = "must be a percentage from 0% to 100%, such as 10%";
  return z
    .string({ error })
    .regex(PERCENT_PATTERN, { error })
    .transform((text) => Number.parseFloat(text) / 100)
    .refine((share) => share <= 1, { error });
}

/** `20%` of the devices, or how many. */
export function target() {
  const error = "must be a percentage of the devices from 0% to 100%, such as 20%, or how many";
  return z
    .union(
      [z.int({ error }).min(1, { error }), z.string({ error }).regex(PERCENT_PATTERN, { error })],
      { error },
    )
    .transform(
      (value): Target =>
        typeof value === "number" ? { count: value } : { share: Number.parseFloat(value) / 100 },
    )
    .refine((value) => !("share" in value) || value.share <= 1, { error });
}
