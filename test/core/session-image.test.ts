/** What `restore` takes back and what it refuses: batches that are not whole, not in order, foreign or forged. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Status } from "../../firmware/core/abi.ts";
import { concat, packet, unhex } from "../support/bytes.ts";
import type { CoreClient, RecordSpec } from "../support/core-client.ts";
import { clientWithJournal, reconnect, restoredFrom } from "../support/durable.ts";
import {
  batchOf,
  beginRecord,
  checksumOf,
  imageOf,
  journalOf,
  publishRecord,
} from "../support/journal.ts";
import * as packets from "../support/server-packets.ts";

/** An image and four batches, with something of everything. */
function storedSession(): Uint8Array[] {
  const client = clientWithJournal();
  client.journal = [];
  client.establish({ cleanSession: false });
  client.publish("a", "1", { qos: 1 });
  client.publish("a", "2", { qos: 2 });
  const journal = client.beginJournal(7, "note");
  client.subscribe(["a/#", 1]);
  client.drain();
  client.exchange(packets.pubrec(2));
  client.receive(packets.publish({ topic: "a", qos: 2, packetId: 5 }));
  client.pollAll();
  client.note("later");
  client.drain();
  client.exchange(packets.puback(1));
  client.publish("a", "3", { qos: 1 });
  client.drain();
  expect(journal).toHaveLength(5);
  return journal;
}

function batchAt(journal: Uint8Array[], index: number): Uint8Array {
  const batch = journal.at(index);
  if (batch === undefined) throw new Error(`there is no batch ${index}`);
  return batch;
}

/** A new client to which this many batches of the journal were given. */
function halfway(journal: Uint8Array[], count: number): CoreClient {
  return restoredFrom(journal.slice(0, count));
}

function expectRefused(client: CoreClient, batch: Uint8Array, status: keyof typeof Status): void {
  expect(Status[client.restore(batch)]).toBe(status);
  client.core.checkGuards();
}

/** What a client that never did anything saves. */
function expectEmpty(client: CoreClient, spec: Partial<RecordSpec> = {}): void {
  expect(client.saveImage()).toEqual(clientWithJournal(spec).saveImage());
  expect(client.call("inflightCount")).toBe(0);
  expect(client.storeLength).toBe(0);
}

