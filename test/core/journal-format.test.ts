/** The bytes of the journal in three exchanges, and what they cost (docs/journal.md). */

import { describe, expect, test } from "vitest";
import { concat, hex, unhex } from "../support/bytes.ts";
import type { CoreClient } from "../support/core-client.ts";
import { clientWithJournal } from "../support/durable.ts";
import { checksumOf, fnv1a, journalOf } from "../support/journal.ts";
import * as packets from "../support/server-packets.ts";

/** A new client that is connected, as it stands in its journal. */
const BEGINNING = [
  ["10 0c 01 00 00 01 01 00 00 00 ca 9c ae 38"], // version 1, next identifier 1, generation 1
  ["20 02 01 00", "20 02 00 01"], // no session, one has begun
];

function connectedClient(): CoreClient & { journal: Uint8Array[] } {
  const client = clientWithJournal();
  client.journal = client.beginJournal();
  client.establish({ cleanSession: false });
  return client as CoreClient & { journal: Uint8Array[] };
}

test("a batch is its length, its checksum and its records, byte for byte", () => {
  const client = connectedClient();
  client.publish("a", "1", { qos: 1 });
  client.drain();
  // The checksums are those of another program.
  expect(client.journal.map(hex)).toEqual([
    "0e 00 00 00 b8 cc c9 5d 10 0c 01 00 00 01 01 00 00 00 ca 9c ae 38",
    "08 00 00 00 a2 42 97 78 20 02 01 00 20 02 00 01",
    "08 00 00 00 ea 27 80 11 3a 06 00 01 61 00 01 31",
  ]);
});

test("FNV-1a gives what its authors published", () => {
  expect(fnv1a(unhex(""))).toBe(0x811c9dc5);
  expect(fnv1a(unhex("61"))).toBe(0xe40c292c);
  expect(fnv1a(new TextEncoder().encode("foobar"))).toBe(0xbf9cf968);
});

describe("batch by batch, each checksum continuing the one before", () => {
  test("an outgoing message at QoS 1 [MQTT-4.3.2-1]", () => {
    const client = connectedClient();
    client.publish("a", "1", { qos: 1 });
    client.drain();
    client.exchange(packets.puback(1));
    client.publish("a", "2", { qos: 1 });
    client.drain();
    expect(journalOf(client.journal)).toEqual([
      ...BEGINNING,
      ["3a 06 00 01 61 00 01 31"],
      ["40 02 00 01", "3a 06 00 01 61 00 02 32"],
    ]);
  });

  test("an outgoing message at QoS 2 [MQTT-4.3.3-1]", () => {
    const client = connectedClient();
    client.publish("a", "1", { qos: 2, retain: true });
    client.drain();
    client.exchange(packets.pubrec(1));
    client.exchange(packets.pubcomp(1));
    client.connectionLost();
    client.keep();
    expect(journalOf(client.journal)).toEqual([
      ...BEGINNING,
      ["3d 06 00 01 61 00 01 31"],
      ["62 02 00 01"],
      ["40 02 00 01"],
    ]);
  });

  test("an incoming message at QoS 2, with a note [MQTT-4.3.3-2]", () => {
    const client = connectedClient();
    client.receive(packets.publish({ topic: "a", qos: 2, packetId: 258, payload: "1" }));
    client.pollAll();
    client.note("1");
    client.drain();
    client.exchange(packets.pubrel(258));
    expect(journalOf(client.journal)).toEqual([
      ...BEGINNING,
      ["50 02 01 02", "f0 01 31"],
      ["70 02 01 02"],
    ]);
  });

  test("messages that wait: for a connection, and for the window", () => {
    const client = clientWithJournal();
    client.journal = client.beginJournal();
    client.setLimits(1);
    client.publish("a", "1", { qos: 1 });
    client.publish("a", "0");
    client.publish("a", "2", { qos: 2 });
    client.establish({ cleanSession: false });
    client.drain();
    client.exchange(packets.puback(1));
    expect(journalOf(client.journal)).toEqual([
      BEGINNING[0],
      ["32 06 00 01 61 00 01 31", "34 06 00 01 61 00 02 32"],
      ["20 02 01 00", "20 02 00 01", "b0 02 00 01"],
      ["40 02 00 01", "b0 02 00 02"],
    ]);
  });

  test("SUBSCRIBE and UNSUBSCRIBE until they are answered", () => {
    const client = connectedClient();
    client.subscribe(["a/+", 1], ["b", 2]);
    client.unsubscribe("c");
    client.drain();
    client.exchange(concat(packets.suback(1, 1, 2), packets.unsuback(2)));
    client.connectionLost();
    client.keep();
    expect(journalOf(client.journal)).toEqual([
      ...BEGINNING,
      ["82 0c 00 01 00 03 61 2f 2b 01 00 01 62 02", "a2 05 00 02 00 01 63"],
      ["40 02 00 01", "40 02 00 02"],
    ]);
  });

  test("a session that is lost: a message given up, one that goes again, one that had not gone [MQTT-3.2.2-3]", () => {
    const client = connectedClient();
    client.publish("a", "1", { qos: 2 });
    client.publish("a", "2", { qos: 1 });
    client.drain();
    client.connectionLost();
    client.publish("a", "3", { qos: 1 });
    client.connect({ cleanSession: false });
    client.drain();
    client.receive(packets.connack(false));
    expect(client.poll()).toMatchObject({ kind: "Dropped", payload: "1" });
    expect(client.poll()).toMatchObject({ kind: "Dropped", payload: "2" });
    client.call("requeue");
    expect(client.poll()).toMatchObject({ kind: "Connected" });
    client.drain();
    expect(journalOf(client.journal)).toEqual([
      ...BEGINNING,
      ["3c 06 00 01 61 00 01 31", "3a 06 00 01 61 00 02 32"],
      ["32 06 00 01 61 00 03 33"],
      ["20 02 01 00", "40 02 00 01", "20 02 00 01", "b0 02 00 02", "b0 02 00 03"],
    ]);
  });

  test("a clean session, which ends with its connection [MQTT-3.1.2-6]", () => {
    const client = clientWithJournal();
    client.journal = client.beginJournal();
    client.establish({ cleanSession: true });
    expect(journalOf(client.journal)).toEqual([BEGINNING[0], ["20 02 01 00", "20 02 01 01"]]);
  });
});

