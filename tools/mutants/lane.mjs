/**
 * A process of tools/mutants.mjs: gets one mutant after the other, builds the firmware with it in a folder of its own,
 * and runs the tests against that until one fails.
 */

import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";
import { startVitest } from "vitest/node";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** What comes last: random sequences take long, and tell less of what is wrong. */
const SLOW = [
  ...["vectors", "packet-id", "connect-packet", "model", "oracle", "hostility"],
  ...["durable-model", "durable-crash"],
];

/** So long that a busy machine is not taken for a test that notices something. */
const TEST_TIMEOUT_MS = 60_000;

/** They judge dist/ or a page of docs/. */
const NOT_OF_A_MODULE = ["conformance", "module", "mutants", "size"];

const HOST_TESTS = ["test/host/session.test.ts", "test/host/driver.test.ts"];

/** What needs thermometer.wasm, and all that needs it only. */
const APP_TESTS = [
  "test/core/durable-thermometer.test.ts",
  "test/host/thermometer-module.test.ts",
  "test/simulator/run-virtual.test.ts",
];

/** What needs reporter.wasm, and thermometer.wasm beside it. */
const REPORTER_TESTS = ["test/host/reporter-module.test.ts", "test/simulator/profiles.test.ts"];

/** Holds a copy of firmware/, and the modules made of it. */
const [, , folder] = process.argv;

await build("core/index.ts", "release", "sound-core.wasm");
await build("apps/thermometer/index.ts", "release", "sound-thermometer.wasm");
await build("apps/reporter/index.ts", "release", "sound-reporter.wasm");

process.on("disconnect", () => process.exit());
process.on("message", async (mutant) => {
  const startedAtMs = performance.now();
  const caughtBy = await (mutant === null ? runAll() : runWith(mutant));
  process.send({ caughtBy, seconds: (performance.now() - startedAtMs) / 1000 });
});

/** The firmware as it is. */
async function runAll() {
  await buildCore();
  await buildApp("thermometer");
  await buildApp("reporter");
  return await firstFailure([...coreTests(), ...APP_TESTS, ...REPORTER_TESTS]);
}

/** The title of the first test that fails, if one does. */
async function runWith({ fault, file, from, to, first }) {
  const path = join(folder, file);
  const source = readFileSync(path, "utf8");
  writeFileSync(
    path,
    source.replace(from, () => to),
  );
  try {
    forgetModules();
    if (file.startsWith("firmware/core/")) return await runWithCore(fault, first);
    const isOfReporter = file.startsWith("firmware/apps/reporter/");
    await buildApp("thermometer");
    if (isOfReporter) await buildApp("reporter");
    demandChange(fault, isOfReporter ? "reporter.wasm" : "thermometer.wasm");
    return await firstFailure(isOfReporter ? REPORTER_TESTS : APP_TESTS);
  } finally {
    writeFileSync(path, source);
  }
}

async function runWithCore(fault, first) {
  await buildCore();
  demandChange(fault, "core.wasm");
  const caughtByCore = await firstFailure(coreTests(first));
  if (caughtByCore !== undefined) return caughtByCore;
  await buildApp("thermometer");
  return await firstFailure(APP_TESTS);
}

function demandChange(fault, module) {
  if (isSound(module)) throw new Error(`This changes no byte of the module: ${fault}`);
}

/** A test that wants a module that was not built must not find that of another fault. */
function forgetModules() {
  for (const module of ["core", "core.debug", "thermometer", "reporter"]) {
    rmSync(join(folder, `${module}.wasm`), { force: true });
  }
}

function isSound(module) {
  const sound = readFileSync(join(folder, `sound-${module}`));
  return sound.equals(readFileSync(join(folder, module)));
}

async function buildCore() {
  await build("core/index.ts", "release", "core.wasm");
  await build("core/index.ts", "debug", "core.debug.wasm");
}

async function buildApp(name) {
  await build(`apps/${name}/index.ts`, "release", `${name}.wasm`);
}

async function build(entry, target, output) {
  const args = [`firmware/${entry}`, "--target", target, "--baseDir", folder, "-o", output];
  const { error, stderr } = await asc.main(args);
  if (error !== null) throw new Error(`${error.message}\n${stderr}`);
}

async function firstFailure(files) {
  class InOrder {
    sort(specifications) {
      const place = ({ moduleId }) => files.findIndex((file) => join(ROOT, file) === moduleId);
      return specifications.toSorted((one, other) => place(one) - place(other));
    }
    shard(specifications) {
      return specifications;
    }
  }
  const vitest = await startVitest("test", files, {
    root: ROOT,
    config: false,
    watch: false,
    include: files,
    reporters: [{}],
    pool: "threads",
    maxWorkers: 1,
    isolate: false,
    bail: 1,
    testTimeout: TEST_TIMEOUT_MS,
    hookTimeout: TEST_TIMEOUT_MS,
    sequence: { sequencer: InOrder },
    setupFiles: ["test/support/modules-under-test.ts"],
    env: { WASMQTT_TEST_MODULES: folder },
  });
  process.exitCode = 0; // a test that fails is what is wanted here
  const modules = vitest.state.getTestModules();
  await vitest.close();
  const failed = modules.find((module) => !module.ok());
  if (failed !== undefined) return titleOf(failed);
  if (modules.length !== files.length) throw new Error("Not every file of tests was run");
  return undefined;
}

/** The file, and the first test in it that failed. */
function titleOf(module) {
  const file = module.relativeModuleId;
  const [test] = module.children.allTests("failed");
  if (test === undefined) throw new Error(`${file}: ${module.errors()[0]?.message}`);
  return { file, title: test.fullName };
}

/** All that need core.wasm only: those of the fault's subject, the others by name, the slow ones, the host's. */
function coreTests(first = []) {
  const names = readdirSync(join(ROOT, "test/core"))
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => name.slice(0, -".test.ts".length))
    .filter((name) => !NOT_OF_A_MODULE.includes(name))
    .sort();
  const quick = names.filter((name) => !SLOW.includes(name));
  const slow = SLOW.filter((name) => names.includes(name));
  const inOrder = [...new Set([...first, ...quick, ...slow])];
  return [...inOrder.map((name) => `test/core/${name}.test.ts`), ...HOST_TESTS].filter(
    (file) => !APP_TESTS.includes(file),
  );
}
