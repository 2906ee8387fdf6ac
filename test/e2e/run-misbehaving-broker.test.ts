/** What a run says of a broker that breaks its promises: each kind by its name. So the checks are known to be able to fail. */

import { describe, expect, test } from "vitest";
import { runScenarioText, type ScenarioOutcome } from "../support/run-scenario.ts";
import {
  type Delivery,
  type Misbehaviour,
  type SmallBroker,
  startSmallBroker,
} from "../support/small-broker.ts";

const RESETS =
  "{ fault: { kind: tcp-reset, target: 3, spread: 200ms, away: 300ms }, duration: 700ms }";

interface Options {
  qos?: 0 | 1 | 2;
  /** What comes after all are connected. */
  phases?: string[];
  /** Called in the middle of the run: when the first device's fourth reading is delivered. */
  meanwhile?: (broker: SmallBroker) => void;
}

/** Six devices at a broker that misbehaves. A run takes two to five seconds, nearly all of it waiting. */
async function run(
  misbehaviour: Misbehaviour,
  { qos = 1, phases = [RESETS], meanwhile }: Options = {},
): Promise<ScenarioOutcome> {
  const copies = (delivery: Delivery) => {
    if (isReading(4, delivery)) setImmediate(() => meanwhile?.(broker));
    return misbehaviour.copies?.(delivery) ?? [0];
  };
  const broker = await startSmallBroker({ ...misbehaviour, copies });
  try {
    return await runScenarioText(`version: 1
broker: { url: "mqtt://127.0.0.1:${broker.port}", keepAlive: 1s, responseTimeout: 1s }
devices:
  - count: 6
    cleanSession: false
    publish: { interval: 100ms, qos: ${qos} }
    reconnect: { base: 50ms, max: 200ms }
phases:
  - connect: { rate: 200/s }
  - duration: 500ms
${phases.map((phase) => `  - ${phase}\n`).join("")}
observe: { grace: 500ms }
`);
  } finally {
    await broker.stop();
  }
}

const isOf = (device: number, { topic }: Delivery) => topic.startsWith(`motes/mote-0000${device}/`);

/** True for the telemetry of the first device with this number. */
function isReading(seq: number, delivery: Delivery): boolean {
  return isOf(1, delivery) && delivery.payload.includes(`"seq":${seq},`);
}

/** `delaysMs` for the messages that are meant; all others come as they should. */
function only(isMeant: (delivery: Delivery) => boolean, ...delaysMs: number[]): Misbehaviour {
  return { copies: (delivery) => (isMeant(delivery) ? delaysMs : [0]) };
}

/** Only the first of those that are meant is treated so. */
function once(isMeant: (delivery: Delivery) => boolean, ...delaysMs: number[]): Misbehaviour {
  let isOver = false;
  return only(
    (delivery) => {
      if (isOver || !isMeant(delivery)) return false;
      isOver = true;
      return true;
    },
    ...delaysMs,
  );
}

