/** How a run ended, in one sentence. */

import type { RunResult } from "./result.ts";

export interface ResultVerdict {
  /** `doubtful`: nothing failed, but not everything could be checked. */
  tone: "good" | "doubtful" | "bad";
  text: string;
}

export function verdictOf(result: RunResult): ResultVerdict {
  const { expectations, thresholds, interrupted, observer } = result;
  const prefix = prefixOf(result);
  const failed = [
    failedText(expectations, "expectations"),
    failedText(thresholds, "thresholds"),
  ].filter((text) => text !== undefined);
  if (failed.length > 0) return { tone: "bad", text: `${prefix}${failed.join(" and ")} failed.` };
  if (observer.lost > 0) {
    const text = `${prefix}What could be seen is well, but not all could: see the problems.`;
    return { tone: "doubtful", text };
  }
  if (interrupted) {
    return { tone: "doubtful", text: `${prefix}What could be checked until then holds.` };
  }
  const demands =
    thresholds.length === 0 ? "" : `, and so do the thresholds (${thresholds.length})`;
  return { tone: "good", text: `All ${expectations.length} expectations hold${demands}.` };
}

function prefixOf({ interrupted, thresholds }: RunResult): string {
  if (thresholds.some(({ aborted }) => aborted)) return "A threshold ended the run. ";
  return interrupted ? "The run was interrupted. " : "";
}

/** Undefined if all hold. */
function failedText(judged: readonly { ok: boolean }[], what: string): string | undefined {
  const failedCount = judged.filter(({ ok }) => !ok).length;
  return failedCount === 0 ? undefined : `${failedCount} of ${judged.length} ${what}`;
}
