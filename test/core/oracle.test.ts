/** mqtt-packet as an independent oracle, both ways: what the core sends, and what it takes in. */

import fc from "fast-check";
import { generate, type Packet, parser } from "mqtt-packet";
import { describe, expect, test } from "vitest";
import { bytesOf, textOf } from "../support/bytes.ts";
import { Core, type CoreEvent } from "../support/core-client.ts";
import { connack, publish, pubrec, pubrel } from "../support/server-packets.ts";

const anyQos = fc.constantFrom(0 as const, 1 as const, 2 as const);
const anyTopic = fc
  .string({ unit: "binary", minLength: 1, maxLength: 40 })
  .map((text) => text.replaceAll("\0", "").replaceAll("+", "").replaceAll("#", ""))
  .filter((text) => text !== "");
const anyLevel = fc.oneof(
  fc.constant("+"),
  anyTopic.map((text) => text.replaceAll("/", "")),
);
const anyFilter = fc
  .tuple(fc.array(anyLevel, { maxLength: 4 }), fc.boolean())
  .map(([levels, isOpen]) => [...levels, ...(isOpen ? ["#"] : [])].join("/"))
  .filter((filter) => filter !== "");
const anyPayload = fc.uint8Array({ maxLength: 300 });
const anyPacketId = fc.integer({ min: 1, max: 65535 });

/** The packets that mqtt-packet finds in the bytes. Throws if it finds a fault. */
function parse(bytes: Uint8Array): Packet[] {
  const packets: Packet[] = [];
  const reader = parser({ protocolVersion: 4 });
  reader.on("packet", (packet) => packets.push(packet));
  reader.on("error", (error) => {
    throw error;
  });
  const rest = reader.parse(Buffer.from(bytes));
  if (rest !== 0) throw new Error(`${rest} bytes are no packet`);
  return packets;
}

function connected() {
  const client = new Core().client({ receiveCapacity: 1024, transmitCapacity: 4096 });
  client.setClientId("t");
  client.establish();
  return client;
}

