/** A call that fails has changed nothing (ABI: Answers). */

import { describe, expect, test } from "vitest";
import {
  CAPACITY_MAX,
  IDENTITY_CAPACITY_MIN,
  INCOMING_COUNT_MAX,
  JOURNAL_CAPACITY_MIN,
  RECEIVE_CAPACITY_MIN,
  RETAIN_FLAG,
  Status,
  TRANSMIT_CAPACITY_MIN,
} from "../../firmware/core/abi.ts";
import { lengthPrefixed } from "../support/bytes.ts";
import { Core, type CoreClient, type CoreFunctionName } from "../support/core-client.ts";

/** A connected client with a little of everything under way, and a text in the scratch area. */
function busyClient(): { client: CoreClient; textAt: number; end: number } {
  const core = new Core("release", 0x20000);
  const client = core.client({ transmitCapacity: 96, identityCapacity: 64 });
  client.setClientId("t");
  client.setUserName("u");
  client.setWill("w", "gone", { qos: 1 });
  client.establish({ cleanSession: false });
  client.publish("a", "1", { qos: 1 });
  client.publish("a", "2", { qos: 2 });
  client.drain();
  client.publish("a", "3");
  const [textAt = 0] = core.put(Uint8Array.from({ length: 0x20000 }, () => 0x61));
  return { client, textAt, end: core.exports.memory.buffer.byteLength };
}

type Failure = [
  title: string,
  status: keyof typeof Status,
  name: CoreFunctionName,
  args: (textAt: number, end: number) => number[],
];

const failures: Failure[] = [
  ["inflightMax 0", "InvalidArgument", "setLimits", () => [0, 0]],
  ["inflightMax 65536", "InvalidArgument", "setLimits", () => [65536, 0]],
  ["WhenFull 2", "InvalidArgument", "setLimits", () => [1, 2]],
  ["packet identifier 0 [MQTT-2.3.1-1]", "InvalidArgument", "setNextPacketId", () => [0]],
  ["packet identifier 65536", "InvalidArgument", "setNextPacketId", () => [65536]],
  ["a client id beyond the memory", "InvalidArgument", "setClientId", (_, end) => [end - 1, 2]],
  [
    "a client id around the end of addresses",
    "InvalidArgument",
    "setClientId",
    () => [0xfffffff0, 0x20],
  ],
  [
    "a client id of 65536 bytes [MQTT-4.7.3-3]",
    "InvalidArgument",
    "setClientId",
    (at) => [at, 65536],
  ],
  ["a client id larger than its room", "TooLarge", "setClientId", (at) => [at, 60]],
  ["a user name beyond the memory", "InvalidArgument", "setUserName", (_, end) => [end, 1]],
  ["a user name larger than its room", "TooLarge", "setUserName", (at) => [at, 65535]],
  ["a password beyond the memory", "InvalidArgument", "setPassword", (_, end) => [end - 3, 4]],
  ["a password of 65536 bytes", "InvalidArgument", "setPassword", (at) => [at, 65536]],
  ["a Will topic beyond the memory", "InvalidArgument", "setWill", (at, end) => [end, 1, at, 1, 0]],
  [
    "a Will payload beyond the memory",
    "InvalidArgument",
    "setWill",
    (at, end) => [at, 1, end, 1, 0],
  ],
  ["a Will at QoS 3 [MQTT-3.1.2-14]", "InvalidArgument", "setWill", (at) => [at, 1, at, 1, 3]],
  ["a Will with unknown flags", "InvalidArgument", "setWill", (at) => [at, 1, at, 1, 8]],
  ["a Will larger than its room", "TooLarge", "setWill", (at) => [at, 10, at, 60, 0]],
  ["a Will payload of 65536 bytes", "InvalidArgument", "setWill", (at) => [at, 1, at, 65536, 0]],
  ["a second CONNECT [MQTT-3.1.0-2]", "WrongState", "connect", () => [1, 60, 0, 0]],
  ["requeue without Dropped", "WrongState", "requeue", () => []],
  ["more received than there is room", "InvalidArgument", "received", () => [129]],
  ["2^32 - 1 bytes received", "InvalidArgument", "received", () => [0xffffffff]],
  ["more transmitted than there is", "InvalidArgument", "transmitted", () => [97, 0]],
  ["2^32 - 1 bytes transmitted", "InvalidArgument", "transmitted", () => [0xffffffff, 0]],
  ["PUBLISH at QoS 3 [MQTT-3.3.1-4]", "InvalidArgument", "publish", (at) => [at, 1, at, 1, 3]],
  ["PUBLISH with unknown flags", "InvalidArgument", "publish", (at) => [at, 1, at, 1, 8]],
  ["PUBLISH with all flags", "InvalidArgument", "publish", (at) => [at, 1, at, 1, 0xffffffff]],
  ["a topic beyond the memory", "InvalidArgument", "publish", (at, end) => [end - 1, 2, at, 1, 0]],
  [
    "a payload beyond the memory",
    "InvalidArgument",
    "publish",
    (at, end) => [at, 1, end - 1, 2, 0],
  ],
  ["a payload of 2^32 - 1 bytes", "InvalidArgument", "publish", (at) => [at, 1, 0, 0xffffffff, 0]],
  [
    "a payload around the end of addresses",
    "InvalidArgument",
    "publish",
    (at) => [at, 1, 0xfffffffe, 4, 0],
  ],
  ["an empty topic [MQTT-4.7.3-1]", "InvalidText", "publish", (at) => [at, 0, at, 1, 0]],
  [
    "a topic of 65536 bytes [MQTT-4.7.3-3]",
    "InvalidText",
    "publish",
    (at) => [at, 65536, at, 1, 0],
  ],
  ["a message larger than the outbox", "TooLarge", "publish", (at) => [at, 1, at, 96, RETAIN_FLAG]],
  [
    "a topic larger than the outbox [MQTT-4.7.3-3]",
    "TooLarge",
    "publish",
    (at) => [at, 65535, at, 0, 1],
  ],
  [
    "a QoS 0 message for which there is no room",
    "BufferFull",
    "publish",
    (at) => [at, 1, at, 70, 0],
  ],
  [
    "a QoS 1 message for which there is no room",
    "BufferFull",
    "publish",
    (at) => [at, 1, at, 68, 1],
  ],
  [
    "a QoS 2 message for which there is no room",
    "BufferFull",
    "publish",
    (at) => [at, 1, at, 68, 2],
  ],
  ["SUBSCRIBE without a filter [MQTT-3.8.3-3]", "InvalidArgument", "subscribe", (at) => [at, 0, 0]],
  ["SUBSCRIBE with half a length", "InvalidArgument", "subscribe", (at) => [at, 1, 0]],
  [
    "SUBSCRIBE with a filter longer than the list",
    "InvalidArgument",
    "subscribe",
    (at) => [at, 100, 0],
  ],
  ["SUBSCRIBE beyond the memory", "InvalidArgument", "subscribe", (_, end) => [end - 4, 5, 0]],
  [
    "UNSUBSCRIBE without a filter [MQTT-3.10.3-2]",
    "InvalidArgument",
    "unsubscribe",
    (at) => [at, 0, 0],
  ],
  ["UNSUBSCRIBE with half a length", "InvalidArgument", "unsubscribe", (at) => [at, 1, 0]],
  ["UNSUBSCRIBE beyond the memory", "InvalidArgument", "unsubscribe", (_, end) => [end - 4, 5, 0]],
];

