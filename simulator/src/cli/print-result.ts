/** What the command line says of a result: the text or the document, and the exit code. */

import { ExitCode } from "../../../host/src/cli/exit-code.ts";
import type { Output } from "../../../host/src/cli/output.ts";
import type { RunResult } from "../run/result.ts";
import { summaryText } from "../summary/summary.ts";

/** To stdout: the summary, or with `json` the whole document. */
export function printResult(result: RunResult, output: Output, json: boolean): void {
  output.endProgress();
  if (json) output.json(result);
  else output.result(summaryText(result, { color: output.colors.isColorSupported }).trimEnd());
}

/** 0, 99 if something that must hold does not, or 5 if not everything could be seen. */
export function exitCodeOf({ expectations, thresholds, observer }: RunResult): ExitCode {
  if (![...expectations, ...thresholds].every(({ ok }) => ok)) return ExitCode.ExpectationFailed;
  return observer.lost > 0 ? ExitCode.Incomplete : ExitCode.Ok;
}
