/** What the devices of a fleet do, in virtual time: when they connect, what they send, how they go and come back. */

import { beforeEach, describe, expect, test } from "vitest";
import { RandomStream } from "../../simulator/src/random.ts";
import type { Delivery } from "../support/small-broker.ts";
import { type VirtualRunOptions, virtualRun } from "../support/virtual-run.ts";
import type { VirtualWorld } from "../support/virtual-world.ts";

interface Seen {
  atMs: number;
  clientId: string;
  text: string;
}

/** What the observer was sent, in order: telemetry, and the devices' status. */
let telemetry: Seen[];
let status: Seen[];

beforeEach(() => {
  telemetry = [];
  status = [];
});

interface Options extends VirtualRunOptions {
  seed?: number;
}

/** `lines` follow `phases:`; `group` is what stands in the group of devices besides its count. */
function run(count: number, group: string, lines: string[], options: Options = {}) {
  let world: VirtualWorld | undefined;
  const { misbehaviour, begun } = options;
  const copies = (delivery: Delivery) => {
    const { topic, payload: text, to } = delivery;
    const [, clientId = "", kind] = topic.split("/");
    const atMs = world?.nowMs() ?? 0;
    if (to.startsWith("wasmqtt-observer")) {
      (kind === "status" ? status : telemetry).push({ atMs, clientId, text });
    }
    return misbehaviour?.copies?.(delivery) ?? [0];
  };
  return virtualRun(
    `version: 1
seed: ${options.seed ?? 1}
broker: { keepAlive: 4s }
devices: [{ count: ${count}, ${group} }]
phases:
${lines.map((line) => `  - { ${line} }\n`).join("")}
observe: { grace: 1s }
`,
    {
      ...options,
      misbehaviour: { ...misbehaviour, copies },
      begun: (stage) => {
        ({ world } = stage);
        begun?.(stage);
      },
    },
  );
}

const of =
  (number: number) =>
  ({ clientId }: Seen) =>
    clientId === `mote-0000${number}`;
const seqOf = ({ text }: Seen) => Number(/"seq":(\d+)/u.exec(text)?.[1]);
const celsiusOf = ({ text }: Seen) => Number(/"temperature":(-?[\d.]+)/u.exec(text)?.[1]);
const online = ({ text }: Seen) => text === "online";

function steps(times: number[]): number[] {
  return times.slice(1).map((time, index) => Math.round(time - (times[index] ?? 0)));
}

/** With this one, two readings wait 9.4 s after the connection. */
const TWO_WAIT_SEED = 9;

const ascending = (one: number, other: number) => one - other;

/** When readings at an interval of 1 s with a jitter of 100 % are due, in the order in which they are planned. */
function plannedReadings(schedule: RandomStream, startMs: number, endMs: number): number[] {
  const count = Math.ceil((endMs - startMs) / 1000);
  return Array.from({ length: count }, (_, k) => startMs + 1000 * k + 2000 * schedule.uniform());
}

function expectTimes(expectedMs: readonly number[]): void {
  const offMs = telemetry.map(({ atMs }, index) => Math.abs(atMs - (expectedMs[index] ?? 0)));
  expect(telemetry).toHaveLength(expectedMs.length);
  expect(Math.max(...offMs)).toBeLessThanOrEqual(1);
}

describe("connecting", () => {
  test("the ramp keeps its rate", async () => {
    await run(30, "publish: { interval: 10s }", ["connect: { rate: 10/s }", "duration: 1s"]);
    const times = status.filter(online).map(({ atMs }) => atMs);
    expect(times.length).toBe(30);
    expect(times.at(-1) ?? 0).toBeGreaterThan((times[0] ?? 0) + 2_850);
    expect(times.at(-1) ?? 0).toBeLessThan((times[0] ?? 0) + 2_950);
  });

  test("who is refused tries again, more and more slowly, and is counted by return code [MQTT-3.2.2-5]", async () => {
    const { result, failed } = await run(
      3,
      "reconnect: { base: 100ms, max: 10s }",
      ["connect: { rate: 10/s, timeout: 30s }"],
      { misbehaviour: { returnCode: (clientId) => (clientId === "mote-00002" ? 5 : 0) } },
    );
    expect(failed).toEqual(["devices_connected"]);
    expect(result.devices.connected).toBe(2);
    const { attempted, connected, refused } = result.connections;
    expect(refused["5"]).toBe(attempted - connected);
    expect(refused["5"]).toBeGreaterThan(5);
    expect(refused["5"]).toBeLessThan(25);
    expect(result.problems).toEqual([
      "Connections failed. The broker refused the connection (return code 5): this client may not connect. Check --username, the password and the broker's access rules.",
      "Not connected within 30s: 1 of 3 devices.",
    ]);
  });

  test("a broker that takes a device and drops it at once is not hammered", async () => {
    const { result, failed } = await run(
      1,
      "reconnect: { base: 100ms, max: 10s }",
      ["connect: {}", "duration: 60s"],
      {
        begun: ({ broker, world }) => {
          const throwOut = () => {
            broker.throwOut("mote-");
            if (world.nowMs() < 60_000) world.setTimer(20, throwOut);
          };
          throwOut();
        },
      },
    );
    expect(failed).toEqual(["connections_lost"]);
    const { attempted, connected, lost, failed: reasons } = result.connections;
    expect(attempted).toBeGreaterThan(5);
    expect(attempted).toBeLessThan(30);
    expect(lost).toBe(connected);
    expect(reasons).toEqual({});
  });
});

