/** The run's own subscriber, in virtual time: what it does not see is told, and nobody is blamed for it. */

import { describe, expect, test } from "vitest";
import { type VirtualRunOptions, virtualRun } from "../support/virtual-run.ts";

const OBSERVER = "wasmqtt-observer";

function run(lines: string[], options: VirtualRunOptions = {}, more = "") {
  return virtualRun(
    `version: 1
broker: { keepAlive: 2s, username: "u%i" }
devices: [{ count: 6, firstNumber: 7, publish: { interval: 500ms } }]
phases:
  - connect: { rate: 20/s }
${lines.map((line) => `  - { ${line} }\n`).join("")}
observe: { grace: 1s${more} }
`,
    options,
  );
}

/** Throws it out when this phase begins, and lets it in again after `awayMs`. */
function away(phase: string, awayMs: number): VirtualRunOptions {
  let isOut = false;
  return {
    misbehaviour: { returnCode: (id) => (isOut && id.startsWith(OBSERVER) ? 3 : 0) },
    onPhase: (name, { world, broker }) => {
      if (name !== phase) return;
      isOut = true;
      broker.throwOut(OBSERVER);
      world.setTimer(awayMs, () => {
        isOut = false;
      });
    },
  };
}

describe("an observer that was away for a while", () => {
  test("judges neither Wills, births and goodbyes nor telemetry of that time, and all of the rest", async () => {
    const { result, failed } = await run(
      [
        "name: seen, fault: { kind: tcp-reset, target: 2, away: 100ms }, duration: 4s",
        "name: unseen, fault: { kind: tcp-reset, target: 3, away: 100ms }, duration: 6s",
        "name: seen again, fault: { kind: tcp-reset, target: 1, away: 100ms }, duration: 4s",
      ],
      away("unseen", 3_000),
    );
    expect(failed).toEqual([]);
    expect(result.wills).toMatchObject({ expected: 3, delivered: 3, missing: 0, unjudged: 3 });
    expect(result.audit?.lost).toBe(0);
    expect(result.audit?.unjudged).toBeGreaterThan(20);
    expect(result.audit?.unjudged).toBeLessThan(60);
    expect(result.statusMessages).toMatchObject({ lost: 0 });
    expect(result.observer.lost).toBe(1);
    expect(result.observer.awayMs).toBeGreaterThan(2_900);
    expect(result.observer.awayMs).toBeLessThan(4_500);
    expect(result.problems.join()).toMatch(
      /own subscriber lost its connection \(times: 1, in all [34]/u,
    );
  });

  test("judges a Will whose time comes only afterwards", async () => {
    const { result, failed } = await run(
      ["name: unseen, fault: { kind: hang, target: 2, away: 20s }, duration: 10s"],
      away("unseen", 1_000),
    );
    expect(failed).toEqual([]);
    expect(result.wills).toMatchObject({ expected: 2, delivered: 2, unjudged: 0 });
  });

  test("and never came back judges nothing more, but the run has a result", async () => {
    const { result, failed } = await run(
      ["name: unseen, fault: { kind: tcp-close, target: 2 }, duration: 5s"],
      away("unseen", 3_600_000),
    );
    expect(failed).toEqual([]);
    expect(result.wills).toMatchObject({ expected: 0, unjudged: 2 });
    expect(result.audit).toMatchObject({ lost: 0 });
    expect(result.audit?.unjudged).toBe(
      result.messages.acknowledged - (result.audit?.delivered ?? 0),
    );
    expect(result.observer).toMatchObject({ lost: 1 });
  });
});

test("what earlier runs have left is not counted, and has come before the first device does", async () => {
  const messages = Array.from({ length: 50 }, (_, index) => ({
    topic: `motes/mote-0000${7 + (index % 3)}/status`,
    payload: index % 2 === 0 ? "offline" : "online",
  }));
  let startedAtMs = 0;
  const { result, failed } = await run(["duration: 1s"], {
    misbehaviour: { retained: { topicFilter: "motes/+/status", messages } },
    begun: ({ world }) => {
      startedAtMs = world.nowMs();
    },
  });
  expect(failed).toEqual([]);
  expect(result.statusMessages).toEqual({ online: 6, offline: 6, lost: 0 });
  expect(startedAtMs).toBeGreaterThan(490);
});

test("it logs in as the first device, whom the broker knows", async () => {
  const { broker } = await run(["duration: 1s"]);
  const names = [...broker.userNames].filter(([id]) => id.startsWith(OBSERVER));
  expect(names.map(([, userName]) => userName)).toEqual(["u7"]);
  expect(broker.userNames.get("mote-00012")).toBe("u12");
});

test("it watches what it is asked to, and nothing else", async () => {
  const { result, failed } = await run(
    ["fault: { kind: tcp-reset, target: 3 }, duration: 5s"],
    { misbehaviour: { grants: () => 0x80 } },
    ", wills: false, audit: false",
  );
  expect(failed).toEqual([]);
  expect(result).toMatchObject({ wills: null, statusMessages: null, audit: null });
  expect(result.faults["tcp-reset"]).toEqual({ injected: 3, wills: null });
});
