/** Questions about QoS: what is granted and kept of it, exactly once, acknowledgements, and order. */

import { publishPacket, pubrelPacket } from "../client-packets.ts";
import type { Lab } from "../lab.ts";
import { free, must, type Outcome, type Probe, plural } from "../probe.ts";
import type { ProbeClient } from "../probe-client.ts";

/** For questions of order. */
const MESSAGE_COUNT = 100;

/** So few under way at once are within every broker's limits. */
const WINDOW_COUNT = 10;

export const qualityProbes: readonly Probe[] = [
  {
    id: "qos.granted",
    question: "granted to a subscription",
    did: "subscribed with QoS 0, 1 and 2",
    clause: "MQTT-3.8.4-6",
    run: async (lab) => {
      const client = await lab.connect();
      const granted: number[] = [];
      for (const qos of [0, 1, 2]) granted.push(await client.subscribe(lab.topic(`${qos}`), qos));
      const found = `QoS 0, 1, 2 become ${granted.join(", ")}`;
      return free(found, `SUBACK with ${granted.join(", ")}`);
    },
  },
  {
    id: "qos.delivered",
    question: "of a message, for a subscription at QoS 2",
    did: "subscribed with QoS 2, and published at QoS 0, 1 and 2",
    clause: "MQTT-3.8.4-6",
    run: async (lab) => {
      const topic = lab.topic("t");
      const [from, to] = await Promise.all([lab.connect(), lab.connect()]);
      const granted = await to.subscribe(topic, 2);
      const arrived = await arrivedQos(from, to, topic, [0, 1, 2]);
      const isRight = arrived.every((qos, index) => qos === Math.min(index, granted));
      const found = `QoS 0, 1, 2 arrive as ${arrived.join(", ")}`;
      return must(isRight, found, `the subscription was granted QoS ${granted}; ${found}`);
    },
  },
  {
    id: "qos.downgraded",
    question: "of a message at QoS 2, for lower subscriptions",
    did: "published at QoS 2 to subscriptions that were granted QoS 0 and 1",
    clause: "MQTT-3.8.4-6",
    run: async (lab) => {
      const topic = lab.topic("t");
      const [from, ...subscribers] = await Promise.all([1, 2, 3].map(() => lab.connect()));
      const arrived: (number | string)[] = [];
      for (const [qos, to] of subscribers.entries()) {
        await to.subscribe(topic, qos);
        if (from !== undefined) arrived.push(...(await arrivedQos(from, to, topic, [2])));
      }
      const found = `arrives at QoS ${arrived.join(", ")}`;
      return must(arrived.join() === "0,1", found, `subscribed with QoS 0, 1: it ${found}`);
    },
  },
  {
    id: "qos1.answer",
    question: "a message at QoS 1",
    did: "published at QoS 1",
    clause: "MQTT-4.3.2-2",
    run: async (lab) => {
      const client = await lab.connect();
      client.send(publishPacket({ topic: lab.topic("t"), qos: 1, packetId: 7777 }));
      const answer = await client.next("PUBACK", "PUBREC");
      if (answer === undefined) return must(false, "not answered", "no PUBACK came");
      const isRight = answer.type === "PUBACK" && answer.packetId === 7777;
      const got = `${answer.type} with packet identifier ${answer.packetId}`;
      return must(isRight, isRight ? "PUBACK" : got, got);
    },
  },
  {
    id: "qos2.answer",
    question: "a message at QoS 2",
    did: "published at QoS 2",
    clause: "MQTT-4.3.3-2",
    run: async (lab) => {
      const client = await lab.connect();
      client.send(publishPacket({ topic: lab.topic("t"), qos: 2, packetId: 78 }));
      const type = await client.finishQos2(78);
      if (type === "PUBREC") return must(true, "PUBREC, PUBCOMP", "PUBREC, and PUBCOMP for PUBREL");
      return must(false, "PUBACK, as at QoS 1", "PUBACK where PUBREC is due");
    },
  },
  {
    id: "qos2.repeated",
    question: "a repeated PUBLISH at QoS 2",
    did: "sent a PUBLISH twice, the second time with DUP, before PUBREL",
    clause: "MQTT-4.3.3-2",
    run: async (lab) => {
      const topic = lab.topic("t");
      const { from, to } = await lab.pair(topic, 2);
      const fields = { topic, payload: "once", qos: 2, packetId: 79 };
      from.send(publishPacket(fields));
      await from.expect("PUBREC", "PUBACK");
      from.send(publishPacket({ ...fields, dup: true }));
      await from.finishQos2(79);
      return deliveredOnce(await lab.settled(to, topic, from));
    },
  },
  {
    id: "qos2.repeated-later",
    question: "a repeated PUBLISH at QoS 2 on the next connection",
    did: "sent a PUBLISH in a session, lost the connection after PUBREC, and sent it again with DUP",
    clause: "MQTT-4.3.3-2",
    run: async (lab) => {
      const topic = lab.topic("t");
      const to = await lab.connect();
      await to.subscribe(topic, 2);
      const clientId = lab.clientId();
      const fields = { topic, payload: "once", qos: 2, packetId: 80 };
      const first = await lab.connect({ clientId, cleanSession: false });
      await first.subscribe(lab.topic("other"), 1); // aedes forgets sessions without a subscription
      first.send(publishPacket(fields));
      await first.expect("PUBREC", "PUBACK");
      first.reset();
      const second = await lab.connect({ clientId, cleanSession: false });
      second.send(publishPacket({ ...fields, dup: true }));
      await second.finishQos2(80);
      return deliveredOnce(await lab.settled(to, topic, second));
    },
  },
  {
    id: "qos2.reused",
    question: "a packet identifier that is used again",
    did: "published two messages at QoS 2, one after the other, with the same identifier",
    clause: "MQTT-4.3.3-2",
    run: async (lab) => {
      const topic = lab.topic("t");
      const { from, to } = await lab.pair(topic, 1);
      for (const payload of ["one", "two"]) {
        await from.publish({ topic, payload, qos: 2, packetId: 81 });
      }
      const messages = await lab.settled(to, topic, from);
      const isBoth = messages.map(({ payload }) => payload).join() === "one,two";
      const found = isBoth ? "a new message" : "taken for a repetition";
      return must(isBoth, found, `${plural(messages.length, "message")} came`);
    },
  },
  {
    id: "qos2.unknown-pubrel",
    question: "a PUBREL for an unknown message",
    did: "sent PUBREL with an identifier that was never used",
    clause: "MQTT-4.3.3-2",
    run: async (lab) => {
      const client = await lab.connect();
      client.send(pubrelPacket(999));
      const answer = await client.next("PUBCOMP");
      if (answer !== undefined) return must(true, "PUBCOMP", "PUBCOMP");
      const found = client.isClosed ? "the connection is closed" : "no answer";
      return must(false, found, found);
    },
  },
  {
    id: "qos.dup",
    question: "DUP of an incoming message",
    did: "published at QoS 1 with DUP 1, though for the first time",
    clause: "MQTT-3.3.1-3",
    run: async (lab) => {
      const topic = lab.topic("t");
      const { from, to } = await lab.pair(topic, 1);
      await from.publish({ topic, payload: "first", qos: 1, dup: true });
      const [message] = await lab.settled(to, topic, from);
      if (message === undefined) return must(false, "not delivered", "no message came");
      const found = message.dup ? "passed on" : "not passed on";
      return must(!message.dup, found, `it came with DUP ${+message.dup}`);
    },
  },
  {
    id: "qos.acknowledged-when",
    question: "PUBACK comes",
    did: "published at QoS 1 to a subscription of the same connection",
    run: acknowledgedWhen,
  },
  {
    id: "order.acknowledgements",
    question: "order of acknowledgements",
    did: `published ${MESSAGE_COUNT} messages at QoS 1 in one piece`,
    clause: "MQTT-4.6.0-2",
    run: async (lab) => {
      const client = await lab.connect();
      const ids = Array.from({ length: MESSAGE_COUNT }, (_, index) => index + 1);
      const topic = lab.topic("t");
      client.send(Buffer.concat(ids.map((packetId) => publishPacket({ topic, qos: 1, packetId }))));
      const acknowledged: number[] = [];
      for (const _ of ids) acknowledged.push((await client.expect("PUBACK")).packetId);
      const isKept = acknowledged.join() === ids.join();
      return must(isKept, isKept ? "kept" : "not kept", `${acknowledged.length} PUBACKs`);
    },
  },
  ...[0, 1, 2].map(
    (qos): Probe => ({
      id: `order.qos${qos}`,
      question: `order of messages at QoS ${qos}`,
      did: `published ${MESSAGE_COUNT} messages at QoS ${qos} on one topic, ${WINDOW_COUNT} at a time`,
      clause: "MQTT-4.6.0-6",
      run: async (lab) => {
        const numbers = await arrivedNumbers(lab, qos, WINDOW_COUNT);
        const isKept = numbers.every((value, index) => value > (numbers[index - 1] ?? 0));
        const found = numbers.length === 0 ? "nothing is delivered" : isKept ? "kept" : "not kept";
        return must(found === "kept", found, `${plural(numbers.length, "message")} came`);
      },
    }),
  ),
  ...[1, 2].map(
    (qos): Probe => ({
      id: `qos${qos}.burst`,
      question: `${MESSAGE_COUNT} messages at QoS ${qos} in one piece`,
      did: `published ${MESSAGE_COUNT} messages at QoS ${qos} without waiting for an answer`,
      clause: qos === 1 ? "MQTT-4.3.2-2" : "MQTT-4.3.3-2",
      run: async (lab) => {
        const { size } = new Set(await arrivedNumbers(lab, qos, MESSAGE_COUNT));
        const found = size === MESSAGE_COUNT ? "all are delivered" : `${size} are delivered`;
        return must(size === MESSAGE_COUNT, found, `all were acknowledged, and ${size} came`);
      },
    }),
  ),
];

