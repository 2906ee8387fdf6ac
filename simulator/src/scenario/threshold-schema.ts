/** The form of a scenario's thresholds: under the name of each metric, the rules that it has to keep. */

import { z } from "zod";
import { didYouMean } from "../did-you-mean.ts";
import { DAY_MS } from "../duration.ts";
import type { Metric } from "../run/metric.ts";
import { METRICS } from "../run/metrics.ts";
import { parseThresholdRule, RULE_LENGTH_MAX } from "../run/threshold-rule.ts";
import type { Threshold } from "./scenario.ts";
import { duration, strict, trueOrFalse } from "./scenario-fields.ts";

const RULES_PER_METRIC_MAX = 20;

const NAMES = METRICS.map(({ name }) => name);

const written = z.string({ error: "must be a rule such as p(99)<250" });

/** A rule with more to say, as in k6. */
const withAbort = strict({
  threshold: written.describe("The rule itself"),
  abortOnFail: trueOrFalse()
    .default(false)
    .describe("Ends the run as soon as the rule does not hold"),
  delayAbortEval: duration(0, DAY_MS)
    .prefault("0s")
    .describe("The run is not ended before this time of it"),
});

/** What a threshold is before it is known in which form; the published schema shows `thresholdForms` in its place. */
export const rawThreshold = z.unknown().meta({ id: "threshold" });

/** The two forms, for the published schema. */
export const thresholdForms = [written.max(RULE_LENGTH_MAX), withAbort] as const;

/** Reads the thresholds, in the order of `METRICS`. */
export const thresholds = z
  .strictObject(Object.fromEntries(METRICS.map((metric) => [metric.name, rulesOf(metric)])), {
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? issue.keys.map(unknownMetric).join("\n")
        : 'must be a mapping of metrics to lists of rules, such as connect_duration: ["p(99)<500"]',
  })
  .transform((byMetric): Threshold[] => Object.values(byMetric).flatMap((rules) => rules ?? []));

/** Those in braces are parts of the others; nobody misses them in a list of names. */
function unknownMetric(name: string): string {
  const guess =
    didYouMean(name, NAMES) ??
    (name === "" ? undefined : NAMES.find((known) => known.startsWith(name)));
  const whole = NAMES.filter((known) => !known.includes("{"));
  const answer =
    guess === undefined ? `They are ${whole.join(", ")}` : `Did you mean ${JSON.stringify(guess)}?`;
  return `has an unknown metric ${JSON.stringify(name)}. ${answer}`;
}

function rulesOf(metric: Metric) {
  const error = `must be a list of at most ${RULES_PER_METRIC_MAX} rules, such as ["p(99)<250"]`;
  return z
    .array(thresholdOf(metric), { error })
    .max(RULES_PER_METRIC_MAX, { error })
    .optional()
    .describe(
      `${metric.description} (${metric.kind}${metric.unit === "1" ? "" : `, ${metric.unit}`})`,
    );
}

/** Reports only the mistakes of the form that was meant, which a union could not. */
function thresholdOf(metric: Metric) {
  const form = formOf(metric);
  return rawThreshold.transform((value, context): Threshold => {
    const isShort = typeof value !== "object" || value === null;
    const parsed = form.safeParse(isShort ? { threshold: value } : value);
    if (parsed.success) return parsed.data;
    for (const issue of parsed.error.issues) {
      // A rule alone has no keys whose place could be told.
      context.addIssue(isShort ? { ...issue, path: [] } : { ...issue });
    }
    return z.NEVER;
  });
}

function formOf(metric: Metric) {
  return withAbort
    .superRefine(({ threshold, abortOnFail }, context) => {
      const rule = parseThresholdRule(threshold, metric);
      if ("problem" in rule) {
        context.addIssue({ code: "custom", path: ["threshold"], message: rule.problem });
      }
      if (abortOnFail && metric.measureLive === undefined) {
        const message = `cannot end the run: ${metric.name} is known only when it is over`;
        context.addIssue({ code: "custom", path: ["abortOnFail"], message });
      }
    })
    .transform(
      ({ threshold, abortOnFail, delayAbortEval }): Threshold => ({
        metric: metric.name,
        rule: threshold.trim(),
        abortOnFail,
        delayAbortEvalMs: delayAbortEval,
      }),
    );
}
