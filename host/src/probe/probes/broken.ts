/** Questions about broken packets: whether a broker closes the connection on which one comes, as it must. */

import {
  connectPacket,
  PINGREQ,
  packet,
  publishPacket,
  subscribePacket,
  text,
} from "../client-packets.ts";
import type { Lab } from "../lab.ts";
import { must, type Outcome, type Probe } from "../probe.ts";

interface Fault {
  readonly id: string;
  readonly question: string;
  readonly clause: string;
  /** Instead of CONNECT. Without it the client is connected first. */
  readonly isFirst?: boolean;
  readonly bytes: (lab: Lab) => Uint8Array;
}

/** "a" with a byte behind it that UTF-8 does not have. */
const NO_UTF8 = Uint8Array.of(0x61, 0xff);

const FAULTS: readonly Fault[] = [
  {
    id: "not-connect-first",
    question: "another packet before CONNECT",
    clause: "MQTT-3.1.0-1",
    isFirst: true,
    bytes: () => PINGREQ,
  },
  {
    id: "reserved-connect-flag",
    question: "CONNECT with the reserved flag",
    clause: "MQTT-3.1.2-3",
    isFirst: true,
    bytes: (lab) => connectPacket({ clientId: lab.clientId(), extraFlags: 1 }),
  },
  {
    id: "will-qos-3",
    question: "CONNECT with a Will at QoS 3",
    clause: "MQTT-3.1.2-14",
    isFirst: true,
    bytes: (lab) => {
      const will = { topic: lab.topic("will"), payload: "", qos: 3 };
      return connectPacket({ clientId: lab.clientId(), will });
    },
  },
  {
    id: "second-connect",
    question: "a second CONNECT",
    clause: "MQTT-3.1.0-2",
    bytes: (lab) => connectPacket({ clientId: lab.clientId() }),
  },
  {
    id: "packet-type-0",
    question: "a packet of type 0",
    clause: "MQTT-4.8.0-1",
    bytes: () => Uint8Array.of(0x00, 0),
  },
  {
    id: "packet-type-15",
    question: "a packet of type 15",
    clause: "MQTT-4.8.0-1",
    bytes: () => Uint8Array.of(0xf0, 0),
  },
  {
    id: "packet-of-server",
    question: "a packet that only servers send (SUBACK)",
    clause: "MQTT-4.8.0-1",
    bytes: () => packet(0x90, Uint8Array.of(0, 1, 0)),
  },
  {
    id: "long-length",
    question: "a Remaining Length of five bytes",
    clause: "2.2.3",
    bytes: () => Uint8Array.of(0x30, 0xff, 0xff, 0xff, 0xff, 0x01),
  },
  {
    id: "qos-3",
    question: "PUBLISH at QoS 3",
    clause: "MQTT-3.3.1-4",
    bytes: (lab) => publishPacket({ topic: lab.topic("t"), qos: 3 }),
  },
  {
    id: "dup-qos-0",
    question: "PUBLISH at QoS 0 with DUP",
    clause: "MQTT-3.3.1-2",
    bytes: (lab) => publishPacket({ topic: lab.topic("t"), dup: true }),
  },
  {
    id: "packet-id-0",
    question: "PUBLISH at QoS 1 with packet identifier 0",
    clause: "MQTT-2.3.1-1",
    bytes: (lab) => publishPacket({ topic: lab.topic("t"), qos: 1, packetId: 0 }),
  },
  {
    id: "wildcard-in-topic",
    question: "PUBLISH on a topic with a wildcard",
    clause: "MQTT-3.3.2-2",
    bytes: (lab) => publishPacket({ topic: lab.topic("#") }),
  },
  {
    id: "empty-topic",
    question: "PUBLISH on an empty topic",
    clause: "MQTT-4.7.3-1",
    bytes: () => publishPacket({ topic: "" }),
  },
  {
    id: "topic-no-utf8",
    question: "PUBLISH on a topic that is no UTF-8",
    clause: "MQTT-1.5.3-1",
    bytes: (lab) => publishPacket({ topic: Buffer.concat([Buffer.from(lab.topic("")), NO_UTF8]) }),
  },
  {
    id: "topic-nul",
    question: "PUBLISH on a topic with U+0000",
    clause: "MQTT-1.5.3-2",
    bytes: (lab) => publishPacket({ topic: lab.topic("\0") }),
  },
  {
    id: "subscribe-flags",
    question: "SUBSCRIBE with wrong flags",
    clause: "MQTT-3.8.1-1",
    bytes: (lab) => packet(0x80, Uint8Array.of(0, 1), text(lab.topic("t")), Uint8Array.of(0)),
  },
  {
    id: "subscribe-empty",
    question: "SUBSCRIBE without a filter",
    clause: "MQTT-3.8.3-3",
    bytes: () => subscribePacket(1, []),
  },
  {
    id: "subscribe-qos-3",
    question: "SUBSCRIBE with QoS 3",
    clause: "MQTT-3-8.3-4",
    bytes: (lab) => subscribePacket(1, [[lab.topic("t"), 3]]),
  },
  {
    id: "pubrel-flags",
    question: "PUBREL with wrong flags",
    clause: "MQTT-3.6.1-1",
    bytes: () => packet(0x60, Uint8Array.of(0, 1)),
  },
  {
    id: "pingreq-flags",
    question: "PINGREQ with wrong flags",
    clause: "MQTT-2.2.2-2",
    bytes: () => Uint8Array.of(0xc1, 0),
  },
];

export const brokenProbes: readonly Probe[] = [
  ...FAULTS.map(
    (fault): Probe => ({
      id: `broken.${fault.id}`,
      question: fault.question,
      did: "sent it, then PINGREQ, and waited for the end of the connection",
      clause: fault.clause,
      run: (lab) => closes(lab, fault),
    }),
  ),
  {
    id: "broken.filter",
    question: "SUBSCRIBE with # in the middle of the filter",
    did: "sent it, and waited for SUBACK or the end of the connection",
    clause: "MQTT-4.7.1-2",
    run: wrongFilter,
  },
];

/** Whoever answers PINGREQ has taken what was before it. */
async function closes(lab: Lab, { isFirst = false, bytes }: Fault): Promise<Outcome> {
  const client = isFirst ? await lab.open() : await lab.connect();
  client.send(bytes(lab), PINGREQ);
  let isAnswered = false;
  const answer = client.next("PINGRESP").then((packet) => {
    isAnswered = packet !== undefined;
  });
  answer.catch(() => {}); // the same end as that of the wait below
  await client.until(() => client.isClosed || isAnswered);
  if (isAnswered) await client.hasEnded(lab.quietMs);
  if (client.isClosed) return must(true, "closed", "the connection was closed");
  const got = isAnswered ? "PINGRESP came, and the connection stays open" : "no answer, and no end";
  return must(false, "stays open", got);
}

/** A server may also refuse the filter alone: SUBACK with 0x80 (3.9.3). */
async function wrongFilter(lab: Lab): Promise<Outcome> {
  const client = await lab.connect();
  client.send(subscribePacket(1, [[lab.topic("a/#/b"), 0]]));
  const code = (await client.next("SUBACK"))?.body[2];
  if (code === undefined) {
    const found = client.isClosed ? "closed" : "no answer";
    return must(client.isClosed, found, found);
  }
  const found = code > 2 ? "refused" : "granted";
  return must(code > 2, found, `SUBACK with 0x${code.toString(16).padStart(2, "0")}`);
}
