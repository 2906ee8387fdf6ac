/** The description of an event: what it has is right, what it has not is 0, and how long it stays (ABI: Bytes in). */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EventField, Status, SUBSCRIBE_FAILURE } from "../../firmware/core/abi.ts";
import { concat, textOf } from "../support/bytes.ts";
import { Core, type CoreClient, type RecordSpec } from "../support/core-client.ts";
import {
  connack,
  puback,
  pubcomp,
  publish,
  pubrec,
  suback,
  unsuback,
} from "../support/server-packets.ts";

type FieldName = keyof typeof EventField;

function connected(spec: Partial<RecordSpec> = {}): CoreClient {
  const client = new Core().client(spec);
  client.setClientId("t");
  client.establish({ cleanSession: false });
  return client;
}

/** The names of the fields that are not 0. */
function fieldsOf(client: CoreClient): FieldName[] {
  const names = Object.keys(EventField).filter((name) => Number.isNaN(Number(name))) as FieldName[];
  return names.filter((name) => client.field(EventField[name]) !== 0);
}

/** Leaves a message with everything behind, so that what is not overwritten shows. */
function fillFields(client: CoreClient): void {
  client.receive(publish({ topic: "t", payload: "p", qos: 1, packetId: 77, retain: true }));
  expect(client.poll()?.kind).toBe("Message");
  expect(fieldsOf(client)).toHaveLength(6);
}

describe("an event has these fields and no others", () => {
  const message: FieldName[] = ["TopicAt", "TopicLength", "PayloadAt", "PayloadLength"];

  test("Message at QoS 1 and 2", () => {
    const client = connected();
    client.receive(publish({ topic: "t", payload: "p", qos: 2, packetId: 9 }));
    client.poll();
    expect(fieldsOf(client)).toEqual([...message, "PacketId", "Value"]);
  });

  test("Message at QoS 0 has no identifier", () => {
    const client = connected();
    fillFields(client);
    client.receive(publish({ topic: "t", payload: "p" }));
    client.poll();
    expect(fieldsOf(client)).toEqual(message);
  });

  test("MessageSkipped has no payload address", () => {
    const client = connected({ receiveCapacity: 32 });
    fillFields(client);
    client.receive(publish({ topic: "t", payload: "p".repeat(40) }).subarray(0, 20));
    client.poll();
    expect(fieldsOf(client)).toEqual(["TopicAt", "TopicLength", "PayloadLength"]);
  });

  test("MessageSkipped without a topic that fits has no topic", () => {
    const client = connected({ receiveCapacity: 16 });
    const bytes = publish({ topic: "t".repeat(20), payload: "p", qos: 1, packetId: 9 });
    client.receive(publish({ topic: "t", payload: "p", qos: 1, packetId: 8 }));
    client.poll();
    client.receive(bytes.subarray(0, 12));
    client.poll();
    client.receive(bytes.subarray(12));
    expect(client.poll()?.kind).toBe("MessageSkipped");
    expect(fieldsOf(client)).toEqual(["PayloadLength", "PacketId", "Value"]);
  });

  test("Published and Unsubscribed have an identifier", () => {
    const client = connected();
    client.publish("a", "", { qos: 1 });
    client.unsubscribe("a");
    client.drain();
    fillFields(client);
    client.receive(puback(1));
    client.poll();
    expect(fieldsOf(client)).toEqual(["PacketId", "Value"]);
    fillFields(client);
    client.receive(unsuback(2));
    client.poll();
    expect(fieldsOf(client)).toEqual(["PacketId"]);
  });

  test("Subscribed has its codes as payload", () => {
    const client = connected();
    client.subscribe(["a", 1], ["b", 1]);
    client.drain();
    fillFields(client);
    client.receive(suback(1, 1, SUBSCRIBE_FAILURE));
    expect(client.poll()).toEqual({ kind: "Subscribed", packetId: 1, granted: [1, 0x80] });
    expect(fieldsOf(client)).toEqual(["PayloadAt", "PayloadLength", "PacketId"]);
  });

  test("Connected and Refused have a value", () => {
    for (const [bytes, expected] of [
      [connack(true), ["Value"]],
      [connack(false), []],
      [connack(false, 5), ["Value"]],
    ] as const) {
      const client = connected();
      fillFields(client);
      client.connectionLost();
      expect(fieldsOf(client)).toEqual([]);
      client.connect({ cleanSession: false });
      client.drain();
      client.receive(bytes);
      client.poll();
      expect(fieldsOf(client)).toEqual(expected);
    }
  });

  test("Dropped has a message; a PUBREL has an identifier alone", () => {
    const client = connected();
    client.publish("a", "1", { qos: 1 });
    client.publish("a", "2", { qos: 2 });
    client.drain();
    client.exchange(pubrec(2));
    client.connectionLost();
    client.connect({ cleanSession: false });
    client.drain();
    client.receive(connack());
    expect(client.poll()).toMatchObject({ kind: "Dropped", packetId: 1 });
    expect(fieldsOf(client)).toEqual([...message, "PacketId", "Value"]);
    expect(client.poll()).toMatchObject({ kind: "Dropped", packetId: 2 });
    expect(fieldsOf(client)).toEqual(["PacketId"]);
  });

  test("none and a failure have nothing", () => {
    const client = connected();
    fillFields(client);
    expect(client.poll()).toBeUndefined();
    expect(fieldsOf(client)).toEqual([]);
    fillFields(client);
    client.receive(Uint8Array.of(0xd0, 0x01));
    expect(client.poll()?.kind).toBe("Failed");
    expect(fieldsOf(client)).toEqual([]);
  });
});

