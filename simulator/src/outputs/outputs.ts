/** All outputs of a run: opened before the first device connects, fed with samples, and finished with the result. */

import { UsageError } from "../../../host/src/errors.ts";
import type { RunResult } from "../run/result.ts";
import type { RunSample } from "../run/run-sample.ts";
import { CsvFormat } from "./csv.ts";
import { openDocuments, printedDocument, type Render } from "./document-output.ts";
import { type OutputDisk, realDisk } from "./file-target.ts";
import { hgrmDocuments } from "./hgrm.ts";
import { reportPage } from "./html.ts";
import { resultJson } from "./json.ts";
import { junitXml } from "./junit.ts";
import { summaryMarkdown } from "./md.ts";
import { NdjsonFormat } from "./ndjson.ts";
import type { OpenOutput, OutputProblem, OutputsContext } from "./output.ts";
import { type OutputSpec, parseOutputSpec, STDOUT } from "./output-spec.ts";
import { openPrometheus, parseEndpoint } from "./prometheus.ts";
import { openStream, printedStream } from "./stream-output.ts";

/**
 * Opens outputs given as `kind=target`. Throws a UsageError if one of them is written wrongly or cannot be written to; then
 * all is as it was before, but for streams that have begun when the disk of another turns out to be full.
 */
export async function openOutputs(
  specs: readonly string[],
  context: OutputsContext,
): Promise<Outputs> {
  const parsed = specs.map(parseOutputSpec);
  const printed = parsed
    .filter(({ target }) => target === STDOUT)
    .map(({ kind }) => `--out ${kind}`);
  if (context.isStdoutTaken) printed.unshift("--json");
  if (printed.length > 1) {
    throw new UsageError(
      `${printed.join(" and ")} cannot all go to stdout`,
      "Give files for all of them but one, as in --out json=result.json",
    );
  }
  const outputs: OpenOutput[] = [];
  const ownerOfPath = new Map<string, OutputSpec>();
  try {
    for (const spec of parsed) {
      const output = await openOutput(spec, context);
      outputs.push(output);
      claim(output, spec, ownerOfPath);
    }
    for (const output of outputs) await output.begin?.();
  } catch (error) {
    await closeAll(outputs);
    throw error;
  }
  const usesStdout = parsed.some(({ target }) => target === STDOUT);
  return new Outputs(outputs, usesStdout);
}

export class Outputs {
  /** One of them is written to stdout: nothing else may be. */
  readonly usesStdout: boolean;
  readonly #outputs: readonly OpenOutput[];

  constructor(outputs: readonly OpenOutput[], usesStdout: boolean) {
    this.#outputs = outputs;
    this.usesStdout = usesStdout;
  }

  sample(sample: RunSample): void {
    for (const output of this.#outputs) output.sample?.(sample);
  }

  /** Writes and closes all that can be; tells what could not be written now, and what broke before. */
  async finish(result: RunResult): Promise<OutputProblem[]> {
    const problems: OutputProblem[] = [];
    for (const output of this.#outputs) {
      const problem = await output.finish(result);
      if (problem !== undefined) problems.push(problem);
    }
    return problems;
  }

  /** For a run that came to no result. After `finish` it does nothing. */
  close(): Promise<void> {
    return closeAll(this.#outputs);
  }
}

async function closeAll(outputs: readonly OpenOutput[]): Promise<void> {
  for (const output of outputs) await output.close?.();
}

async function openOutput(
  { kind, target }: OutputSpec,
  context: OutputsContext,
): Promise<OpenOutput> {
  const { disk = realDisk, print } = context;
  switch (kind) {
    case "prometheus":
      return openPrometheus(parseEndpoint(target), context);
    case "ndjson":
    case "csv": {
      const format = kind === "csv" ? new CsvFormat() : new NdjsonFormat(context);
      if (target === STDOUT) return printedStream(format, print);
      return openStream(target, format, { disk, warn: context.warn });
    }
    case "hgrm":
      return openDocuments(hgrmDocuments(target, await isFolder(target, disk)), disk);
    default: {
      const render = RENDERS[kind];
      if (target === STDOUT) return printedDocument(render, print);
      return openDocuments([{ path: target, render }], disk);
    }
  }
}

const RENDERS = {
  json: resultJson,
  html: reportPage,
  junit: junitXml,
  md: summaryMarkdown,
} satisfies Record<string, Render>;

async function isFolder(path: string, disk: OutputDisk): Promise<boolean> {
  if (path.endsWith("/")) return true;
  return disk.stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

/** Throws a UsageError if two outputs would write the same file. */
function claim(output: OpenOutput, spec: OutputSpec, ownerOfPath: Map<string, OutputSpec>): void {
  for (const path of output.paths ?? []) {
    const owner = ownerOfPath.get(path);
    if (owner !== undefined) {
      throw new UsageError(
        `--out ${owner.kind} and --out ${spec.kind} would both write ${JSON.stringify(path)}`,
        "Give each a file of its own",
      );
    }
    ownerOfPath.set(path, spec);
  }
}
