/** Tells whether two results are of the same scenario, as the shards of a fleet are. */

import { parseAllDocuments } from "yaml";
import { isMapping } from "./plain-data.ts";

/** What shards differ in: which devices they are, where their broker is, and what is judged again anyway. */
const OF_A_SHARD: ReadonlySet<string> = new Set([
  "$schema",
  "description",
  "seed",
  "broker.url",
  "broker.username",
  "broker.password",
  "broker.passwordFile",
  "broker.tls",
  "broker.localAddresses",
  "devices[].count",
  "devices[].firstNumber",
  "devices[].id",
  "phases[].connect.rate",
  "thresholds",
]);

/**
 * Where the texts of two scenarios differ in more than that, as `phases[1].duration`; undefined if nowhere. A merged result
 * has several scenarios in its text.
 */
export function scenarioDifference(oneText: string, otherText: string): string | undefined {
  if (oneText === otherText) return undefined;
  const [first, ...others] = [...parseAllDocuments(oneText), ...parseAllDocuments(otherText)];
  return firstDifference(others, (other) => difference(first?.toJS(), other.toJS(), "", ""));
}

/** `place` has no indexes, so that it can be looked up. A mapping that is not there is one without keys. */
function difference(one: unknown, other: unknown, path: string, place: string): string | undefined {
  if (OF_A_SHARD.has(place)) return undefined;
  if (Array.isArray(one) && Array.isArray(other)) {
    return firstDifference([...one.keys(), ...other.keys()], (index) =>
      difference(one[index], other[index], `${path}[${index}]`, `${place}[]`),
    );
  }
  const [oneKeys, otherKeys] = [one ?? {}, other ?? {}];
  if (!isMapping(oneKeys) || !isMapping(otherKeys)) return one === other ? undefined : path;
  const dot = path === "" ? "" : ".";
  return firstDifference([...Object.keys(oneKeys), ...Object.keys(otherKeys)], (key) =>
    difference(oneKeys[key], otherKeys[key], `${path}${dot}${key}`, `${place}${dot}${key}`),
  );
}

function firstDifference<Key>(
  keys: readonly Key[],
  differenceAt: (key: Key) => string | undefined,
): string | undefined {
  for (const key of keys) {
    const found = differenceAt(key);
    if (found !== undefined) return found;
  }
  return undefined;
}