/** At which QoS each message arrives that is published at one of `published`. */
async function arrivedQos(
  from: ProbeClient,
  to: ProbeClient,
  topic: string,
  published: readonly number[],
): Promise<(number | string)[]> {
  const arrived: (number | string)[] = [];
  for (const qos of published) {
    const count = to.messages.length;
    await from.publish({ topic, payload: "m", qos });
    await to.hasMessages(count + 1);
    arrived.push(to.messages[count]?.qos ?? "nothing");
  }
  return arrived;
}

function deliveredOnce(messages: readonly unknown[]): Outcome {
  const count = messages.length;
  const found = count === 1 ? "delivered once" : `delivered ${count} times`;
  return must(count === 1, found, `${plural(count, "message")} came`);
}

const WHEN_COUNT = 10;

async function acknowledgedWhen(lab: Lab): Promise<Outcome> {
  const client = await lab.connect();
  const topic = lab.topic("t");
  await client.subscribe(topic, 0);
  let afterCount = 0;
  for (let index = 0; index < WHEN_COUNT; index++) {
    client.send(publishPacket({ topic, payload: "m", qos: 1, packetId: 500 + index }));
    const puback = await client.expect("PUBACK");
    await client.hasMessages(index + 1);
    const message = client.messages[index];
    if (message !== undefined && message.order < puback.order) afterCount++;
  }
  const got = `of ${WHEN_COUNT} messages ${afterCount} came to the subscriber before their PUBACK`;
  // A broker that does not wait may still be late with some of its acknowledgements.
  const waits = afterCount === WHEN_COUNT;
  return free(waits ? "after the message was forwarded" : "without waiting for the message", got);
}

/** Publishes numbered messages, so many at a time, and answers in which order they came. */
async function arrivedNumbers(lab: Lab, qos: number, windowCount: number): Promise<number[]> {
  const topic = lab.topic("t");
  const { from, to } = await lab.pair(topic, qos);
  for (let first = 1; first <= MESSAGE_COUNT; first += windowCount) {
    const ids = Array.from({ length: windowCount }, (_, index) => first + index);
    const packets = ids.map((packetId) =>
      publishPacket({ topic, payload: `${packetId}`, qos, packetId }),
    );
    from.send(Buffer.concat(packets));
    for (const packetId of ids) {
      if (qos === 1) await from.expect("PUBACK");
      if (qos === 2) await from.finishQos2(packetId);
    }
  }
  await to.hasMessages(MESSAGE_COUNT);
  return to.messages.map(({ payload }) => Number(payload));
}
