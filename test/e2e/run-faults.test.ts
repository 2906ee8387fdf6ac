/** `wasmqtt run` when the machine, the broker or the person gives no more: plain words, the result kept, the exit code. */

import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type RunResult, resultSchema } from "../../simulator/src/run/result.ts";
import { type Mosquitto, startAedes, startMosquitto } from "../support/brokers.ts";
import { describeWith } from "../support/optional.ts";
import { type CliResult, MAIN_PATH, runCli, startCli } from "../support/run-cli.ts";

const TIMEOUT_MS = 60_000;

let folder: string;
let endings: (() => Promise<void>)[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "wasmqtt-faults-"));
  endings = [];
});

afterEach(async () => {
  for (const end of endings.reverse()) await end();
  rmSync(folder, { recursive: true });
});

interface FleetText {
  count: number;
  interval?: string;
  rate?: string;
  duration: string;
}

/** The path of a scenario at the broker with this port. */
function scenarioFile(
  port: number,
  { count, interval = "200ms", rate = "400/s", duration }: FleetText,
) {
  const path = join(folder, "test.yaml");
  writeFileSync(
    path,
    `version: 1
broker: { url: "mqtt://127.0.0.1:${port}", responseTimeout: 2s }
devices: [{ count: ${count}, publish: { interval: ${interval}, jitter: 0% }, reconnect: { base: 100ms, max: 500ms } }]
phases: [{ connect: { rate: ${rate}, timeout: 2s } }, { duration: ${duration} }]
observe: { grace: 1s }
`,
  );
  return path;
}

function resultOf({ stdout, stderr }: CliResult): RunResult {
  if (stdout === "") throw new Error(stderr);
  return resultSchema.parse(JSON.parse(stdout));
}

function countOf(text: string, part: string): number {
  return text.split(part).length - 1;
}

test("a limit of open files that the fleet does not fit is said before and after, once each, and who has room goes on", async () => {
  const broker = await startAedes();
  endings.push(() => broker.stop());
  const file = join(folder, "result.json");
  const path = scenarioFile(broker.port, { count: 200, duration: "1s" });
  const outcome = await runCli(["run", path, "--json", "-j", "1", "--out", `json=${file}`], {
    limit: "-n 128",
    timeoutMs: TIMEOUT_MS,
  });
  const result = resultOf(outcome);
  expect(outcome.exitCode).toBe(99);
  expect(countOf(outcome.stderr, "this process may open 128, and 200 devices need 264")).toBe(1);
  expect(outcome.stderr).toMatch(/prlimit|ulimit/u);
  expect(countOf(result.problems.join("\n"), "may not open more connections")).toBe(1);
  expect(result.devices.connected).toBeGreaterThan(64);
  expect(result.devices.connected).toBeLessThan(128);
  expect(result.messages.acknowledged).toBeGreaterThan(result.devices.connected);
  expect(result.audit?.lost).toBe(0);
  // Those without room try again, ever more slowly.
  expect(result.connections.failed["unreachable"]).toBeGreaterThan(72);
  expect(result.connections.attempted).toBeLessThan(200 * 50);
  expect(resultSchema.parse(JSON.parse(readFileSync(file, "utf8"))).runId).toBe(result.runId);
});

test("a name without an address ends the run before any device connects, with exit code 3", async () => {
  const outcome = await runCli(["run", "steady", "-h", "no-such-broker.invalid", "--json"]);
  expect(outcome.exitCode).toBe(3);
  expect(outcome.stdout).toBe("");
  expect(outcome.stderr).toMatch(/^error: no-such-broker\.invalid:1883: /mu);
});

test("an output that has no room is said so before the run, with exit code 2", async () => {
  const outcome = await runCli(["run", "steady", "--out", "ndjson=/dev/full"]);
  expect(outcome).toMatchObject({ exitCode: 2, stdout: "" });
  expect(outcome.stderr).toMatch(/^error: "\/dev\/full" cannot be written: no space is left/mu);
});

test.each([
  { what: "all else holds", code: 5, more: [] },
  { what: "a threshold fails", code: 99, more: ["--threshold", "messages_published: count<1"] },
])("a summary that cannot be written is said so; the exit code is $code if $what", (row) => {
  const full = openSync("/dev/full", "w");
  const flags = ["-c", "2", "--interval", "200ms", "--duration", "1s", "--no-progress"];
  const { status, stderr } = spawnSync(
    process.execPath,
    [MAIN_PATH, "run", ...flags, ...row.more],
    {
      stdio: ["ignore", full, "pipe"],
      encoding: "utf8",
      timeout: TIMEOUT_MS,
    },
  );
  closeSync(full);
  expect(status).toBe(row.code);
  expect(stderr).toMatch(/^error: The result cannot be written: ENOSPC/mu);
});

