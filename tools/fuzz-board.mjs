/** `npm run fuzz:board -- [seconds] [seed]`: hostile bytes for what a board reads from its line, and a bad line for its tunnel, with sanitizers. */

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { wrapModule } from "../dist/host/src/board/module-image.js";

const BOARD_FOLDER = fileURLToPath(new URL("../firmware/board/", import.meta.url));
const PROGRAMS_FOLDER = "build/posix-sanitized/tests";

/** Seeds for one run of a program: a few seconds. */
const SEED_COUNT = 500;

const [seconds = "60", firstSeed = String(Date.now() % 1_000_000_000)] = process.argv.slice(2);

/** True if the program ended well; it says itself what it did, or which seed failed. */
function run(name, ...programArguments) {
  const ran = spawnSync(join(BOARD_FOLDER, PROGRAMS_FOLDER, name), programArguments.map(String), {
    stdio: "inherit",
  });
  if (ran.status !== 0) process.stderr.write(`${name} ${programArguments.join(" ")} failed\n`);
  return ran.status === 0;
}

function fuzz(imagePath) {
  const endAt = Date.now() + Number(seconds) * 1000;
  for (let seed = Number(firstSeed); Date.now() < endAt; seed += SEED_COUNT) {
    if (!run("wire-fuzz", seed, SEED_COUNT, imagePath)) return 1;
    if (!run("tunnel-line", seed, SEED_COUNT)) return 1;
  }
  return 0;
}

const targets = ["wire-fuzz", "tunnel-line"].map((name) => `${PROGRAMS_FOLDER}/${name}`);
const made = spawnSync("flock", ["Makefile", "make", "--silent", ...targets], {
  cwd: BOARD_FOLDER,
  stdio: "inherit",
});
const folder = mkdtempSync(join(tmpdir(), "wasmqtt-fuzz-"));
try {
  const module = readFileSync(new URL("../dist/thermometer.wasm", import.meta.url));
  const imagePath = join(folder, "thermometer.img");
  const version = { major: 1, minor: 2, revision: 3, build: 0 };
  writeFileSync(imagePath, wrapModule(module, { version }).bytes);
  process.exitCode = made.status === 0 ? fuzz(imagePath) : 1;
} finally {
  rmSync(folder, { recursive: true });
}
