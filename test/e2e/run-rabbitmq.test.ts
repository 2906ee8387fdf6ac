/** RabbitMQ with its MQTT plugin: what a probe finds out, and fleets whose runs say in plain words what it does otherwise. */

import { afterAll, beforeAll, expect, test } from "vitest";
import { runCli } from "../../host/src/cli/program.ts";
import { readModule } from "../../host/src/core/core.ts";
import { registerRun } from "../../simulator/src/cli/commands/run.ts";
import { type RunResult, resultSchema } from "../../simulator/src/run/result.ts";
import { describeWith } from "../support/optional.ts";
import { findingOf, idsOf, notAsDocumented, type Probing, probing } from "../support/probing.ts";
import { RABBITMQ_START_LIMIT_MS, type RabbitMq, startRabbitMq } from "../support/rabbitmq.ts";
import { RecordingContext } from "../support/run-cli.ts";
import { runScenarioText, type ScenarioOutcome } from "../support/run-scenario.ts";

const TIMEOUT_MS = 90_000;

/** All seven kinds, quicker than last-will-all-kinds: with 2 s RabbitMQ gives a silent client up after 4 to 8 s. */
const WILLS = `
version: 1
name: wills
broker: { url: BROKER, keepAlive: 2s }
devices: [{ count: 40, publish: { interval: 1s, qos: 1 }, reconnect: { base: 500ms, max: 2s } }]
phases:
  - connect: { rate: 100/s, timeout: 30s }
  - { fault: { kind: tcp-close, target: 20%, spread: 500ms, away: 1s }, duration: 2s }
  - { fault: { kind: tcp-reset, target: 20%, spread: 500ms, away: 1s }, duration: 2s }
  - { fault: { kind: clean, target: 20%, spread: 500ms, away: 1s }, duration: 2s }
  - { fault: { kind: power-loss, target: 20%, spread: 500ms, away: 9s }, duration: 1s }
  - { fault: { kind: hang, target: 20%, spread: 500ms, away: 9s }, duration: 10s }
  - { fault: { kind: takeover, target: 20%, spread: 500ms, away: 1s }, duration: 2s }
observe: { grace: 6s }
`;

/** QoS 2 that nobody subscribes to. */
const UNWATCHED = `
version: 1
name: unwatched
broker: { url: BROKER }
devices: [{ count: 10, publish: { interval: 500ms, qos: 2 } }]
phases: [{ connect: { rate: 100/s } }, { duration: 2s }]
observe: { wills: false, audit: false }
`;