describe("what the core sends, mqtt-packet reads back with the same fields", () => {
  test("CONNECT [MQTT-3.1.3-1] [MQTT-3.1.2-9]", () => {
    const anyIdentity = fc.record({
      clientId: anyTopic,
      clean: fc.boolean(),
      keepalive: fc.nat({ max: 65535 }),
      will: fc.record({ topic: anyTopic, payload: anyPayload, qos: anyQos, retain: fc.boolean() }),
      username: anyTopic,
      password: anyPayload,
    });
    fc.assert(
      fc.property(anyIdentity, fc.nat({ max: 2 }), (identity, credentialCount) => {
        const { clientId, clean, keepalive, will, username, password } = identity;
        const client = new Core().client({ identityCapacity: 2048 });
        client.setClientId(clientId);
        client.setWill(will.topic, will.payload, will);
        if (credentialCount > 0) client.setUserName(username);
        if (credentialCount > 1) client.setPassword(password);
        client.connect({ cleanSession: clean, keepAliveSeconds: keepalive });
        const [packet] = parse(client.drain());
        expect(packet).toMatchObject({
          cmd: "connect",
          protocolId: "MQTT",
          protocolVersion: 4,
          clientId,
          clean,
          keepalive,
          will: { ...will, payload: Buffer.from(will.payload) },
        });
        expect(Object.entries(packet ?? {})).toEqual(
          expect.arrayContaining(
            [
              ["username", username],
              ["password", Buffer.from(password)],
            ].slice(0, credentialCount),
          ),
        );
      }),
    );
  });

  test("CONNECT without a Will and credentials [MQTT-3.1.2-11] [MQTT-3.1.2-18] [MQTT-3.1.2-20]", () => {
    const client = new Core().client();
    client.setClientId("t");
    client.connect();
    const [packet] = parse(client.drain());
    for (const field of ["will", "username", "password"]) expect(packet).not.toHaveProperty(field);
  });

  test("PUBLISH [MQTT-3.3.2-1] [MQTT-2.3.1-5]", () => {
    fc.assert(
      fc.property(anyTopic, anyPayload, anyQos, fc.boolean(), (topic, payload, qos, retain) => {
        const client = connected();
        const packetId = client.publish(topic, payload, { qos, retain });
        const [packet] = parse(client.drain());
        expect(packet).toMatchObject({ cmd: "publish", topic, qos, retain, dup: false });
        expect(packet).toHaveProperty("payload", Buffer.from(payload));
        if (qos > 0) expect(packet?.messageId).toBe(packetId);
        else expect(packet?.messageId).toBeUndefined();
      }),
    );
  });

  test("SUBSCRIBE and UNSUBSCRIBE [MQTT-2.2.2-1] [MQTT-3.8.3-1] [MQTT-3.10.3-1]", () => {
    const anyFilters = fc.array(fc.tuple(anyFilter, anyQos), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(anyFilters, (filters) => {
        const client = connected();
        const topics = filters.map(([topic]) => topic);
        expect(client.subscribe(...filters)).toBe(1);
        expect(client.unsubscribe(...topics)).toBe(2);
        expect(parse(client.drain())).toMatchObject([
          {
            cmd: "subscribe",
            messageId: 1,
            subscriptions: filters.map(([topic, qos]) => ({ topic, qos })),
          },
          { cmd: "unsubscribe", messageId: 2, unsubscriptions: topics },
        ]);
      }),
    );
  });

  test("PUBACK, PUBREC, PUBREL, PUBCOMP [MQTT-2.3.1-6] [MQTT-2.2.2-1] [MQTT-3.6.1-1]", () => {
    fc.assert(
      fc.property(anyPacketId, anyPacketId, (theirs, ours) => {
        const client = connected();
        client.call("setNextPacketId", ours);
        client.publish("a", "", { qos: 2 });
        client.drain();
        client.receive(publish({ topic: "a", qos: 1, packetId: theirs }));
        client.receive(publish({ topic: "a", qos: 2, packetId: theirs }));
        client.receive(pubrec(ours));
        client.receive(pubrel(theirs));
        client.pollAll();
        expect(parse(client.drain())).toMatchObject([
          { cmd: "puback", messageId: theirs },
          { cmd: "pubrec", messageId: theirs },
          { cmd: "pubrel", messageId: ours },
          { cmd: "pubcomp", messageId: theirs },
        ]);
      }),
    );
  });

  test("PINGREQ and DISCONNECT [MQTT-2.2.2-1] [MQTT-3.14.1-1]", () => {
    const client = connected();
    client.wait(60_000);
    client.disconnect();
    expect(parse(client.drain())).toMatchObject([{ cmd: "pingreq" }, { cmd: "disconnect" }]);
  });
});