describe("an image", () => {
  test("holds what nobody has answered, in the order of the outbox, then incoming messages and the note", () => {
    const client = connectedClient();
    client.setLimits(3);
    client.publish("a", "1", { qos: 1 });
    client.publish("a", "2", { qos: 2 });
    client.publish("a", "3", { qos: 2 });
    client.subscribe(["a", 1]);
    client.publish("a", "0");
    client.publish("a", "5", { qos: 1 });
    client.drain();
    client.exchange(packets.pubrec(2));
    client.exchange(packets.publish({ topic: "a", qos: 2, packetId: 9 }));
    client.exchange(packets.publish({ topic: "a", qos: 2, packetId: 8 }));
    const image = client.saveImage(0x01020304, "note");
    expect(journalOf([image])).toEqual([
      [
        "10 0c 01 00 00 06 04 03 02 01 ca 9c ae 38",
        "3a 06 00 01 61 00 01 31",
        "3c 06 00 01 61 00 03 33",
        "82 06 00 04 00 01 61 01",
        "62 02 00 02",
        "32 06 00 01 61 00 05 35",
        "50 02 00 09",
        "50 02 00 08",
        "f0 04 6e 6f 74 65",
      ],
    ]);
  });

  test("holds what is in the journal and not stored", () => {
    const client = connectedClient();
    client.publish("a", "1", { qos: 1 });
    expect(journalOf([client.saveImage()])).toEqual([
      ["10 0c 01 00 00 02 01 00 00 00 ca 9c ae 38", "3a 06 00 01 61 00 01 31"],
    ]);
    expect(client.storeLength).toBeGreaterThan(0);
    client.beginJournal();
    expect(client.storeLength).toBe(0);
    expect(client.sent()).toEqual(["32 06 00 01 61 00 01 31"]);
  });

  test("says that a clean session is stale [MQTT-3.1.2-6]", () => {
    const client = clientWithJournal();
    client.journal = [];
    client.establish({ cleanSession: true });
    expect(journalOf([client.saveImage()])).toEqual([
      ["10 0c 01 01 00 01 01 00 00 00 ca 9c ae 38"],
    ]);
  });

  test("begins a new chain, and what follows continues it", () => {
    const client = connectedClient();
    client.publish("a", "1", { qos: 1 });
    client.drain();
    const journal = client.beginJournal(2);
    client.exchange(packets.puback(1));
    client.connectionLost();
    client.keep();
    expect(journalOf(journal).at(-1)).toEqual(["40 02 00 01"]);
  });

  test("fits into transmitCapacity + 4 × incomingCount + noteLength + 32 bytes, with everything full", () => {
    for (const noteLength of [0, 127, 128]) {
      const client = fullClient();
      const image = client.saveImage(1, "n".repeat(noteLength));
      expect(image.length).toBeLessThanOrEqual(256 + 4 * 4 + noteLength + 32);
      expect(journalOf([image])[0]).toHaveLength(1 + 25 + 4 + Math.min(noteLength, 1));
    }
  });

  test("is refused as BufferFull where it does not fit, and nothing is written", () => {
    const client = fullClient();
    const length = client.saveImage().length;
    const [at = 0] = client.core.put(new Uint8Array(512).fill(0xee));
    for (const capacity of [0, 7, 8, 21, 22, 100]) {
      const answer = client.call("saveImage", 1, at, capacity, at, 0);
      expect(answer).toBe(-4);
      expect(client.core.bytes(at, 512).every((byte) => byte === 0xee)).toBe(true);
    }
    expect(client.call("saveImage", 1, at, length + 64, at, 0)).toBe(length);
    expect(client.core.bytes(at + length + 64, 64).every((byte) => byte === 0xee)).toBe(true);
  });
});

