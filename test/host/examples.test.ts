/** The programs in examples/ do what they say, and end by themselves. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import typescript from "typescript";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { EmbeddedBroker } from "../../host/src/broker/embedded-broker.ts";
import { MqttClient } from "../../host/src/client/mqtt-client.ts";
import { startAedes } from "../support/brokers.ts";
import { EMULATOR_PROGRAMS, emulatedRuntime } from "../support/emulated-board.ts";
import { describeWith } from "../support/optional.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

let broker: EmbeddedBroker;
let children: ChildProcess[] = [];

beforeAll(async () => {
  broker = await startAedes();
});
afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  children = [];
});
afterAll(() => broker.stop());

/** Starts an example against the built package, as `node examples/…` does where Node reads TypeScript. */
function start(name: string, ...more: string[]) {
  const source = readFileSync(`${ROOT}/examples/${name}.ts`, "utf8");
  const { outputText } = typescript.transpileModule(source, {
    compilerOptions: {
      module: typescript.ModuleKind.ESNext,
      target: typescript.ScriptTarget.ES2022,
      verbatimModuleSyntax: true,
    },
  });
  const args = ["--input-type=module", "-", `mqtt://127.0.0.1:${broker.port}`, ...more];
  const child = spawn(process.execPath, args, { cwd: ROOT });
  child.stdin.end(outputText);
  children.push(child);
  return child;
}

/** Runs an example to its end; returns what it printed. */
async function run(name: string, ...more: string[]): Promise<string> {
  const child = start(name, ...more);
  const exited = new Promise((resolve) => child.once("close", resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  expect([await exited, stderr]).toEqual([0, ""]);
  return stdout;
}

test("publish-and-subscribe", async () => {
  expect(await run("publish-and-subscribe")).toBe(
    "examples/greeting/Ada: Hello, Ada!\n" +
      "examples/greeting/Grace: Hello, Grace!\n" +
      "examples/greeting/Hedy: Hello, Hedy!\n",
  );
});

test("last-will", async () => {
  expect(await run("last-will")).toBe("The lighthouse is lit.\nThe lighthouse is dark.\n");
});

test("thermometer-in-node", async () => {
  const output = await run("thermometer-in-node");
  expect(output).toMatch(/^connected\npublished\n/);
  expect(output).toContain("command\n");
  const telemetry = output.split("\n").filter((line) => line.startsWith("{"));
  expect(telemetry.map((line) => JSON.parse(line).seq)).toEqual([1, 2, 3, 4, 5]);
});

test("survive", async () => {
  const directory = mkdtempSync(join(tmpdir(), "wasmqtt-example-"));
  const publisher = new MqttClient({ url: `mqtt://127.0.0.1:${broker.port}` });
  await publisher.connect();
  try {
    const first = start("survive", directory);
    await untilPrinted(first, "Ready.\n");
    const printedFirst = untilPrinted(first, "Now there are 5.\n");
    await publisher.publish("examples/coins", "5", { qos: 2 });
    await printedFirst;
    first.kill("SIGKILL");
    await publisher.publish("examples/coins", "3", { qos: 2 }); // waits at the broker
    const second = start("survive", directory);
    const printed = await untilPrinted(second, "Now there are 8.\n");
    expect(printed).toMatch(/^There were 5 already\.\n/);
  } finally {
    await publisher.close();
    for (const child of children) child.kill("SIGKILL");
    rmSync(directory, { recursive: true, maxRetries: 3 });
  }
});

/** What a child has printed, as soon as `line` is in it. */
function untilPrinted(child: ChildProcess, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let printed = "";
    child.stdout?.on("data", (chunk) => {
      printed += String(chunk);
      if (printed.includes(line)) resolve(printed);
    });
    child.once("close", () => reject(new Error(`it printed only ${JSON.stringify(printed)}`)));
  });
}

describeWith(EMULATOR_PROGRAMS, "an emulated board", () => {
  test("board", { timeout: 60_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "wasmqtt-example-"));
    try {
      const output = await run("board", join(folder, "board.flash"), emulatedRuntime());
      const [first, ...readings] = output.trim().split("\n");
      expect(first).toMatch(/^virt-rv32 runs [0-9a-f]{64}$/u);
      expect(readings.map((line) => JSON.parse(line).seq)).toEqual([1, 2, 3]);
    } finally {
      rmSync(folder, { recursive: true, maxRetries: 3 });
    }
  });
});

test("there are no others", () => {
  expect(readdirSync(`${ROOT}/examples`).toSorted()).toEqual([
    "board.ts",
    "last-will.ts",
    "publish-and-subscribe.ts",
    "survive.ts",
    "thermometer-in-node.ts",
  ]);
});
