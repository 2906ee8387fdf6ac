/** Removes what a probe has left on a broker: retained messages and sessions. */

import type { Lab } from "./lab.ts";
import { NotFoundOut } from "./probe-client.ts";

/** A broker that takes longer for all of it keeps the rest. */
const TIDY_LIMIT_MS = 5_000;

/** So many sessions are removed at once. */
const LANE_COUNT = 8;

/** What could not be removed, as plain sentences. Never rejects. */
export async function tidyUp(
  lab: Lab,
  topics: readonly string[],
  clientIds: readonly string[],
): Promise<string[]> {
  const leftOver: string[] = [];
  const timer = lab.world.setTimer(TIDY_LIMIT_MS, () => void lab.stop("the time was up"));
  const jobs = clientIds.map((clientId) => async () => {
    await attempt(leftOver, `the session of client ${clientId}`, () => endSession(lab, clientId));
  });
  jobs.push(() => deleteRetained(lab, topics, leftOver));
  const workNext = async () => {
    for (let job = jobs.pop(); job !== undefined; job = jobs.pop()) await job();
  };
  await Promise.all(Array.from({ length: LANE_COUNT }, workNext));
  timer.clear();
  await lab.stop("everything is tidied up");
  return leftOver;
}

/** [MQTT-3.1.2-6] A clean session takes the place of the one before, and ends with its connection. */
async function endSession(lab: Lab, clientId: string): Promise<void> {
  const client = await lab.connect({ clientId });
  await client.disconnect();
}

/** [MQTT-3.3.1-10] An empty retained message deletes the one before. */
async function deleteRetained(
  lab: Lab,
  topics: readonly string[],
  leftOver: string[],
): Promise<void> {
  for (const topic of topics) {
    await attempt(leftOver, `the retained message on ${topic}`, async () => {
      const client = await lab.connect();
      await client.publish({ topic, qos: 1, retain: true });
      await client.disconnect();
    });
  }
}

async function attempt(leftOver: string[], what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof NotFoundOut)) throw error;
    leftOver.push(`Could not remove ${what}: ${error.message}`);
  }
}
