/** Questions about the Last Will: in which ways of losing a client it is published, how fast, and how. */

import { publishPacket } from "../client-packets.ts";
import type { Lab } from "../lab.ts";
import { must, type Outcome, type Probe, plural } from "../probe.ts";
import type { ProbeClient } from "../probe-client.ts";
import type { ProbeMessage } from "../server-packets.ts";

/** Short, so that the wait is; even, because mosquitto counts in whole seconds. */
const KEEP_ALIVE_SECONDS = 2;

/** Mosquitto looks for silent clients every five seconds or so. */
const KEEP_ALIVES_MAX = 7;

export const willProbes: readonly Probe[] = [
  {
    id: "will.keep-alive",
    question: "the client falls silent",
    did: `connected with a Will and a keep alive of ${KEEP_ALIVE_SECONDS} s, and sent nothing more`,
    clause: "MQTT-3.1.2-24",
    run: silentClient,
  },
  {
    id: "will.fin",
    question: "the connection is closed (FIN)",
    did: "connected with a Will, and closed the connection without DISCONNECT",
    clause: "MQTT-3.1.2-8",
    run: (lab) => willAfter(lab, (device) => device.close()),
  },
  {
    id: "will.rst",
    question: "the connection is torn down (RST)",
    did: "connected with a Will, and reset the connection",
    clause: "MQTT-3.1.2-8",
    run: (lab) => willAfter(lab, (device) => device.reset()),
  },
  {
    id: "will.protocol-error",
    question: "the client breaks the protocol",
    did: "connected with a Will, and sent a PUBLISH at QoS 3",
    clause: "MQTT-3.1.2-8",
    run: (lab) =>
      willAfter(lab, (device) => device.send(publishPacket({ topic: lab.topic("t"), qos: 3 }))),
  },
  {
    id: "will.takeover",
    question: "another client takes its place",
    did: "connected with a Will, and once more with the same client id",
    clause: "MQTT-3.1.2-8",
    run: (lab) => willAfter(lab, (_, clientId) => lab.connect({ clientId })),
  },
  {
    id: "will.disconnect",
    question: "the client says goodbye (DISCONNECT)",
    did: "connected with a Will, and sent DISCONNECT",
    clause: "MQTT-3.14.4-3",
    run: goodbye,
  },
  {
    id: "will.qos",
    question: "the QoS of the Will",
    did: "three Wills at QoS 0, 1 and 2; a subscriber that asks for QoS 2",
    clause: "MQTT-3.8.4-6",
    run: willQos,
  },
  {
    id: "will.retained",
    question: "a Will to be retained",
    did: "closed a connection with such a Will, and subscribed afterwards",
    clause: "MQTT-3.1.2-17",
    run: async (lab) => {
      const topic = lab.retainedTopic("will");
      const [message, ...more] = await willsFor(lab, topic, true);
      const isKept = message?.retain === true && more.length === 0;
      const found =
        message === undefined ? "not retained" : `retained, with ${retainText(message)}`;
      return must(isKept, found, `${plural(more.length + (message ? 1 : 0), "message")} came`);
    },
  },
  {
    id: "will.not-retained",
    question: "a Will that is not to be retained",
    did: "closed a connection with such a Will, and subscribed afterwards",
    clause: "MQTT-3.1.2-16",
    run: async (lab) => {
      const late = await willsFor(lab, lab.retainedTopic("will"), false);
      const found = late.length === 0 ? "not retained" : "retained all the same";
      return must(late.length === 0, found, `${plural(late.length, "message")} came`);
    },
  },
];

const PAYLOAD = "gone";

