/** `--out json=FILE`: the result as one document, result.v1. */

import type { RunResult } from "../run/result.ts";

export function resultJson(result: RunResult): string {
  return `${JSON.stringify(result, undefined, 2)}\n`;
}
