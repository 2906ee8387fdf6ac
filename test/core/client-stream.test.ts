/** The strict server of the tests finds every fault that it is there to find. */

import { describe, expect, test } from "vitest";
import { concat, unhex } from "../support/bytes.ts";
import { ClientFault, ClientStream } from "../support/client-stream.ts";

const CONNECT = "10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 74";

/** Bytes that follow a good CONNECT, the clause that they break. */
const faults: [problem: string, clause: string, bytes: string][] = [
  ["a second CONNECT", "MQTT-3.1.0-2", CONNECT],
  ["the reserved type 0", "sec-2.2.1", "00 00"],
  ["the reserved type 15", "sec-2.2.1", "f0 00"],
  ["CONNACK", "sec-2.2.1", "20 02 00 00"],
  ["SUBACK", "sec-2.2.1", "90 03 00 01 00"],
  ["PINGRESP", "sec-2.2.1", "d0 00"],
  ["PUBLISH at QoS 3", "MQTT-3.3.1-4", "36 05 00 01 61 00 01"],
  ["DUP at QoS 0", "MQTT-3.3.1-2", "38 03 00 01 61"],
  ["an empty topic name", "MQTT-4.7.3-1", "30 02 00 00"],
  ["a wildcard in a topic name", "MQTT-3.3.2-2", "30 03 00 01 23"],
  ["ill-formed UTF-8 in a topic name", "MQTT-3.3.2-1", "30 03 00 01 ff"],
  ["a surrogate in a topic name", "MQTT-3.3.2-1", "30 05 00 03 ed a0 80"],
  ["U+0000 in a topic name", "MQTT-1.5.3-2", "30 03 00 01 00"],
  ["identifier 0 in PUBLISH", "MQTT-2.3.1-1", "32 05 00 01 61 00 00"],
  ["a topic longer than the packet", "sec-2.2.3", "30 03 00 02 61"],
  ["PUBLISH without room for its identifier", "sec-2.2.3", "32 04 00 01 61 00"],
  ["PUBREL with the flags 0000", "MQTT-2.2.2-1", "60 02 00 01"],
  ["PUBACK with the flags 0010", "MQTT-2.2.2-1", "42 02 00 01"],
  ["PUBACK with identifier 0", "MQTT-2.3.1-1", "40 02 00 00"],
  ["PUBACK of three bytes", "sec-2.2.3", "40 03 00 01 00"],
  ["SUBSCRIBE with the flags 0000", "MQTT-2.2.2-1", "80 06 00 01 00 01 61 00"],
  ["SUBSCRIBE with identifier 0", "MQTT-2.3.1-1", "82 06 00 00 00 01 61 00"],
  ["SUBSCRIBE without a filter", "MQTT-3.8.3-3", "82 02 00 01"],
  ["SUBSCRIBE without a QoS", "sec-2.2.3", "82 05 00 01 00 01 61"],
  ["requested QoS 3", "MQTT-3-8.3-4", "82 06 00 01 00 01 61 03"],
  ["a requested QoS with reserved bits", "MQTT-3-8.3-4", "82 06 00 01 00 01 61 04"],
  ['"#" within a filter', "MQTT-4.7.1-2", "82 08 00 01 00 03 23 2f 61 00"],
  ['"#" behind a character', "MQTT-4.7.1-2", "82 07 00 01 00 02 61 23 00"],
  ['"+" behind a character', "MQTT-4.7.1-3", "82 07 00 01 00 02 61 2b 00"],
  ["an empty filter", "MQTT-4.7.3-1", "82 05 00 01 00 00 00"],
  ["ill-formed UTF-8 in a filter", "MQTT-3.8.3-1", "82 06 00 01 00 01 c0 00"],
  ["UNSUBSCRIBE with the flags 0000", "MQTT-2.2.2-1", "a0 05 00 01 00 01 61"],
  ["UNSUBSCRIBE without a filter", "MQTT-3.10.3-2", "a2 02 00 01"],
  ["ill-formed UTF-8 in UNSUBSCRIBE", "MQTT-3.10.3-1", "a2 05 00 01 00 01 ff"],
  ["PINGREQ with a body", "sec-2.2.3", "c0 01 00"],
  ["PINGREQ with flags", "MQTT-2.2.2-1", "c1 00"],
  ["DISCONNECT with flags", "MQTT-2.2.2-1", "e1 00"],
  ["DISCONNECT with a body", "sec-2.2.3", "e0 01 00"],
  ["a packet behind DISCONNECT", "MQTT-3.14.4-2", "e0 00 c0 00"],
  ["half a packet behind DISCONNECT", "MQTT-3.14.4-2", "e0 00 30"],
  ["a Remaining Length of five bytes", "sec-2.2.3", "30 80 80 80 80 01"],
];

