/**
 * What a fleet costs: CPU per message and memory per device, at 1,000 and 10,000 devices, as ratios. The broker is a
 * mosquitto in a process of its own on a loopback port. Run: npm run bench:fleet
 */

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startMosquitto } from "./load/mosquitto.mjs";

const MAIN = new URL("../dist/simulator/src/cli/main.js", import.meta.url).pathname;

/** The same rate of messages for both, so that the cost of a message can be compared. */
const FLEETS = [
  { count: 1_000, interval: "1s" },
  { count: 10_000, interval: "10s" },
];

const folder = mkdtempSync(join(tmpdir(), "wasmqtt-bench-"));
const { port, stop } = await startMosquitto(folder);
try {
  const results = [];
  for (const fleet of FLEETS) results.push(await runFleet(fleet));
  report(results);
} finally {
  await stop();
  rmSync(folder, { recursive: true, force: true });
}

async function runFleet({ count, interval }) {
  const flags = [
    "-c",
    `${count}`,
    "-R",
    "1000",
    "--interval",
    interval,
    "--duration",
    "30s",
    "--json",
    "--quiet",
  ];
  const child = spawn(process.execPath, [
    MAIN,
    "run",
    "steady",
    "-h",
    "127.0.0.1",
    "-p",
    `${port}`,
    ...flags,
  ]);
  let text = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
  });
  child.stderr.pipe(process.stderr);
  await new Promise((resolve) => child.on("close", resolve));
  const result = JSON.parse(text);
  const failed = result.expectations.filter(({ ok }) => !ok);
  if (failed.length > 0) process.stderr.write(`${count} devices: ${JSON.stringify(failed)}\n`);
  return result;
}

function report(results) {
  const rows = results.map(({ devices, messages, generator, latencies }) => ({
    devices: devices.count,
    messages: messages.published,
    cpuUsPerMessage: generator.cpuUsPerMessage,
    memoryPerDeviceBytes: generator.memoryPerDeviceBytes,
    ackP99Ms: latencies.publishAck?.p99Ms,
    scheduleLagP99Ms: generator.scheduleLag?.p99Ms,
  }));
  process.stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`);
  const [small, large] = rows;
  const ratio = (key) => (large[key] / small[key]).toFixed(2);
  process.stdout.write(
    `10,000 devices to 1,000: CPU per message x ${ratio("cpuUsPerMessage")}, memory per device x ${ratio("memoryPerDeviceBytes")}\n`,
  );
}
