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