test("eventAt is the same for the life of a record", () => {
  const client = new Core().client();
  client.setClientId("t");
  const at = client.call("eventAt");
  client.establish();
  fillFields(client);
  expect(client.call("eventAt")).toBe(at);
  client.connectionLost();
  expect(client.call("eventAt")).toBe(at);
});

describe("a message stays where it is", () => {
  test("while others are published, until the next poll", () => {
    const client = connected();
    client.receive(
      concat(
        publish({ topic: "one", payload: "first" }),
        publish({ topic: "two", payload: "second" }),
      ),
    );
    expect(client.poll()).toMatchObject({ topic: "one", payload: "first" });
    const [topicAt, payloadAt] = [
      client.field(EventField.TopicAt),
      client.field(EventField.PayloadAt),
    ];
    for (let count = 0; count < 5; count++) client.publish("x", "y".repeat(50), { qos: 1 });
    client.subscribe(["x", 0]);
    client.wait(60_000);
    client.drain();
    expect(textOf(client.core.bytes(topicAt, 3))).toBe("one");
    expect(textOf(client.core.bytes(payloadAt, 5))).toBe("first");
    expect(client.poll()).toMatchObject({ topic: "two", payload: "second" });
  });

  test("so that it can be published from there", () => {
    const client = connected();
    client.receive(publish({ topic: "in", payload: "echo", qos: 1, packetId: 3 }));
    client.poll();
    const place = [EventField.TopicAt, EventField.TopicLength, EventField.PayloadAt].map((field) =>
      client.field(field),
    );
    expect(client.call("publish", ...place, client.field(EventField.PayloadLength), 0)).toBe(0);
    expect(client.sent()).toEqual(["40 02 00 03", "30 08 00 02 69 6e 65 63 68 6f"]);
  });
});

test("a message of any size on any receive buffer is described and acknowledged [MQTT-3.3.4-1] [MQTT-4.5.0-2]", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 16, max: 100 }),
      fc.integer({ min: 1, max: 120 }),
      fc.nat({ max: 300 }),
      fc.constantFrom(0, 1, 2),
      fc.integer({ min: 1, max: 60 }),
      (receiveCapacity, topicLength, payloadLength, qos, pieceLength) => {
        const client = connected({ receiveCapacity });
        const topic = "t".repeat(topicLength);
        const payload = "p".repeat(payloadLength);
        const bytes = publish({ topic, payload, qos, packetId: 0x1234 });
        const packetId = qos > 0 ? 0x1234 : 0;
        const { events, packets } = client.exchange(concat(bytes, bytes), pieceLength);
        const common = { qos, packetId, dup: false, retain: false };
        const headerLength = bytes.length - payloadLength;
        const event =
          bytes.length <= receiveCapacity
            ? { kind: "Message", topic, payload, ...common }
            : {
                kind: "MessageSkipped",
                topic: headerLength <= receiveCapacity ? topic : "",
                payloadLength,
                ...common,
              };
        expect(events).toEqual(qos === 2 ? [event] : [event, event]);
        const acknowledgement = qos === 1 ? "40 02 12 34" : "50 02 12 34";
        expect(packets).toEqual(qos === 0 ? [] : [acknowledgement, acknowledgement]);
        client.core.checkGuards();
      },
    ),
    { numRuns: 500 },
  );
});

test("what comes behind CONNACK waits until all that is in doubt was reported [MQTT-3.2.2-3]", () => {
  const client = connected();
  client.publish("a", "1", { qos: 1 });
  client.publish("a", "2", { qos: 1 });
  client.drain();
  client.connectionLost();
  client.connect({ cleanSession: false });
  client.drain();
  const { events } = client.exchange(concat(connack(), publish({ topic: "b", payload: "3" })));
  expect(events.map(({ kind }) => kind)).toEqual(["Dropped", "Dropped", "Connected", "Message"]);
});

test("what is received beyond the room is refused, up to the last byte", () => {
  const client = connected({ receiveCapacity: 16 });
  for (let length = 16; length > 0; length--) {
    expect(client.call("receiveRoom")).toBe(length);
    expect(client.call("received", length + 1)).toBe(Status.InvalidArgument);
    client.receive(Uint8Array.of(length === 16 ? 0x30 : 0x7f));
  }
  expect(client.call("receiveRoom")).toBe(0);
  expect(client.call("received", 1)).toBe(Status.InvalidArgument);
});

test("a message that is acknowledged twice is told of once [MQTT-4.3.3-1]", () => {
  const client = connected();
  client.publish("a", "1", { qos: 2 });
  client.drain();
  client.exchange(pubrec(1));
  const { events } = client.exchange(concat(pubcomp(1), pubcomp(1)));
  expect(events).toEqual([{ kind: "Published", packetId: 1, qos: 2 }]);
  expect(client.counter("Stray")).toBe(1);
});
