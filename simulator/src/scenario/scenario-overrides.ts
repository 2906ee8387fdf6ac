/**
 * What the command line says instead of the scenario file. Each value is written to the key it stands for before the
 * scenario is checked, so that the check covers it and a mistake is reported with the name of the flag.
 */

import { overrideBroker } from "./override-broker.ts";
import { Draft, type Overridden, type ScenarioOverrides } from "./override-draft.ts";
import { copyOf, isMapping, type Mapping, valueAt } from "./plain-data.ts";
import { DEFAULT_PHASES, GROUP_COUNT_DEFAULT } from "./scenario.ts";

/**
 * Writes the overrides into a copy of `document`, the plain data of a scenario file. Where the document has not the
 * form of a scenario, nothing is written: the check that follows says so.
 */
export function applyOverrides(document: unknown, overrides: ScenarioOverrides): Overridden {
  const draft = new Draft(copyOf(document));
  if (isMapping(draft.document)) {
    draft.set(["seed"], "seed", asNumber(overrides.seed));
    overrideBroker(draft, overrides);
    overrideGroups(draft, overrides);
    overridePhases(draft, overrides);
    overrideThresholds(draft, overrides);
  }
  return draft;
}

function overrideGroups(draft: Draft, overrides: ScenarioOverrides): void {
  const document = draft.document as Mapping;
  document["devices"] ??= [{}];
  const groups = document["devices"];
  if (!Array.isArray(groups)) return;

  for (const index of groups.keys()) {
    const path = ["devices", index];
    draft.set([...path, "id"], "id", overrides.id);
    draft.set([...path, "profile"], "profile", overrides.profile);
    draft.set([...path, "publish", "interval"], "interval", overrides.interval);
    draft.set([...path, "publish", "jitter"], "jitter", overrides.jitter);
    draft.set([...path, "publish", "qos"], "qos", asNumber(overrides.qos));
    draft.set([...path, "publish", "retain"], "retain", overrides.retain);
    if (overrides.firstNumber !== undefined) draft.remove([...path, "firstNumber"]);
  }
  draft.set(["devices", 0, "firstNumber"], "firstNumber", asNumber(overrides.firstNumber));
  if (overrides.count !== undefined) overrideCounts(draft, groups, asNumber(overrides.count));
}

function overrideCounts(draft: Draft, groups: readonly unknown[], count: unknown): void {
  // No whole number: the check says so. It cannot know that each group needs a device.
  if (groups.length === 1 || !Number.isSafeInteger(count)) {
    draft.set(["devices", 0, "count"], "count", count);
    return;
  }
  const total = Number(count);
  if (total < groups.length) {
    draft.fail("count", `must be at least ${groups.length}: the scenario has as many groups`);
    return;
  }
  const before = groups.map((group) => Number(valueAt(group, ["count"]) ?? GROUP_COUNT_DEFAULT));
  // No counts to share by: the check says what is wrong with them.
  if (!before.every((groupCount) => groupCount >= 1 && Number.isSafeInteger(groupCount))) return;
  for (const [index, share] of shares(total, before).entries()) {
    draft.set(["devices", index, "count"], "count", share);
  }
}

/** Divides `total` in proportion to `weights`, in whole numbers of at least 1. */
function shares(total: number, weights: readonly number[]): number[] {
  const weightSum = weights.reduce((sum, weight) => sum + weight, 0);
  let weightSoFar = 0;
  let end = 0;
  return weights.map((weight, index) => {
    weightSoFar += weight;
    const start = end;
    const endMax = total - (weights.length - 1 - index);
    end = Math.min(endMax, Math.max(start + 1, Math.round((total * weightSoFar) / weightSum)));
    return end - start;
  });
}

function overridePhases(draft: Draft, { rate, duration }: ScenarioOverrides): void {
  if ((rate ?? duration) === undefined) return;
  const document = draft.document as Mapping;
  document["phases"] ??= copyOf(DEFAULT_PHASES);
  const phases = document["phases"];
  if (!Array.isArray(phases)) return;

  const connects = phases.findIndex((phase) => isMapping(phase) && "connect" in phase);
  if (connects >= 0) draft.set(["phases", connects, "connect", "rate"], "rate", asNumber(rate));

  const steady = [...phases.keys()].filter((index) => isSteady(phases[index]));
  const [only] = steady;
  if (duration === undefined) return;
  if (only === undefined || steady.length > 1) {
    draft.fail(
      "duration",
      `is for a scenario with one steady phase, but this one has ${steady.length}; change the file`,
    );
    return;
  }
  draft.set(["phases", only, "duration"], "duration", duration);
}

/** A phase that is nothing but a duration. */
function isSteady(phase: unknown): boolean {
  return (
    isMapping(phase) && Object.keys(phase).every((key) => key === "duration" || key === "name")
  );
}

/** A metric, with the colons of its braces, and its rule. */
const THRESHOLD = /^\s*([^:{]+(?:\{[^}]*\})?)\s*:(.*)$/su;

function overrideThresholds(draft: Draft, { thresholds = [] }: ScenarioOverrides): void {
  for (const text of thresholds) {
    const [, metric, rule = ""] = THRESHOLD.exec(text) ?? [];
    if (metric === undefined) {
      const example = "publish_ack_duration: p(99)<250";
      draft.fail(
        "thresholds",
        `must be METRIC: RULE, such as "${example}", not ${JSON.stringify(text)}`,
      );
      continue;
    }
    const path = ["thresholds", metric.trim()];
    const rules = valueAt(draft.document, path);
    if (rules === undefined) draft.set(path, "thresholds", [rule.trim()]);
    else if (Array.isArray(rules)) draft.set([...path, rules.length], "thresholds", rule.trim());
  }
}

/** The number that a flag's text is, or the text itself for the check to refuse. */
function asNumber(text: string | undefined): number | string | undefined {
  return text !== undefined && /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}
