/**
 * One ratio, as exactly as a noisy machine gives it: CPU for each paced message of the fleet and of node floor, which take
 * turns of 400 ms within one run (the other one is stopped meanwhile). Run: node bench/pair.mjs [--turns N] [--qos 0|1]
 */

import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startMosquitto } from "./load/mosquitto.mjs";

const DEVICE_COUNT = 1000;
const RATE = 10_000;
const PAYLOAD_LENGTH = 100;

/** Connecting, and compiling what is hot. */
const WARM_UP_MS = 4_000;

/** What has waited while it was stopped is over by then. */
const SETTLE_MS = 160;
const TURN_MS = 400;

const { values } = parseArgs({
  options: {
    turns: { type: "string", default: "60" },
    qos: { type: "string", multiple: true, default: ["0", "1"] },
  },
});
const folder = mkdtempSync(join(tmpdir(), "wasmqtt-pair-"));
try {
  for (const qos of values.qos) report(qos, await compare(qos));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Of each generator and turn the us of CPU for a message. */
async function compare(qos) {
  const runners = [];
  try {
    for (const program of ["node-floor", "fleet"]) runners.push(await start(program, qos));
    const costs = runners.map(() => []);
    for (let turn = 0; turn < Number(values.turns); turn++) {
      for (let step = 0; step < runners.length; step++) {
        const index = (turn + step) % runners.length;
        costs[index].push(await costOfTurn(runners[index].generator));
      }
    }
    return costs;
  } finally {
    for (const { generator, broker } of runners) {
      generator.kill("SIGKILL");
      await broker.stop();
    }
  }
}

/** Runs for ever, with a broker of its own, and is stopped. */
async function start(program, qos) {
  const broker = await startMosquitto(folder, ["max_inflight_messages 0"]);
  const path = fileURLToPath(new URL(`load/${program}.mjs`, import.meta.url));
  const seconds = 86_400;
  const parts = [broker.port, DEVICE_COUNT, RATE, seconds, qos, PAYLOAD_LENGTH].map(String);
  const generator = spawn(process.execPath, ["--expose-gc", path, ...parts], { stdio: "inherit" });
  process.once("exit", () => generator.kill("SIGKILL"));
  await sleep(WARM_UP_MS);
  generator.kill("SIGSTOP");
  return { generator, broker };
}

async function costOfTurn(generator) {
  generator.kill("SIGCONT");
  await sleep(SETTLE_MS);
  const startedAtMs = performance.now();
  const before = cpuUsOf(generator);
  await sleep(TURN_MS);
  const cpuUs = cpuUsOf(generator) - before;
  const seconds = (performance.now() - startedAtMs) / 1000;
  generator.kill("SIGSTOP");
  return cpuUs / (seconds * RATE);
}

/** What all threads have had of a processor: the scheduler's own count, in nanoseconds. */
function cpuUsOf({ pid, exitCode }) {
  if (exitCode !== null) throw new Error(`A generator has ended with exit code ${exitCode}`);
  const tasks = readdirSync(`/proc/${pid}/task`);
  const times = tasks.map((task) => {
    const [ranNs] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ");
    return Number(ranNs) / 1000;
  });
  return times.reduce((sum, each) => sum + each, 0);
}

function report(qos, [floor, fleet]) {
  const ratios = fleet.map((cost, turn) => cost / floor[turn]).sort((one, other) => one - other);
  const at = (share) => ratios[Math.floor(share * (ratios.length - 1))].toFixed(2);
  process.stdout.write(
    `QoS ${qos}: node floor ${mean(floor).toFixed(2)} us, fleet ${mean(fleet).toFixed(2)} us, ` +
      `ratio of the means ${(mean(fleet) / mean(floor)).toFixed(3)}; ` +
      `of ${ratios.length} pairs the median ${at(0.5)}, quartiles ${at(0.25)} and ${at(0.75)}\n`,
  );
}

function mean(costs) {
  return costs.reduce((sum, each) => sum + each, 0) / costs.length;
}
