/** The outbox: what is kept, what is refused, what is thrown away, and what always finds room (ABI: Bytes out). */

import { describe, expect, test } from "vitest";
import { CONTROL_RESERVE_LENGTH, Status } from "../../firmware/core/abi.ts";
import { Core, type CoreClient, type RecordSpec } from "../support/core-client.ts";
import {
  connack,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  suback,
} from "../support/server-packets.ts";

function offline(spec: Partial<RecordSpec> = {}): CoreClient {
  const client = new Core().client(spec);
  client.setClientId("t");
  return client;
}

function connected(spec: Partial<RecordSpec> = {}): CoreClient {
  const client = offline(spec);
  client.establish({ cleanSession: false });
  return client;
}

/** Publishes until the outbox refuses and returns how many messages it took. */
function fill(client: CoreClient, qos: 0 | 1 | 2): number {
  for (let count = 0; count < 10_000; count++) {
    const answer = client.publish("t", `${count}`.padStart(4, "0"), { qos });
    if (answer === Status.BufferFull) return count;
    if (answer < 0) throw new Error(Status[answer]);
  }
  throw new Error("the outbox takes everything");
}

function payloadsOf(packets: string[]): string[] {
  return packets.map((packet) => {
    const bytes = packet.split(" ").map((pair) => Number.parseInt(pair, 16));
    return String.fromCharCode(...bytes.slice(-4));
  });
}

describe("Refuse", () => {
  test("a message that finds no room is refused and counted; the ones before it are kept", () => {
    const client = offline({ transmitCapacity: 64 });
    const count = fill(client, 0);
    expect(count).toBe(Math.floor((64 - CONTROL_RESERVE_LENGTH) / 9));
    expect(client.counter("Refused")).toBe(1);
    expect(client.counter("Discarded")).toBe(0);
    client.establish();
    expect(payloadsOf(client.sent())).toEqual(["0000", "0001", "0002", "0003", "0004"]);
  });

  test("room comes back with PUBACK, not with sending, at QoS 1 [MQTT-4.3.2-1]", () => {
    const client = connected({ transmitCapacity: 64 });
    const count = fill(client, 1);
    client.drain();
    expect(client.publish("t", "more", { qos: 1 })).toBe(Status.BufferFull);
    client.exchange(puback(1));
    expect(client.publish("t", "more", { qos: 1 })).toBe(count + 1);
    expect(client.counter("Refused")).toBe(2);
  });

  test("room comes back with sending at QoS 0", () => {
    const client = connected({ transmitCapacity: 64 });
    const count = fill(client, 0);
    client.drain();
    expect(fill(client, 0)).toBe(count);
  });

  test("room comes back with PUBREC at QoS 2: PUBREL is shorter than PUBLISH [MQTT-4.3.3-1]", () => {
    const client = connected({ transmitCapacity: 64 });
    fill(client, 2);
    client.drain();
    const before = client.call("transmitRoom");
    client.exchange(pubrec(1));
    expect(client.call("transmitRoom")).toBe(before + 11 - 4);
    client.exchange(pubcomp(1));
    expect(client.call("transmitRoom")).toBe(before + 11);
  });
});

