/** What happens in each kind of phase, and when somebody interrupts it; in virtual time. */

import { describe, expect, test } from "vitest";
import type { SmallBroker } from "../support/small-broker.ts";
import { type VirtualRunOptions, virtualRun } from "../support/virtual-run.ts";
import type { VirtualWorld } from "../support/virtual-world.ts";

function run(lines: string[], options: VirtualRunOptions = {}, group = "cleanSession: false") {
  return virtualRun(
    `version: 1
broker: { keepAlive: 4s, responseTimeout: 2s }
devices: [{ count: 8, publish: { interval: 500ms }, ${group} }]
phases:
  - connect: { rate: 10/s, timeout: 5s }
${lines.map((line) => `  - { ${line} }\n`).join("")}
observe: { grace: 1s }
`,
    options,
  );
}

type Stage = { world: VirtualWorld; broker: SmallBroker };

/** Options that do something `afterMs` after this phase has begun. */
function during(phase: string, afterMs: number, act: (stage: Stage) => void): VirtualRunOptions {
  return {
    onPhase: (name, stage) => {
      if (name === phase) stage.world.setTimer(afterMs, () => act(stage));
    },
  };
}

describe("a fault", () => {
  test("without spread befalls all its targets in the same instant", async () => {
    const timesMs: number[] = [];
    let world: VirtualWorld | undefined;
    const options: VirtualRunOptions = {
      begun: (stage) => {
        world = stage.world;
      },
      wrap: (openTransport) => (handlers) => {
        const transport = openTransport(handlers);
        const reset = transport.reset.bind(transport);
        transport.reset = () => {
          timesMs.push(world?.nowMs() ?? 0);
          reset();
        };
        return transport;
      },
    };
    await run(["fault: { kind: tcp-reset, target: 100% }, duration: 5s"], options);
    expect(timesMs.length).toBe(8);
    expect(new Set(timesMs).size).toBe(1);
  });

  test("that finds too few devices says how many are missing", async () => {
    const { result } = await run([
      "name: first, fault: { kind: tcp-reset, target: 6, away: 1h }, duration: 1s",
      "name: second, fault: { kind: tcp-reset, target: 5, away: 1h }, duration: 1s",
    ]);
    expect(result.faults["tcp-reset"]?.injected).toBe(8);
    expect(result.problems).toEqual([
      'Phase "second": 3 devices could not fail, because they were not connected or their outbox was full.',
    ]);
  });
});

describe("a spike", () => {
  /** How often each device reported in each phase, and what came of the run. */
  async function spikeRun(lines: string[], publish = "interval: 1s, jitter: 0%") {
    const counts: Record<string, Record<string, number>> = {};
    let phase = "";
    const { result, failed } = await virtualRun(
      `version: 1
devices: [{ count: 8, publish: { ${publish} } }]
phases:
  - connect: { rate: 100/s }
  - { name: before, duration: 10s }
${lines.map((line) => `  - { ${line} }\n`).join("")}
  - { name: after, duration: 10s }
`,
      {
        onPhase: (name) => {
          phase = name;
        },
        misbehaviour: {
          copies: ({ topic, to }) => {
            if (topic.endsWith("/telemetry") && to.startsWith("wasmqtt-observer")) {
              const ofPhase = counts[phase] ?? {};
              counts[phase] = ofPhase;
              ofPhase[topic] = (ofPhase[topic] ?? 0) + 1;
            }
            return [0];
          },
        },
      },
    );
    const countsIn = (name: string) => Object.values(counts[name] ?? {}).sort((a, b) => a - b);
    return { result, failed, countsIn };
  }

  test("multiplies the readings of its devices, and afterwards all is as before", async () => {
    const { failed, countsIn } = await spikeRun(["spike: { interval: 100ms }, duration: 10s"]);
    expect(failed).toEqual([]);
    expect(countsIn("before")).toEqual(new Array(8).fill(10));
    expect(Math.min(...countsIn("spike"))).toBeGreaterThanOrEqual(98);
    expect(Math.max(...countsIn("spike"))).toBeLessThanOrEqual(101);
    expect(Math.min(...countsIn("after"))).toBeGreaterThanOrEqual(9);
    expect(Math.max(...countsIn("after"))).toBeLessThanOrEqual(11);
  });

  test("befalls as many devices as it says, and leaves the others alone", async () => {
    const { countsIn } = await spikeRun(["spike: { interval: 100ms, target: 25% }, duration: 10s"]);
    expect(countsIn("spike").slice(0, 6)).toEqual(new Array(6).fill(10));
    expect(Math.min(...countsIn("spike").slice(6))).toBeGreaterThanOrEqual(98);
  });

  test("can be a lull", async () => {
    const { countsIn } = await spikeRun(["spike: { interval: 5s }, duration: 10s"]);
    expect(countsIn("spike")).toEqual(new Array(8).fill(2));
  });

  test.each([
    ["100ms", "0%"],
    ["100ms", "50%"],
    ["100ms", "100%"],
    ["4s", "0%"],
    ["4s", "50%"],
    ["4s", "100%"],
  ])(
    "at an interval of %s makes no reading late, with a jitter of %s",
    async (interval, jitter) => {
      const { result } = await spikeRun(
        [`spike: { interval: ${interval} }, duration: 10s`],
        `interval: 1s, jitter: ${jitter}`,
      );
      expect(result.generator.scheduleLag?.maxMs).toBeLessThanOrEqual(1);
      expect(result.latencies.publishAck?.maxMs).toBeLessThanOrEqual(1);
    },
  );

  test("ends what commands have said of the interval", async () => {
    const { countsIn } = await spikeRun([
      "commands: { text: interval 3000 }",
      "name: slow, duration: 9s",
      "spike: { interval: 500ms }, duration: 10s",
    ]);
    expect(countsIn("slow")).toEqual(new Array(8).fill(3));
    expect(Math.min(...countsIn("after"))).toBeGreaterThanOrEqual(9);
  });

  test("says how many devices were not there", async () => {
    const { result, countsIn } = await spikeRun([
      "fault: { kind: tcp-reset, target: 3, away: 12s }, duration: 1s",
      "spike: { interval: 100ms }, duration: 10s",
    ]);
    expect(countsIn("spike")).toHaveLength(5);
    expect(result.problems).toEqual([
      'Phase "spike": 3 devices went on as before, because they were not connected.',
    ]);
  });

  test("ends with the run when somebody interrupts it", async () => {
    const interrupt = new AbortController();
    const { result, failed } = await run(["spike: { interval: 100ms }, duration: 1h"], {
      ...during("spike", 2_000, () => interrupt.abort()),
      interrupt: interrupt.signal,
    });
    expect(failed).toEqual([]);
    expect(result.interrupted).toBe(true);
    expect(result.durationMs).toBeLessThan(10_000);
    expect(result.goodbyes).toBe(8);
  });
});

