/** The latencies that a run reports of a broker that stood still for four seconds, against those that its schedule gives. */

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { readModule } from "../../host/src/core/core.ts";
import { parseBrokerUrl } from "../../host/src/transport/broker-url.ts";
import { openTransport } from "../../host/src/transport/open-transport.ts";
import type { OpenTransport } from "../../host/src/transport/transport.ts";
import { realWorld } from "../../host/src/world.ts";
import { LatencyHistogram } from "../../simulator/src/histogram.ts";
import type { LatencyResult, RunResult } from "../../simulator/src/run/result.ts";
import { runScenario } from "../../simulator/src/run/run.ts";
import { readScenario } from "../../simulator/src/scenario/scenario-file.ts";
import { summaryText } from "../../simulator/src/summary/summary.ts";
import { type Mosquitto, startMosquitto } from "../support/brokers.ts";
import { describeWith } from "../support/optional.ts";

const DEVICE_COUNT = 20;
const INTERVAL_MS = 200;
const STALL_MS = 4_000;
/** Readings of one device that are due while the broker stands still. */
const STALLED_COUNT = STALL_MS / INTERVAL_MS;
/** When it begins to, after all devices are connected; and how long the devices measure. */
const STALL_AFTER_MS = 1_000;
const STEADY_MS = 6_000;

/** A fleet whose outboxes have room for so many readings, and what it did, on the world's clock. */
class Run {
  readonly #openDevice: OpenTransport;
  readonly #scenarioText: string;
  /** When each device had its first reading on its way. */
  readonly #startsAtMs: number[] = [];
  #endAtMs = 0;
  readonly isSteady: Promise<void>;
  readonly result: Promise<RunResult>;

