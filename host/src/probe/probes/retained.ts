/** Questions about retained messages: when they are stored, replaced, deleted, and to whom they come. */

import type { Lab } from "../lab.ts";
import { free, must, type Probe, plural } from "../probe.ts";
import type { ProbeMessage } from "../server-packets.ts";

export const retainedProbes: readonly Probe[] = [
  {
    id: "retained.new",
    question: "for a new subscription",
    did: "published with RETAIN 1 at QoS 1, and subscribed afterwards",
    clause: "MQTT-3.3.1-8",
    run: async (lab) => {
      const topic = await retained(lab, [{ payload: "kept" }]);
      const messages = await lab.newcomer(topic);
      return must(isOnly(messages, "kept"), comesAs(messages), listText(messages));
    },
  },
  {
    id: "retained.wildcard",
    question: "for a new subscription with wildcards",
    did: "published with RETAIN 1, and subscribed afterwards with + and with #",
    clause: "MQTT-3.3.1-6",
    run: async (lab) => {
      const topic = await retained(lab, [{ payload: "kept" }], "deep/kept");
      const plus = await lab.newcomer(lab.topic("+/kept"), topic);
      const hash = await lab.newcomer(lab.topic("#"), topic);
      const isRight = isOnly(plus, "kept") && isOnly(hash, "kept");
      const found = isRight
        ? "delivered with RETAIN 1"
        : `+: ${comesAs(plus)}; #: ${comesAs(hash)}`;
      const isNever = plus.length + hash.length === 0;
      return must(isRight, isNever ? "not delivered" : found, listText([...plus, ...hash]));
    },
  },
  {
    id: "retained.established",
    question: "for an established subscription",
    did: "subscribed, and published with RETAIN 1 afterwards",
    clause: "MQTT-3.3.1-9",
    run: async (lab) => {
      const topic = lab.retainedTopic("kept");
      const { from, to } = await lab.pair(topic, 1);
      await from.publish({ topic, payload: "kept", qos: 1, retain: true });
      const messages = await lab.settled(to, topic, from);
      const isRight = messages.length === 1 && messages[0]?.retain === false;
      return must(isRight, comesAs(messages), listText(messages));
    },
  },
  {
    id: "retained.resubscribe",
    question: "when the same filter is subscribed to again",
    did: "subscribed twice on one connection",
    clause: "MQTT-3.8.4-3",
    run: async (lab) => {
      const topic = await retained(lab, [{ payload: "kept" }]);
      const to = await lab.connect();
      await to.subscribe(topic, 1);
      await lab.sleep(lab.quietMs);
      await to.subscribe(topic, 1);
      const messages = await lab.settled(to, topic);
      const isAgain = messages.length === 2;
      const found = isAgain ? "delivered again" : `delivered ${messages.length} times in all`;
      return must(isAgain, found, listText(messages));
    },
  },
  {
    id: "retained.replaced",
    question: "a newer one",
    did: "published twice with RETAIN 1, and subscribed afterwards",
    clause: "MQTT-3.3.1-5",
    run: async (lab) => {
      const topic = await retained(lab, [{ payload: "old" }, { payload: "new" }]);
      const messages = await lab.newcomer(topic);
      const isRight = isOnly(messages, "new");
      return must(isRight, isRight ? "replaces the older" : payloads(messages), listText(messages));
    },
  },
  {
    id: "retained.plain",
    question: "a newer message with RETAIN 0",
    did: "published with RETAIN 1 and then with RETAIN 0, and subscribed afterwards",
    clause: "MQTT-3.3.1-12",
    run: async (lab) => {
      const topic = await retained(lab, [{ payload: "kept" }, { payload: "news", retain: false }]);
      const messages = await lab.newcomer(topic);
      const isRight = isOnly(messages, "kept");
      const found = isRight ? "leaves the retained one alone" : payloads(messages);
      return must(isRight, found, listText(messages));
    },
  },
  {
    id: "retained.deleted",
    question: "an empty one",
    did: "published with RETAIN 1, then 0 bytes with RETAIN 1, and subscribed afterwards",
    clause: "MQTT-3.3.1-10",
    run: async (lab) => {
      const topic = await retained(lab, [{ payload: "kept" }, { payload: "" }]);
      const messages = await lab.newcomer(topic);
      const isGone = messages.length === 0;
      const found = isGone ? "deletes what was retained" : `brings ${payloads(messages)}`;
      return must(isGone, found, listText(messages));
    },
  },
  {
    id: "retained.empty-passes",
    question: "an empty one, for an established subscription",
    did: "subscribed, and published 0 bytes with RETAIN 1",
    clause: "MQTT-3.3.1-10",
    run: async (lab) => {
      const topic = lab.retainedTopic("kept");
      const { from, to } = await lab.pair(topic, 1);
      await from.publish({ topic, payload: "", qos: 1, retain: true });
      const messages = await lab.settled(to, topic, from);
      const isThere = messages.length === 1;
      return must(isThere, isThere ? "delivered" : comesAs(messages), listText(messages));
    },
  },
  {
    id: "retained.qos0",
    question: "at QoS 0",
    did: "published with RETAIN 1 at QoS 0, and subscribed afterwards",
    clause: "MQTT-3.3.1-7",
    run: async (lab) => {
      const topic = await retained(lab, [{ payload: "kept", qos: 0 }]);
      const messages = await lab.newcomer(topic);
      return free(messages.length === 1 ? "retained" : "not retained", listText(messages));
    },
  },
  {
    id: "retained.qos",
    question: "its QoS for a subscription at QoS 2",
    did: "published with RETAIN 1 at QoS 1, and subscribed afterwards with QoS 2",
    clause: "MQTT-3.3.1-5",
    run: async (lab) => {
      const topic = await retained(lab, [{ payload: "kept" }]);
      const [message, ...more] = await lab.newcomer(topic, topic, 2);
      if (message === undefined) return must(false, "not delivered", "no message came");
      const isRight = message.qos === 1 && more.length === 0;
      return must(isRight, `delivered at QoS ${message.qos}`, listText([message, ...more]));
    },
  },
];