describe("what mqtt-packet generates for a client, the core describes equally", () => {
  test("CONNACK", () => {
    fc.assert(
      fc.property(fc.nat({ max: 255 }), fc.boolean(), (returnCode, isPresent) => {
        const client = new Core().client();
        client.setClientId("t");
        client.connect({ cleanSession: false });
        client.drain();
        const sessionPresent = isPresent && returnCode === 0;
        const bytes = generate({ cmd: "connack", returnCode, sessionPresent });
        expect(client.exchange(bytes).events).toEqual([
          returnCode === 0
            ? { kind: "Connected", sessionPresent }
            : { kind: "Refused", returnCode },
        ]);
      }),
    );
  });

  test("PUBLISH, in pieces of any size [MQTT-3.3.4-1] [MQTT-6.0.0-2]", () => {
    fc.assert(
      fc.property(
        anyTopic,
        anyPayload,
        anyQos,
        fc.boolean(),
        fc.boolean(),
        anyPacketId,
        fc.integer({ min: 1, max: 400 }),
        (topic, payload, qos, isRepeated, retain, messageId, pieceLength) => {
          const dup = isRepeated && qos > 0;
          const bytes = generate({
            cmd: "publish",
            topic,
            payload: Buffer.from(payload),
            qos,
            dup,
            retain,
            messageId,
          });
          const packetId = qos > 0 ? messageId : 0;
          const { events, packets } = connected().exchange(bytes, pieceLength);
          expect(events).toEqual([
            { kind: "Message", topic, payload: textOf(payload), qos, packetId, dup, retain },
          ]);
          expect(packets).toHaveLength(qos > 0 ? 1 : 0);
        },
      ),
    );
  });

  test("SUBACK and UNSUBACK [MQTT-3.8.4-5] [MQTT-3.9.3-1]", () => {
    const anyCodes = fc.array(fc.constantFrom(0, 1, 2, 0x80), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(anyCodes, anyPacketId, (granted, messageId) => {
        const client = connected();
        client.call("setNextPacketId", messageId);
        client.subscribe(...granted.map((): [string, number] => ["a", 2]));
        client.unsubscribe("a");
        client.drain();
        const next = messageId === 65535 ? 1 : messageId + 1;
        const events = [
          ...client.exchange(generate({ cmd: "suback", messageId, granted })).events,
          ...client.exchange(generate({ cmd: "unsuback", messageId: next, granted: [] })).events,
        ];
        expect(events).toEqual([
          { kind: "Subscribed", packetId: messageId, granted },
          { kind: "Unsubscribed", packetId: next },
        ]);
      }),
    );
  });

  test("PUBACK, PUBREC, PUBREL, PUBCOMP and PINGRESP", () => {
    fc.assert(
      fc.property(anyPacketId, (messageId) => {
        const client = connected();
        client.call("setNextPacketId", messageId);
        const next = messageId === 65535 ? 1 : messageId + 1;
        client.publish("a", "", { qos: 1 });
        client.publish("a", "", { qos: 2 });
        client.drain();
        const events: CoreEvent[] = [];
        for (const packet of [
          { cmd: "pingresp" },
          { cmd: "puback", messageId },
          { cmd: "pubrec", messageId: next },
          { cmd: "pubcomp", messageId: next },
          { cmd: "pubrel", messageId },
        ] as const) {
          events.push(...client.exchange(generate(packet)).events);
        }
        expect(events).toEqual([
          { kind: "Published", packetId: messageId, qos: 1 },
          { kind: "Published", packetId: next, qos: 2 },
        ]);
      }),
    );
  });
});

describe("texts: the core and the platform's decoder agree on what UTF-8 is [MQTT-1.5.3-1] [MQTT-1.5.3-3]", () => {
  const interesting = fc.constantFrom(
    ...[0x00, 0x01, 0x2b, 0x23, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf],
    ...[0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf8, 0xff, 0xbb, 0x61],
  );
  const anyBytes = fc
    .array(interesting, { minLength: 1, maxLength: 8 })
    .map((bytes) => Uint8Array.from(bytes));

  function isText(bytes: Uint8Array): boolean {
    try {
      return !new TextDecoder("utf-8", { fatal: true }).decode(bytes).includes("\0");
    } catch {
      return false;
    }
  }

  test("in what is received, whether it fits the buffer or not [MQTT-3.3.2-1]", () => {
    fc.assert(
      fc.property(anyBytes, fc.boolean(), (topic, isLong) => {
        const isName = isText(topic) && !topic.includes(0x2b) && !topic.includes(0x23);
        const whole = isLong ? Uint8Array.from([...bytesOf("x".repeat(40)), ...topic]) : topic;
        const client = new Core().client({ receiveCapacity: 32 });
        client.setClientId("t");
        client.connect();
        client.drain();
        client.exchange(connack());
        const [event] = client.exchange(publish({ topic: whole }), 3).events;
        const expected = isLong ? "MessageSkipped" : "Message";
        expect(event?.kind).toBe(isName ? expected : "Failed");
      }),
      { numRuns: 2000 },
    );
  });

  test("in what is sent [MQTT-3.1.3-11] [MQTT-3.3.2-1]", () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const client = new Core().client();
        const isName = isText(bytes) && !bytes.includes(0x2b) && !bytes.includes(0x23);
        expect(client.setUserName(bytes) === 0).toBe(isText(bytes));
        expect(client.setClientId(bytes) === 0).toBe(isText(bytes));
        expect(client.publish(bytes, "") === 0).toBe(isName);
        expect(client.setWill(bytes, "") === 0).toBe(isName);
      }),
      { numRuns: 2000 },
    );
  });
});
