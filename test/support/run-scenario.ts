/** Runs `wasmqtt run` inside this process, with a scenario given as text. */

import { runCli } from "../../host/src/cli/program.ts";
import { readModule } from "../../host/src/core/core.ts";
import { registerRun } from "../../simulator/src/cli/commands/run.ts";
import { type RunResult, resultSchema } from "../../simulator/src/run/result.ts";
import { RecordingContext } from "./run-cli.ts";

const FILE = "test.yaml";

export interface ScenarioOutcome {
  exitCode: number;
  stderr: string;
  /** Throws if the run ended without one. */
  readonly result: RunResult;
  /** The names of the expectations that did not hold. */
  readonly failed: string[];
}

/** `begun` gets the context while the run goes on, to interrupt it or to look at what it printed. */
export async function runScenarioText(
  text: string,
  begun: (context: RecordingContext) => void = () => {},
): Promise<ScenarioOutcome> {
  const context = new RecordingContext();
  context.files.set(FILE, text);
  context.system = { ...context.system, readModule };
  begun(context);
  const exitCode = await runCli(["run", FILE, "--json"], context, [registerRun]);
  const resultOf = () => {
    const json = context.stdout.text;
    if (json === "") throw new Error(`no result, exit code ${exitCode}:\n${context.stderr.text}`);
    return resultSchema.parse(JSON.parse(json));
  };
  return {
    exitCode,
    stderr: context.stderr.text,
    get result() {
      return resultOf();
    },
    get failed() {
      return resultOf()
        .expectations.filter(({ ok }) => !ok)
        .map(({ name }) => name);
    },
  };
}
