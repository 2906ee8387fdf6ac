/** The plain data of a YAML text (JSON is YAML too), and where each key stands in it. */

import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
} from "yaml";
import type { KeyPath } from "./plain-data.ts";

/** Both count from 1. */
export interface Place {
  line: number;
  column: number;
}

export interface YamlSource {
  /** Undefined if the text is no YAML. */
  data: unknown;
  /** What is wrong with the text as YAML. */
  problems: readonly (Place & { message: string })[];
  /** Where the value at `path` begins; if it is not there, the nearest above it that is. */
  placeOfValue(path: KeyPath): Place;
  /** Where the last key of `path` itself stands. */
  placeOfKey(path: KeyPath): Place;
}

/** How often the text may use anchors. Their content is looked for in the whole text each time. */
const ALIAS_COUNT_MAX = 100;

/** Reads `text`, which the caller has limited in length. Never throws. */
export function parseYaml(text: string): YamlSource {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
  });
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  let problems = [...document.errors, ...document.warnings].map(({ message, pos: [offset] }) => ({
    ...placeAt(offset),
    message,
  }));
  // The parser reports its own overflow once for each level.
  const overflow = problems.find(({ message }) => message.includes("call stack"));
  if (overflow !== undefined) problems = [{ ...overflow, message: "This is nested too deeply" }];
  let data: unknown;
  try {
    if (problems.length === 0) checkAliases(document);
    if (problems.length === 0) data = document.toJS({ maxAliasCount: ALIAS_COUNT_MAX });
  } catch (error) {
    problems.push({ line: 1, column: 1, message: (error as Error).message });
  }
  return {
    data,
    problems,
    placeOfValue: (path) => placeAt(offsetOf(walk(document, path).node)),
    placeOfKey: (path) => {
      const { node, pair } = walk(document, path);
      return placeAt(offsetOf(pair?.key ?? node));
    },
  };
}

/** Throws for an anchor that is used inside its own content, and for an attack with very many uses. */
function checkAliases(document: Document): void {
  let count = 0;
  visit(document, {
    Alias(_key, alias, ancestors) {
      count++;
      if (count > ALIAS_COUNT_MAX) throw new RangeError(`More than ${ALIAS_COUNT_MAX} aliases`);
      const target = alias.resolve(document);
      if (target !== undefined && ancestors.includes(target)) {
        throw new RangeError(`The anchor ${alias.source} contains itself`);
      }
    },
  });
}

interface Found {
  node: unknown;
  /** If the value belongs to a key. */
  pair: Pair | undefined;
}

function walk(document: Document, path: KeyPath): Found {
  let found: Found = { node: document.contents, pair: undefined };
  for (const key of path) {
    const next = step(document, found.node, key);
    if (next === undefined) break;
    found = next;
  }
  return found;
}

function step(document: Document, node: unknown, key: string | number): Found | undefined {
  const target = isAlias(node) ? node.resolve(document) : node;
  if (isSeq(target)) {
    const item = target.items[Number(key)];
    return item === undefined ? undefined : { node: item, pair: undefined };
  }
  if (!isMap(target)) return undefined;
  const pair = target.items.find((item) => isScalar(item.key) && item.key.value === key);
  return pair === undefined ? undefined : { node: pair.value ?? pair.key, pair };
}

function offsetOf(node: unknown): number {
  if (!isScalar(node) && !isCollection(node) && !isAlias(node)) return 0;
  return (node as Node).range?.[0] ?? 0;
}