describe("an interval that a command sets", () => {
  test.each(["100", "3000"])("to %s ms makes no reading late", async (intervalMs) => {
    const { result, failed } = await run([
      `commands: { text: interval ${intervalMs} }`,
      "duration: 10s",
    ]);
    expect(failed).toEqual([]);
    expect(result.generator.scheduleLag?.maxMs).toBeLessThanOrEqual(1);
  });
});

describe("an outbox", () => {
  /** All devices are cut off for a minute, and take a reading each second. */
  async function awayFor(outbox: string) {
    return await virtualRun(`version: 1
devices: [{ count: 3, cleanSession: false, publish: { interval: 1s, jitter: 0%, outbox: ${outbox} } }]
phases:
  - connect: { rate: 100/s }
  - { duration: 3s }
  - { fault: { kind: tcp-reset, target: 100%, away: 1m }, duration: 70s }
`);
  }

  test.each([5, 20, 100])(
    "of %i keeps so many readings of a device that is away",
    async (outbox) => {
      const { result, failed } = await awayFor(String(outbox));
      expect(failed).toEqual([]);
      const { published, refusedFull } = result.messages;
      const keptCount = Math.min(60, outbox) * 3;
      // Besides, each device took about a dozen readings while it was connected.
      expect(published).toBeGreaterThanOrEqual(keptCount + 3 * 10);
      expect(published).toBeLessThanOrEqual(2 * keptCount + 3 * 20);
      if (outbox === 100) expect(refusedFull).toBe(0);
      else expect(refusedFull).toBeGreaterThan(0);
      expect(result.audit?.delivered).toBe(published);
    },
  );
});

describe("commands", () => {
  test("arrive, and those that were sent while the devices were away do too", async () => {
    const { result, failed, broker } = await run([
      "commands: { perDevice: 2 }",
      "commands: { perDevice: 3, whileAway: true, target: 50% }",
      "duration: 1s",
    ]);
    expect(failed).toEqual([]);
    expect(result.commands).toEqual({ sent: 28, arrived: 28, lost: 0, doubled: 0 });
    expect(result.goodbyes).toBe(12);
    expect(broker.sessionIds).toEqual([]);
  });

  test("of an earlier run, which the broker still has, are not taken for ours", async () => {
    const { result, failed } = await run(["commands: { perDevice: 1 }"], {
      begun: ({ broker }) => {
        for (const device of [1, 2]) {
          broker.remember(`mote-0000${device}`, `motes/mote-0000${device}/cmd`, "report");
        }
      },
    });
    expect(failed).toEqual([]);
    expect(result.commands).toEqual({ sent: 8, arrived: 8, lost: 0, doubled: 0 });
  });

  test("to devices that are not connected are not sent, and the run says so", async () => {
    const { result, failed } = await run([
      "fault: { kind: tcp-reset, target: 3, away: 1h }, duration: 1s",
      "name: orders, commands: {}",
    ]);
    expect(failed).toEqual([]);
    expect(result.commands).toMatchObject({ sent: 5, arrived: 5 });
    expect(result.problems).toEqual([
      'Phase "orders": 3 devices got no commands, because they were not connected.',
    ]);
  });
});

