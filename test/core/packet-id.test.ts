/** Packet Identifiers: never 0, never one that is in use (MQTT 3.1.1, 2.3.1). */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Status } from "../../firmware/core/abi.ts";
import { concat } from "../support/bytes.ts";
import { Core } from "../support/core-client.ts";
import { puback, pubcomp, pubrec, suback, unsuback } from "../support/server-packets.ts";

const kinds = ["qos1", "qos2", "subscribe", "unsubscribe"] as const;
type Kind = (typeof kinds)[number];

interface Step {
  action: Kind | "answer" | "seek" | "reconnect";
  /** Chooses among the identifiers that are in use. */
  pick: number;
}

/** A client and the identifiers that it has under way. */
class Pool {
  readonly client = new Core().client({ transmitCapacity: 1024 });
  readonly inUse = new Map<number, Kind>();

  constructor(firstPacketId: number) {
    this.client.setClientId("t");
    this.client.setLimits(65535);
    this.client.call("setNextPacketId", firstPacketId);
    this.client.establish({ cleanSession: false });
  }

  take({ action, pick }: Step): void {
    if (action === "answer") this.#answer(pick);
    else if (action === "seek") this.#seek(pick);
    else if (action === "reconnect") this.#reconnect();
    else this.#request(action);
  }

  #request(kind: Kind): void {
    const packetId = this.#send(kind);
    if (packetId === Status.BufferFull) return;
    expect(packetId).toBeGreaterThan(0);
    expect(packetId).toBeLessThanOrEqual(65535);
    expect([...this.inUse.keys()]).not.toContain(packetId);
    this.inUse.set(packetId, kind);
  }

  #answer(pick: number): void {
    const [packetId, kind] = [...this.inUse][pick % this.inUse.size] ?? [];
    if (packetId === undefined || kind === undefined) return;
    this.client.drain();
    for (const bytes of answers[kind](packetId)) this.client.exchange(bytes);
    this.inUse.delete(packetId);
  }

  #reconnect(): void {
    this.client.connectionLost();
    this.client.establish({ cleanSession: false, sessionPresent: true });
    for (const [packetId, kind] of this.inUse) {
      if (kind === "subscribe" || kind === "unsubscribe") this.inUse.delete(packetId);
    }
  }

  /** Lets the search start at an identifier that is in use. */
  #seek(pick: number): void {
    const packetId = [...this.inUse.keys()][pick % this.inUse.size];
    if (packetId !== undefined) this.client.call("setNextPacketId", packetId);
  }

  #send(kind: Kind): number {
    if (kind === "subscribe") return this.client.subscribe(["a", 0]);
    if (kind === "unsubscribe") return this.client.unsubscribe("a");
    return this.client.publish("a", "", { qos: kind === "qos1" ? 1 : 2 });
  }
}

const answers: { [kind in Kind]: (packetId: number) => Uint8Array[] } = {
  qos1: (packetId) => [puback(packetId)],
  qos2: (packetId) => [pubrec(packetId), pubcomp(packetId)],
  subscribe: (packetId) => [suback(packetId, 0)],
  unsubscribe: (packetId) => [unsuback(packetId)],
};

test("no identifier is used while it is in use, across the wrap and connections [MQTT-2.3.1-2] [MQTT-2.3.1-1]", () => {
  const anyStep: fc.Arbitrary<Step> = fc.record({
    action: fc.constantFrom(...kinds, ...kinds, "answer", "answer", "answer", "seek", "reconnect"),
    pick: fc.nat(),
  });
  fc.assert(
    fc.property(
      fc.integer({ min: 65500, max: 65535 }),
      fc.array(anyStep, { maxLength: 200, size: "max" }),
      (firstPacketId, steps) => {
        const pool = new Pool(firstPacketId);
        for (const step of steps) pool.take(step);
        pool.client.core.checkGuards();
      },
    ),
    { numRuns: 60 },
  );
});

test("65535 is followed by 1 [MQTT-2.3.1-1]", () => {
  const client = new Core().client();
  client.call("setNextPacketId", 65535);
  expect(client.publish("a", "", { qos: 1 })).toBe(65535);
  expect(client.publish("a", "", { qos: 1 })).toBe(1);
});

test("when all 65535 are in use the next message is refused, and the first free one is found again [MQTT-2.3.1-2]", () => {
  const client = new Core().client({ transmitCapacity: 65535 * 7 + 64, receiveCapacity: 0x8000 });
  client.setClientId("t");
  client.setLimits(65535);
  client.call("setNextPacketId", 30000);
  client.establish();
  let first = 0;
  for (let count = 0; count < 65535; count++) {
    const packetId = client.publish("a", "", { qos: 1 });
    if (count === 0) first = packetId;
    if (packetId <= 0) throw new Error(`${count}: ${Status[packetId]}`);
  }
  expect(first).toBe(30000);
  expect(client.publish("a", "", { qos: 1 })).toBe(Status.BufferFull);
  expect(client.subscribe(["a", 0])).toBe(Status.BufferFull);
  while (client.call("transmitLength") > 0) {
    client.call("transmitted", client.call("transmitLength"), 0);
  }
  expect(client.exchange(puback(12345)).events).toEqual([
    { kind: "Published", packetId: 12345, qos: 1 },
  ]);
  expect(client.publish("a", "", { qos: 1 })).toBe(12345);
  expect(client.publish("a", "", { qos: 1 })).toBe(Status.BufferFull);
});

describe("an answer frees its identifier and no other [MQTT-2.3.1-3]", () => {
  test("whatever came before it in the same chunk", () => {
    const client = new Core().client();
    client.setClientId("t");
    client.establish();
    client.publish("a", "", { qos: 1 });
    client.subscribe(["a", 0]);
    client.unsubscribe("a");
    client.publish("a", "", { qos: 1 });
    client.drain();
    const { events } = client.exchange(
      concat(unsuback(3), suback(2, 0), puback(4), puback(4), suback(2, 0), puback(1)),
    );
    expect(events.map((event) => "packetId" in event && event.packetId)).toEqual([3, 2, 4, 1]);
    expect(client.counter("Stray")).toBe(2);
  });
});
