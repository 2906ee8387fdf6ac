/** Thresholds of real runs: judged at the end, or while the run goes on. */

import { expect, test } from "vitest";
import { ExitCode } from "../../host/src/cli/exit-code.ts";
import { runScenarioText } from "../support/run-scenario.ts";

const FLEET = `version: 1
devices: [{ count: 5, publish: { interval: 200ms, qos: 1 } }]
`;

test("a run whose thresholds hold says what was measured", async () => {
  const { result, exitCode } = await runScenarioText(`${FLEET}
phases: [{ connect: { rate: 100/s } }, { duration: 1s }]
thresholds:
  connect_duration: ["p(99)<5000"]
  connects: ["count==5"]
  connected: ["rate==1"]
  publish_ack_duration{qos:1}: ["p(99.9)<5000", "min>0"]
  telemetry_delivered: ["rate==1"]
  rss_bytes: ["value>=0"]
`);
  expect(exitCode).toBe(ExitCode.Ok);
  expect(result.thresholds).toHaveLength(7);
  expect(result.thresholds.filter(({ ok }) => !ok)).toEqual([]);
  expect(result.thresholds.find(({ metric }) => metric === "connects")).toEqual({
    metric: "connects",
    rule: "count==5",
    value: "count=5",
    ok: true,
    aborted: false,
  });
});

test("a threshold that does not hold, or that nothing was measured for, is exit code 99", async () => {
  const { result, exitCode, failed } = await runScenarioText(`${FLEET}
phases: [{ connect: { rate: 100/s } }, { duration: 500ms }]
thresholds: { connects: [count>5], will_delivered: [rate==1] }
`);
  expect(exitCode).toBe(ExitCode.ExpectationFailed);
  expect(failed).toEqual([]);
  expect(result.thresholds).toMatchObject([
    { metric: "connects", value: "count=5", ok: false },
    { metric: "will_delivered", value: "nothing was measured", ok: false },
  ]);
  expect(result.interrupted).toBe(false);
});

test("abortOnFail ends the run after its delay: the devices say goodbye, the result is complete", {
  timeout: 30_000,
}, async () => {
  const { result, exitCode, stderr, failed } = await runScenarioText(`${FLEET}
phases: [{ connect: { rate: 100/s } }, { duration: 10m }]
thresholds:
  messages_published:
    - { threshold: count<3, abortOnFail: true, delayAbortEval: 1500ms }
`);
  expect(exitCode).toBe(ExitCode.ExpectationFailed);
  expect(failed).toEqual([]);
  expect(result.interrupted).toBe(true);
  expect(result.durationMs).toBeGreaterThan(1500);
  expect(result.goodbyes).toBe(5);
  expect(result.thresholds).toEqual([
    {
      metric: "messages_published",
      rule: "count<3",
      value: expect.stringMatching(/^count=\d+ after /u),
      ok: false,
      aborted: true,
    },
  ]);
  expect(stderr).toContain("messages_published: count<3 does not hold (count=");
});
