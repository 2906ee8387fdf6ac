/** The programs in examples/ do what they say, and end by themselves. */

import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import typescript from "typescript";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { EmbeddedBroker } from "../../host/src/broker/embedded-broker.ts";
import { startAedes } from "../support/brokers.ts";

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

/** Runs an example against the built package, as `node examples/…` does where Node reads TypeScript. */
async function run(name: string): Promise<string> {
  const source = readFileSync(`${ROOT}/examples/${name}.ts`, "utf8");
  const { outputText } = typescript.transpileModule(source, {
    compilerOptions: {
      module: typescript.ModuleKind.ESNext,
      target: typescript.ScriptTarget.ES2022,
      verbatimModuleSyntax: true,
    },
  });
  const args = ["--input-type=module", "-", `mqtt://127.0.0.1:${broker.port}`];
  const child = spawn(process.execPath, args, { cwd: ROOT });
  child.stdin.end(outputText);
  children.push(child);
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

test("there are no others", () => {
  expect(readdirSync(`${ROOT}/examples`).toSorted()).toEqual([
    "last-will.ts",
    "publish-and-subscribe.ts",
    "thermometer-in-node.ts",
  ]);
});
