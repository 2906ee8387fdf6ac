/** Questions about sessions: what a broker keeps of a client that is away, and what it sends again. */

import { publishPacket, pubrecPacket } from "../client-packets.ts";
import type { Lab } from "../lab.ts";
import { free, must, type Outcome, type Probe, plural } from "../probe.ts";
import type { ProbeClient } from "../probe-client.ts";
import type { ProbeMessage } from "../server-packets.ts";

/** For the question how many are kept. */
const OFFLINE_COUNT_MAX = 2000;

/** So many PUBLISH wait for their PUBACK at once. */
const BURST_COUNT = 100;

export const sessionProbes: readonly Probe[] = [
  {
    id: "session.offline-count",
    question: "how many messages it keeps",
    did: `published ${OFFLINE_COUNT_MAX} messages of 10 bytes at QoS 1 while the subscriber was away`,
    clause: "MQTT-3.1.2-5",
    run: offlineCount,
  },
  {
    id: "session.present",
    question: "Session Present",
    did: "subscribed in a session, disconnected, and came back",
    clause: "MQTT-3.2.2-2",
    run: async (lab) => {
      const away = await leave(lab, 1);
      return isPresent(lab, away.clientId);
    },
  },
  {
    id: "session.present-empty",
    question: "Session Present without a subscription",
    did: "connected with Clean Session 0, disconnected, and came back",
    clause: "MQTT-3.2.2-2",
    run: async (lab) => {
      const clientId = lab.clientId();
      const client = await lab.connect({ clientId, cleanSession: false });
      await client.disconnect();
      return isPresent(lab, clientId);
    },
  },
  {
    id: "session.cleared",
    question: "a clean session afterwards",
    did: "came back with Clean Session 1, and then with Clean Session 0",
    clause: "MQTT-3.1.2-6",
    run: async (lab) => {
      const { clientId } = await leave(lab, 1);
      const clean = await lab.connect({ clientId });
      await clean.disconnect();
      const { answer } = await lab.tryConnect({ clientId, cleanSession: false });
      if (answer.kind !== "answered") return must(false, answer.kind, "no CONNACK came");
      const isGone = !answer.sessionPresent;
      const found = isGone ? "removes the session" : "leaves the session";
      return must(isGone, found, `then Session Present was ${+answer.sessionPresent}`);
    },
  },
  {
    id: "session.subscriptions",
    question: "its subscriptions",
    did: "came back to a session without subscribing again, and published",
    clause: "MQTT-3.1.2-4",
    run: async (lab) => {
      const { clientId, topic } = await leave(lab, 1);
      const back = await lab.connect({ clientId, cleanSession: false });
      const from = await lab.connect();
      await from.publish({ topic, payload: "news", qos: 1 });
      const isThere = await back.hasMessages(1);
      return must(isThere, isThere ? "kept" : "lost", isThere ? "the message came" : "none came");
    },
  },
  ...[1, 2].map(
    (qos): Probe => ({
      id: `session.offline-qos${qos}`,
      question: `messages at QoS ${qos} for a client that is away`,
      did: `published 10 messages at QoS ${qos} while the subscriber was away`,
      clause: "MQTT-3.1.2-5",
      run: async (lab) => {
        const messages = await whileAway(lab, qos);
        const numbers = messages.map(({ payload }) => payload);
        const isRight = numbers.join() === NUMBERS.join();
        const found = isRight ? "kept in their order" : keptText(numbers);
        return must(isRight, found, `they came as ${numbers.join(", ") || "nothing"}`);
      },
    }),
  ),
  {
    id: "session.offline-qos0",
    question: "messages at QoS 0 for a client that is away",
    did: "published 10 messages at QoS 0 while the subscriber was away",
    clause: "MQTT-3.1.2-5",
    run: async (lab) => {
      const { length } = await whileAway(lab, 0);
      const found = length === 0 ? "not kept" : length === NUMBERS.length ? "kept" : "some kept";
      return free(found, `${plural(length, "message")} of ${NUMBERS.length} came`);
    },
  },
  {
    id: "session.redelivered",
    question: "a message without PUBACK, on the next connection",
    did: "received at QoS 1 without acknowledging, lost the connection, and came back",
    clause: "MQTT-4.4.0-1",
    run: redelivered,
  },
  {
    id: "session.redelivered-pubrel",
    question: "a PUBREL without PUBCOMP, on the next connection",
    did: "received at QoS 2, answered PUBREC and not PUBREL, lost the connection, and came back",
    clause: "MQTT-4.4.0-1",
    run: redeliveredPubrel,
  },
];

const NUMBERS = Array.from({ length: 10 }, (_, index) => `${index}`);

interface Away {
  readonly clientId: string;
  readonly topic: string;
}

/** A client that has subscribed in a session and said goodbye. */
async function leave(lab: Lab, qos: number): Promise<Away> {
  const clientId = lab.clientId();
  const topic = lab.topic("t");
  const client = await lab.connect({ clientId, cleanSession: false });
  await client.subscribe(topic, qos);
  await client.disconnect();
  return { clientId, topic };
}

