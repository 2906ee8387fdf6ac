/** `kind=target`, as `--out` takes it. */

import { UsageError } from "../../../host/src/errors.ts";
import { didYouMean } from "../did-you-mean.ts";

export const OUTPUT_KINDS = [
  "json",
  "ndjson",
  "csv",
  "hgrm",
  "html",
  "junit",
  "md",
  "prometheus",
] as const;

type OutputKind = (typeof OUTPUT_KINDS)[number];

export interface OutputSpec {
  readonly kind: OutputKind;
  /** A path, `-` for stdout, or where to listen. */
  readonly target: string;
}

/** The target that is stdout. */
export const STDOUT = "-";

/** These are several files, too large for a terminal, or no file at all. */
const KINDS_WITHOUT_STDOUT: ReadonlySet<OutputKind> = new Set(["hgrm", "html", "prometheus"]);

const EXAMPLES: Readonly<Record<OutputKind, string>> = {
  json: "json=result.json",
  ndjson: "ndjson=samples.ndjson",
  csv: "csv=samples.csv",
  hgrm: "hgrm=latency.hgrm",
  html: "html=report.html",
  junit: "junit=junit.xml",
  md: "md=summary.md",
  prometheus: "prometheus=:9464",
};

/** Throws a UsageError. The target is not looked at, except for `-`. */
export function parseOutputSpec(text: string): OutputSpec {
  const equalsAt = text.indexOf("=");
  const word = equalsAt < 0 ? text : text.slice(0, equalsAt);
  const kind = OUTPUT_KINDS.find((known) => known === word);
  if (kind === undefined) throw unknownKind(text, word);
  const target = equalsAt < 0 ? "" : text.slice(equalsAt + 1);
  if (target === "") {
    throw new UsageError(
      `--out ${JSON.stringify(text)} does not say where to`,
      `Add the target, as in --out ${EXAMPLES[kind]}`,
    );
  }
  if (target === STDOUT && KINDS_WITHOUT_STDOUT.has(kind)) {
    throw new UsageError(
      `--out ${kind} cannot go to stdout`,
      `Give a target, as in --out ${EXAMPLES[kind]}`,
    );
  }
  return { kind, target };
}

function unknownKind(text: string, word: string): UsageError {
  const guess = didYouMean(word, OUTPUT_KINDS);
  const question = guess === undefined ? "" : `; did you mean ${guess}?`;
  const example = EXAMPLES[OUTPUT_KINDS.find((kind) => kind === guess) ?? "json"];
  return new UsageError(
    `--out ${JSON.stringify(text)}: there is no kind ${JSON.stringify(word)}${question}`,
    `Write kind=target, as in --out ${example}; the kinds are ${OUTPUT_KINDS.join(", ")}`,
  );
}