describe("a session comes back from its journal", () => {
  test("with everything that is unanswered, and nothing else [MQTT-4.4.0-1]", () => {
    const client = restoredFrom(storedSession());
    const { events, packets: sent } = reconnect(client);
    expect(events).toEqual([{ kind: "Connected", sessionPresent: true }]);
    expect(sent.toSorted()).toEqual([
      "3a 06 00 01 61 00 04 33",
      "62 02 00 02",
      "82 08 00 03 00 03 61 2f 23 01",
    ]);
    const repeated = packets.publish({ topic: "a", qos: 2, packetId: 5, dup: true });
    expect(client.exchange(repeated)).toEqual({ events: [], packets: ["50 02 00 05"] });
    expect(client.publish("a", "4", { qos: 1 })).toBe(5);
  });

  test("PUBRELs in the order of their PUBRECs, each stored in a batch of its own [MQTT-4.6.0-4]", () => {
    const client = clientWithJournal();
    client.journal = client.beginJournal();
    client.establish({ cleanSession: false });
    for (const payload of ["1", "2", "3", "4"]) client.publish("a", payload, { qos: 2 });
    client.drain();
    for (const packetId of [1, 2, 3]) client.exchange(packets.pubrec(packetId));
    const again = restoredFrom(client.journal);
    const expected = ["3c 06 00 01 61 00 04 34", "62 02 00 01", "62 02 00 02", "62 02 00 03"];
    expect(reconnect(again).packets.toSorted()).toEqual(expected);
    expect(reconnect(again).packets.filter((sent) => sent.startsWith("62"))).toEqual(
      expected.slice(1),
    );
  });

  test("PUBLISHes in the order of their first sending, with DUP where they may have gone [MQTT-4.6.0-1] [MQTT-3.3.1-1]", () => {
    const client = clientWithJournal();
    client.journal = client.beginJournal();
    client.setLimits(3);
    client.establish({ cleanSession: false });
    for (const payload of ["1", "2", "3", "4", "5"]) {
      client.publish("a", payload, { qos: 1 });
      client.drain();
    }
    client.exchange(packets.puback(2));
    const again = restoredFrom(client.journal);
    expect(reconnect(again).packets).toEqual([
      "3a 06 00 01 61 00 01 31",
      "3a 06 00 01 61 00 03 33",
      "3a 06 00 01 61 00 04 34",
      "32 06 00 01 61 00 05 35",
    ]);
  });

  test("a request is not overtaken by a later one, whatever else waits", () => {
    const client = clientWithJournal();
    client.journal = client.beginJournal();
    client.establish({ cleanSession: false });
    client.setLimits(1);
    for (const payload of ["1", "2", "3"]) client.publish("a", payload, { qos: 1 });
    client.subscribe(["a", 1]);
    client.drain();
    const again = restoredFrom(client.journal);
    again.setLimits(1);
    const sent = reconnect(again).packets;
    again.unsubscribe("a");
    sent.push(...again.sent());
    for (const packetId of [1, 2, 3])
      sent.push(...again.exchange(packets.puback(packetId)).packets);
    expect(sent.filter((packet) => /^[8a]2/.test(packet))).toEqual([
      "82 06 00 04 00 01 61 01",
      "a2 05 00 05 00 01 61",
    ]);
  });

  test("without DUP where a new session has not seen the message yet [MQTT-3.3.1-1]", () => {
    const client = clientWithJournal();
    client.journal = client.beginJournal();
    client.establish({ cleanSession: false });
    client.publish("a", "1", { qos: 1 });
    client.publish("a", "2", { qos: 1 });
    client.drain();
    client.connectionLost();
    client.setLimits(1);
    client.connect({ cleanSession: false });
    client.drain();
    client.receive(packets.connack(false));
    for (const payload of ["1", "2"]) {
      expect(client.poll()).toMatchObject({ kind: "Dropped", payload });
      client.call("requeue");
    }
    client.pollAll();
    client.keep();
    expect(reconnect(restoredFrom(client.journal)).packets).toEqual([
      "3a 06 00 01 61 00 01 31",
      "32 06 00 01 61 00 02 32",
    ]);
  });

  test("over two losses of power as over one", () => {
    const journal = storedSession();
    const once = restoredFrom(journal);
    const again = restoredFrom([once.saveImage(8, "note")]);
    expect(journalOf([again.saveImage(9)])).toEqual(journalOf([once.saveImage(9)]));
  });

  test("with the next identifier, whatever is kept", () => {
    const client = clientWithJournal();
    client.publish("a", "1", { qos: 1 });
    client.call("setNextPacketId", 1000);
    const again = restoredFrom([client.saveImage()]);
    expect(again.publish("a", "2", { qos: 1 })).toBe(1000);
  });

  test("its notes, each with its batch", () => {
    const journal = storedSession();
    const client = clientWithJournal();
    const notes = journal.map((batch) => {
      expect(client.restore(batch)).toBe(Status.Ok);
      return client.restoredNote && new TextDecoder().decode(client.restoredNote);
    });
    expect(notes).toEqual(["note", undefined, undefined, "later", undefined]);
  });

  test("an image takes the place of whatever was before", () => {
    const client = restoredFrom(storedSession());
    expect(client.restore(imageOf(""))).toBe(Status.Ok);
    expect(client.saveImage()).toEqual(clientWithJournal().saveImage());
  });

  test("a stale one is reported as lost, even with Session Present [MQTT-3.1.2-6]", () => {
    const image = imageOf("3a 06 00 01 61 00 01 31", { isStale: true, nextPacketId: 2 });
    const { events } = reconnect(restoredFrom([image]));
    expect(events).toMatchObject([{ kind: "Dropped", payload: "1" }, { kind: "Connected" }]);
  });

  test("into a client without a journal, too", () => {
    const client = restoredFrom(storedSession(), { journalCapacity: 0 });
    expect(client.call("inflightCount")).toBe(0);
    expect(reconnect(client).packets).toContain("62 02 00 02");
  });
});

