/** What a board answers when it refuses (docs/wire.md, "Errors"): each code as a sentence, with what to do. */

import { BoardError } from "./board-error.ts";

/** Groups of commands. */
export const SmpGroup = { Os: 0, Image: 1, Wasmqtt: 64 } as const;

/** The board has understood a request, and refuses it. */
export class SmpError extends BoardError {
  /** Whose code `code` is: `SmpGroup.Os` for MCUMGR_ERR, which counts in all groups. */
  readonly group: number;
  readonly code: number;
  /** Why, in the board's words. */
  readonly reason: string | undefined;

  /** `what` follows "The board refuses to"; `remedy` is what to do if the code itself does not say it. */
  constructor(
    what: string,
    remedy: string | undefined,
    { group, code, reason }: { group: number; code: number; reason: string | undefined },
  ) {
    const [sentence, advice] = (group === SmpGroup.Os ? SENTENCES[code] : undefined) ?? [
      `it says error ${code} of group ${group}`,
      undefined,
    ];
    const said = reason?.replace(/\s+/gu, " ").trim() ?? "";
    super(
      "refused",
      `The board refuses to ${what}: ${said === "" ? sentence : said}`,
      advice ?? remedy ?? "See what the board says on its console: wasmqtt monitor",
    );
    this.group = group;
    this.code = code;
    this.reason = reason;
  }
}

const TRY_AGAIN = "Try it again; if it stays so, reset the board: wasmqtt reset";

/** MCUMGR_ERR. */
const SENTENCES: Readonly<Record<number, readonly [problem: string, remedy?: string]>> = {
  1: ["something went wrong that has no name"],
  2: ["it has not enough room"],
  3: ["a value has no sense there"],
  4: ["it took too long", TRY_AGAIN],
  5: ["there is no such thing"],
  6: ["that cannot be done in its present state"],
  7: ["the answer would be too long"],
  8: [
    "its runtime does not know how",
    "Install a runtime of this version: wasmqtt firmware install",
  ],
  9: ["what arrived was damaged", TRY_AGAIN],
  10: ["it is busy", "Wait a moment and try it again"],
  11: ["it does not permit that"],
};