describe("a call that fails has changed nothing", () => {
  test.each(failures)("%s: %s", (_, status, name, args) => {
    const { client, textAt, end } = busyClient();
    const refusedCount = client.counter("Refused");
    const before = client.snapshot();
    const answer = client.call(name, ...args(textAt, end));
    expect(Status[answer]).toBe(status);
    const after = client.snapshot();
    if (status === "BufferFull") {
      expect(client.counter("Refused")).toBe(refusedCount + 1);
      const changed = after.filter((byte, index) => byte !== before[index]);
      expect(changed).toHaveLength(1);
    } else {
      expect(after).toEqual(before);
    }
  });

  test.each([
    ["SUBSCRIBE", "InvalidArgument", [...lengthPrefixed("a"), 3]],
    ["SUBSCRIBE", "InvalidArgument", [...lengthPrefixed("a"), 0, ...lengthPrefixed("b"), 4]],
    ["SUBSCRIBE", "InvalidArgument", [...lengthPrefixed("a"), 0, ...lengthPrefixed("b")]],
    ["SUBSCRIBE", "InvalidText", [...lengthPrefixed("a#"), 0]],
    ["SUBSCRIBE", "InvalidText", [...lengthPrefixed(Uint8Array.of(0xff)), 0]],
    ["SUBSCRIBE", "BufferFull", [...lengthPrefixed("a".repeat(60)), 0]],
    ["SUBSCRIBE", "TooLarge", [...lengthPrefixed("a".repeat(100)), 0]],
    ["UNSUBSCRIBE", "InvalidText", [...lengthPrefixed("a"), ...lengthPrefixed("+a")]],
    ["UNSUBSCRIBE", "InvalidText", [...lengthPrefixed(Uint8Array.of(0xc3))]],
    ["UNSUBSCRIBE", "BufferFull", [...lengthPrefixed("a".repeat(60))]],
  ] as const)(
    "a list of filters that is no good: %s is answered %s [MQTT-3.8.3-1] [MQTT-3.10.3-1] [MQTT-3-8.3-4]",
    (type, status, filters) => {
      const { client } = busyClient();
      const [at = 0] = client.core.put(Uint8Array.from(filters));
      const before = client.snapshot();
      const name = type === "SUBSCRIBE" ? "subscribe" : "unsubscribe";
      expect(Status[client.call(name, at, filters.length, 0)]).toBe(status);
      expect(client.snapshot()).toEqual(before);
    },
  );
});

