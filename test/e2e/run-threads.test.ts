/** Runs on several threads through the command line: they keep every promise, are the same fleet, and end as runs end. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RunResult, resultSchema } from "../../simulator/src/run/result.ts";
import { mosquittoSub, startMosquitto } from "../support/brokers.ts";
import { describeWith } from "../support/optional.ts";
import { type CliResult, runCli, startCli } from "../support/run-cli.ts";
import { trappingModule } from "../support/trapping-module.ts";

const TIMEOUT_MS = 120_000;

const DIST = new URL("../../dist/", import.meta.url);

let folder = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "wasmqtt-threads-"));
});

afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function run(args: string[]): Promise<CliResult> {
  return runCli(["run", ...args], { timeoutMs: TIMEOUT_MS });
}

function resultOf({ exitCode, stdout, stderr }: CliResult): RunResult {
  if (stdout === "") throw new Error(`no result, exit code ${exitCode}:\n${stderr}`);
  return resultSchema.parse(JSON.parse(stdout));
}

const COUNT = 30;

/** last-will-all-kinds in half of its time. Mosquitto looks for silent clients about every six seconds. */
const ALL_KINDS = `version: 1
name: all-kinds
broker: { keepAlive: 2s }
devices:
  - { count: 100, publish: { interval: 500ms, qos: 1 }, reconnect: { base: 300ms, max: 3s } }
phases:
  - connect: { rate: 100/s }
  - fault: { kind: tcp-close, target: 20%, spread: 500ms, away: 500ms }
    duration: 2s
  - fault: { kind: tcp-reset, target: 20%, spread: 500ms, away: 500ms }
    duration: 2s
  - fault: { kind: takeover, target: 20%, spread: 500ms, away: 500ms }
    duration: 2s
  - fault: { kind: protocol-error, target: 20%, spread: 500ms, away: 500ms }
    duration: 2s
  - fault: { kind: clean, target: 20%, spread: 500ms, away: 500ms }
    duration: 2s
  - fault: { kind: power-loss, target: 20%, spread: 500ms, away: 12s }
    duration: 1s
  - fault: { kind: hang, target: 20%, spread: 500ms, away: 12s }
    duration: 14s
observe: { grace: 8s }
`;

const SCENARIOS = ["all-kinds", "offline-messages", "broker-restart", "spike"];

/** Answers the arguments of a run of a scenario with COUNT sensors. */
function argumentsOf(scenario: string, threads: number): string[] {
  const place =
    scenario === "all-kinds" ? file(`${scenario}-${threads}.yaml`, ALL_KINDS) : scenario;
  return [place, "-c", `${COUNT}`, "-j", `${threads}`, "--json"];
}

function expectKept(outcome: CliResult, threads: number): RunResult {
  const result = resultOf(outcome);
  const failed = [...result.expectations, ...result.thresholds].filter(({ ok }) => !ok);
  expect(failed, JSON.stringify({ ...result, timeline: [] }, undefined, 2)).toEqual([]);
  expect(outcome.exitCode).toBe(0);
  expect(result.generator.threads).toBe(threads);
  expect(result.devices).toMatchObject({ count: COUNT, connected: COUNT });
  expect(result.audit?.delivered).toBeGreaterThan(COUNT);
  expect(result.audit?.unknown).toBe(0);
  expect(result.latencies.publishAck?.count).toBe(result.messages.acknowledged);
  const ackCounts = result.timeline.flatMap(({ latencies: { publishAckQos1, publishAckQos2 } }) => [
    publishAckQos1?.count ?? 0,
    publishAckQos2?.count ?? 0,
  ]);
  expect(ackCounts.reduce((sum, count) => sum + count)).toBe(result.messages.acknowledged);
  expect(result.statusMessages?.offline).toBe((result.wills?.delivered ?? 0) + result.goodbyes);
  return result;
}

// A run waits most of its time, so several run at once.
describe.concurrent("with the embedded broker", () => {
  test.each(SCENARIOS)(
    "%s keeps every promise on two threads",
    { timeout: TIMEOUT_MS },
    async (name) => {
      const result = expectKept(await run(argumentsOf(name, 2)), 2);
      expect(result.broker.embedded).toBe(true);
      expect(result.brokerRestarts).toBe(name === "broker-restart" ? 1 : 0);
    },
  );
});

