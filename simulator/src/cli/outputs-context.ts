/** What the outputs of a run or a report take from the command line. */

import type { CliContext } from "../../../host/src/cli/command.ts";
import type { Output } from "../../../host/src/cli/output.ts";
import type { OutputsContext } from "../outputs/output.ts";

export interface OutputsCall {
  scenario: OutputsContext["scenario"];
  context: Pick<CliContext, "system" | "world">;
  output: Output;
  /** The result goes to stdout. */
  json: boolean;
}

export function outputsContext({ scenario, context, output, json }: OutputsCall): OutputsContext {
  return {
    scenario,
    version: context.system.version,
    unixMs: () => context.world.unixMs(),
    isStdoutTaken: json,
    print: (lines) => output.result(lines),
    note: (text) => output.note(text),
    warn: (text) => output.warn(text),
  };
}