interface Kept {
  readonly payload: string;
  readonly qos?: number;
  readonly retain?: boolean;
}

/** Publishes them one after the other; the topic, when an established subscriber has seen all of them. */
async function retained(lab: Lab, messages: readonly Kept[], name = "kept"): Promise<string> {
  const topic = lab.retainedTopic(name);
  const { from, to } = await lab.pair(topic, 1);
  for (const { payload, qos = 1, retain = true } of messages) {
    await from.publish({ topic, payload, qos, retain });
  }
  await lab.settled(to, topic, from);
  await Promise.all([from.disconnect(), to.disconnect()]);
  return topic;
}

function isOnly(messages: readonly ProbeMessage[], payload: string): boolean {
  const [message, ...more] = messages;
  return message?.payload === payload && message.retain && more.length === 0;
}

/** As in "delivered with RETAIN 1". */
function comesAs(messages: readonly ProbeMessage[]): string {
  const [message, ...more] = messages;
  if (message === undefined) return "not delivered";
  if (more.length > 0) return `delivered ${messages.length} times`;
  return `delivered with RETAIN ${message.retain ? 1 : 0}`;
}

function payloads(messages: readonly ProbeMessage[]): string {
  if (messages.length === 0) return "nothing is delivered";
  return messages.map(({ payload }) => JSON.stringify(payload)).join(", ");
}

function listText(messages: readonly ProbeMessage[]): string {
  const texts = messages.map(
    ({ payload, qos, retain }) => `${JSON.stringify(payload)} (QoS ${qos}, RETAIN ${+retain})`,
  );
  return texts.length === 0 ? "no message came" : `${plural(texts.length, "message")}: ${texts}`;
}
