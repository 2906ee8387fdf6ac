/** Questions about sizes, counts and times: the largest packet, messages under way, connections at once. */

import { publishPacket } from "../client-packets.ts";
import type { Lab } from "../lab.ts";
import { free, type Outcome, type Probe } from "../probe.ts";

const KIB = 1024;
const PAYLOAD_LENGTHS = [64 * KIB, 256 * KIB, 1024 * KIB, 4096 * KIB];

const INFLIGHT_COUNT_MAX = 500;

const CONNECTION_COUNT = 50;

export const limitProbes: readonly Probe[] = [
  {
    id: "limit.packet",
    question: "the largest message",
    did: "published 64 KiB, 256 KiB, 1 MiB and 4 MiB at QoS 1 to a subscription",
    clause: "2.2.3",
    run: largestMessage,
  },
  {
    id: "limit.inflight",
    question: "messages on their way to a subscriber that never acknowledges",
    did: `published ${INFLIGHT_COUNT_MAX} messages at QoS 1 to a subscriber that sends no PUBACK`,
    run: inflight,
  },
  {
    id: "limit.connections",
    question: "connections at once",
    did: `started ${CONNECTION_COUNT} connections in the same moment`,
    run: connections,
  },
];

async function largestMessage(lab: Lab): Promise<Outcome> {
  const topic = lab.topic("t");
  let largest = 0;
  for (const payloadLength of PAYLOAD_LENGTHS) {
    const { from, to } = await lab.pair(topic, 0);
    from.send(publishPacket({ topic, payload: Buffer.alloc(payloadLength, "x"), qos: 1 }));
    const isTaken = (await from.next("PUBACK")) !== undefined;
    const isThere = isTaken && (await to.hasMessages(1));
    if (!isThere || to.messages[0]?.payloadLength !== payloadLength) {
      const how = isTaken ? "was acknowledged and not delivered" : "was not acknowledged";
      const got = `${sizeText(payloadLength)} ${from.isClosed ? "ended the connection" : how}`;
      return free(`less than ${sizeText(payloadLength)}`, got, { value: largest, unit: "bytes" });
    }
    largest = payloadLength;
    await Promise.all([from.disconnect(), to.disconnect()]);
  }
  const found = `${sizeText(largest)} or more`;
  return free(found, "all were delivered", { value: largest, unit: "bytes" });
}

function sizeText(length: number): string {
  return length < 1024 * KIB ? `${length / KIB} KiB` : `${length / 1024 / KIB} MiB`;
}

async function inflight(lab: Lab): Promise<Outcome> {
  const topic = lab.topic("t");
  const { from, to } = await lab.pair(topic, 1);
  to.acknowledges = false;
  for (let packetId = 1; packetId <= INFLIGHT_COUNT_MAX; packetId++) {
    from.send(publishPacket({ topic, payload: "m", qos: 1, packetId }));
  }
  for (let count = 0; count < INFLIGHT_COUNT_MAX; count++) await from.expect("PUBACK");
  await lab.quiet(to);
  const seen = to.messages.length;
  const got = `${seen} of ${INFLIGHT_COUNT_MAX} came without a PUBACK`;
  const found = seen === INFLIGHT_COUNT_MAX ? `no limit up to ${seen}` : `at most ${seen}`;
  return free(found, got, { value: seen, unit: "messages" });
}

async function connections(lab: Lab): Promise<Outcome> {
  const startMs = lab.world.nowMs();
  const attempts = Array.from({ length: CONNECTION_COUNT }, () => lab.connect());
  const results = await Promise.allSettled(attempts);
  const durationMs = Math.max(1, lab.world.nowMs() - startMs);
  const connected = results.filter(({ status }) => status === "fulfilled").length;
  const rate = Math.round((connected * 1000) / durationMs);
  const got = `${connected} of ${CONNECTION_COUNT} accepted within ${Math.round(durationMs)} ms`;
  const found = connected === CONNECTION_COUNT ? `all of ${connected}` : `${connected} of 50`;
  return free(found, got, { value: rate, unit: "connections/s" });
}