  constructor(port: number, idPrefix: string, outboxCount: number) {
    const url = `mqtt://127.0.0.1:${port}`;
    this.#openDevice = openTransport(parseBrokerUrl(url), realWorld);
    this.#scenarioText = `version: 1
broker: { url: "${url}" }
devices:
  - count: ${DEVICE_COUNT}
    id: "${idPrefix}-%i"
    publish: { interval: ${INTERVAL_MS}ms, jitter: 0%, qos: 1, outbox: ${outboxCount} }
phases: [{ connect: { rate: ${(1000 * DEVICE_COUNT) / INTERVAL_MS}/s } }, { name: steady, duration: ${STEADY_MS}ms }]
observe: { wills: false, audit: false }
`;
    let steady = () => {};
    this.isSteady = new Promise((resolve) => {
      steady = resolve;
    });
    this.result = this.#run(steady);
  }

  /** What `percentile` percent of the readings do not exceed if nothing breaks their schedule, and each waits for the end of the stall. */
  expectedMs(percentile: number, stall: { startAtMs: number; endAtMs: number }): number {
    const waitsMs: number[] = [];
    for (const startAtMs of this.#startsAtMs) {
      for (let atMs = startAtMs; atMs < this.#endAtMs; atMs += INTERVAL_MS) {
        const isStalled = atMs >= stall.startAtMs && atMs < stall.endAtMs;
        waitsMs.push(isStalled ? stall.endAtMs - atMs : 0);
      }
    }
    waitsMs.sort((one, other) => one - other);
    return waitsMs[Math.ceil((percentile / 100) * waitsMs.length) - 1] as number;
  }

  async #run(steady: () => void): Promise<RunResult> {
    const firmware = { name: "thermometer", bytes: await readModule("thermometer") };
    return await runScenario({
      scenario: readScenario(this.#scenarioText, "test.yaml", {}),
      firmwareOf: () => firmware,
      world: realWorld,
      interrupt: new AbortController().signal,
      meter: { cpuUs: () => 0, rssBytes: () => 0 },
      readFile: () => new Uint8Array(0),
      version: "1.2.3",
      environment: { node: "20.0.0", platform: "linux", cpuCount: 2 },
      openTransport: this.#openWatched(),
      onPhase: (name) => {
        if (name === "steady") steady();
        if (name === "goodbye") this.#endAtMs = realWorld.nowMs();
      },
    });
  }

  /** The first connection is that of the run's own subscriber. A device writes CONNECT, then its birth and its first reading. */
  #openWatched(): OpenTransport {
    let openedCount = 0;
    return (handlers) => {
      const isDevice = openedCount++ > 0;
      const transport = this.#openDevice(handlers);
      let writeCount = 0;
      const write = transport.write.bind(transport);
      transport.write = (bytes) => {
        writeCount++;
        if (isDevice && writeCount === 2) this.#startsAtMs.push(realWorld.nowMs());
        return write(bytes);
      };
      return transport;
    };
  }
}

/** Stops the process for `STALL_MS`. It ends when a client gets an answer: the process has to get its turn again. */
async function stall(mosquitto: Mosquitto): Promise<{ startAtMs: number; endAtMs: number }> {
  const client = await connectedClient(mosquitto.port);
  try {
    mosquitto.freeze();
    const startAtMs = realWorld.nowMs();
    client.write(Uint8Array.of(0xc0, 0)); // PINGREQ
    const answered = once(client, "data");
    await sleep(STALL_MS);
    mosquitto.thaw();
    await answered;
    return { startAtMs, endAtMs: realWorld.nowMs() };
  } finally {
    client.destroy();
  }
}

/** A client that has its CONNACK. */
async function connectedClient(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.write(Uint8Array.of(0x10, 12, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 0, 0, 0));
  await once(socket, "data");
  return socket;
}

function percentileMs(latency: LatencyResult | null, percentile: number): number {
  return LatencyHistogram.decode(latency?.histogram ?? "").percentileMs(percentile);
}

describeWith(["mosquitto"], "mosquitto that stands still for 4 s of a run at QoS 1", () => {
  // A machine that has no time for mosquitto after the stall would tell another truth.
  const options = { timeout: 60_000, retry: 2 };

  test(
    "has the percentiles that the schedule gives, be the outboxes roomy or not",
    options,
    async () => {
      const mosquitto = await startMosquitto({ config: ["set_tcp_nodelay true", "log_type none"] });
      try {
        const roomy = new Run(mosquitto.port, "roomy", 2 * STALLED_COUNT);
        const cramped = new Run(mosquitto.port, "cramped", STALLED_COUNT / 2);
        await Promise.all([roomy.isSteady, cramped.isSteady]);
        await sleep(STALL_AFTER_MS);
        const stalled = await stall(mosquitto);
        for (const run of [roomy, cramped]) {
          const { publishAck } = (await run.result).latencies;
          for (const percentile of [90, 99, 99.9]) {
            const ratio =
              percentileMs(publishAck, percentile) / run.expectedMs(percentile, stalled);
            expect(Math.abs(ratio - 1), `p${percentile}`).toBeLessThan(0.01);
          }
          const medianErrorMs = percentileMs(publishAck, 50) - run.expectedMs(50, stalled);
          expect(Math.abs(medianErrorMs)).toBeLessThan(0.01 * STALL_MS);
        }
        expectCounts(await roomy.result, await cramped.result);
      } finally {
        await mosquitto.stop();
      }
    },
  );
});

/** The broker's stall stops no reading of a roomy outbox; a cramped one counts what it has no room for. */
function expectCounts(roomy: RunResult, cramped: RunResult): void {
  expect(roomy.messages).toMatchObject({ refusedFull: 0, unanswered: 0 });
  expect(cramped.messages.unanswered).toBe(0);
  const refusedCount = cramped.messages.refusedFull;
  expect(refusedCount).toBeGreaterThan((DEVICE_COUNT * STALLED_COUNT) / 4);
  // Each of them has its latency, but was never published.
  const { publishAck, publishAckUncorrected } = cramped.latencies;
  expect(publishAck?.count).toBe(cramped.messages.acknowledged + refusedCount);
  expect(publishAckUncorrected?.count).toBe(cramped.messages.acknowledged);
  // Devices publish by their clocks, so that even what is measured from there on shows the stall, and the summary shows both.
  expect(roomy.latencies.publishAckUncorrected?.p99Ms).toBeGreaterThan(0.9 * STALL_MS);
  expect(summaryText(roomy, { color: false })).toMatch(
    /reading due to acknowledged .*\n *published to acknowledged /,
  );
}