describe.concurrent("a broker that", () => {
  test("keeps its promises passes", async () => {
    const { exitCode, failed, result } = await run({});
    expect(failed).toEqual([]);
    expect(exitCode).toBe(0);
    expect(result.wills).toMatchObject({ expected: 3, delivered: 3 });
    expect(result.goodbyes).toBe(6);
    expect(result.statusMessages).toEqual({ online: 9, offline: 9, lost: 0 });
  });

  test("drops a Last Will is named [MQTT-3.1.2-8]", async () => {
    const { exitCode, failed, result } = await run(once(({ isWill }) => isWill));
    expect(failed).toEqual(["wills_delivered"]);
    expect(result.faults["tcp-reset"]?.wills).toMatchObject({
      expected: 3,
      delivered: 2,
      missing: 1,
    });
    expect(exitCode).toBe(99);
  });

  test("publishes a Last Will twice is named", async () => {
    const { exitCode, failed, result } = await run(once(({ isWill }) => isWill, 0, 20));
    expect(failed).toEqual(["wills_doubled"]);
    expect(result.faults["tcp-reset"]?.wills).toMatchObject({ delivered: 3, doubled: 1 });
    expect(exitCode).toBe(99);
  });

  test("publishes a Last Will too late is named", async () => {
    const { exitCode, failed, result } = await run(
      once(({ isWill }) => isWill, 700),
      {
        phases: ["{ fault: { kind: tcp-reset, target: 3, away: 1s }, duration: 1500ms }"],
      },
    );
    expect(failed).toEqual(["wills_late"]);
    expect(result.wills).toMatchObject({ delivered: 3, missing: 0, late: 1 });
    expect(exitCode).toBe(99);
  });

  test("gives up a silent device too early is named [MQTT-3.1.2-24]", async () => {
    const { exitCode, failed, result } = await run(
      { keepAliveFactor: 1.1 },
      { phases: ["{ fault: { kind: hang, target: 2, away: 2s }, duration: 2500ms }"] },
    );
    expect(failed).toEqual(["wills_early"]);
    expect(result.faults.hang?.wills).toMatchObject({ delivered: 2, early: 2 });
    expect(exitCode).toBe(99);
  });

  test("publishes a Last Will after a goodbye is named [MQTT-3.14.4-3]", async () => {
    const isGoodbye = ({ payload, isWill }: Delivery) => payload === "offline" && !isWill;
    const { exitCode, failed, result } = await run(once(isGoodbye, 0, 20), {
      phases: ["{ fault: { kind: clean, target: 3, away: 300ms }, duration: 700ms }"],
    });
    expect(failed).toEqual(["wills_unexpected"]);
    expect(result.faults.clean?.wills).toMatchObject({ expected: 0, unexpected: 1 });
    expect(exitCode).toBe(99);
  });

  test("publishes the Last Will of a device that is there is named", async () => {
    const { exitCode, failed, result } = await run(
      {},
      {
        meanwhile: (broker) => broker.publish("motes/mote-00002/status", "offline", 1),
      },
    );
    expect(failed).toEqual(["wills_unexpected"]);
    expect(result.wills).toMatchObject({ delivered: 3, unexpected: 1 });
    expect(exitCode).toBe(99);
  });

  test.each([1, 2] as const)(
    "acknowledges telemetry at QoS %i and delivers it to nobody is named",
    async (qos) => {
      const { exitCode, failed, result } = await run(
        only((delivery) => isReading(3, delivery)),
        { qos },
      );
      expect(failed).toEqual(["telemetry_lost"]);
      expect(result.audit).toMatchObject({ lost: 1, unjudged: 0 });
      expect(exitCode).toBe(99);
    },
  );

  test("loses telemetry at QoS 0 broke no promise", async () => {
    const { exitCode, failed, result } = await run(
      only((delivery) => isReading(3, delivery)),
      { qos: 0 },
    );
    expect(failed).toEqual([]);
    expect(result.audit?.delivered).toBe(result.messages.published - 1);
    expect(exitCode).toBe(0);
  });

  test("delivers telemetry twice at QoS 2 is named [MQTT-4.3.3-1]", async () => {
    const { exitCode, failed, result } = await run(
      only((delivery) => isReading(3, delivery), 0, 10),
      { qos: 2 },
    );
    expect(failed).toEqual(["telemetry_doubled"]);
    expect(result.audit).toMatchObject({ doubledAtQos2: 1, lost: 0 });
    expect(exitCode).toBe(99);
  });

  test("delivers telemetry twice at QoS 1 broke no promise", async () => {
    const { exitCode, failed, result } = await run(
      only((delivery) => isReading(3, delivery), 0, 10),
    );
    expect(failed).toEqual([]);
    expect(result.audit).toMatchObject({ doubledAtQos1: 1 });
    expect(exitCode).toBe(0);
  });

  test("delivers a device's messages in another order is named [MQTT-4.6.0-6]", async () => {
    const { exitCode, failed, result } = await run(only((delivery) => isReading(3, delivery), 250));
    expect(failed).toEqual(["telemetry_out_of_order"]);
    expect(result.audit).toMatchObject({ outOfOrder: 1, lost: 0 });
    expect(exitCode).toBe(99);
  });

  test("invents a message is found out", async () => {
    const { result } = await run(
      {},
      {
        meanwhile: (broker) => broker.publish("motes/mote-00001/telemetry", '{"seq":99999}', 1),
      },
    );
    expect(result.audit).toMatchObject({ unknown: 1, lost: 0 });
  });

  test.each(["online", "offline"])("drops an acknowledged %s is named", async (status) => {
    const { exitCode, failed, result } = await run(
      once(({ payload, isWill }) => payload === status && !isWill),
    );
    expect(failed).toEqual(["status_lost"]);
    expect(result.statusMessages?.lost).toBe(1);
    expect(exitCode).toBe(99);
  });

  test("never acknowledges is named, after the time limit [MQTT-4.3.2-2]", async () => {
    const { exitCode, failed, result } = await run(
      {
        acknowledges: (topic, payload) => !topic.includes("mote-00001") || !payload.includes("seq"),
      },
      { phases: [] },
    );
    expect(failed).toEqual(["telemetry_unanswered"]);
    const { published, acknowledged, inDoubt, unanswered } = result.messages;
    expect(unanswered).toBeGreaterThan(3);
    expect({ inDoubt, unanswered }).toEqual({
      inDoubt: published - acknowledged,
      unanswered: published - acknowledged,
    });
    expect(result.audit?.inDoubtDelivered).toBe(inDoubt);
    expect(exitCode).toBe(99);
  });

  test("drops a command is named", async () => {
    const { exitCode, failed, result } = await run(
      once(({ topic }) => topic.endsWith("/cmd")),
      { phases: ["{ commands: { perDevice: 2, qos: 1, timeout: 1s } }"] },
    );
    expect(failed).toEqual(["commands_lost"]);
    expect(result.commands).toEqual({ sent: 12, arrived: 11, lost: 1, doubled: 0 });
    expect(exitCode).toBe(99);
  });

  test("throws devices out is named, and not for the Last Wills that follow", async () => {
    const { exitCode, failed, result } = await run(
      {},
      { meanwhile: (broker) => broker.throwOut("mote-00003"), phases: ["{ duration: 800ms }"] },
    );
    expect(failed).toEqual(["connections_lost"]);
    expect(result.connections).toMatchObject({ lost: 1, reconnected: 1 });
    expect(result.wills).toMatchObject({ expected: 0, unexpected: 0 });
    expect(exitCode).toBe(99);
  });
});

