/** Questions about topics: wildcards, names that begin with $, odd names, and subscriptions that meet. */

import { subscribePacket, unsubscribePacket } from "../client-packets.ts";
import type { Lab } from "../lab.ts";
import { free, must, type Outcome, type Probe, plural } from "../probe.ts";
import { NotFoundOut } from "../probe-client.ts";
import type { ProbeMessage } from "../server-packets.ts";

export const topicProbes: readonly Probe[] = [
  {
    id: "topic.wildcards",
    question: "+ and #",
    did: "published on nine topics, to subscriptions with wildcards that match some of them",
    clause: "4.7.1",
    run: wildcards,
  },
  {
    id: "topic.dollar",
    question: "a wildcard in the first place and a topic that begins with $",
    did: "subscribed with + in the first place, and published on a topic that begins with $",
    clause: "MQTT-4.7.2-1",
    run: dollar,
  },
  {
    id: "topic.sys",
    question: "$SYS, where a broker tells about itself",
    did: "subscribed to $SYS/#, and then with + instead of $SYS",
    clause: "MQTT-4.7.2-1",
    run: sys,
  },
  {
    id: "topic.unchanged",
    question: "odd names (dots, empty levels, spaces, capitals)",
    did: "published on six odd topics, with a subscription to exactly each",
    clause: "MQTT-4.7.3-4",
    run: oddNames,
  },
  {
    id: "topic.overlapping",
    question: "two subscriptions that both match",
    did: "subscribed with QoS 0 and, with a wildcard, with QoS 1; published at QoS 1",
    clause: "MQTT-3.3.5-1",
    run: overlapping,
  },
  {
    id: "topic.resubscribed",
    question: "a subscription that is made again",
    did: "subscribed with QoS 0 and again with QoS 1, and published at QoS 1",
    clause: "MQTT-3.8.4-3",
    run: async (lab) => {
      const topic = lab.topic("t");
      const { from, to } = await lab.pair(topic, 0);
      await to.subscribe(topic, 1);
      await from.publish({ topic, payload: "m", qos: 1 });
      const messages = await lab.settled(to, topic, from);
      const isReplaced = messages.length === 1 && messages[0]?.qos === 1;
      const found = isReplaced ? "takes the place of the first" : copiesText(messages);
      return must(isReplaced, found, copiesText(messages));
    },
  },
  {
    id: "topic.shared",
    question: "shared subscriptions ($share)",
    did: "two subscriptions to $share/group/…, and 20 messages on the topic behind it",
    clause: "MQTT 5, 4.8.2",
    run: shared,
  },
  {
    id: "topic.unsubscribed",
    question: "after UNSUBSCRIBE",
    did: "unsubscribed, and published after UNSUBACK",
    clause: "MQTT-3.10.4-2",
    run: async (lab) => {
      const topic = lab.topic("t");
      const { from, to } = await lab.pair(topic, 1);
      await to.unsubscribe(topic);
      await from.publish({ topic, payload: "m", qos: 1 });
      await to.subscribe(lab.topic("end"), 1);
      const messages = await lab.settled(to, lab.topic("end"), from);
      const isQuiet = messages.length === 0;
      const got = `${plural(messages.length, "message")} came`;
      return must(isQuiet, isQuiet ? "no message comes" : "messages still come", got);
    },
  },
  {
    id: "topic.unsubscribed-unknown",
    question: "UNSUBSCRIBE from what nobody subscribed to",
    did: "sent UNSUBSCRIBE with such a filter",
    clause: "MQTT-3.10.4-5",
    run: async (lab) => {
      const client = await lab.connect();
      client.send(unsubscribePacket(client.nextPacketId(), lab.topic("never")));
      const answer = await client.next("UNSUBACK");
      const found = answer === undefined ? "not answered" : "UNSUBACK";
      return must(answer !== undefined, found, client.isClosed ? "the connection ended" : found);
    },
  },
  {
    id: "topic.several",
    question: "several filters in one SUBSCRIBE",
    did: "subscribed to three filters with one packet, with QoS 0, 1 and 0",
    clause: "MQTT-3.8.4-5",
    run: async (lab) => {
      const client = await lab.connect();
      const filters = [0, 1, 0].map((qos, index) => [lab.topic(`${index}`), qos] as const);
      client.send(subscribePacket(client.nextPacketId(), filters));
      const codes = [...(await client.expect("SUBACK")).body.subarray(2)].join(", ");
      const found = codes === "0, 1, 0" ? "one answer for each" : `SUBACK with ${codes}`;
      return must(codes === "0, 1, 0", found, `SUBACK with ${codes}`);
    },
  },
];