async function isPresent(lab: Lab, clientId: string): Promise<Outcome> {
  const { answer } = await lab.tryConnect({ clientId, cleanSession: false });
  if (answer.kind !== "answered") return must(false, answer.kind, "no CONNACK came");
  const flag = +answer.sessionPresent;
  return must(flag === 1, `${flag}`, `CONNACK with Session Present ${flag}`);
}

/** What comes to a subscriber that asked for QoS 2 and was away meanwhile. */
async function whileAway(lab: Lab, qos: number): Promise<readonly ProbeMessage[]> {
  const { clientId, topic } = await leave(lab, 2);
  const from = await lab.connect();
  for (const payload of NUMBERS) await from.publish({ topic, payload, qos });
  await from.publish({ topic: lab.topic("end"), qos: 1 }); // so that the broker has read those before
  await lab.sleep(lab.quietMs);
  return comeBack(lab, clientId, topic);
}

/** What waits for this client. Its session may be lost, so the end comes with a subscription of its own. */
async function comeBack(lab: Lab, clientId: string, topic: string) {
  const back = await lab.connect({ clientId, cleanSession: false });
  await back.subscribe(lab.topic("end"), 1);
  const messages = await lab.settled(back, lab.topic("end"));
  return messages.filter((message) => message.topic === topic);
}

function keptText(numbers: readonly string[]): string {
  if (numbers.length === 0) return "lost";
  if (numbers.length < NUMBERS.length) return `${numbers.length} of ${NUMBERS.length} kept`;
  return numbers.length > NUMBERS.length ? "kept, some twice" : "kept, out of order";
}

async function offlineCount(lab: Lab): Promise<Outcome> {
  const { clientId, topic } = await leave(lab, 1);
  const from = await lab.connect();
  for (let first = 0; first < OFFLINE_COUNT_MAX; first += BURST_COUNT) {
    await burst(from, topic, first);
  }
  const messages = await comeBack(lab, clientId, topic);
  const numbers = new Set(messages.map(({ payload }) => Number(payload)));
  const measured = { value: numbers.size, unit: "messages" } as const;
  const got = `${plural(numbers.size, "message")} came`;
  if (numbers.size === OFFLINE_COUNT_MAX) return free("all of 2000", got, measured);
  if (numbers.size === 0) return free("none", got, measured);
  const which = numbers.has(0) ? "the oldest" : "the newest";
  return free(`${numbers.size} of 2000, ${which}`, `${got}, ${which}`, measured);
}

/** Payloads of 10 digits. */
async function burst(from: ProbeClient, topic: string, first: number): Promise<void> {
  const packets: Uint8Array[] = [];
  for (let index = first; index < first + BURST_COUNT; index++) {
    const payload = `${index}`.padStart(10, "0");
    packets.push(publishPacket({ topic, payload, qos: 1, packetId: index + 1 }));
  }
  from.send(Buffer.concat(packets));
  for (const _ of packets) await from.expect("PUBACK");
}

/** A message at `qos` has come to a client in a session, which has not acknowledged it. */
async function unacknowledged(lab: Lab, qos: number) {
  const clientId = lab.clientId();
  const topic = lab.topic("t");
  const client = await lab.connect({ clientId, cleanSession: false });
  client.acknowledges = false;
  await client.subscribe(topic, qos);
  const from = await lab.connect();
  await from.publish({ topic, payload: "again", qos });
  await client.hasMessages(1);
  return { clientId, client, message: client.messages[0] };
}

async function redelivered(lab: Lab): Promise<Outcome> {
  const { clientId, client, message } = await unacknowledged(lab, 1);
  if (message === undefined) return must(false, "never delivered", "no message came");
  client.reset();
  const back = await lab.connect({ clientId, cleanSession: false });
  await back.hasMessages(1);
  const [again] = back.messages;
  if (again === undefined) return must(false, "not sent again", "no message came");
  const isSameId = again.packetId === message.packetId;
  const identifier = isSameId ? "the same identifier" : "another identifier";
  const found = `sent again with DUP ${+again.dup}, ${identifier}`;
  return must(again.dup && isSameId, found, `${found}: ${message.packetId}, ${again.packetId}`);
}

async function redeliveredPubrel(lab: Lab): Promise<Outcome> {
  const { clientId, client, message } = await unacknowledged(lab, 2);
  if (message === undefined) return must(false, "never delivered", "no message came");
  if (message.qos !== 2) return free("QoS 2 is not granted", `it came at QoS ${message.qos}`);
  client.send(pubrecPacket(message.packetId));
  await client.expect("PUBREL");
  client.reset();
  const back = await lab.connect({ clientId, cleanSession: false });
  await back.until(() => back.messages.length > 0 || back.isClosed, lab.quietMs);
  const answer = await back.next("PUBREL");
  const isRight = answer?.packetId === message.packetId && back.messages.length === 0;
  const got = `${answer === undefined ? "no PUBREL" : "PUBREL"}, ${plural(back.messages.length, "PUBLISH")}`;
  const found = answer === undefined ? "no PUBREL" : "PUBREL sent again";
  return must(isRight, isRight || answer === undefined ? found : got, got);
}