describe("readings", () => {
  test("without jitter they are taken on the interval, each once and in order", async () => {
    await run(1, "publish: { interval: 500ms, jitter: 0% }", ["connect: {}", "duration: 5s"]);
    const times = telemetry.map(({ atMs }) => atMs);
    expect(new Set(steps(times))).toEqual(new Set([500]));
    expect(telemetry.map(seqOf)).toEqual(telemetry.map((_, index) => index + 1));
  });

  test("with jitter each moves by no more than its share of the interval", async () => {
    await run(4, "publish: { interval: 1s, jitter: 50% }", ["connect: {}", "duration: 20s"]);
    for (const number of [1, 2, 3, 4]) {
      const times = telemetry.filter(of(number)).map(({ atMs }) => atMs);
      const startMs = status.find(of(number))?.atMs ?? 0;
      // Each lies between its time and one interval later: half of it earlier or later than the middle.
      for (const [index, atMs] of times.entries()) {
        expect(atMs - startMs).toBeGreaterThanOrEqual(index * 1000 - 1);
        expect(atMs - startMs).toBeLessThanOrEqual(index * 1000 + 1001);
      }
      expect(new Set(steps(times)).size).toBeGreaterThan(times.length / 2);
    }
  });

  test("with more jitter than half an interval they may change places, and none is lost", async () => {
    const begunAtMs = new Map<string, number>();
    await run(1, "publish: { interval: 1s, jitter: 100% }", ["connect: {}", "duration: 60s"], {
      onPhase: (name, { world }) => begunAtMs.set(name, world.nowMs()),
    });
    const startMs = status.find(online)?.atMs ?? 0;
    const endMs = begunAtMs.get("goodbye") ?? 0;
    const dueAtMs = plannedReadings(new RandomStream(1, 0, "schedule"), startMs, endMs);
    expect(dueAtMs).not.toEqual(dueAtMs.toSorted(ascending));
    expectTimes(dueAtMs.filter((atMs) => atMs <= endMs).toSorted(ascending));
  });

  test("those that wait for their jitter are lost with the device's memory", async () => {
    const begunAtMs = new Map<string, number>();
    const lines = [
      "connect: {}",
      "duration: 9400ms",
      "name: night, fault: { kind: power-loss, target: 1, away: 100ms }, duration: 30s",
    ];
    await run(1, "publish: { interval: 1s, jitter: 100% }", lines, {
      seed: TWO_WAIT_SEED,
      onPhase: (name, { world }) => begunAtMs.set(name, world.nowMs()),
    });
    const faultMs = begunAtMs.get("night") ?? 0;
    const endMs = begunAtMs.get("goodbye") ?? 0;
    const [startMs = 0, againMs = 0] = status.filter(online).map(({ atMs }) => atMs);
    const schedule = new RandomStream(TWO_WAIT_SEED, 0, "schedule");
    const before = plannedReadings(schedule, startMs, faultMs);
    const after = plannedReadings(schedule, againMs, endMs);
    expect(before.filter((atMs) => atMs > faultMs)).toHaveLength(2);
    expectTimes([
      ...before.filter((atMs) => atMs <= faultMs).toSorted(ascending),
      ...after.filter((atMs) => atMs <= endMs).toSorted(ascending),
    ]);
  });

  test("the same seed gives the same temperatures, another seed gives others", async () => {
    const temperatures: number[][] = [];
    for (const seed of [1, 1, 2]) {
      telemetry = [];
      const lines = ["connect: {}", "duration: 3s"];
      await run(3, "publish: { interval: 500ms }", lines, { seed });
      temperatures.push(telemetry.map(celsiusOf));
    }
    expect(temperatures[0]?.length).toBeGreaterThan(10);
    expect(temperatures[1]).toEqual(temperatures[0]);
    expect(temperatures[2]).not.toEqual(temperatures[0]);
  });

  test("cost what the process works while all are there, neither for their coming nor for their going", async () => {
    const lines = ["connect: { rate: 20/s }", "duration: 10s"];
    const { result } = await run(200, "publish: { interval: 1s, jitter: 0% }", lines);
    const steady = result.phases.find(({ kind }) => kind === "steady");
    const steadyUs = 1000 * ((steady?.endMs ?? 0) - (steady?.startMs ?? 0));
    expect(steadyUs).toBeGreaterThan(9.9e6);
    // The process of a virtual run is always busy.
    const { cpuUsPerMessage } = result.generator;
    expect(cpuUsPerMessage).toBeGreaterThan(0.995 * (steadyUs / 2_000));
    expect(cpuUsPerMessage).toBeLessThan(1.005 * (steadyUs / 2_000));
  });

  test("that come slowly are not lost, as long as some of them come", async () => {
    const copies = ({ topic, payload }: Delivery) =>
      topic.endsWith("/telemetry") ? [500 * Number(/"seq":(\d+)/u.exec(payload)?.[1])] : [0];
    const lines = ["connect: {}", "duration: 5s"];
    const group = "publish: { interval: 250ms, jitter: 0%, qos: 1 }";
    const { result, failed } = await run(1, group, lines, { misbehaviour: { copies } });
    expect(failed).toEqual([]);
    expect(result.messages.published).toBeGreaterThan(18);
    expect(result.audit?.lost).toBe(0);
    // The last one takes ten seconds, and a run has patience for one of silence here.
    expect(result.latencies.endToEnd?.maxMs).toBeGreaterThan(9_000);
  });

  test("that are never acknowledged count with the time that they waited", async () => {
    const acknowledges = (topic: string, payload: string) =>
      !topic.endsWith("/telemetry") || Number(/"seq":(\d+)/u.exec(payload)?.[1]) <= 10;
    const lines = ["connect: {}", "duration: 10s"];
    const group = "publish: { interval: 500ms, jitter: 0%, qos: 1, outbox: 40 }";
    const { result, failed } = await run(1, group, lines, { misbehaviour: { acknowledges } });
    const { published, acknowledged, unanswered } = result.messages;
    expect(failed).toContain("telemetry_unanswered");
    expect([acknowledged, unanswered]).toEqual([10, published - 10]);
    expect(result.latencies.publishAckQos1?.count).toBe(published);
    expect(result.latencies.publishAckUncorrected?.count).toBe(published);
    // Ten at once, then one each half second up to the end of the phase, and all of them for the response timeout.
    expect(result.latencies.publishAckQos1?.p50Ms).toBeGreaterThan(10_000);
    expect(result.latencies.publishAckQos1?.minMs).toBeLessThan(10);
  });

  test("a dead band saves messages", async () => {
    const lines = ["connect: {}", "duration: 30s"];
    const { result } = await run(1, "publish: { interval: 1s, deadBand: 50 }", lines);
    expect(result.messages.published).toBe(1);
    expect(result.generator.scheduleLag?.count).toBeGreaterThan(25);
  });

  test("what is measured without a connection is published, but not sent", async () => {
    const { result, failed } = await run(1, "publish: { interval: 500ms, jitter: 0% }", [
      "connect: {}",
      "fault: { kind: tcp-reset, target: 1, away: 1h }, duration: 3s",
    ]);
    expect(failed).toEqual([]);
    const { published, sent, acknowledged, inDoubt } = result.messages;
    expect(published).toBeGreaterThan(5);
    expect({ sent: sent.qos1, acknowledged, inDoubt }).toEqual({
      sent: 1,
      acknowledged: 1,
      inDoubt: 0,
    });
  });

  test("and what no longer fits into the outbox is refused, and counted", async () => {
    const { result } = await run(1, "publish: { interval: 500ms, jitter: 0% }", [
      "connect: {}",
      "fault: { kind: tcp-reset, target: 1, away: 1h }, duration: 30s",
    ]);
    const { published, refusedFull } = result.messages;
    expect(refusedFull).toBeGreaterThan(20);
    expect(published + refusedFull).toBe(result.generator.scheduleLag?.count);
  });
});

