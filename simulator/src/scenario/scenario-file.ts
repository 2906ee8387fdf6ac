/** Reads a scenario from YAML or JSON text, and reports every mistake with its line, its key and what is allowed. */

import { basename, dirname, extname, isAbsolute, join } from "node:path";
import type { z } from "zod";
import { UsageError } from "../../../host/src/errors.ts";
import type { Overridden, ScenarioOverrides } from "./override-draft.ts";
import { copyOf, isMapping, type KeyPath, type Mapping, valueAt } from "./plain-data.ts";
import { NAME_LENGTH_MAX, type Scenario } from "./scenario.ts";
import { applyOverrides } from "./scenario-overrides.ts";
import { scenarioSchema } from "./scenario-schema.ts";
import { scenarioText } from "./scenario-text.ts";
import { type Place, parseYaml, type YamlSource } from "./yaml-source.ts";

/** Characters of a scenario file; those that ship have about 3,000. */
const TEXT_LENGTH_MAX = 65_536;
/** Mistakes that are listed. */
const MISTAKE_COUNT_MAX = 20;
/** Characters of a wrong value that are shown. */
const SHOWN_LENGTH_MAX = 60;

const REMEDY = "Correct this and start again; the scenarios that ship are commented examples";

/**
 * The scenario in `text`, with what the command line says instead. `fileName` is how messages call the file; relative
 * paths in the file start at its folder. Throws a UsageError that lists all mistakes.
 */
export function readScenario(
  text: string,
  fileName: string,
  overrides: ScenarioOverrides = {},
): Scenario {
  if (text.length > TEXT_LENGTH_MAX) {
    const problem = `${fileName} has ${text.length} characters; a scenario has at most ${TEXT_LENGTH_MAX}`;
    throw new UsageError(problem, "Check that this is the file you meant");
  }
  const source = parseYaml(text);
  if (source.problems.length > 0) {
    throw mistakesError(
      fileName,
      source.problems.map(({ message, ...place }) => ({ place, message })),
    );
  }
  const document = withSharedSettings(withFileDefaults(source.data, fileName));
  const draft = applyOverrides(document, overrides);
  const parsed = scenarioSchema.safeParse(draft.document);
  if (parsed.success && draft.mistakes.length === 0) {
    return { ...parsed.data, text: scenarioText(draft.document, parsed.data.broker.url) };
  }
  const issues = parsed.error?.issues ?? [];
  throw mistakesError(fileName, [
    ...draft.mistakes.map(({ flag, message }) => ({ place: flag, message })),
    ...issues.flatMap((issue) => issueMistakes(issue, source, draft)),
  ]);
}

interface Mistake {
  /** In the file, or the flag that said it. */
  place: Place | string;
  message: string;
}

/** The file's name is the scenario's, and its folder is where relative paths in it start. */
function withFileDefaults(data: unknown, fileName: string): unknown {
  const document = copyOf(data ?? {});
  if (!isMapping(document)) return document;
  document["name"] ??= basename(fileName, extname(fileName)).slice(0, NAME_LENGTH_MAX);
  for (const path of [["broker"], ["broker", "tls"]]) {
    const mapping = valueAt(document, path);
    if (!isMapping(mapping)) continue;
    for (const key of ["passwordFile", "caFile", "certFile", "keyFile"]) {
      const file = mapping[key];
      if (typeof file !== "string" || file === "" || isAbsolute(file)) continue;
      mapping[key] = join(dirname(fileName), file);
    }
  }
  return document;
}

/** What `defaults` says holds for each group that does not say it itself. */
function withSharedSettings(document: unknown): unknown {
  if (!isMapping(document) || !("defaults" in document)) return document;
  const { defaults, ...rest } = document;
  // No mapping, or no groups to apply it to: the check says so.
  const groups = rest["devices"] ?? [{}];
  if (!isMapping(defaults) || !Array.isArray(groups)) return document;
  return { ...rest, devices: groups.map((group) => filledFrom(group, defaults)) };
}

