/**
 * What `wasmqtt run` costs, observer and audit included: CPU for each message and memory for each device, at 1,000 and 10,000
 * devices, on one thread and on two, each with a mosquitto of its own in another process. Run: npm run bench:fleet
 */

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startMosquitto } from "./load/mosquitto.mjs";

const MAIN = fileURLToPath(new URL("../dist/simulator/src/cli/main.js", import.meta.url));
const run = promisify(execFile);

/** The same rate of messages for both, so that the cost of a message can be compared. */
const SMALL = { count: 1_000, interval: "1s" };
const LARGE = { count: 10_000, interval: "10s" };

/** What `wasmqtt run` exits with when something that it promises, or a threshold, does not hold: its result is there. */
const BROKEN_EXIT_CODES = [5, 99];

const OUTPUT_LENGTH_MAX = 2 ** 26;
const RUN_MS_MAX = 180_000;

for (const threadCount of [1, 2]) {
  const small = await measure(SMALL, threadCount);
  const large = await measure(LARGE, threadCount);
  report(threadCount, small, large);
}

async function measure({ count, interval }, threadCount) {
  const folder = mkdtempSync(join(tmpdir(), "wasmqtt-bench-"));
  const { port, stop } = await startMosquitto(folder);
  try {
    const fleet = ["-c", `${count}`, "-j", `${threadCount}`, "-R", "2000", "--interval", interval];
    const args = ["run", "steady", "-h", "127.0.0.1", "-p", `${port}`, "--duration", "30s"];
    const text = await resultText([MAIN, ...args, ...fleet, "--json", "--quiet"]);
    return factsOf(JSON.parse(text));
  } finally {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function resultText(args) {
  const options = { maxBuffer: OUTPUT_LENGTH_MAX, timeout: RUN_MS_MAX };
  try {
    return (await run(process.execPath, args, options)).stdout;
  } catch (error) {
    if (BROKEN_EXIT_CODES.includes(error.code)) return error.stdout;
    throw error;
  }
}

function factsOf({ devices, messages, generator, latencies, expectations }) {
  const broken = expectations.filter(({ ok }) => !ok);
  if (broken.length > 0) process.stderr.write(`${JSON.stringify(broken)}\n`);
  return {
    devices: devices.count,
    messages: messages.published,
    cpuUsPerMessage: generator.cpuUsPerMessage,
    memoryBytes: generator.memoryPerDeviceBytes * devices.count,
    ackP99Ms: latencies.publishAckQos1?.p99Ms,
    scheduleLagP99Ms: generator.scheduleLag?.p99Ms,
  };
}

function report(threadCount, small, large) {
  const { cpuUsPerMessage, ackP99Ms, scheduleLagP99Ms } = large;
  const cpuRatio = cpuUsPerMessage / small.cpuUsPerMessage;
  const furtherBytes = (large.memoryBytes - small.memoryBytes) / (large.devices - small.devices);
  process.stdout.write(
    `${threadCount} thread${threadCount > 1 ? "s" : ""}, ${large.devices} devices: ` +
      `${cpuUsPerMessage.toFixed(1)} us of CPU per message, x ${cpuRatio.toFixed(2)} of what ${small.devices} take; ` +
      `${(large.memoryBytes / large.devices / 1024).toFixed(1)} KiB per device, ` +
      `${(furtherBytes / 1024).toFixed(1)} KiB for each further one; ` +
      `p99 of PUBACK ${ackP99Ms?.toFixed(1)} ms, of the schedule lag ${scheduleLagP99Ms?.toFixed(1)} ms\n`,
  );
}
