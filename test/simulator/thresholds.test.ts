import { describe, expect, test } from "vitest";
import type { ThresholdResult } from "../../simulator/src/run/result.ts";
import type { RunSample } from "../../simulator/src/run/run-sample.ts";
import {
  evaluateThresholds,
  ThresholdWatch,
  withAborted,
} from "../../simulator/src/run/thresholds.ts";
import type { Threshold } from "../../simulator/src/scenario/scenario.ts";
import { sampleResult } from "./sample-result.ts";
import { emptySample, sampleSample } from "./sample-sample.ts";

function judged(
  metric: string,
  rule: string,
  result = sampleResult(),
): ThresholdResult | undefined {
  return evaluateThresholds([{ metric, rule }], result)[0];
}

describe("when the run is over", () => {
  test.each<[string, string, boolean, string]>([
    ["connect_duration", "p(99)<500", true, "p(99)=22.0ms"],
    ["connect_duration", "p(99)<5", false, "p(99)=22.0ms"],
    ["connect_duration", "p( 99.0 ) < 5", false, "p(99)=22.0ms"],
    ["connect_duration", "min>=1", true, "min=1.00ms"],
    ["connect_duration", "avg<12", true, "avg=11.5ms"],
    ["connect_duration", "med<12", true, "med=11.5ms"],
    ["connect_duration", "max<=22", true, "max=22.0ms"],
    ["will_delivered", "rate==1", false, "rate=90.00% (9 of 10)"],
    ["will_delivered", "rate>=0.9", true, "rate=90.00% (9 of 10)"],
    ["messages_published", "count>1000", true, "count=1 240"],
    ["messages_published", "rate>60", true, "rate=60.8/s"],
    ["cpu_percent", "value<80", true, "value=31.4%"],
    ["cpu_us_per_message", "value<20", false, "value=23.1us"],
    ["event_loop_delay", "value<5", true, "value=4.20ms"],
    ["rss_bytes", "value<100000000", false, "value=123 456 789 (118 MiB)"],
  ])("%s: %s", (metric, rule, ok, value) => {
    expect(judged(metric, rule)).toEqual({ metric, rule, value, ok, aborted: false });
  });

  test("a value that rounding would put on the other side of the limit is not rounded", () => {
    const result = sampleResult();
    result.generator.cpuPercent = 79.96;
    expect(judged("cpu_percent", "value<80", result)?.value).toBe("value=79.96%");
    result.generator.cpuPercent = 80.04;
    expect(judged("cpu_percent", "value==80", result)).toMatchObject({
      value: "value=80.04%",
      ok: false,
    });
  });

  test("a rate is not rounded up to 100%", () => {
    const result = sampleResult();
    Object.assign(result.wills ?? {}, { expected: 100_000, delivered: 99_999 });
    expect(judged("will_delivered", "rate==1", result)).toMatchObject({
      ok: false,
      value: "rate=99.99% (99 999 of 100 000)",
    });
  });

  test.each([
    ["end_to_end_duration", "p(99)<500"],
    ["end_to_end_duration", "p(99)>0"],
    ["publish_ack_duration{qos:2}", "max<1"],
  ])("%s: %s does not hold where nothing was measured", (metric, rule) => {
    expect(judged(metric, rule)).toMatchObject({ ok: false, value: "nothing was measured" });
  });

  test("a threshold of another version that is unknown here does not hold, and says why", () => {
    expect(judged("phase_of_the_moon", "p(99)<5")).toMatchObject({
      ok: false,
      value: "this version has no such metric",
    });
    expect(judged("connects", "p(99)<5")).toMatchObject({
      ok: false,
      value: "this version cannot read this rule",
    });
  });
});

describe("while the run goes on", () => {
  const strict: Threshold = {
    metric: "publish_ack_duration",
    rule: "p(99)<25",
    abortOnFail: true,
    delayAbortEvalMs: 0,
  };

  /** What the thresholds ended the run with. */
  function aborted(thresholds: Threshold[], samples: RunSample[]): ThresholdResult[] {
    const ends: ThresholdResult[] = [];
    const phases = [
      { kind: "connect", name: "connect", ratePerSecond: 1, timeoutMs: 1 },
      { kind: "steady", name: "steady", durationMs: 1 },
    ] as const;
    const watch = new ThresholdWatch({ thresholds, phases: [...phases] }, (which) =>
      ends.push(which),
    );
    for (const sample of samples) watch.sample(sample);
    return ends;
  }

  test("a threshold that fails ends it, once, and says what was measured and when", () => {
    const other = { ...strict, metric: "connects", rule: "count<5" };
    expect(aborted([strict, other], [sampleSample(), sampleSample()])).toEqual([
      {
        metric: "publish_ack_duration",
        rule: "p(99)<25",
        value: "p(99)=30.0ms after 5s",
        ok: false,
        aborted: true,
      },
    ]);
  });

  test("not before its delay", () => {
    const patient = { ...strict, delayAbortEvalMs: 6000 };
    const at = (atMs: number) => ({ ...sampleSample(), atMs });
    expect(aborted([patient], [at(5000), at(5999)])).toEqual([]);
    expect(aborted([patient], [at(5000), at(6000)])).toHaveLength(1);
  });

  test("not if it holds, may fail, is not measured yet, is known only at the end, or the devices leave", () => {
    expect(aborted([{ ...strict, rule: "p(99)<50" }], [sampleSample()])).toEqual([]);
    expect(aborted([{ ...strict, abortOnFail: false }], [sampleSample()])).toEqual([]);
    expect(aborted([strict], [emptySample()])).toEqual([]);
    expect(aborted([strict], [{ ...sampleSample(), phaseIndex: 2 }])).toEqual([]);
    const late = { ...strict, metric: "will_missing", rule: "count>5" };
    expect(aborted([late], [sampleSample()])).toEqual([]);
  });

  test("a threshold that ended the run has failed, even if its value was well in the end", () => {
    const [which] = aborted([strict], [sampleSample()]);
    const results = evaluateThresholds([strict, { ...strict, rule: "p(99)<99" }], sampleResult());
    expect(results.map(({ ok }) => ok)).toEqual([true, true]);
    expect(withAborted(results, which)).toEqual([which, results[1]]);
    expect(withAborted(results, undefined)).toEqual(results);
  });
});