describeWith(["mosquitto", "mosquitto_sub"], "with mosquitto", () => {
  test.concurrent.each(SCENARIOS)(
    "%s keeps every promise on three threads, and mosquitto_sub sees the same devices come and go",
    { timeout: TIMEOUT_MS },
    async (name) => {
      const mosquitto = await startMosquitto();
      const outside = await mosquittoSub(mosquitto.port, ["-q", "1", "-t", "motes/+/status"]);
      try {
        const place = ["-h", "127.0.0.1", "-p", `${mosquitto.port}`];
        const result = expectKept(await run([...argumentsOf(name, 3), ...place]), 3);
        const { online, offline } = result.statusMessages ?? { online: 0, offline: 0 };
        await outside.waitFor(({ messages }) => messages.length >= online + offline);
        const said = (text: string) => outside.messages.filter(({ payload }) => payload === text);
        expect([said("online").length, said("offline").length]).toEqual([online, offline]);
        const names = new Set(outside.messages.map(({ topic }) => topic.split("/")[1]));
        expect([...names].sort()).toEqual(namesOf(name));
      } finally {
        await outside.stop();
        await mosquitto.stop();
      }
    },
  );
});

/** The client ids, as the scenario and one thread have them. */
function namesOf(scenario: string): string[] {
  const numbered = (prefix: string, length: number, from: number, count: number) =>
    Array.from({ length: count }, (_, index) => prefix + `${from + index}`.padStart(length, "0"));
  if (scenario !== "spike") return numbered("mote-", 5, 1, COUNT);
  const [meters, alarms, weather] = [COUNT / 2, COUNT / 6, COUNT / 3];
  return [
    ...numbered("alarm-", 4, meters + 1, alarms),
    ...numbered("meter-", 4, 1, meters),
    ...numbered("weather-", 4, meters + alarms + 1, weather),
  ];
}

/** Each device that a fault befalls stays away, so whoever says `offline` during a fault is one of its targets. */
const FAULTS = `version: 1
seed: 3
devices: [{ count: 20, publish: { interval: 1s } }]
phases:
  - connect: { rate: 100/s }
  - fault: { kind: tcp-reset, target: 6, away: 1h }
    duration: 1s
  - fault: { kind: tcp-close, target: 5, away: 1h }
    duration: 1s
`;

describeWith(["mosquitto", "mosquitto_sub"], "the devices that a fault befalls", () => {
  test("are the same on one thread and on three", { timeout: TIMEOUT_MS }, async () => {
    const path = file("faults.yaml", FAULTS);
    const goneOf = async (threads: number) => {
      const mosquitto = await startMosquitto();
      const outside = await mosquittoSub(mosquitto.port, ["-q", "1", "-t", "motes/+/status"]);
      try {
        const place = ["-h", "127.0.0.1", "-p", `${mosquitto.port}`];
        const result = resultOf(await run([path, ...place, "-j", `${threads}`, "--json"]));
        expect(result.wills).toMatchObject({ expected: 11, delivered: 11 });
        await outside.waitFor(({ messages }) => messages.length >= 20 + 20);
        const gone = outside.messages.filter(({ payload }) => payload === "offline");
        const topics = gone.map(({ topic }) => topic);
        return { reset: topics.slice(0, 6).sort(), closed: topics.slice(6, 11).sort() };
      } finally {
        await outside.stop();
        await mosquitto.stop();
      }
    };
    expect(await goneOf(3)).toEqual(await goneOf(1));
  });
});

