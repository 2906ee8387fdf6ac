/** A question to a broker, how it is put, and what an answer looks like. */

import type { Lab } from "./lab.ts";

export const SUBJECTS = [
  "Versions and client ids",
  "Last Will",
  "Retained messages",
  "Quality of service",
  "Sessions",
  "Topics and subscriptions",
  "Broken packets",
  "Limits and times",
] as const;
export type Subject = (typeof SUBJECTS)[number];

export interface Probe {
  /** Stable: readers of the JSON rely on it. */
  readonly id: string;
  /** For people, in a few words. */
  readonly question: string;
  /** What is done to find out. */
  readonly did: string;
  /** The clause that decides, or that gives the choice. */
  readonly clause?: string;
  /** Answers the question, or throws a NotFoundOut. */
  readonly run: (lab: Lab) => Promise<Outcome>;
}

export interface Outcome {
  /** "free": the standard leaves it to the broker. */
  readonly verdict: "conforms" | "deviates" | "free";
  /** The answer in a few words. */
  readonly found: string;
  /** What came back. */
  readonly got: string;
  /** The answer as a number, where it is one. */
  readonly measured?: Measured;
}

export interface Measured {
  readonly value: number;
  readonly unit: "ms" | "bytes" | "messages" | "keep alives" | "connections/s";
}

/** The standard decides. */
export function must(isKept: boolean, found: string, got: string, measured?: Measured): Outcome {
  return { verdict: isKept ? "conforms" : "deviates", found, got, ...optional(measured) };
}

/** The broker decides. */
export function free(found: string, got: string, measured?: Measured): Outcome {
  return { verdict: "free", found, got, ...optional(measured) };
}

function optional(measured: Measured | undefined) {
  return measured === undefined ? {} : { measured };
}

/** "3 messages", "1 message". */
export function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}
