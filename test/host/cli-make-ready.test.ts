/** tools/make-ready.mjs in a folder of its own, with an npm that only writes down what it is asked to do. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";

const SCRIPT = fileURLToPath(new URL("../../tools/make-ready.mjs", import.meta.url));

/** Installs and builds what make-ready looks for; fails or dawdles where a file of that name tells it to. */
const FAKE_NPM = `
const fs = require("node:fs");
const [command, what] = process.argv.slice(2);
fs.appendFileSync("calls", (command === "run" ? what : command) + "\\n");
console.log("npm says hello");
if (fs.existsSync("fail-" + command)) process.exit(7);
if (fs.existsSync("slow")) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600);
const make = (path) => {
  fs.mkdirSync(require("node:path").dirname(path), { recursive: true });
  fs.writeFileSync(path, "");
};
if (command === "ci") make("node_modules/.package-lock.json");
else {
  ["core.wasm", "thermometer.wasm", "reporter.wasm"].forEach((name) => make("dist/" + name));
  make("dist/simulator/src/cli/main.js");
}
`;

let folder: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "wasmqtt-ready-"));
  put("package.json");
  put("package-lock.json");
  put("host/src/index.ts");
  put("fake-npm.cjs", FAKE_NPM);
  put("tools/make-ready.mjs");
  copyFileSync(SCRIPT, join(folder, "tools/make-ready.mjs"));
  for (const path of ["host/src", "host", "tools/make-ready.mjs", "tools"]) setAge(path, 60);
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** Writes a file that is one minute old. */
function put(path: string, content = ""): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), content);
  setAge(path, 60);
}

/** Negative for the future. */
function setAge(path: string, ageSeconds: number): void {
  const time = new Date(Date.now() - ageSeconds * 1000);
  utimesSync(join(folder, path), time, time);
}

interface Outcome {
  exitCode: number | null;
  stdout: string;
  stderr: string;
}

async function makeReady(): Promise<Outcome> {
  const child = spawn(process.execPath, [join(folder, "tools/make-ready.mjs")], {
    env: { PATH: "", TMPDIR: folder, npm_execpath: join(folder, "fake-npm.cjs") },
  });
  children.push(child);
  const outcome: Outcome = { exitCode: null, stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text) => {
    outcome.stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    outcome.stderr += text;
  });
  [outcome.exitCode] = await once(child, "close");
  return outcome;
}

/** What npm was asked to do since the last call of this. */
function calls(): string[] {
  const path = join(folder, "calls");
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  rmSync(path, { force: true });
  return text.split("\n").filter((line) => line !== "");
}

test("a fresh clone is installed and built, told on stderr; the second time nothing happens", async () => {
  const first = await makeReady();
  expect(first).toMatchObject({ exitCode: 0, stdout: "" });
  expect(first.stderr).toMatch(/Installing.*npm ci.*npm says hello.*Building: npm run build/s);
  expect(calls()).toEqual(["ci", "build"]);
  expect(await makeReady()).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  expect(calls()).toEqual([]);
});

test("a newer package-lock.json is installed, and then built with", async () => {
  await makeReady();
  calls();
  setAge("package-lock.json", -60);
  expect((await makeReady()).exitCode).toBe(0);
  expect(calls()).toEqual(["ci", "build"]);
});

test.each([
  ["a changed file", () => writeFileSync(join(folder, "host/src/index.ts"), "changed")],
  ["a file more", () => writeFileSync(join(folder, "host/src/more.ts"), "")],
  ["a file less", () => rmSync(join(folder, "host/src/index.ts"))],
  ["a lost output", () => rmSync(join(folder, "dist/core.wasm"))],
])("%s is a reason to build, once", async (_what, change) => {
  await makeReady();
  calls();
  setAge("node_modules/.package-lock.json", 50);
  setAge("dist/.ready", 40);
  expect((await makeReady()).stderr).toBe("");
  change();
  expect((await makeReady()).exitCode).toBe(0);
  expect((await makeReady()).exitCode).toBe(0);
  expect(calls()).toEqual(["build"]);
});

test("a build that fails is told, and tried again the next time", async () => {
  put("fail-run");
  const failed = await makeReady();
  expect(failed.exitCode).toBe(1);
  expect(failed.stderr).toMatch(/make-ready: npm run failed; see above\./);
  expect(calls()).toEqual(["ci", "build"]);
  rmSync(join(folder, "fail-run"));
  expect((await makeReady()).exitCode).toBe(0);
  expect(calls()).toEqual(["build"]);
});

test("two at once do the work once", async () => {
  put("slow");
  const outcomes = await Promise.all([makeReady(), makeReady()]);
  expect(outcomes.map(({ exitCode }) => exitCode)).toEqual([0, 0]);
  expect(outcomes.some(({ stderr }) => stderr.includes("Waiting for another"))).toBe(true);
  expect(calls()).toEqual(["ci", "build"]);
});

test("the lock of a process that was killed holds nobody up", async () => {
  put("slow");
  const killed = makeReady();
  await until(() => existsSync(join(folder, "calls")));
  children[0]?.kill("SIGKILL");
  await killed;
  calls();
  rmSync(join(folder, "slow"));
  expect((await makeReady()).exitCode).toBe(0);
  expect(calls().at(-1)).toBe("build");
});

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 10));
}
