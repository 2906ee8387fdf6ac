/** Reads a result that a run has written, and says what is wrong where it is none. */

import { UsageError } from "../../../host/src/errors.ts";
import { LatencyHistogram } from "../histogram.ts";
import { isMapping, type KeyPath } from "../scenario/plain-data.ts";
import { RESULT_SCHEMA_ID, type RunResult, resultSchema } from "./result.ts";

const REMEDY = "Give files that wasmqtt run --json or --out json=FILE has written";

/** `fileName` is how messages call the text. Throws a UsageError if it is no result.v1, or a damaged one. */
export function readResult(text: string, fileName: string): RunResult {
  const data = parse(text, fileName);
  const schema = isMapping(data) ? data["schema"] : undefined;
  if (schema !== RESULT_SCHEMA_ID) {
    const found = typeof schema === "string" ? `: its schema is ${JSON.stringify(schema)}` : "";
    throw new UsageError(
      `${fileName} is no result of wasmqtt (${RESULT_SCHEMA_ID})${found}`,
      REMEDY,
    );
  }
  const parsed = resultSchema.safeParse(data);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw damaged(fileName, `${issue?.path.join(".")}: ${issue?.message}`);
  }
  checkHistograms(parsed.data, fileName, []);
  return parsed.data;
}

function parse(text: string, fileName: string): unknown {
  if (text.trim() === "") {
    throw new UsageError(
      `${fileName} is empty: its run may have ended before it was written`,
      REMEDY,
    );
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`${fileName} is not one JSON document: ${reason}`, REMEDY, { cause });
  }
}

/** Looks for histograms in all of `value`. */
function checkHistograms(value: unknown, fileName: string, path: KeyPath): void {
  if (typeof value !== "object" || value === null) return;
  for (const [key, item] of Object.entries(value)) {
    const itemPath = [...path, key];
    if (key !== "histogram" || typeof item !== "string") {
      checkHistograms(item, fileName, itemPath);
      continue;
    }
    const count = isMapping(value) ? value["count"] : undefined;
    if (countOf(item) !== count) {
      throw damaged(fileName, `${itemPath.join(".")} is no histogram of ${count} values`);
    }
  }
}

/** How many values a histogram has; undefined if it cannot be read. */
function countOf(histogram: string): number | undefined {
  try {
    return LatencyHistogram.decode(histogram).count;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function damaged(fileName: string, what: string): UsageError {
  return new UsageError(`${fileName} is a damaged result: ${what}`, REMEDY);
}