describe("a batch that is not whole or does not follow is refused, and nothing has changed", () => {
  test("with any one bit changed", () => {
    const journal = storedSession();
    journal.forEach((batch, index) => {
      const client = halfway(journal, index);
      const before = client.saveImage();
      for (let bit = 0; bit < batch.length * 8; bit++) {
        const changed = batch.slice();
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expectRefused(client, changed, "DamagedImage");
      }
      expect(client.saveImage()).toEqual(before);
      expect(client.restore(batch)).toBe(Status.Ok);
    });
  });

  test("cut at any length, and with bytes behind it", () => {
    const journal = storedSession();
    journal.forEach((batch, index) => {
      const client = halfway(journal, index);
      const before = client.saveImage();
      for (let length = 0; length < batch.length; length++) {
        expectRefused(client, batch.slice(0, length), "DamagedImage");
      }
      expectRefused(client, concat(batch, Uint8Array.of(0)), "DamagedImage");
      expect(client.saveImage()).toEqual(before);
      expect(client.restore(batch)).toBe(Status.Ok);
    });
  });

  test("one missing, one twice, two in the wrong order, one of another life", () => {
    const journal = storedSession();
    const other = clientWithJournal();
    other.journal = other.beginJournal();
    other.establish({ cleanSession: false });
    for (let index = 1; index < journal.length; index++) {
      const client = halfway(journal, index);
      const before = client.saveImage();
      for (const [place, batch] of journal.entries()) {
        if (place !== index && place > 0) expectRefused(client, batch, "DamagedImage");
      }
      expectRefused(client, batchAt(other.journal, 1), "DamagedImage");
      expect(client.saveImage()).toEqual(before);
    }
  });

  test("erased flash, zeros and noise", () => {
    const client = restoredFrom(storedSession());
    const before = client.saveImage();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expectRefused(client, bytes, "DamagedImage");
      }),
      { numRuns: 200 },
    );
    for (const byte of [0xff, 0]) {
      expectRefused(client, new Uint8Array(32).fill(byte), "DamagedImage");
    }
    expect(client.saveImage()).toEqual(before);
  });

  test("a batch without records", () => {
    const client = restoredFrom([imageOf("")]);
    expectRefused(client, batchOf(new Uint8Array(0), checksumOf(imageOf(""))), "DamagedImage");
    expectRefused(client, batchOf(new Uint8Array(0)), "DamagedImage");
  });

  test("bytes beyond the memory", () => {
    const client = restoredFrom(storedSession());
    const before = client.snapshot();
    const end = client.core.memory.length;
    for (const [at, length] of [
      [end - 8, 9],
      [end, 1],
      [0xfffffff0, 0x20],
      [8, 0xffffffff],
    ]) {
      expect(client.call("restore", at ?? 0, length ?? 0)).toBe(Status.InvalidArgument);
    }
    expect(client.snapshot()).toEqual(before);
  });
});

describe("an image that is not for this client is refused, and the session is empty", () => {
  test("another client id", () => {
    for (const clientId of ["u", "", "tt", "T"]) {
      const client = restoredFrom(storedSession());
      expectRefused(client, imageOf("50 02 00 01", { clientId }), "ForeignImage");
      expectEmpty(client);
    }
  });

  test("another version of the format", () => {
    for (const version of [0, 2, 255]) {
      const client = restoredFrom(storedSession());
      expectRefused(client, imageOf("50 02 00 01", { version }), "UnknownVersion");
      expectEmpty(client);
    }
  });

  test("a newer version whose image begins with a longer record", () => {
    const client = restoredFrom(storedSession());
    const newer = batchOf(packet(0x10, Uint8Array.of(2, 0, 0, 1), new Uint8Array(20)));
    expectRefused(client, newer, "UnknownVersion");
    expectEmpty(client);
  });

  test("messages that the outbox does not hold", () => {
    const spec = { transmitCapacity: 64 };
    const image = imageOf(
      concat(publishRecord("a", 1, "x".repeat(30)), publishRecord("a", 2, "x".repeat(30))),
    );
    const client = clientWithJournal(spec);
    expectRefused(client, image, "TooLarge");
    expectEmpty(client, spec);
    expect(client.restore(imageOf(publishRecord("a", 1, "x".repeat(30))))).toBe(Status.Ok);
  });

  test("more incoming messages than it has places", () => {
    const client = clientWithJournal({ incomingCount: 1 });
    expectRefused(client, imageOf("50 02 00 01 50 02 00 02"), "TooLarge");
    expectEmpty(client, { incomingCount: 1 });
    expect(client.restore(imageOf("50 02 00 01 50 02 00 01"))).toBe(Status.Ok);
  });

  test("a batch behind the image that does not fit any more", () => {
    const spec = { transmitCapacity: 64 };
    const image = imageOf(publishRecord("a", 1, "x".repeat(30)));
    const client = restoredFrom([image], spec);
    const next = batchOf(publishRecord("a", 2, "x".repeat(30)), checksumOf(image));
    expectRefused(client, next, "TooLarge");
    expectEmpty(client, spec);
  });
});