describe("without an interval", () => {
  const lines = ["connect: {}", "duration: 500ms"];

  test.each([0, 1, 2])(
    "at QoS %i readings go as fast as they are taken, and none is lost",
    async (qos) => {
      const { result, failed } = await run(
        3,
        `publish: { interval: 0s, qos: ${qos}, outbox: 3 }`,
        lines,
      );
      expect(failed).toEqual([]);
      const { published, refusedFull } = result.messages;
      // A message a millisecond from each would be 1,500.
      expect(published).toBeGreaterThan(1_500);
      expect(refusedFull).toBe(0);
      expect(result.audit?.delivered).toBe(published);
    },
  );

  test("a device that was away goes on", async () => {
    const fault = "fault: { kind: tcp-reset, target: 100%, away: 100ms }, duration: 500ms";
    const group = "publish: { interval: 0s, qos: 1, outbox: 2 }, reconnect: { base: 10ms }";
    const { result, failed } = await run(3, group, [...lines, fault]);
    expect(failed).toEqual([]);
    expect(result.connections.reconnected).toBe(3);
    expect(telemetry.at(-1)?.atMs).toBeGreaterThan(1_000);
  });
});

describe("going and coming back", () => {
  test("after a loss of power the numbers of its messages go on, and none is used twice", async () => {
    const { failed } = await run(1, "publish: { interval: 200ms }", [
      "connect: {}",
      "duration: 1s",
      "fault: { kind: power-loss, target: 1, away: 10s }, duration: 12s",
    ]);
    expect(failed).toEqual([]);
    const seqs = telemetry.map(seqOf);
    expect(new Set(seqs).size).toBe(seqs.length);
    expect(seqs.toSorted((a, b) => a - b)).toEqual(seqs);
  });

  test("a device is away for so long; one that only lost its connection waits for its backoff too", async () => {
    const away = async (kind: string) => {
      status = [];
      const fault = `fault: { kind: ${kind}, target: 1, away: 9s }, duration: 15s`;
      await run(1, "reconnect: { base: 2s, max: 4s }", ["connect: {}", fault]);
      const [first, second] = status.filter(online).map(({ atMs }) => atMs);
      return (second ?? 0) - (first ?? 0);
    };
    for (const kind of ["power-loss", "hang", "clean"]) {
      expect(await away(kind)).toBeCloseTo(9_000, -2);
    }
    for (const kind of ["tcp-close", "tcp-reset", "protocol-error"]) {
      expect(await away(kind)).toBeGreaterThan(9_050);
      expect(await away(kind)).toBeLessThan(11_100);
    }
    expect(await away("takeover")).toBeLessThan(100);
  });

  test("a goodbye is never cut off, however soon the device is to come back [MQTT-3.14.4-3]", async () => {
    const { result, failed } = await run(
      2,
      "publish: { interval: 300ms }",
      ["connect: {}", "fault: { kind: clean, target: 2, away: 0s }, duration: 3s"],
      { lagMs: () => 150 },
    );
    expect(failed).toEqual([]);
    expect(result.wills).toMatchObject({ expected: 0, unexpected: 0 });
    expect(result.connections).toMatchObject({ connected: 4, reconnected: 2, lost: 0 });
    expect(result.goodbyes).toBe(4);
  });

  test("a device keeps no more than one dead connection open, and none when it is back", async () => {
    let openCount = 0;
    let openCountMax = 0;
    const { failed } = await run(
      2,
      "publish: { interval: 1s }",
      [
        "connect: {}",
        ...Array(5).fill("fault: { kind: hang, target: 2, away: 8s }, duration: 9s"),
        "duration: 1s",
      ],
      {
        wrap: (open) => (handlers) => {
          openCount++;
          openCountMax = Math.max(openCount, openCountMax);
          return open({
            opened: () => handlers.opened(),
            received: (bytes) => handlers.received(bytes),
            drained: () => handlers.drained(),
            closed: (reason) => {
              openCount--;
              handlers.closed(reason);
            },
          });
        },
      },
    );
    expect(failed).toEqual([]);
    expect(openCountMax).toBeLessThanOrEqual(5); // two devices, their two ghosts, the observer
    expect(openCount).toBe(0);
  });

  test("the same seed lets the same devices fail, whoever happens to be away", async () => {
    const targets = async (throwOut: boolean) => {
      status = [];
      const lines = [
        "connect: {}",
        "duration: 1s",
        "fault: { kind: tcp-reset, target: 3 }, duration: 4s",
      ];
      await run(9, "reconnect: { base: 20s, max: 20s }", lines, {
        onPhase: (name, { broker }) => {
          if (throwOut && name === "steady") broker.throwOut("mote-00009");
        },
      });
      const gone = status
        .filter(({ text }) => text === "offline")
        .slice(throwOut ? 1 : 0, throwOut ? 4 : 3);
      return gone.map(({ clientId }) => clientId).sort();
    };
    const usual = await targets(false);
    expect(usual.length).toBe(3);
    expect(await targets(false)).toEqual(usual);
    const others = await targets(true);
    expect(others.filter((id) => !usual.includes(id)).length).toBeLessThanOrEqual(1);
  });
});