describe("DropOldestQos0", () => {
  test("the oldest waiting QoS 0 messages make room, as few as need be, and are counted", () => {
    const client = offline({ transmitCapacity: 64 });
    client.setLimits(16, "DropOldestQos0");
    for (let index = 0; index < 8; index++) expect(client.publish("t", `000${index}`)).toBe(0);
    expect(client.counter("Discarded")).toBe(3);
    expect(client.counter("Refused")).toBe(0);
    expect(client.publish("t", "x".repeat(14))).toBe(0);
    expect(client.counter("Discarded")).toBe(5);
    client.establish();
    expect(payloadsOf(client.sent())).toEqual(["0005", "0006", "0007", "xxxx"]);
  });

  test("QoS 1 and 2 messages stay, whatever is thrown away around them", () => {
    const client = offline({ transmitCapacity: 80 });
    client.setLimits(16, "DropOldestQos0");
    client.publish("t", "0000");
    client.publish("t", "keep", { qos: 1 });
    client.publish("t", "0001");
    client.publish("t", "also", { qos: 2 });
    client.publish("t", "0002");
    client.publish("t", "0003");
    client.publish("t", "0004");
    client.publish("t", "last", { qos: 1 });
    expect(client.counter("Discarded")).toBe(2);
    client.establish();
    expect(payloadsOf(client.sent())).toEqual(["keep", "also", "0002", "0003", "0004", "last"]);
  });

  test("where no QoS 0 message waits, a new one is refused and counted", () => {
    const client = offline({ transmitCapacity: 64 });
    client.setLimits(16, "DropOldestQos0");
    const count = fill(client, 1);
    expect(count).toBe(4);
    expect(client.publish("t", "none")).toBe(Status.BufferFull);
    expect(client.counter("Refused")).toBe(2);
    expect(client.counter("Discarded")).toBe(0);
  });

  test("where throwing away would not be enough, nothing is thrown away", () => {
    const client = offline({ transmitCapacity: 64 });
    client.setLimits(16, "DropOldestQos0");
    client.publish("t", "keep", { qos: 1 });
    client.publish("t", "0000");
    expect(client.publish("t", "x".repeat(36))).toBe(Status.BufferFull);
    expect(client.publish("t", "x".repeat(100))).toBe(Status.TooLarge);
    expect(client.counter("Discarded")).toBe(0);
    client.establish();
    expect(payloadsOf(client.sent())).toEqual(["keep", "0000"]);
  });

  test("a message of which a byte has gone is never thrown away", () => {
    const client = connected({ transmitCapacity: 64 });
    client.setLimits(16, "DropOldestQos0");
    for (let index = 0; index < 5; index++) client.publish("t", `000${index}`);
    const [firstByte] = client.core.bytes(client.call("transmitAt"), 1);
    client.call("transmitted", 1, 0);
    for (let index = 5; index < 9; index++) expect(client.publish("t", `000${index}`)).toBe(0);
    expect(client.counter("Discarded")).toBe(4);
    expect(firstByte).toBe(0x30);
    const rest = client.drain();
    expect(new TextDecoder().decode(rest.subarray(0, 8)).slice(-4)).toBe("0000");
    expect(rest).toHaveLength(8 + 4 * 9);
  });

  test("a QoS 1 message may take the room of QoS 0 messages", () => {
    const client = connected({ transmitCapacity: 64 });
    client.setLimits(16, "DropOldestQos0");
    for (let index = 0; index < 5; index++) client.publish("t", `000${index}`);
    expect(client.publish("t", "qos1", { qos: 1 })).toBe(1);
    expect(client.counter("Discarded")).toBe(1);
    expect(payloadsOf(client.sent())).toEqual(["0001", "0002", "0003", "0004", "qos1"]);
  });
});

describe("room", () => {
  test("transmitRoom is exactly what one more packet can use", () => {
    for (let capacity = 64; capacity < 300; capacity += 7) {
      const client = offline({ transmitCapacity: capacity });
      const room = client.call("transmitRoom");
      expect(room).toBe(capacity - CONTROL_RESERVE_LENGTH);
      const headerLength = room > 129 ? 3 : 2;
      const payloadLength = room - headerLength - 3;
      expect(client.publish("t", "x".repeat(payloadLength + 1))).toBe(Status.TooLarge);
      expect(client.publish("t", "x".repeat(payloadLength))).toBe(0);
      expect(client.call("transmitRoom")).toBe(0);
      expect(client.publish("t", "")).toBe(Status.BufferFull);
    }
  });

  test("what could never fit is TooLarge, what does not fit now is BufferFull", () => {
    const client = offline({ transmitCapacity: 64 });
    expect(client.publish("t", "x".repeat(44))).toBe(Status.TooLarge);
    expect(client.publish("t", "x".repeat(42), { qos: 1 })).toBe(Status.TooLarge);
    client.publish("t", "x");
    expect(client.publish("t", "x".repeat(43))).toBe(Status.BufferFull);
    expect(client.counter("Refused")).toBe(1);
  });

  test("room is whole again when all is acknowledged", () => {
    const client = connected();
    const room = client.call("transmitRoom");
    for (const qos of [0, 1, 2] as const) client.publish("t", "text", { qos });
    client.subscribe(["a", 0]);
    expect(client.call("transmitRoom")).toBeLessThan(room);
    client.drain();
    client.exchange(puback(1));
    client.exchange(pubrec(2));
    client.exchange(pubcomp(2));
    client.exchange(suback(3, 0));
    expect(client.call("transmitRoom")).toBe(room);
  });
});