describe("Ctrl-C in a run on three threads", () => {
  const flags = ["run", "steady", "-c", "10", "--interval", "200ms", "-j", "3", "--json"];

  test("ends it with goodbyes, a summary and exit code 130", { timeout: TIMEOUT_MS }, async () => {
    const cli = startCli(flags, { timeoutMs: TIMEOUT_MS });
    try {
      await cli.waitFor("stderr", /10 of 10 connected/u);
      cli.signal("SIGINT");
      const outcome = await cli.ended;
      expect(outcome.exitCode).toBe(130);
      expect(resultOf(outcome)).toMatchObject({ interrupted: true, goodbyes: 10 });
    } finally {
      await cli.stop();
    }
  });

  test("given three times ends it at once", { timeout: TIMEOUT_MS }, async () => {
    const cli = startCli(flags, { timeoutMs: TIMEOUT_MS });
    try {
      await cli.waitFor("stderr", /10 of 10 connected/u);
      for (let time = 0; time < 3; time++) cli.signal("SIGINT");
      expect((await cli.ended).exitCode).toBe(130);
    } finally {
      await cli.stop();
    }
  });

  test("given twice ends it with a summary", { timeout: TIMEOUT_MS }, async () => {
    const cli = startCli(flags, { timeoutMs: TIMEOUT_MS });
    try {
      await cli.waitFor("stderr", /10 of 10 connected/u);
      cli.signal("SIGINT");
      await cli.waitFor("stderr", /Press Ctrl-C again/u);
      cli.signal("SIGINT");
      const outcome = await cli.ended;
      expect(outcome.exitCode).toBe(130);
      const result = resultOf(outcome);
      expect(result).toMatchObject({ interrupted: true, devices: { connected: 10 } });
      expect(result.expectations.filter(({ ok }) => !ok)).toEqual([]);
    } finally {
      await cli.stop();
    }
  });
});

describe("firmware that traps", () => {
  const thermometer = readFileSync(new URL("thermometer.wasm", DIST));

  test.each([
    ["when a reading is taken", "reading", "1"],
    ["when a reading is taken", "reading", "2"],
    ["when a device is set up", "configure", "2"],
  ])(
    "%s (%s) ends the run with a plain error, on -j %s",
    { timeout: TIMEOUT_MS },
    async (...settings) => {
      const [, name, threads] = settings;
      const path = file(`${name}-${threads}.wasm`, trappingModule(thermometer, name));
      const flags = ["-c", "10", "--interval", "200ms", "-j", threads];
      const { exitCode, stdout, stderr } = await run(["steady", "--firmware", path, ...flags]);
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
      expect(stderr).toContain("error: The firmware trapped: unreachable\n  With --firmware,");
    },
  );

  test("leaves nothing behind that would keep a program that uses the simulator", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const path = file("library.wasm", trappingModule(thermometer, "reading"));
    const worker = new Worker(new URL("../support/trapped-run.mjs", import.meta.url), {
      workerData: { path, simulator: new URL("simulator/src/", DIST).href },
    });
    const heard: unknown[] = [];
    worker.on("message", (message) => heard.push(message));
    try {
      await new Promise((resolve, reject) => {
        worker.once("exit", resolve).once("error", reject);
      });
    } finally {
      await worker.terminate();
    }
    expect(heard).toEqual(["unreachable"]);
  });
});

test.each(["0", "1000", "x", "-1", "1.5"])(
  "-j %s is a mistake of whoever typed it",
  async (jobs) => {
    const { exitCode, stdout, stderr } = await run(["steady", "-c", "50", "-j", jobs]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toContain(`--jobs "${jobs}" cannot be: there are 50 devices`);
    expect(stderr).toContain("Give a whole number from 1 to 50");
  },
);

test("threads agree about the time, or Wills would seem to come before their fault", async () => {
  const world = new URL("host/src/world.js", DIST).href;
  const { realWorld } = (await import(world)) as { realWorld: { nowMs: () => number } };
  const code = `
    const { parentPort } = require("node:worker_threads");
    import(${JSON.stringify(world)}).then(({ realWorld }) =>
      parentPort.on("message", () => parentPort.postMessage(realWorld.nowMs())));
  `;
  const workers = Array.from({ length: 10 }, () => new Worker(code, { eval: true }));
  try {
    for (const worker of workers) {
      const beforeMs = realWorld.nowMs();
      const nowMs = await new Promise<number>((resolve) => {
        worker.once("message", resolve);
        worker.postMessage("tell");
      });
      expect(nowMs).toBeGreaterThan(beforeMs - 0.1);
      expect(nowMs).toBeLessThan(realWorld.nowMs() + 0.1);
    }
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
});