describe("a restart of somebody else's broker", () => {
  test("cuts all connections instead, says so, and blames nobody for it", async () => {
    const { result, failed } = await run([
      "brokerRestart: { downtime: 2s }, duration: 6s",
      "duration: 1s",
    ]);
    expect(failed).toEqual([]);
    expect(result.connections).toMatchObject({
      connected: 16,
      reconnected: 8,
      lost: 0,
      failed: {},
    });
    expect(result.wills).toMatchObject({ expected: 8, delivered: 8 });
    expect(result.problems.join()).toContain("All connections were reset at once instead, for 2s.");
  });
});

describe("Ctrl-C", () => {
  const cases: [phase: string, line: string, afterMs: number][] = [
    ["connect", "duration: 1s", 300],
    ["steady", "duration: 1h", 1_000],
    [
      "tcp-close",
      "fault: { kind: tcp-close, target: 8, spread: 4s, away: 1h }, duration: 1h",
      2_000,
    ],
    ["power-loss", "fault: { kind: power-loss, target: 4, away: 1h }, duration: 1h", 500],
    ["hang", "fault: { kind: hang, target: 4, away: 1s }, duration: 1h", 1_000],
    ["takeover", "fault: { kind: takeover, target: 4, spread: 1s }, duration: 1h", 500],
    ["clean", "fault: { kind: clean, target: 4, away: 1s }, duration: 1h", 1_000],
    ["protocol-error", "fault: { kind: protocol-error, target: 4 }, duration: 1h", 0],
    ["commands", "commands: { whileAway: true, timeout: 1h }", 5],
    ["broker-restart", "brokerRestart: { downtime: 30m }, duration: 1h", 1_000],
    ["waiting for Last Wills", "fault: { kind: hang, target: 4, away: 1h }, duration: 1s", 500],
    ["goodbye", "duration: 1s", 5],
  ];

  test.each(cases)(
    "in the phase %s ends the run soon, with goodbyes and a true result",
    async (phase, line, afterMs) => {
      const interrupt = new AbortController();
      let interruptedAtMs = 0;
      let clientIds: string[] = [];
      const { result, failed, world, broker } = await run([line], {
        lagMs: () => 4,
        interrupt: interrupt.signal,
        ...during(phase, afterMs, ({ world, broker }) => {
          interrupt.abort();
          interruptedAtMs = world.nowMs();
          clientIds = broker.clientIds.filter((id) => id.startsWith("mote-"));
        }),
      });
      expect(result.interrupted).toBe(true);
      expect(failed).toEqual([]);
      expect(result.durationMs - interruptedAtMs).toBeLessThan(4_000);
      expect(result.goodbyes > 0).toBe(clientIds.length > 0);
      expect(result.connections.attempted).toBeLessThanOrEqual(8 + 8);
      if (phase === "connect")
        expect(result.connections.attempted).toBeLessThanOrEqual(clientIds.length + 1);
      expect(broker.clientIds).toEqual([]);
      expect(broker.sessionIds).toEqual([]);
      expect(world.timerCount).toBe(0);
    },
  );

  test("while the observer connects ends the run at once", async () => {
    const interrupt = new AbortController();
    const running = virtualRun("version: 1\n", {
      interrupt: interrupt.signal,
      wrap: (open) => (handlers) => {
        interrupt.abort();
        return open(handlers);
      },
    });
    await expect(running).rejects.toThrow(expect.objectContaining({ name: "AbortError" }));
  });

  test("while commands wait for a connection of the observer ends the run soon", async () => {
    const interrupt = new AbortController();
    let isGone = false;
    const { result } = await run(["duration: 1s", "commands: { timeout: 1h }"], {
      interrupt: interrupt.signal,
      misbehaviour: { returnCode: (id) => (isGone && id.startsWith("wasmqtt-observer") ? 3 : 0) },
      onPhase: (name, { world, broker }) => {
        if (name !== "commands") return;
        isGone = true;
        broker.throwOut("wasmqtt-observer");
        world.setTimer(10_000, () => interrupt.abort());
      },
    });
    expect(result.interrupted).toBe(true);
    expect(result.durationMs).toBeLessThan(25_000);
    expect(result.observer.lost).toBe(1);
  });
});