describe("a full outbox", () => {
  test("acknowledges incoming messages: no deadlock, in order [MQTT-4.6.0-2] [MQTT-4.6.0-3] [MQTT-4.5.0-2]", () => {
    const client = connected({ transmitCapacity: 64, incomingCount: 40 });
    fill(client, 1);
    client.drain();
    const expected: string[] = [];
    for (let packetId = 1; packetId <= 40; packetId++) {
      const qos = (packetId % 2) + 1;
      const { events, packets } = client.exchange(publish({ topic: "a", qos, packetId }));
      expect(events).toMatchObject([{ kind: "Message", packetId, qos }]);
      expected.push(...packets);
    }
    expect(expected.map((packet) => packet.slice(0, 2))).toEqual(
      Array.from({ length: 20 }, () => ["50", "40"]).flat(),
    );
  });

  test("waits with what it cannot acknowledge until something was transmitted, and loses nothing", () => {
    const client = connected({ transmitCapacity: 64, receiveCapacity: 128, incomingCount: 16 });
    for (let index = 0; index < 4; index++) client.publish("t", "12345", { qos: 1 });
    expect(client.call("transmitRoom")).toBe(0);
    client.drain();
    const ids = Array.from({ length: 8 }, (_, index) => index + 1);
    for (const packetId of ids) client.receive(publish({ topic: "a", qos: 2, packetId }));
    const first = client.pollAll();
    expect(first).toHaveLength(CONTROL_RESERVE_LENGTH / 4);
    expect(client.poll()).toBeUndefined();
    expect(client.sent()).toEqual(["50 02 00 01", "50 02 00 02", "50 02 00 03", "50 02 00 04"]);
    const second = client.pollAll();
    expect([...first, ...second].map((event) => "packetId" in event && event.packetId)).toEqual(
      ids,
    );
    expect(client.sent()).toEqual(["50 02 00 05", "50 02 00 06", "50 02 00 07", "50 02 00 08"]);
    for (const packetId of ids) client.receive(pubrel(packetId));
    expect(client.pollAll()).toEqual([]);
    expect(client.sent()).toHaveLength(4);
    expect(client.pollAll()).toEqual([]);
    expect(client.sent()).toEqual(["70 02 00 05", "70 02 00 06", "70 02 00 07", "70 02 00 08"]);
  });

  test("takes PUBREC and PUBCOMP for its own messages although nothing may be queued", () => {
    const client = connected({ transmitCapacity: 64, incomingCount: 16 });
    const count = fill(client, 2);
    client.drain();
    for (let packetId = 1; packetId <= 4; packetId++) {
      client.receive(publish({ topic: "a", qos: 1, packetId }));
      client.pollAll();
    }
    for (let packetId = 1; packetId <= count; packetId++) client.receive(pubrec(packetId));
    expect(client.pollAll()).toEqual([]);
    const sent = client.sent();
    expect(sent.filter((packet) => packet.startsWith("62"))).toHaveLength(count);
    for (let packetId = 1; packetId <= count; packetId++) client.receive(pubcomp(packetId));
    expect(client.pollAll()).toHaveLength(count);
  });

  test("pings [MQTT-3.1.2-23]", () => {
    const client = connected({ transmitCapacity: 64 });
    fill(client, 1);
    client.drain();
    client.wait(60_000);
    expect(client.sent()).toEqual(["c0 00"]);
  });

  test("disconnects", () => {
    const client = connected({ transmitCapacity: 64 });
    fill(client, 1);
    expect(client.disconnect()).toBe(0);
    expect(client.sent().at(-1)).toBe("e0 00");
  });

  test("answers BufferFull to SUBSCRIBE and UNSUBSCRIBE and changes nothing", () => {
    const client = connected({ transmitCapacity: 64 });
    fill(client, 1);
    client.drain();
    expect(client.subscribe(["a/long/filter/with/many/levels", 0])).toBe(Status.BufferFull);
    expect(client.unsubscribe("a/long/filter/with/many/levels")).toBe(Status.BufferFull);
    expect(client.sent()).toEqual([]);
  });
});

