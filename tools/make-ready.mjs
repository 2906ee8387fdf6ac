/**
 * Installs and builds what is missing or older than its sources; npm runs it before `npm start` and `npm test`. It works
 * on a fresh clone, with Node alone.
 */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** What a build reads. */
const SOURCES = [
  ...["firmware/core", "firmware/apps", "host", "simulator", "types", "tools"],
  ...["package.json", "asconfig.json", "tsconfig.json", "tsconfig.build.json"],
];

/** What a build leaves behind, in part. */
const OUTPUTS = [
  ...["dist/core.wasm", "dist/thermometer.wasm", "dist/reporter.wasm"],
  "dist/simulator/src/cli/main.js",
];

/** npm writes it at the end of an installation. */
const INSTALLED = "node_modules/.package-lock.json";

/** Written after a build that worked; its time is the start of that build. */
const BUILT = "dist/.ready";

/** Longer than any installation and build. */
const LOCK_TIMEOUT_MS = 15 * 60_000;

if (!isInstalled() || !isBuilt()) withLock(makeReady);

function makeReady() {
  if (!isInstalled()) {
    // With NODE_ENV=production npm would leave out the compilers.
    runNpm(
      ["ci", "--include=dev", "--no-audit", "--no-fund"],
      "Installing what package-lock.json names",
    );
  }
  if (!isBuilt()) build();
}

function build() {
  const startedAt = new Date();
  rmSync(join(ROOT, BUILT), { force: true });
  runNpm(["run", "build"], "Building");
  mkdirSync(join(ROOT, "dist"), { recursive: true });
  writeFileSync(join(ROOT, BUILT), "");
  utimesSync(join(ROOT, BUILT), startedAt, startedAt);
}

function isInstalled() {
  return modifiedAtMs(INSTALLED) >= modifiedAtMs("package-lock.json");
}

/** -Infinity, the time of what is not there, is older than everything. */
function isBuilt() {
  const builtAtMs = modifiedAtMs(BUILT);
  const isComplete = OUTPUTS.every((path) => modifiedAtMs(path) > Number.NEGATIVE_INFINITY);
  return isComplete && builtAtMs >= modifiedAtMs(INSTALLED) && builtAtMs >= newestAtMs(SOURCES);
}

/** Folders count as well: their time tells of files that were added or removed. */
function newestAtMs(paths) {
  let newest = Number.NEGATIVE_INFINITY;
  for (const path of paths) {
    newest = Math.max(newest, modifiedAtMs(path), newestAtMs(childrenOf(path)));
  }
  return newest;
}

function childrenOf(path) {
  try {
    return readdirSync(join(ROOT, path)).map((name) => join(path, name));
  } catch (error) {
    if (error.code === "ENOTDIR" || error.code === "ENOENT") return [];
    throw error;
  }
}

function modifiedAtMs(path) {
  const stats = statSync(join(ROOT, path), { throwIfNoEntry: false });
  return stats?.mtimeMs ?? Number.NEGATIVE_INFINITY;
}

/** Runs the npm that runs us, if there is one. What it prints goes to stderr: stdout belongs to the command. */
function runNpm(args, what) {
  say(`${what}: npm ${args.join(" ")}`);
  const options = { cwd: ROOT, stdio: ["ignore", 2, 2] };
  const npmPath = process.env["npm_execpath"];
  const { status, error } = npmPath?.endsWith("js")
    ? spawnSync(process.execPath, [npmPath, ...args], options)
    : spawnSync("npm", args, { ...options, shell: process.platform === "win32" });
  if (status === 0) return;
  say(`npm ${args[0]} failed${error === undefined ? "" : `: ${error.message}`}; see above.`);
  process.exit(1);
}

/** One at a time: two installations into the same folder would spoil each other. */
function withLock(work) {
  const name = createHash("sha256").update(ROOT).digest("hex").slice(0, 16);
  const path = join(tmpdir(), `wasmqtt-make-ready-${name}`);
  takeLock(path);
  try {
    work();
  } finally {
    rmSync(path, { force: true });
  }
}

function takeLock(path) {
  const endAtMs = Date.now() + LOCK_TIMEOUT_MS;
  for (let tryCount = 0; Date.now() < endAtMs; tryCount++) {
    try {
      writeFileSync(path, `${process.pid}`, { flag: "wx" });
      return;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    if (isAbandoned(path)) {
      rmSync(path, { force: true });
      continue;
    }
    if (tryCount === 0) say("Waiting for another installation or build to end");
    sleep(200);
  }
  say(`Waited too long. If nothing else installs or builds here, delete ${path}`);
  process.exit(1);
}

/** True if the process that made the lock is no more. */
function isAbandoned(path) {
  try {
    const pid = Number(readFileSync(path, "utf8"));
    if (pid > 0) process.kill(pid, 0);
    return false;
  } catch (error) {
    return error.code === "ESRCH";
  }
}

function sleep(durationMs) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, durationMs);
}

function say(text) {
  process.stderr.write(`make-ready: ${text}\n`);
}
