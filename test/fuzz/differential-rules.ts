/** Where the core and mqtt-packet may judge a server's packet differently, and the clause that says who is right. */

import { readRemainingLength } from "../support/bytes.ts";

/** What can be read of one packet without judging it; its end may be missing. */
export interface Facts {
  type: number;
  flags: number;
  /** -1 if its bytes are not all there. */
  remainingLength: number;
  /** The whole packet with its header. */
  packetLength: number;
  topic: Uint8Array;
  /** The length that stands before the topic. */
  topicLength: number;
  /** -1 if there is none, or it has not come. */
  packetId: number;
}

export interface Difference {
  what: string;
  clause: string;
  /** What the core does; mqtt-packet does the opposite, or waits for the rest. */
  core: "refuses" | "accepts";
  holds: (facts: Facts) => boolean;
}

/** What the core in the test can hold; it waits for the SUBACK of two filters with this identifier. */
export const RECEIVE_CAPACITY = 600;
export const SUBSCRIBE_ID = 4;
export const FILTER_COUNT = 2;

const PUBLISH = 3;
const SUBACK = 9;
const FROM_SERVER = [2, 3, 4, 5, 6, 7, 9, 11, 13];

/** The known differences: docs/decisions/0005 has the policy behind them. */
export const DIFFERENCES: readonly Difference[] = [
  {
    what: "a packet that only clients send, or of a type that does not exist",
    clause: "sec-2.2.1",
    core: "refuses",
    holds: ({ type }) => !FROM_SERVER.includes(type),
  },
  {
    what: "an answer that is longer or shorter than its fields",
    clause: "MQTT-4.8.0-1",
    core: "refuses",
    holds: ({ type, remainingLength }) =>
      remainingLength >= 0 &&
      type !== PUBLISH &&
      (type === SUBACK ? remainingLength < 3 : remainingLength !== (type === 13 ? 0 : 2)),
  },
  {
    what: "Session Present with a refusal",
    clause: "MQTT-3.2.2-4",
    core: "refuses",
    holds: ({ type, remainingLength }) => type === 2 && remainingLength === 2,
  },
  {
    what: "DUP at QoS 0",
    clause: "MQTT-3.3.1-2",
    core: "refuses",
    holds: ({ type, flags }) => type === PUBLISH && (flags & 0xe) === 8,
  },
  {
    what: "Packet Identifier 0",
    clause: "MQTT-2.3.1-1",
    core: "refuses",
    holds: ({ packetId }) => packetId === 0,
  },
  {
    what: "a topic name without a character",
    clause: "MQTT-4.7.3-1",
    core: "refuses",
    holds: ({ type, topicLength }) => type === PUBLISH && topicLength === 0,
  },
  {
    what: "a topic name with a wildcard",
    clause: "MQTT-3.3.2-2",
    core: "refuses",
    holds: ({ topic }) => topic.includes(0x2b) || topic.includes(0x23),
  },
  {
    what: "a topic name with U+0000",
    clause: "MQTT-1.5.3-2",
    core: "refuses",
    holds: ({ topic }) => topic.includes(0),
  },
  {
    what: "a topic name that is no UTF-8",
    clause: "MQTT-1.5.3-1",
    core: "refuses",
    holds: ({ topic, topicLength }) => isIllFormed(topic, topic.length < topicLength),
  },
  {
    what: "a topic name longer than its packet: the core does not wait for the rest",
    clause: "MQTT-4.8.0-1",
    core: "refuses",
    holds: ({ type, flags, topicLength, remainingLength }) =>
      type === PUBLISH && 2 + topicLength + ((flags & 6) > 0 ? 2 : 0) > remainingLength,
  },
  {
    what: "a SUBACK that has not one code for each filter",
    clause: "MQTT-3.8.4-5",
    core: "refuses",
    holds: ({ type, packetId, remainingLength }) =>
      type === SUBACK && packetId === SUBSCRIBE_ID && remainingLength !== 2 + FILTER_COUNT,
  },
  {
    what: "a SUBACK larger than the receive buffer: no SUBSCRIBE was that long",
    clause: "MQTT-3.8.4-5",
    core: "refuses",
    holds: ({ type, packetLength }) => type === SUBACK && packetLength > RECEIVE_CAPACITY,
  },
  {
    what: "a SUBACK with a wrong code that nobody waits for: counted, and nothing else",
    clause: "MQTT-3.9.3-2",
    core: "accepts",
    holds: ({ type, packetId }) => type === SUBACK && packetId !== SUBSCRIBE_ID,
  },
  {
    what: "a message larger than the receive buffer: reported by its header, then thrown away",
    clause: "sec-3.3",
    core: "accepts",
    holds: ({ type, packetLength }) => type === PUBLISH && packetLength > RECEIVE_CAPACITY,
  },
];

/** Reads what is there of the first packet in `bytes`. */
export function factsOf(bytes: Uint8Array): Facts {
  const type = (bytes[0] ?? 0) >> 4;
  const flags = (bytes[0] ?? 0) & 0xf;
  const header = readRemainingLength(bytes, 1);
  const body = header === undefined ? new Uint8Array(0) : bytes.subarray(header.bodyAt);
  const u16 = (at: number) =>
    at + 2 > body.length ? -1 : (body[at] ?? 0) * 256 + (body[at + 1] ?? 0);
  const topicLength = type === PUBLISH ? u16(0) : -1;
  const hasId = type === PUBLISH ? (flags & 6) > 0 : FROM_SERVER.includes(type) && type !== 2;
  const idAt = type === PUBLISH ? 2 + Math.max(0, topicLength) : 0;
  return {
    type,
    flags,
    remainingLength: header?.length ?? -1,
    packetLength: header === undefined ? -1 : header.bodyAt + header.length,
    topic: body.subarray(2, 2 + Math.max(0, topicLength)),
    topicLength,
    packetId: hasId ? u16(idAt) : -1,
  };
}

function isIllFormed(text: Uint8Array, isCut: boolean): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(text, { stream: isCut });
    return false;
  } catch {
    return true;
  }
}
