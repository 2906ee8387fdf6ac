/** A board from its first flash to its last power cut, as a firmware developer has it: commands, a pseudo-terminal, mosquitto. */

import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MqttClient } from "../../host/src/index.ts";
import { type Mosquitto, startMosquitto } from "../support/brokers.ts";
import { MODULES_FOLDER } from "../support/core-client.ts";
import { EMULATOR_PROGRAMS, emulatedRuntime } from "../support/emulated-board.ts";
import { describeWith } from "../support/optional.ts";
import { type CliRun, runCli, startCli } from "../support/run-cli.ts";
import { runScenarioText } from "../support/run-scenario.ts";

const MODULE = join(MODULES_FOLDER, "thermometer.wasm");
const SHA256 = createHash("sha256").update(readFileSync(MODULE)).digest("hex");
const ID = "emulated";
const TIMEOUT_MS = 60_000;

describeWith([...EMULATOR_PROGRAMS, "mosquitto"], "an emulated board at a broker", () => {
  const folder = mkdtempSync(join(tmpdir(), "wasmqtt-board-"));
  const runs: CliRun[] = [];
  const heard: { topic: string; payload: string }[] = [];
  let broker: Mosquitto;
  let observer: MqttClient;
  let elf: string;
  let board: CliRun;
  let device: string;
  let bridge: CliRun;

  beforeAll(async () => {
    elf = emulatedRuntime();
    broker = await startMosquitto();
    observer = new MqttClient({ url: `mqtt://127.0.0.1:${broker.port}` });
    await observer.connect();
    await observer.subscribe(`motes/${ID}/#`, { qos: 1 });
    void listen();
    await powerOn();
  }, TIMEOUT_MS);

  afterAll(async () => {
    await observer?.close();
    for (const run of runs) await run.stop();
    await broker?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  async function listen(): Promise<void> {
    for await (const { topic, payload } of observer.messages()) {
      heard.push({ topic, payload: Buffer.from(payload).toString() });
    }
  }

  function start(...args: string[]): CliRun {
    const run = startCli(args, { timeoutMs: 5 * TIMEOUT_MS });
    runs.push(run);
    return run;
  }

  async function powerOn(): Promise<void> {
    board = start("board", "run", "--flash", join(folder, "flash.img"), "--runtime", elf);
    const [, path = ""] = await board.waitFor("stdout", /^(\/dev\/\S+)$/mu);
    device = path;
  }

  function onBoard(...args: string[]) {
    return runCli([...args, "-d", device], { timeoutMs: TIMEOUT_MS });
  }

  function startBridge(): CliRun {
    return start("bridge", "-h", "127.0.0.1", "-p", String(broker.port), "-d", device);
  }

  function telemetry(from = 0): { seq: number }[] {
    return heard
      .slice(from)
      .filter(({ topic }) => topic.endsWith("/telemetry"))
      .map(({ payload }) => JSON.parse(payload) as { seq: number });
  }

  function statuses(from = 0): string[] {
    return heard
      .slice(from)
      .filter(({ topic }) => topic.endsWith("/status"))
      .map(({ payload }) => payload);
  }

  function eventually(what: () => unknown) {
    return expect.poll(what, { timeout: 20_000, interval: 50 });
  }

  test("is told who it is, gets its module, and runs it: byte for byte what the simulator runs", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const told = await onBoard("config", "set", `id=${ID}`, "interval=250ms", "qos=1");
    expect(told).toMatchObject({ exitCode: 0 });
    const flashed = await onBoard("flash", MODULE);
    expect(flashed).toMatchObject({ exitCode: 0 });
    expect(flashed.stdout + flashed.stderr).toContain(SHA256);
    const slots = await onBoard("slots", "--json");
    expect(JSON.stringify(JSON.parse(slots.stdout))).toContain(SHA256);
    expect(flashed.stderr).toMatch(new RegExp(`module ${SHA256}, slot \\d`, "u")); // its console
    const simulated = await runScenarioText(`
version: 1
broker: { url: "mqtt://127.0.0.1:${broker.port}" }
devices: [{ group: sensors, count: 1 }]
phases: [{ name: ramp, connect: { rate: 100/s } }]
`);
    expect(simulated.result.firmware.sha256).toBe(SHA256);
  });

  test("says that it is there, and publishes, in order and without a gap", {
    timeout: TIMEOUT_MS,
  }, async () => {
    bridge = startBridge();
    await eventually(() => statuses()).toContain("online");
    await eventually(() => telemetry().length).toBeGreaterThan(8);
    const sequences = telemetry().map(({ seq }) => seq);
    expect(sequences).toEqual(sequences.map((_, index) => index + (sequences[0] ?? 0)));
  });

  test("obeys a command", { timeout: TIMEOUT_MS }, async () => {
    await observer.publish(`motes/${ID}/cmd`, "interval 100", { qos: 1 });
    await bridge.waitFor("stdout", /command done: interval 100/u);
    const from = heard.length;
    await eventually(() => telemetry(from).length).toBeGreaterThan(10);
  });

  test("its Will is published when it loses power [MQTT-3.1.2-8]", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const from = heard.length;
    board.signal("SIGKILL");
    await eventually(() => statuses(from)).toEqual(["offline"]);
    await bridge.stop();
  });

  test("what was sent to it meanwhile comes when it is back, and its numbers go on [MQTT-3.1.2-5]", {
    timeout: TIMEOUT_MS,
  }, async () => {
    await observer.publish(`motes/${ID}/cmd`, "interval 300", { qos: 2 });
    const last = Math.max(...telemetry().map(({ seq }) => seq));
    const from = heard.length;
    await powerOn();
    bridge = startBridge();
    await bridge.waitFor("stdout", /command done: interval 300/u);
    await eventually(() => statuses(from)).toContain("online");
    await eventually(() => telemetry(from).length).toBeGreaterThan(3);
    const all = telemetry().map(({ seq }) => seq);
    expect([...new Set(all)]).toEqual(Array.from({ length: Math.max(...all) }, (_, i) => i + 1));
    expect(Math.max(...all)).toBeGreaterThan(last);
  });
});