describe("the window", () => {
  test("lets inflightMax QoS 1 and 2 messages go, QoS 0 behind them in order", () => {
    for (const inflightMax of [1, 2, 3]) {
      const client = connected();
      client.setLimits(inflightMax);
      for (let index = 0; index < 5; index++) {
        client.publish("t", `q1-${index}`, { qos: 1 });
        client.publish("t", `q0-${index}`);
      }
      expect(payloadsOf(client.sent())).toEqual(
        Array.from({ length: inflightMax }, (_, index) => [`q1-${index}`, `q0-${index}`]).flat(),
      );
      expect(client.call("inflightCount")).toBe(inflightMax);
      for (let packetId = 1; packetId <= 5; packetId++) client.exchange(puback(packetId));
      expect(client.call("inflightCount")).toBe(0);
    }
  });

  test("opens at once when its limit is raised", () => {
    const client = connected();
    client.setLimits(1);
    for (let index = 0; index < 4; index++) client.publish("t", `000${index}`, { qos: 1 });
    expect(client.sent()).toHaveLength(1);
    client.setLimits(3);
    expect(payloadsOf(client.sent())).toEqual(["0001", "0002"]);
  });

  test("starts as 16", () => {
    const client = connected();
    for (let index = 0; index < 20; index++) client.publish("t", "", { qos: 1 });
    expect(client.sent()).toHaveLength(16);
    expect(client.call("inflightCount")).toBe(16);
  });

  test("counts a QoS 2 message until PUBCOMP", () => {
    const client = connected();
    client.setLimits(1);
    client.publish("t", "0000", { qos: 2 });
    client.publish("t", "0001", { qos: 2 });
    client.drain();
    expect(client.exchange(pubrec(1)).packets).toEqual(["62 02 00 01"]);
    expect(payloadsOf(client.exchange(pubcomp(1)).packets)).toEqual(["0001"]);
  });

  test("holds after a new connection what was never sent, and lets all go that was", () => {
    const client = connected();
    client.setLimits(4);
    for (let index = 0; index < 8; index++) client.publish("t", `000${index}`, { qos: 1 });
    client.drain();
    client.setLimits(2);
    client.connectionLost();
    client.connect({ cleanSession: false });
    client.drain();
    const sent = [...client.exchange(connack(true)).packets];
    for (let packetId = 1; packetId <= 8; packetId++) {
      sent.push(...client.exchange(puback(packetId)).packets);
    }
    expect(payloadsOf(sent)).toEqual(Array.from({ length: 8 }, (_, index) => `000${index}`));
    expect(client.call("inflightCount")).toBe(0);
  });

  test("lets SUBSCRIBE overtake what it holds back [MQTT-3.8.1-1]", () => {
    const client = connected();
    client.setLimits(1);
    client.publish("t", "0000", { qos: 1 });
    client.publish("t", "0001", { qos: 1 });
    client.drain();
    client.subscribe(["a", 0]);
    expect(client.sent()).toEqual(["82 06 00 03 00 01 61 00"]);
  });
});