describe("sizes of a record", () => {
  const least = [
    RECEIVE_CAPACITY_MIN,
    TRANSMIT_CAPACITY_MIN,
    IDENTITY_CAPACITY_MIN,
    0,
    JOURNAL_CAPACITY_MIN,
  ];
  const most = [CAPACITY_MAX, CAPACITY_MAX, CAPACITY_MAX, INCOMING_COUNT_MAX, CAPACITY_MAX];

  test("the least and the most are taken, and sizes are multiples of 8", () => {
    const core = new Core();
    expect(core.exports.clientSize(...least)).toBeGreaterThan(16 + 64 + 32);
    expect(core.exports.clientSize(...most)).toBeGreaterThan(4 * CAPACITY_MAX + 2 * 65535);
    for (let receiveCapacity = 16; receiveCapacity < 40; receiveCapacity++) {
      expect(core.exports.clientSize(receiveCapacity, 64, 32, 1, 0) % 8).toBe(0);
    }
  });

  test.each([0, 1, 2, 3, 4])("argument %i out of its limits is refused", (index) => {
    const core = new Core();
    for (const beyond of [(least[index] ?? 0) - 1, (most[index] ?? 0) + 1, 0x80000000]) {
      const sizes = least.with(index, beyond >>> 0);
      expect(core.exports.clientSize(...sizes)).toBe(Status.InvalidArgument);
      const at = core.place(1024);
      const before = core.bytes(at, 1024);
      expect(core.exports.clientInit(at, ...sizes)).toBe(Status.InvalidArgument);
      expect(core.bytes(at, 1024)).toEqual(before);
    }
  });

  test("a place that is no multiple of 8, that is 0 or does not lie in the memory is refused", () => {
    const core = new Core();
    const size = core.exports.clientSize(...least);
    const end = core.exports.memory.buffer.byteLength;
    const before = core.bytes(0, end);
    for (const at of [0, 1, 4, 4100, end - size + 8, end, 0xfffffff8, 0x80000000]) {
      expect(core.exports.clientInit(at, ...least), `at ${at}`).toBe(Status.InvalidArgument);
    }
    expect(Buffer.compare(before, core.bytes(0, end))).toBe(0);
    expect(core.exports.clientInit(end - size, ...least)).toBe(Status.Ok);
  });

  test("memory beyond __heap_base is used only when the embedder has told of it", () => {
    const core = new Core();
    const end = core.exports.memory.buffer.byteLength;
    core.exports.memory.grow(1);
    expect(core.exports.clientInit(end, ...least)).toBe(Status.InvalidArgument);
    core.exports.memoryGrown(end + 0x10000);
    expect(core.exports.clientInit(end, ...least)).toBe(Status.Ok);
  });

  test("clientInit on a used record makes it new", () => {
    const core = new Core();
    const fresh = core.client().snapshot();
    const client = core.client();
    client.setClientId("t");
    client.establish();
    client.publish("a", "1", { qos: 1 });
    core.exports.clientInit(client.at, 128, 512, 128, 4);
    expect(client.state).toBe("Disconnected");
    expect(client.call("inflightCount")).toBe(0);
    const again = client.snapshot();
    const differing = again.filter((byte, index) => byte !== fresh[index]).length;
    expect(differing, "only addresses differ").toBeLessThan(40);
  });
});

test("a text of 65535 bytes is taken, as topic, client identifier and filter [MQTT-4.7.3-3]", () => {
  const core = new Core("release", 0x20000);
  const client = core.client({
    identityCapacity: 0x20000,
    transmitCapacity: 0x40000,
    receiveCapacity: 64,
  });
  const longest = "x".repeat(65535);
  expect(client.setClientId(longest)).toBe(Status.Ok);
  expect(client.setWill(longest, "")).toBe(Status.TooLarge);
  expect(client.setWill(longest.slice(9), "")).toBe(Status.Ok);
  client.establish();
  expect(client.publish(longest, "", { qos: 1 })).toBe(1);
  expect(client.subscribe([longest, 0])).toBe(2);
  expect(client.unsubscribe(longest)).toBe(3);
  expect(client.drain()).toHaveLength(4 + 65539 + 4 + 65540 + 4 + 65539);
});