describe.concurrent("the run's own subscriber", () => {
  test("says so when its connection was lost, and blames nobody for what it missed", async () => {
    const isLate = ({ to }: Delivery) => to.startsWith("wasmqtt-observer");
    const { exitCode, failed, result } = await run(
      // What is meant for the observer leaves a moment later, so that something is lost with its connection.
      { copies: (delivery) => (isLate(delivery) ? [60] : [0]) },
      { meanwhile: (broker) => broker.throwOut("wasmqtt-observer") },
    );
    expect(failed).toEqual([]);
    expect(result.observer.lost).toBe(1);
    expect(result.observer.awayMs).toBeGreaterThan(0);
    expect(result.audit).toMatchObject({ lost: 0 });
    expect(result.audit?.unjudged).toBeGreaterThan(0);
    expect(result.problems.join()).toContain("subscriber lost its connection");
    expect(exitCode).toBe(5);
  });

  test.each([
    [0x80, "refuses", "Let this user read the devices' topics"],
    [0, "grants no more than QoS 0", "Let the devices publish at QoS 0 (-q 0)"],
  ])("gives up at once if its subscription is answered with %i", async (code, text, remedy) => {
    const { exitCode, stderr } = await run({
      grants: (topicFilter) => (topicFilter.endsWith("/telemetry") ? code : 1),
    });
    expect(stderr).toContain(text);
    expect(stderr).toContain("motes/+/telemetry");
    expect(stderr).toContain(remedy);
    expect(exitCode).toBe(2);
  });

  test("gives up at once if its subscription ends the connection", async () => {
    const { exitCode, stderr } = await run({ grants: () => "close" });
    expect(stderr).toContain("ended the connection when the run's own observer subscribed");
    expect(exitCode).toBe(3);
  });
});
