/** A fleet in parts is the same fleet: runs of one, two and three parts, message by message and in their books. */

import { describe, expect, test } from "vitest";
import type { RunResult } from "../../simulator/src/run/result.ts";
import { FAULT_KINDS } from "../../simulator/src/scenario/scenario.ts";
import type { Delivery } from "../support/small-broker.ts";
import { type VirtualRun, virtualRun } from "../support/virtual-run.ts";

/** What the broker forwarded of each device to the run's own subscriber, in order. */
type Messages = Record<string, string[]>;

interface PartsRun extends VirtualRun {
  messages: Messages;
  /** Client ids with whom anybody ever logged in, without the subscriber's. */
  clientIds: string[];
}

async function runInParts(text: string, partCount: number): Promise<PartsRun> {
  const messages: Messages = {};
  const note = ({ topic, payload, isWill, to }: Delivery) => {
    if (to.startsWith("wasmqtt-observer")) {
      const [, device = ""] = topic.split("/");
      messages[device] ??= [];
      messages[device].push(`${isWill ? "Will " : ""}${topic} ${payload}`);
    }
    return [0];
  };
  const run = await virtualRun(text, {
    partCount,
    lagMs: () => 3,
    misbehaviour: { copies: note },
  });
  const isDevice = (clientId: string) => !clientId.startsWith("wasmqtt-observer");
  const clientIds = [...run.broker.userNames.keys()].filter(isDevice).sort();
  return { ...run, messages, clientIds };
}

/**
 * All of a result but who computed it, when in real time, and how hard that was. Nor how many devices are connected at the
 * end of each span: at the moment in which a phase ends, some part may have begun with the next.
 */
function outcomeOf({ runId, startedAt, environment, generator, timeline, ...rest }: RunResult) {
  const { scheduleLag } = generator;
  const points = timeline.map(
    ({ cpuPercent, rssBytes, eventLoopDelayMs, connected, ...point }) => point,
  );
  return { ...rest, scheduleLag, points };
}

/** In parts everything is the same: names, temperatures, seqs, times, who fails when, and each number of the result. */
async function expectSameInParts(text: string): Promise<PartsRun> {
  const whole = await runInParts(text, 1);
  expect(whole.failed).toEqual([]);
  expect(Object.keys(whole.messages).sort()).toEqual(whole.clientIds);
  for (const partCount of [2, 3]) {
    const parts = await runInParts(text, partCount);
    expect(parts.clientIds).toEqual(whole.clientIds);
    expect(parts.messages).toEqual(whole.messages);
    expect(outcomeOf(parts.result)).toEqual(outcomeOf(whole.result));
  }
  return whole;
}

const FLEET = `version: 1
seed: 9
broker: { keepAlive: 2s, username: "user-%i" }
devices:
`;

describe("the devices of two and three parts", () => {
  const cases = FAULT_KINDS.flatMap((kind, index) =>
    ([0, 1, 2] as const).map((qos) => [kind, qos, (index + qos) % 2 === 0] as const),
  );
  test.each(cases)(
    "do what those of one do: %s at QoS %i, clean session %s",
    async (...settings) => {
      const [kind, qos, cleanSession] = settings;
      const { clientIds, result } = await expectSameInParts(`${FLEET}
  - { count: 5, id: "a-%i", cleanSession: ${cleanSession}, publish: { interval: 300ms, qos: ${qos} } }
  - { count: 4, id: "b-%i", publish: { interval: 700ms, qos: 1, jitter: 50% } }
phases:
  - connect: { rate: 20/s }
  - fault: { kind: ${kind}, target: 50%, spread: 1s, away: 6s }
    duration: 10s
  - fault: { kind: ${kind}, target: 4, away: 200ms }
    duration: 5s
`);
      expect(clientIds).toHaveLength(9);
      expect(result.faults[kind]?.injected).toBe(9);
    },
  );

  test("do what those of one do in spikes and with commands, present and away", async () => {
    const { result } = await expectSameInParts(`${FLEET}
  - { count: 7, id: "a-%i", cleanSession: false, publish: { interval: 1s } }
phases:
  - connect: { rate: 50/s }
  - spike: { interval: 100ms, target: 3 }
    duration: 2s
  - commands: { perDevice: 2, target: 5 }
  - commands: { perDevice: 3, target: 4, whileAway: true }
  - duration: 2s
`);
    expect(result.commands).toEqual({ sent: 22, arrived: 22, lost: 0, doubled: 0 });
  });

  test("come back from a broken network at other moments, for each part draws its own: the counts agree", async () => {
    const text = `${FLEET}
  - { count: 7, id: "a-%i", publish: { interval: 500ms } }
phases:
  - connect: { rate: 50/s }
  - brokerRestart: { downtime: 1s }
    duration: 10s
`;
    const [whole, parts] = await Promise.all([runInParts(text, 1), runInParts(text, 3)]);
    expect([whole.failed, parts.failed]).toEqual([[], []]);
    const countsOf = ({ result }: PartsRun) => {
      const { devices, connections, faults, wills, goodbyes, statusMessages, commands } = result;
      return { devices, connections, faults, wills, goodbyes, statusMessages, commands };
    };
    expect(countsOf(parts)).toEqual(countsOf(whole));
    expect(whole.result.faults["tcp-reset"]?.injected).toBe(7);
    expect(parts.result.problems).toEqual(whole.result.problems);
  });

  test("of which there are fewer than parts, leave some parts empty", async () => {
    const { failed, result } = await runInParts(`${FLEET}  - { count: 2, id: "a-%i" }`, 3);
    expect(failed).toEqual([]);
    expect(result.devices).toMatchObject({ count: 2, connected: 2 });
  });
});