/** The outbox full of messages of nine bytes, four incoming messages unfinished. */
function fullClient(): CoreClient {
  const client = clientWithJournal({ transmitCapacity: 256, incomingCount: 4 });
  client.journal = [];
  client.establish({ cleanSession: false });
  for (let packetId = 1; packetId <= 4; packetId++) {
    client.exchange(packets.publish({ topic: "a", qos: 2, packetId }));
  }
  for (let count = 0; count < 25; count++) {
    client.publish("a", "12", { qos: 1 });
    client.drain();
  }
  return client;
}

describe("what it costs", () => {
  /** Bytes of what is stored while `act` is done. */
  function cost(act: (client: CoreClient) => void): number {
    const client = connectedClient();
    act(client);
    const [, , ...batches] = client.journal;
    return batches.reduce((length, batch) => length + batch.length, 0);
  }

  test("a QoS 1 message: its packet and 8 bytes, 4 with the next batch", () => {
    const packetLength = 8;
    const one = cost((client) => {
      client.publish("a", "1", { qos: 1 });
      client.drain();
      client.exchange(packets.puback(1));
    });
    const two = cost((client) => {
      for (const packetId of [1, 2]) {
        client.publish("a", "1", { qos: 1 });
        client.drain();
        client.exchange(packets.puback(packetId));
      }
    });
    expect(one).toBe(packetLength + 8);
    expect(two - one).toBe(packetLength + 8 + 4);
  });

  test("an outgoing QoS 2 message: 12 bytes more", () => {
    const one = cost((client) => {
      client.publish("a", "1", { qos: 2 });
      client.drain();
      client.exchange(packets.pubrec(1));
      client.exchange(packets.pubcomp(1));
    });
    expect(one).toBe(8 + 8 + 12);
  });

  test("an incoming QoS 2 message: 24 bytes", () => {
    const one = cost((client) => {
      client.exchange(packets.publish({ topic: "a", qos: 2, packetId: 1 }));
      client.exchange(packets.pubrel(1));
    });
    expect(one).toBe(24);
  });

  test("what happens between two looks of the embedder: one batch", () => {
    const client = connectedClient();
    for (let count = 0; count < 5; count++) client.publish("a", "1", { qos: 1 });
    client.drain();
    expect(client.journal.at(-1)).toHaveLength(8 + 5 * 8);
    const checksum = checksumOf(client.journal[1] ?? new Uint8Array(8));
    expect(checksumOf(client.journal[2] ?? new Uint8Array(8))).not.toBe(checksum);
  });
});
