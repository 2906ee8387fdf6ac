/** Questions about times, measured as a client of this package has them: while nothing else goes on. */

import { once } from "node:events";
import { MqttClient } from "../../client/mqtt-client.ts";
import type { Lab } from "../lab.ts";
import { free, type Outcome, type Probe } from "../probe.ts";

const CONNECT_COUNT = 5;
const MESSAGE_COUNT = 20;

export const latencyProbes: readonly Probe[] = [
  {
    id: "latency.connect",
    question: "from the start of a connection to CONNACK",
    did: `connected ${CONNECT_COUNT} times, one after the other`,
    run: async (lab) => {
      const timesMs: number[] = [];
      for (let count = 0; count < CONNECT_COUNT; count++) {
        const client = new MqttClient(lab.clientOptions);
        try {
          await timed(lab, timesMs, () => client.connect());
          await client.close();
        } finally {
          client.abort();
        }
      }
      return median(timesMs);
    },
  },
  {
    id: "latency.qos0",
    question: "from PUBLISH at QoS 0 to the subscriber",
    did: `published ${MESSAGE_COUNT} messages, one after the other, to a subscription of the same client`,
    run: (lab) =>
      withClient(lab, async (client, timesMs) => {
        const topic = lab.topic("t");
        await lab.answered(client.subscribe(topic));
        for (let count = 0; count < MESSAGE_COUNT; count++) {
          const arrived = once(client, "message");
          await timed(lab, timesMs, async () => {
            await client.publish(topic, "m");
            await arrived;
          });
        }
      }),
  },
  ...([1, 2] as const).map(
    (qos): Probe => ({
      id: `latency.qos${qos}`,
      question: `from PUBLISH at QoS ${qos} to ${qos === 1 ? "PUBACK" : "PUBCOMP"}`,
      did: `published ${MESSAGE_COUNT} messages, one after the other`,
      run: (lab) =>
        withClient(lab, async (client, timesMs) => {
          for (let count = 0; count < MESSAGE_COUNT; count++) {
            await timed(lab, timesMs, () => client.publish(lab.topic("t"), "m", { qos }));
          }
        }),
    }),
  ),
];

async function withClient(
  lab: Lab,
  work: (client: MqttClient, timesMs: number[]) => Promise<void>,
): Promise<Outcome> {
  const client = new MqttClient(lab.clientOptions);
  const timesMs: number[] = [];
  try {
    await lab.answered(client.connect());
    await work(client, timesMs);
    await client.close();
  } finally {
    client.abort();
  }
  return median(timesMs);
}

async function timed(lab: Lab, timesMs: number[], work: () => Promise<unknown>): Promise<void> {
  const startMs = lab.world.nowMs();
  await lab.answered(work());
  timesMs.push(lab.world.nowMs() - startMs);
}

function median(timesMs: readonly number[]): Outcome {
  const sorted = timesMs.toSorted((first, second) => first - second);
  const at = (index: number) => (sorted[index] ?? 0).toFixed(2);
  const middle = Math.floor(sorted.length / 2);
  const value = Math.round((sorted[middle] ?? 0) * 100) / 100;
  const got = `of ${sorted.length}: median ${at(middle)} ms, from ${at(0)} to ${at(sorted.length - 1)} ms`;
  return free(`${value.toFixed(2)} ms`, got, { value, unit: "ms" });
}