/** Names behind the probe's own prefix, and which of them each filter matches. */
const NAMES = ["a", "a/b", "a/b/c", "b", "a/", "/", "/b", "ab", "A/b"];
const FILTERS: ReadonlyMap<string, readonly string[]> = new Map([
  ["a/#", ["a", "a/b", "a/b/c", "a/"]],
  ["a/+", ["a/b", "a/"]],
  ["+/b", ["a/b", "/b", "A/b"]],
  ["+/+/c", ["a/b/c"]],
]);

async function wildcards(lab: Lab): Promise<Outcome> {
  const wrong: string[] = [];
  const from = await lab.connect();
  const lookOne = async ([filter, names]: readonly [string, readonly string[]]) => {
    const to = await lab.connect();
    await to.subscribe(lab.topic(filter), 1);
    await to.subscribe(lab.topic("end"), 1);
    return { filter, names, to };
  };
  const subscribers = await Promise.all([...FILTERS].map(lookOne));
  for (const name of NAMES) await from.publish({ topic: lab.topic(name), payload: name, qos: 1 });
  for (const { filter, names, to } of subscribers) {
    const messages = await lab.settled(to, lab.topic("end"), from);
    const arrived = new Set(messages.map(({ payload }) => payload));
    const missing = names.filter((name) => !arrived.has(name)).map((name) => `misses ${name}`);
    const extra = [...arrived].filter((name) => !names.includes(name));
    const faults = [...missing, ...extra.map((name) => `matches ${name}`)];
    if (faults.length > 0) wrong.push(`${filter} ${faults.join(" and ")}`);
  }
  const got = wrong.length === 0 ? "every message came where it should" : wrong.join("; ");
  return must(wrong.length === 0, wrong.length === 0 ? "match as they should" : got, got);
}

/** Not with "#" alone, which is under the same rule: it would bring all messages of all others. */
async function dollar(lab: Lab): Promise<Outcome> {
  const { from, to } = await lab.pair(`+/${lab.topic("t")}`, 1);
  const own = await lab.connect();
  const topic = `$probe/${lab.topic("t")}`;
  await own.subscribe(topic, 1);
  await to.subscribe(lab.topic("end"), 1);
  from.acknowledges = true;
  await from.publish({ topic, payload: "m", qos: 1 }).catch((error: unknown) => {
    if (!(error instanceof NotFoundOut) || !from.isClosed) throw error;
    throw new NotFoundOut("the broker lets nobody publish on topics that begin with $");
  });
  const messages = await lab.settled(to, lab.topic("end"), from);
  const isThere = own.messages.length > 0;
  const got = `${messages.length} came with +, ${own.messages.length} with the topic itself`;
  if (messages.length > 0) return must(false, "match", got);
  if (isThere) return must(true, "do not match", got);
  throw new NotFoundOut("nobody gets messages on topics that begin with $");
}

/** Some brokers send it once in a while; those that retain it send it at once. */
const SYS_WAIT_MS = 2500;