/** Whole first packets, the clause that they break. */
const connectFaults: [problem: string, clause: string, bytes: string][] = [
  ["PINGREQ before CONNECT", "MQTT-3.1.0-1", "c0 00"],
  ["another protocol name", "MQTT-3.1.2-1", "10 0d 00 04 4d 51 54 58 04 02 00 3c 00 01 74"],
  ["another protocol level", "MQTT-3.1.2-1", "10 0d 00 04 4d 51 54 54 05 02 00 3c 00 01 74"],
  ["connect flag 0", "MQTT-3.1.2-3", "10 0d 00 04 4d 51 54 54 04 03 00 3c 00 01 74"],
  ["CONNECT with fixed flags", "MQTT-2.2.2-1", "12 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 74"],
  ["a Will QoS without a Will", "MQTT-3.1.2-13", "10 0d 00 04 4d 51 54 54 04 0a 00 3c 00 01 74"],
  ["Will Retain without a Will", "MQTT-3.1.2-15", "10 0d 00 04 4d 51 54 54 04 22 00 3c 00 01 74"],
  ["Will QoS 3", "MQTT-3.1.2-14", "10 12 00 04 4d 51 54 54 04 1e 00 3c 00 01 74 00 01 77 00 00"],
  ["a password alone", "MQTT-3.1.2-22", "10 10 00 04 4d 51 54 54 04 42 00 3c 00 01 74 00 01 70"],
  ["no identifier for a kept session", "MQTT-3.1.3-7", "10 0c 00 04 4d 51 54 54 04 00 00 3c 00 00"],
  ["a user name that is not there", "sec-2.2.3", "10 0d 00 04 4d 51 54 54 04 82 00 3c 00 01 74"],
  ["bytes behind the payload", "sec-2.2.3", "10 0e 00 04 4d 51 54 54 04 02 00 3c 00 01 74 00"],
  [
    "ill-formed UTF-8 in the identifier",
    "MQTT-3.1.3-4",
    "10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 ff",
  ],
];

function clauseOf(bytes: Uint8Array, pieceLength: number): string | undefined {
  const stream = new ClientStream();
  try {
    for (let from = 0; from < bytes.length; from += pieceLength) {
      stream.read(bytes.subarray(from, from + pieceLength));
    }
  } catch (error) {
    if (error instanceof ClientFault) return error.clause;
    throw error;
  }
  return undefined;
}

describe("a fault of the client is named by its clause", () => {
  test.each(faults)("%s: %s", (_, clause, bytes) => {
    const stream = concat(unhex(CONNECT), unhex(bytes));
    for (const pieceLength of [1, 2, stream.length])
      expect(clauseOf(stream, pieceLength)).toBe(clause);
  });

  test.each(connectFaults)("%s: %s", (_, clause, bytes) => {
    const stream = unhex(bytes);
    for (const pieceLength of [1, 2, stream.length])
      expect(clauseOf(stream, pieceLength)).toBe(clause);
  });
});

test("a conversation without a fault is read packet by packet", () => {
  const stream = new ClientStream();
  const bytes = [
    "10 19 00 04 4d 51 54 54 04 c6 00 0a 00 01 74 00 01 77 00 01 78 00 01 75 00 01 70",
    "3b 06 00 01 61 00 07 78",
    "62 02 00 01",
    "82 0a 00 02 00 01 2b 00 00 01 23 02",
    "a2 05 00 03 00 01 61",
    "c0 00",
    "e0 00",
  ].map(unhex);
  expect(stream.read(concat(...bytes))).toEqual([
    {
      type: "CONNECT",
      cleanSession: true,
      keepAliveSeconds: 10,
      clientId: "t",
      will: { topic: "w", payload: Uint8Array.of(0x78), qos: 0, retain: false },
      userName: "u",
      password: Uint8Array.of(0x70),
    },
    {
      type: "PUBLISH",
      topic: "a",
      payload: Uint8Array.of(0x78),
      qos: 1,
      dup: true,
      retain: true,
      packetId: 7,
    },
    { type: "PUBREL", packetId: 1 },
    {
      type: "SUBSCRIBE",
      packetId: 2,
      filters: [
        { filter: "+", qos: 0 },
        { filter: "#", qos: 2 },
      ],
    },
    { type: "UNSUBSCRIBE", packetId: 3, filters: ["a"] },
    { type: "PINGREQ" },
    { type: "DISCONNECT" },
  ]);
  expect(stream.pendingLength).toBe(0);
});