/** `value` with what it lacks taken from `defaults`, mapping by mapping. */
function filledFrom(value: unknown, defaults: Mapping): unknown {
  if (!isMapping(value)) return value;
  const filled: Mapping = { ...(copyOf(defaults) as Mapping), ...value };
  for (const [key, item] of Object.entries(value)) {
    const shared = defaults[key];
    if (isMapping(shared)) filled[key] = filledFrom(item, shared);
  }
  return filled;
}

/** Where in the file the value at `path` was written: in its group, or in `defaults`. */
function writtenAt(path: KeyPath, data: unknown): KeyPath {
  const [first, index, ...rest] = path;
  if (first !== "devices" || typeof index !== "number" || rest.length === 0) return path;
  const shared: KeyPath = ["defaults", ...rest];
  const isShared = valueAt(data, path) === undefined && valueAt(data, shared) !== undefined;
  return isShared ? shared : path;
}

/** Unknown keys come several in an issue, with a line of the message for each. */
function issueMistakes(issue: z.core.$ZodIssue, source: YamlSource, draft: Overridden): Mistake[] {
  const path = issue.path.filter((key) => typeof key !== "symbol");
  const subjectOf = (at: KeyPath) => (at.length === 0 ? "the scenario" : pathText(at));
  if (issue.code === "unrecognized_keys") {
    const messages = issue.message.split("\n");
    return issue.keys.map((key, index) => {
      const at = writtenAt([...path, key], source.data);
      return {
        place: draft.flagOf([...path, key]) ?? source.placeOfKey(at),
        message: `${subjectOf(at.slice(0, -1))} ${messages[index] ?? issue.message}`,
      };
    });
  }
  const at = writtenAt(path, source.data);
  const place = draft.flagOf(path) ?? source.placeOfValue(at);
  return [
    { place, message: `${subjectOf(at)} ${sentenceEnd(issue.message, path, draft.document)}` },
  ];
}

/** Says what was found where the message only says what must be. */
function sentenceEnd(message: string, path: KeyPath, document: unknown): string {
  if (!message.startsWith("must be ")) return message;
  const value = valueAt(document, path);
  if (value === undefined) return `is missing; it ${message}`;
  return path.at(-1) === "password" ? message : `${message}, but is ${shown(value)}`;
}

function shown(value: unknown): string {
  if (value === null) return "empty";
  const text = typeof value === "number" ? String(value) : JSON.stringify(value);
  return text.length <= SHOWN_LENGTH_MAX ? text : `${text.slice(0, SHOWN_LENGTH_MAX)}...`;
}

/** As in JavaScript: `devices[0].publish.qos`. */
function pathText(path: KeyPath): string {
  return path
    .map((key, index) => (typeof key === "number" ? `[${key}]` : index === 0 ? key : `.${key}`))
    .join("");
}

/** Flags first, then from the top of the file to its end. */
function mistakesError(fileName: string, mistakes: readonly Mistake[]): UsageError {
  const sorted = mistakes.toSorted((one, other) => rank(one) - rank(other));
  const texts = sorted.map(({ place, message }) => {
    const where = typeof place === "string" ? place : `${fileName}:${place.line}:${place.column}`;
    return `\n  ${where}  ${message}`;
  });
  const distinct = [...new Set(texts)];
  const count = distinct.length === 1 ? "a mistake" : `${distinct.length} mistakes`;
  const rest = distinct.splice(MISTAKE_COUNT_MAX).length;
  if (rest > 0) distinct.push(`\n  and ${rest} more`);
  return new UsageError(`The scenario ${fileName} has ${count}:${distinct.join("")}`, REMEDY);
}

/** No column is as large as the longest text. */
function rank({ place }: Mistake): number {
  return typeof place === "string" ? 0 : place.line * TEXT_LENGTH_MAX + place.column;
}
