/** A program that uses the built simulator with firmware that traps, on two threads. It must come to an end by itself. */

import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";

const { path, simulator } = workerData;
const { readScenario } = await import(new URL("scenario/scenario-file.js", simulator).href);
const { runScenario } = await import(new URL("run/run.js", simulator).href);
const { realWorld } = await import(new URL("../../host/src/world.js", simulator).href);

const scenario = readScenario("version: 1", "test.yaml", { count: "10", interval: "200ms" });
const firmware = { name: "trapping", bytes: new Uint8Array(readFileSync(path)) };

await runScenario({
  scenario,
  firmwareOf: () => firmware,
  world: realWorld,
  interrupt: new AbortController().signal,
  meter: { cpuUs: () => 0, rssBytes: () => 0 },
  readFile: () => new Uint8Array(0),
  version: "1.2.3",
  environment: { node: "20.0.0", platform: "linux", cpuCount: 2 },
  threadCount: 2,
}).catch((error) => parentPort.postMessage(error.message));