async function sys(lab: Lab): Promise<Outcome> {
  const to = await lab.connect();
  to.send(subscribePacket(to.nextPacketId(), [["$SYS/#", 0]]));
  const code = (await to.next("SUBACK"))?.body[2];
  if (code === undefined || code > 2) return free("refused", "the subscription to $SYS/# failed");
  await to.hasMessages(1, SYS_WAIT_MS);
  await lab.sleep(lab.quietMs);
  const [first] = to.messages;
  if (first === undefined) return free("not there", `nothing came within ${SYS_WAIT_MS / 1000} s`);
  const version = to.messages.find(({ topic }) => topic.endsWith("/version"))?.payload;
  const is = version === undefined ? "" : ` (${version})`;
  const other = await lab.connect();
  await other.subscribe(first.topic.replace(/^\$SYS/, "+"), 0);
  const isSeen = await other.hasMessages(1, SYS_WAIT_MS);
  const got = `${first.topic} came${is}; with + ${isSeen ? "it came, too" : "it did not"}`;
  return must(!isSeen, isSeen ? "there, and + matches it" : `there${is}`, got);
}

const ODD_NAMES = ["dots.in.it", "two//slashes", "end/", "a space", "CaPiTals", "ümläut/€"];

async function oddNames(lab: Lab): Promise<Outcome> {
  const from = await lab.connect();
  const wrong: string[] = [];
  for (const name of ODD_NAMES) {
    const topic = lab.topic(name);
    const to = await lab.connect();
    await to.subscribe(topic, 1);
    await from.publish({ topic, payload: "m", qos: 1 });
    await to.hasMessages(1);
    const [message] = to.messages;
    if (message?.topic === topic) continue;
    const arrived = message?.topic.slice(lab.topic("").length);
    wrong.push(
      `${JSON.stringify(name)} ${arrived === undefined ? "is lost" : `becomes ${JSON.stringify(arrived)}`}`,
    );
  }
  const got = wrong.length === 0 ? "all came under their names" : wrong.join("; ");
  return must(wrong.length === 0, wrong.length === 0 ? "unchanged" : got, got);
}

async function overlapping(lab: Lab): Promise<Outcome> {
  const topic = lab.topic("t");
  const { from, to } = await lab.pair(topic, 0);
  await to.subscribe(lab.topic("+"), 1);
  await from.publish({ topic, payload: "m", qos: 1 });
  const messages = await lab.settled(to, topic, from);
  const isHighest = messages.some(({ qos }) => qos === 1);
  return must(isHighest, copiesText(messages), copiesText(messages));
}

/** As in "once, at QoS 1". */
function copiesText(messages: readonly ProbeMessage[]): string {
  if (messages.length === 0) return "not delivered";
  const times = messages.length === 1 ? "once" : `${messages.length} times`;
  return `${times}, at QoS ${messages.map(({ qos }) => qos).join(" and ")}`;
}

const SHARED_COUNT = 20;

async function shared(lab: Lab): Promise<Outcome> {
  const topic = lab.topic("t");
  const members = await Promise.all([lab.connect(), lab.connect()]);
  for (const member of members) {
    member.send(subscribePacket(member.nextPacketId(), [[`$share/probe/${topic}`, 1]]));
    const code = (await member.next("SUBACK"))?.body[2];
    if (code === undefined || code > 2) return free("refused", "the subscription failed");
    await member.subscribe(lab.topic("end"), 1);
  }
  const from = await lab.connect();
  for (let index = 0; index < SHARED_COUNT; index++) {
    await from.publish({ topic, payload: `${index}`, qos: 1 });
  }
  const counts: number[] = [];
  for (const member of members) {
    counts.push((await lab.settled(member, lab.topic("end"), from)).length);
  }
  const sum = counts.reduce((total, count) => total + count, 0);
  const got = `of ${SHARED_COUNT} messages the two got ${counts.join(" and ")}`;
  if (sum === 0) return free("not known: the filter is taken as it stands", got);
  return free(sum === SHARED_COUNT ? "work" : "do not share", got);
}