test("nothing is restored while there is a connection", () => {
  const journal = storedSession();
  for (const state of ["Connecting", "Connected", "Disconnecting", "Closed"]) {
    const client = clientWithJournal();
    client.journal = [];
    client.connect({ cleanSession: false });
    if (state === "Closed") client.exchange(packets.connack(false, 5));
    if (state !== "Connecting") client.exchange(packets.connack());
    if (state === "Disconnecting") client.disconnect();
    expect(client.state).toBe(state);
    const before = client.snapshot();
    expectRefused(client, batchAt(journal, 0), "WrongState");
    expect(client.snapshot()).toEqual(before);
  }
});

describe("a forged batch with the right checksum is refused, and the session is empty", () => {
  const forged: [title: string, records: string | Uint8Array][] = [
    ["identifier 0 of a PUBLISH [MQTT-2.3.1-1]", publishRecord("a", 0, "1")],
    ["identifier 0 of a SUBSCRIBE [MQTT-2.3.1-1]", "82 06 00 00 00 01 61 01"],
    ["PUBLISH at QoS 0", publishRecord("a", 1, "1", 0x30)],
    ["PUBLISH at QoS 3 [MQTT-3.3.1-4]", publishRecord("a", 1, "1", 0x36)],
    ["an empty topic [MQTT-4.7.3-1]", publishRecord("", 1, "1")],
    ["a wildcard in a topic [MQTT-3.3.2-2]", publishRecord("a/+", 1, "1")],
    ["U+0000 in a topic [MQTT-1.5.3-2]", publishRecord("a\0", 1, "1")],
    ["a topic that is no UTF-8 [MQTT-1.5.3-1]", publishRecord(Uint8Array.of(0xff), 1, "1")],
    ["a topic longer than its packet", "32 06 00 40 61 00 01 31"],
    ["a topic that leaves no room for the identifier", "32 04 00 01 61 00"],
    ["a PUBLISH of one byte", "32 01 00"],
    ["a PUBLISH of none", "32 00"],
    ["a PUBLISH longer than the batch", "32 20 00 01 61 00 01 31"],
    ["a Remaining Length of five bytes", "32 80 80 80 80 01"],
    ["a Remaining Length that is cut off", "32 ff"],
    ["a first byte and nothing", "50"],
    ["SUBSCRIBE without a filter [MQTT-3.8.3-3]", "82 02 00 01"],
    ["SUBSCRIBE at QoS 3 [MQTT-3-8.3-4]", "82 06 00 01 00 01 61 03"],
    ["SUBSCRIBE whose filter is longer than it", "82 06 00 01 00 09 61 01"],
    ["SUBSCRIBE with a wildcard out of its place [MQTT-4.7.1-2]", "82 07 00 01 00 02 61 23 01"],
    ["UNSUBSCRIBE without a filter [MQTT-3.10.3-2]", "a2 02 00 01"],
    ["UNSUBSCRIBE whose filter is empty [MQTT-4.7.3-1]", "a2 04 00 01 00 00"],
    ["SUBSCRIBE with other flags [MQTT-3.8.1-1]", "80 06 00 01 00 01 61 01"],
    ["a record of three bytes where two belong", "50 03 00 01 00"],
    ["a record of one byte where two belong", "50 01 01"],
    ["a record of none where two belong", "62 00"],
    ["identifier 0 that is complete", "40 02 00 00"],
    ["identifier 0 of an incoming message", "50 02 00 00"],
    ["identifier 0 of a PUBREL", "62 02 00 00"],
    ["identifier 0 that is new again", "70 02 00 00"],
    ["identifier 0 that may go", "b0 02 00 00"],
    ["a record that does not exist", "00 02 00 01"],
    ["another one", "c0 02 00 01"],
    ["a record of two bytes with flags", "51 02 00 01"],
  ];

  test.each(forged)("%s", (_, records) => {
    const bytes = typeof records === "string" ? unhex(records) : records;
    const good = publishRecord("a", 9, "good");
    for (const rest of [bytes, concat(good, bytes), concat(unhex("50 02 00 01"), bytes, good)]) {
      const client = clientWithJournal();
      expectRefused(client, imageOf(rest), "DamagedImage");
      expectEmpty(client);
      const next = restoredFrom([imageOf(good)]);
      expectRefused(next, batchOf(rest, checksumOf(imageOf(good))), "DamagedImage");
      expectEmpty(next);
    }
  });

  test("an image that begins in the middle", () => {
    const client = clientWithJournal();
    expectRefused(client, imageOf(beginRecord()), "DamagedImage");
    expectEmpty(client);
    const image = imageOf("50 02 00 01");
    const next = restoredFrom([image]);
    const batch = batchOf(concat(unhex("40 02 00 01"), beginRecord()), checksumOf(image));
    expectRefused(next, batch, "DamagedImage");
    expectEmpty(next);
  });

  test("the next identifier 0 [MQTT-2.3.1-1]", () => {
    const client = clientWithJournal();
    expectRefused(client, imageOf("", { nextPacketId: 0 }), "DamagedImage");
    expectEmpty(client);
  });

  test("a first record that is too short or too long for an image", () => {
    for (const length of [1, 3, 11, 13, 64]) {
      const client = clientWithJournal();
      const record = packet(0x10, Uint8Array.of(1), new Uint8Array(length - 1));
      expectRefused(client, batchOf(record), "DamagedImage");
      expectEmpty(client);
    }
    expect(clientWithJournal().restore(batchOf(unhex("10 00")))).toBeLessThan(0);
  });

  test("records that speak of what is not there change nothing", () => {
    const client = restoredFrom([imageOf("40 02 00 01 b0 02 00 02 70 02 00 03 50 02 00 04")]);
    expect(journalOf([client.saveImage()])[0]?.slice(1)).toEqual(["50 02 00 04"]);
  });

  test("records of any kind in any order: a Status, never a trap, and the client lives", () => {
    const anyId = fc.integer({ min: 0, max: 4 });
    const anyRecord = fc.oneof(
      fc
        .tuple(fc.constantFrom(0x32, 0x34, 0x3a, 0x3c, 0x35), anyId, fc.nat({ max: 60 }))
        .map(([firstByte, packetId, length]) =>
          publishRecord("a", packetId, "x".repeat(length), firstByte),
        ),
      fc
        .tuple(fc.constantFrom(0x20, 0x40, 0x50, 0x62, 0x70, 0xb0), fc.nat({ max: 1 }), anyId)
        .map(([firstByte, high, low]) => Uint8Array.of(firstByte, 2, high, low)),
      anyId.map((packetId) => Uint8Array.of(0x82, 6, 0, packetId, 0, 1, 0x61, 1)),
      anyId.map((packetId) => Uint8Array.of(0xa2, 5, 0, packetId, 0, 1, 0x61)),
      fc.uint8Array({ maxLength: 8 }).map((bytes) => packet(0xf0, bytes)),
      fc.uint8Array({ maxLength: 8 }),
    );
    fc.assert(
      fc.property(
        fc.array(fc.array(anyRecord, { maxLength: 12 }), { maxLength: 4 }),
        fc.boolean(),
        (batches, sessionPresent) => {
          const client = clientWithJournal({ transmitCapacity: 160, incomingCount: 3 });
          const image = imageOf(concat(...(batches[0] ?? [])));
          let isRestored = client.restore(image) === Status.Ok;
          let checksum = checksumOf(image);
          for (const records of batches.slice(1)) {
            const batch = batchOf(concat(...records), checksum);
            isRestored = isRestored && client.restore(batch) === Status.Ok;
            checksum = checksumOf(batch);
          }
          client.core.checkGuards();
          client.journal = [];
          expect(reconnect(client, sessionPresent).events.at(-1)).toMatchObject({
            kind: "Connected",
          });
          expect(client.publish("a", "1", { qos: 1 })).not.toBe(0);
          client.core.checkGuards();
        },
      ),
      { numRuns: 1000 },
    );
  });
});