/** A client with a Will is lost, while somebody watches. */
async function willAfter(
  lab: Lab,
  lose: (device: ProbeClient, clientId: string) => unknown,
): Promise<Outcome> {
  const topic = lab.topic("will");
  const watcher = await lab.connect();
  await watcher.subscribe(topic, 1);
  const clientId = lab.clientId();
  const device = await lab.connect({ clientId, will: { topic, payload: PAYLOAD, qos: 1 } });
  const startMs = lab.world.nowMs();
  await lose(device, clientId);
  if (!(await watcher.hasMessages(1))) {
    const isEnded = device.isClosed ? "the connection ended" : "the connection stays open";
    const waited = seconds(lab.world.nowMs() - startMs);
    return must(false, "not published", `${isEnded}, and no Will came within ${waited}`);
  }
  const delayMs = lab.world.nowMs() - startMs;
  await lab.sleep(lab.quietMs);
  const count = watcher.messages.length;
  const got = `${plural(count, "message")}, the first after ${delayMs.toFixed(1)} ms`;
  const when = delayMs < AT_ONCE_MS ? "at once" : `after ${seconds(delayMs)}`;
  const found = count === 1 ? `published ${when}` : `published ${count} times`;
  return must(count === 1, found, got, { value: round(delayMs), unit: "ms" });
}

/** So little is the time of a busy machine. */
const AT_ONCE_MS = 500;

async function silentClient(lab: Lab): Promise<Outcome> {
  const topic = lab.topic("will");
  const watcher = await lab.connect();
  await watcher.subscribe(topic, 1);
  const startMs = lab.world.nowMs();
  await lab.connect({
    keepAliveSeconds: KEEP_ALIVE_SECONDS,
    will: { topic, payload: PAYLOAD, qos: 1 },
  });
  const keepAliveMs = KEEP_ALIVE_SECONDS * 1000;
  const limitMs = KEEP_ALIVES_MAX * keepAliveMs;
  if (!(await watcher.hasMessages(1, limitMs))) {
    return must(false, "not published", `no Will within ${seconds(limitMs)}`);
  }
  const delayMs = lab.world.nowMs() - startMs;
  const factor = Math.round((delayMs / keepAliveMs) * 10) / 10;
  const found = `published after ${factor.toFixed(1)} × the keep alive`;
  const got = `the Will came ${seconds(delayMs)} after the last packet`;
  return must(true, found, got, { value: factor, unit: "keep alives" });
}

async function goodbye(lab: Lab): Promise<Outcome> {
  const topic = lab.topic("will");
  const watcher = await lab.connect();
  await watcher.subscribe(topic, 1);
  const device = await lab.connect({ will: { topic, payload: PAYLOAD, qos: 1 } });
  await device.disconnect();
  const wills = await lab.settled(watcher, topic);
  const found = wills.length === 0 ? "not published" : "published all the same";
  return must(wills.length === 0, found, `${plural(wills.length, "Will")} came`);
}

async function willQos(lab: Lab): Promise<Outcome> {
  const watcher = await lab.connect();
  const granted = await watcher.subscribe(lab.topic("+"), 2);
  const arrived: string[] = [];
  let isRight = true;
  for (const qos of [0, 1, 2]) {
    const device = await lab.connect({ will: { topic: lab.topic(`${qos}`), payload: "", qos } });
    device.close();
    await watcher.hasMessages(arrived.length + 1);
    const message = watcher.messages[arrived.length];
    if (message?.qos !== Math.min(qos, granted)) isRight = false;
    arrived.push(message === undefined ? "none" : `${message.qos}`);
    if (message === undefined) break;
  }
  const found = `QoS 0, 1, 2 come as ${arrived.join(", ")}`;
  return must(isRight, found, `the subscription was granted QoS ${granted}; ${found}`);
}

/** What a subscription brings that is made after the Will has been published. */
async function willsFor(lab: Lab, topic: string, retain: boolean): Promise<ProbeMessage[]> {
  const watcher = await lab.connect();
  await watcher.subscribe(topic, 1);
  const device = await lab.connect({ will: { topic, payload: PAYLOAD, qos: 1, retain } });
  device.close();
  await watcher.hasMessages(1);
  await lab.sleep(lab.quietMs);
  return lab.newcomer(topic);
}

function retainText({ retain }: ProbeMessage): string {
  return `RETAIN ${retain ? 1 : 0}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