describeWith(["rabbitmq-server"], "RabbitMQ", () => {
  let rabbitMq: RabbitMq;
  /** Asked beside the fleets, which have other topics and client ids. */
  let asked: Promise<Probing>;

  beforeAll(async () => {
    rabbitMq = await startRabbitMq();
    asked = probing(rabbitMq.port);
    asked.catch(() => {}); // for the test that awaits it
  }, RABBITMQ_START_LIMIT_MS);
  afterAll(() => rabbitMq?.stop());

  /** A scenario that ships, smaller. */
  async function run(...args: string[]): Promise<{ exitCode: number; result: RunResult }> {
    const { exitCode, stdout, stderr } = await runText(...args);
    if (stdout === "") throw new Error(`no result, exit code ${exitCode}:\n${stderr}`);
    return { exitCode, result: resultSchema.parse(JSON.parse(stdout)) };
  }

  async function runText(...args: string[]) {
    const context = new RecordingContext();
    context.system = { ...context.system, readModule };
    const place = ["-L", rabbitMq.url];
    const exitCode = await runCli(["run", ...args, ...place, "--json"], context, [registerRun]);
    return { exitCode, stdout: context.stdout.text, stderr: context.stderr.text };
  }

  function runScenario(text: string): Promise<ScenarioOutcome> {
    return runScenarioText(text.replace("BROKER", rabbitMq.url));
  }

  function failedIn({ expectations }: RunResult): string[] {
    return expectations.filter(({ ok }) => !ok).map(({ name }) => name);
  }

  test("steady at QoS 1 keeps every promise", { timeout: TIMEOUT_MS }, async () => {
    const { exitCode, result } = await run("steady", "-c", "40", "--duration", "2s");
    expect(failedIn(result)).toEqual([]);
    expect(exitCode).toBe(0);
    expect(result.devices.connected).toBe(40);
    expect(result.audit?.delivered).toBeGreaterThanOrEqual(40);
  });

  test("commands wait for devices that are away", { timeout: TIMEOUT_MS }, async () => {
    const { exitCode, result } = await run("offline-messages", "-c", "40");
    expect(failedIn(result)).toEqual([]);
    expect(exitCode).toBe(0);
    expect(result.commands).toMatchObject({ sent: 180, arrived: 180, lost: 0, doubled: 0 });
  });

  test("Wills come, but not when another client takes the place: the run says so", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const { exitCode, result } = await runScenario(WILLS);
    expect(exitCode).toBe(99);
    expect(failedIn(result)).toContain("wills_delivered");
    const told = result.expectations.find(({ name }) => name === "wills_delivered");
    expect(told?.explanation).toMatch(/whose Last Will never came \[MQTT-3\.1\.2-8\]/);
    for (const kind of ["tcp-close", "tcp-reset", "power-loss", "hang"] as const) {
      const { wills } = result.faults[kind] ?? {};
      expect(wills, kind).toMatchObject({ missing: 0, late: 0, early: 0, doubled: 0 });
      expect(wills?.delivered, kind).toBe(8);
    }
    expect(result.faults.takeover?.wills).toMatchObject({ expected: 8, delivered: 0, missing: 8 });
    expect(result.faults.clean?.wills).toMatchObject({ expected: 0, delivered: 0 });
    expect(result.wills?.unexpected).toBe(0);
  });

  test("QoS 2 is not granted to the run's observer: exit code 2, and the reason", async () => {
    const { exitCode, stderr } = await runText("steady", "-c", "5", "--duration", "1s", "-q", "2");
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/grants no more than QoS 1 .* subscription to motes\/\+\/telemetry/);
  });

  test("QoS 2 that nobody watches is acknowledged with PUBACK, and counts as taken over", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const { exitCode, result } = await runScenario(UNWATCHED);
    expect(failedIn(result)).toEqual([]);
    expect(exitCode).toBe(0);
    expect(result.messages.sent.qos2).toBeGreaterThan(20);
    expect(result.messages.acknowledged).toBe(result.messages.sent.qos2);
  });

  test("a probe has an answer to each question and leaves nothing", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const { exitCode, report } = await asked;
    expect(exitCode).toBe(0);
    expect(idsOf(report, "unknown")).toEqual([]);
    expect(report.leftOver).toEqual([]);
  });

  test("a probe finds out in what it deviates", { timeout: TIMEOUT_MS }, async () => {
    const { report } = await asked;
    expect(idsOf(report, "deviates")).toEqual(DEVIATIONS);
    expect(notAsDocumented(report, "RabbitMQ")).toEqual([]);
    expect(findingOf(report, "qos.granted").found).toBe("QoS 0, 1, 2 become 0, 1, 1");
    expect(findingOf(report, "qos2.answer").found).toBe("PUBACK, as at QoS 1");
    expect(findingOf(report, "retained.wildcard").found).toBe("not delivered");
    expect(findingOf(report, "topic.unchanged").found).toBe('"dots.in.it" becomes "dots/in/it"');
    expect(findingOf(report, "limit.inflight").value).toBe(10);
  });
});

const DEVIATIONS = [
  "version.5",
  "version.unknown",
  "will.protocol-error",
  "will.takeover",
  "retained.wildcard",
  "qos2.answer",
  "qos2.repeated",
  "qos2.repeated-later",
  "qos2.unknown-pubrel",
  "qos.dup",
  "session.present-empty",
  "topic.dollar",
  "topic.unchanged",
  "topic.resubscribed",
  "broken.reserved-connect-flag",
  "broken.will-qos-3",
  "broken.second-connect",
  "broken.packet-type-0",
  "broken.packet-type-15",
  "broken.packet-of-server",
  "broken.long-length",
  "broken.dup-qos-0",
  "broken.packet-id-0",
  "broken.wildcard-in-topic",
  "broken.empty-topic",
  "broken.topic-no-utf8",
  "broken.topic-nul",
  "broken.subscribe-empty",
  "broken.pubrel-flags",
  "broken.pingreq-flags",
  "broken.filter",
];