test("an output that grows too large is said so, the other results are kept, and the exit code is 5", async () => {
  const file = join(folder, "samples.ndjson");
  const flags = ["-c", "5", "--interval", "200ms", "--duration", "3s", "--out", `ndjson=${file}`];
  const outcome = await runCli(["run", "steady", ...flags, "--json"], {
    limit: "-f 1",
    timeoutMs: TIMEOUT_MS,
  });
  expect(outcome.exitCode).toBe(5);
  expect(countOf(outcome.stderr, "The run goes on without it.")).toBe(1);
  expect(outcome.stderr).toMatch(/^error: ".*samples\.ndjson" is incomplete: .*\n {2}Write to/mu);
  expect(resultOf(outcome).expectations.every(({ ok }) => ok)).toBe(true);
});

describeWith(["mosquitto"], "mosquitto", () => {
  let mosquitto: Mosquitto;

  beforeEach(async () => {
    mosquitto = await startMosquitto({ config: ["log_type none"] });
    endings.push(() => mosquitto.stop());
  });

  /** Starts a run of 50 devices and resolves when it has gone on for a moment. */
  async function begin(duration: string) {
    const path = scenarioFile(mosquitto.port, { count: 50, duration });
    const cli = startCli(["run", path, "--json", "-j", "1"], { timeoutMs: TIMEOUT_MS });
    endings.push(() => cli.stop());
    await cli.waitFor("stderr", /Broker: /u);
    await sleep(1_500);
    return cli;
  }

  test("that is killed and does not come back ends no run early, is named, and makes the exit code 99", async () => {
    const cli = await begin("3s");
    await mosquitto.halt("SIGKILL");
    const outcome = await cli.ended;
    const result = resultOf(outcome);
    expect(outcome.exitCode).toBe(99);
    expect(result.connections.lost).toBe(50);
    expect(result.connections.failed["unreachable"]).toBeGreaterThan(50);
    expect(result.messages.acknowledged).toBeGreaterThan(50);
    // Nothing is left out: what was not acknowledged waits in an outbox, is in doubt or was dropped.
    expect(result.messages.sent.qos1).toBe(result.messages.acknowledged + result.messages.inDoubt);
    expect(result.problems.join("\n")).toContain("Connections were lost.");
    expect(result.problems.join("\n")).toContain("nobody listens there");
    expect(result.problems.join("\n")).toContain("own subscriber lost its connection");
    expect(result.durationMs).toBeLessThan(20_000);
  });

  test("that is killed and comes back loses connections, but no reading that it was to keep", async () => {
    const cli = await begin("4s");
    await mosquitto.restart("SIGKILL");
    const outcome = await cli.ended;
    const result = resultOf(outcome);
    expect(outcome.exitCode).toBe(99);
    expect(result.expectations.filter(({ ok }) => !ok).map(({ name }) => name)).toEqual([
      "connections_lost",
    ]);
    expect(result.connections).toMatchObject({ lost: 50, reconnected: 50 });
    expect(result.messages.inDoubt).toBe(0);
    expect(result.observer.lost).toBe(1);
  });

  test("that stands still while the devices leave holds the run up for a while, a second Ctrl-C does not wait", async () => {
    const cli = await begin("30s");
    mosquitto.freeze();
    cli.signal("SIGINT");
    await cli.waitFor("stderr", /Press Ctrl-C again/u);
    await sleep(200);
    const secondAtMs = performance.now();
    cli.signal("SIGINT");
    const outcome = await cli.ended;
    expect(outcome.exitCode).toBe(130);
    expect(performance.now() - secondAtMs).toBeLessThan(2_500);
    const { interrupted, messages, expectations, problems } = resultOf(outcome);
    expect(interrupted).toBe(true);
    expect(messages.acknowledged).toBeGreaterThan(50);
    expect(problems.join()).toContain("ended before its devices had left");
    expect(expectations.filter(({ ok }) => !ok)).toEqual([]);
  });

  test("that stands still for good ends the run in time, with all that it owes by name", async () => {
    const cli = await begin("3s");
    mosquitto.freeze();
    const outcome = await cli.ended;
    const result = resultOf(outcome);
    expect(outcome.exitCode).toBe(99);
    expect(result.connections.lost).toBe(50);
    expect(result.problems).toContain(
      "Devices have left without a goodbye that the broker took. It did not acknowledge it in time.",
    );
    expect(result.messages.sent.qos1).toBe(result.messages.acknowledged + result.messages.inDoubt);
    expect(result.messages.inDoubt).toBeGreaterThan(0);
    const failed = result.expectations.filter(({ ok }) => !ok).map(({ name }) => name);
    expect(failed).toEqual(["connections_lost", "telemetry_unanswered"]);
    expect(result.durationMs).toBeLessThan(40_000);
  });
});
