/**
 * Ours as it is: the simulator's Fleet with thermometer.wasm, its timers, histograms and audit; without the observer, which
 * is a client of its own. The payload is the thermometer's, about 50 bytes.
 */

import { importFromDist, readFromDist } from "./dist.mjs";
import { counts, generate, settings } from "./generator.mjs";

const { loadCore } = await importFromDist("host/src/core/core.js");
const { openTransport } = await importFromDist("host/src/transport/open-transport.js");
const { parseBrokerUrl } = await importFromDist("host/src/transport/broker-url.js");
const { realWorld: world } = await importFromDist("host/src/world.js");
const { Fleet } = await importFromDist("simulator/src/fleet/fleet.js");
const { LatencyMeter } = await importFromDist("simulator/src/fleet/latency-meter.js");
const { TelemetryAudit } = await importFromDist("simulator/src/fleet/telemetry-audit.js");
const { WillLedger } = await importFromDist("simulator/src/fleet/will-ledger.js");

const GRACE_MS = 10_000;

const { port, deviceCount, rate, qos } = settings;
const url = parseBrokerUrl(`mqtt://127.0.0.1:${port}`);
const core = await loadCore(readFromDist("thermometer.wasm"));
const fleet = new Fleet({
  coreOf: () => core,
  world,
  openTransport: openTransport(url, world),
  scenario: scenario(),
  part: { index: 0, count: 1 },
  password: undefined,
  startedAtMs: world.nowMs(),
  audit: new TelemetryAudit(Array(deviceCount).fill(qos)),
  ledger: new WillLedger(deviceCount, GRACE_MS),
  latencies: new LatencyMeter(),
  stateBytes: new Uint8Array(deviceCount),
  problem: (sentence) => process.stderr.write(`${sentence}\n`),
});
count("connected", "connectedCount");
count("messages", "publishedCount");
count("acknowledged", "acknowledgedCount");
await generate({
  connect: (number) => fleet.sensors[number - 1].comeBackIn(0),
  begin: () => {}, // with its connection
});

function count(ours, theirs) {
  Object.defineProperty(counts, ours, { get: () => fleet.books[theirs] });
}

function scenario() {
  // Without a rate they publish as fast as they can, and so much goes in one write.
  const intervalMs = rate === 0 ? 0 : Math.round((1000 * deviceCount) / rate);
  const outboxCount = rate === 0 ? 180 : 4;
  const group = {
    name: "load",
    count: deviceCount,
    id: "mote-%05i",
    firstNumber: 1,
    cleanSession: true,
    profile: "plain",
    publish: { intervalMs, jitter: 0, qos, retain: false, outboxCount, deadBandMilliCelsius: 0 },
    temperature: { mean: 21, amplitude: 3, periodMs: 60_000, drift: 1, noise: 0.1 },
    reconnect: { afterMs: 1000, baseMs: 1000, maxMs: 60_000 },
  };
  return {
    name: "load",
    description: "",
    seed: 1,
    broker: { url, keepAliveSeconds: 60, responseTimeoutMs: 10_000, tls: {}, localAddresses: [] },
    groups: [group],
    phases: [],
    observe: { wills: false, audit: false, graceMs: GRACE_MS },
  };
}
