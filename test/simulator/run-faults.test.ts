/** What a run does when the machine or the broker gives no more, in virtual time: bounded, counted, and said plainly. */

import { describe, expect, test } from "vitest";
import { connectionError } from "../../host/src/transport/connection-errors.ts";
import type { OpenTransport } from "../../host/src/transport/transport.ts";
import { Bottleneck } from "../support/bottleneck.ts";
import { virtualRun } from "../support/virtual-run.ts";

/** The run's own subscriber connects first. */
const OBSERVER_COUNT = 1;

describe("a broker that reads nothing for 20 s", () => {
  /** 5 devices that measure ten times a second, with room for 8 readings each. */
  async function run(qos: number) {
    const bottleneck = new Bottleneck(OBSERVER_COUNT);
    const outcome = await virtualRun(
      `version: 1
broker: { keepAlive: 60s, responseTimeout: 60s }
devices: [{ count: 5, publish: { interval: 100ms, jitter: 0%, qos: ${qos}, outbox: 8 } }]
phases: [{ connect: { rate: 100/s } }, { duration: 30s }]
`,
      {
        wrap: (open) => bottleneck.wrap(open),
        begun: ({ world }) => {
          world.setTimer(5_005, () => bottleneck.close());
          world.setTimer(25_005, () => bottleneck.open());
        },
      },
    );
    return { ...outcome, bottleneck };
  }

  test.each([0, 1, 2])(
    "makes a fleet at QoS %i refuse readings, and hold no more than its outboxes",
    async (qos) => {
      const { result, failed, bottleneck } = await run(qos);
      expect(bottleneck.heldCountMax).toBe(1); // after a write that is answered with false there is no other
      expect(bottleneck.heldLengthMax).toBeLessThan(200);
      const { published, refusedFull, sent } = result.messages;
      // 1,000 readings were due meanwhile, and there was room for 8 of each device, or a few more as they are short.
      expect(refusedFull).toBeGreaterThan(900);
      expect(refusedFull).toBeLessThan(970);
      expect(published).toBe(sent.qos0 + sent.qos1 + sent.qos2);
      // It recovers: what was taken arrives, in order and once.
      expect(failed).toEqual([]);
      expect(result.audit?.delivered).toBe(published);
      expect(result.connections.lost).toBe(0);
    },
  );

  test("is seen in the latencies, those of the refused readings too", async () => {
    const { result } = await run(1);
    const { publishAck, publishAckUncorrected } = result.latencies;
    expect(publishAck?.count).toBe(result.messages.acknowledged + result.messages.refusedFull);
    // Of 30 s the broker took nothing for 20: the readings waited evenly up to 20 s.
    expect(publishAck?.p50Ms).toBeGreaterThan(4_500);
    expect(publishAck?.p50Ms).toBeLessThan(5_500);
    expect(publishAck?.p90Ms).toBeGreaterThan(16_500);
    expect(publishAckUncorrected?.p50Ms).toBeLessThan(10);
  });
});

test("a broker that answers no CONNECT of a device is given up after the time limit, again and again [sec-3.2]", async () => {
  const bottleneck = new Bottleneck(OBSERVER_COUNT);
  bottleneck.close();
  const { result, failed } = await virtualRun(
    `version: 1
broker: { responseTimeout: 2s }
devices: [{ count: 5, reconnect: { base: 1s, max: 8s } }]
phases: [{ connect: { rate: 100/s, timeout: 20s } }, { duration: 10s }]
`,
    { wrap: (open) => bottleneck.wrap(open) },
  );
  expect(failed).toEqual(["devices_connected"]);
  expect(result.devices.connected).toBe(0);
  const failures = Object.values(result.connections.failed).reduce((sum, count) => sum + count, 0);
  expect(failures).toBe(result.connections.attempted);
  expect(failures).toBeGreaterThan(5 * 3);
  expect(failures).toBeLessThan(5 * 15);
  expect(result.durationMs).toBeLessThan(40_000);
  expect(result.problems.join("\n")).toContain("it did not answer in time");
});

describe("a machine that has no more of", () => {
  /** Opens so many connections, the observer's included; the others fail with `code`, and are counted. */
  function limited(open: OpenTransport, code: string, openCount: number): OpenTransport {
    let count = 0;
    return (handlers) => {
      if (count++ < openCount) return open(handlers);
      const error = Object.assign(new Error(`connect ${code}`), { code });
      queueMicrotask(() => handlers.closed(connectionError(error, "broker.example:1883")));
      const ignore = () => {};
      return { write: () => false, pause: ignore, resume: ignore, close: ignore, reset: ignore };
    };
  }

  test.each([
    ["ports", "EADDRNOTAVAIL", /no local address or port is left.*--ifaddr/u],
    ["ports", "EADDRINUSE", /no local address or port is left.*--ifaddr/u],
    ["open files", "EMFILE", /may not open more connections.*wasmqtt doctor -c/u],
  ])(
    "%s (%s) says so once, and the devices that are connected go on",
    async (_what, code, sentence) => {
      const { result, failed } = await virtualRun(
        `version: 1
devices: [{ count: 20, publish: { interval: 1s } }]
phases: [{ connect: { rate: 100/s, timeout: 10s } }, { duration: 20s }]
`,
        {
          wrap: (open) => limited(open, code, OBSERVER_COUNT + 12),
          partCount: 2,
        },
      );
      expect(failed).toEqual(["devices_connected"]);
      expect(result.devices.connected).toBe(12);
      expect(result.problems.filter((problem) => sentence.test(problem))).toHaveLength(1);
      expect(result.problems).toHaveLength(2);
      expect(result.audit).toMatchObject({ delivered: result.messages.published, lost: 0 });
      // Each attempt waits longer than the one before, up to half a minute.
      expect(result.connections.failed["unreachable"]).toBeGreaterThan(8 * 3);
      expect(result.connections.failed["unreachable"]).toBeLessThan(8 * 12);
      expect(result.durationMs).toBeLessThan(60_000);
    },
  );
});
