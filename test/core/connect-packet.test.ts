/** CONNECT byte by byte: client identifier, Will, user name, password in any order of calls (MQTT 3.1.1, 3.1). */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Status } from "../../firmware/core/abi.ts";
import { bytesOf, concat, hex, lengthPrefixed, packet } from "../support/bytes.ts";
import { Core, type CoreClient, type MessageOptions } from "../support/core-client.ts";

interface Identity {
  clientId: string;
  will?: { topic: string; payload: Uint8Array; options: MessageOptions };
  userName?: string;
  password?: Uint8Array;
}

/** The packet as chapter 3.1 draws it. */
function expectedConnect(
  identity: Identity,
  cleanSession: boolean,
  keepAliveSeconds: number,
): Uint8Array {
  const { clientId, will, userName, password } = identity;
  const willFlags =
    will === undefined
      ? 0
      : 0x04 | ((will.options.qos ?? 0) << 3) | (will.options.retain ? 0x20 : 0);
  const flags =
    (userName === undefined ? 0 : 0x80) |
    (password === undefined ? 0 : 0x40) |
    willFlags |
    (cleanSession ? 0x02 : 0);
  return packet(
    0x10,
    lengthPrefixed("MQTT"),
    Uint8Array.of(4, flags, keepAliveSeconds >> 8, keepAliveSeconds & 0xff),
    lengthPrefixed(clientId),
    will === undefined
      ? new Uint8Array(0)
      : concat(lengthPrefixed(will.topic), lengthPrefixed(will.payload)),
    userName === undefined ? new Uint8Array(0) : lengthPrefixed(userName),
    password === undefined ? new Uint8Array(0) : lengthPrefixed(password),
  );
}

const anyText = fc
  .string({ unit: "grapheme", maxLength: 20 })
  .map((text) => text.replaceAll("\0", ""));
const anyTopic = anyText.map((text) => `t${text.replace(/[+#]/g, "")}`);
const anyBytes = fc.uint8Array({ maxLength: 30 });
const anyStep = fc.oneof(
  fc.record({ field: fc.constant("clientId" as const), text: anyText }),
  fc.record({ field: fc.constant("userName" as const), text: anyText }),
  fc.record({ field: fc.constant("password" as const), bytes: anyBytes }),
  fc.record({
    field: fc.constant("will" as const),
    topic: anyTopic,
    payload: anyBytes,
    options: fc.record({
      qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
      retain: fc.boolean(),
    }),
  }),
  fc.record({ field: fc.constantFrom("clearWill" as const, "clearCredentials" as const) }),
);
type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never;

function apply(client: CoreClient, identity: Identity, step: Step): number {
  switch (step.field) {
    case "clientId":
      identity.clientId = step.text;
      return client.setClientId(step.text);
    case "userName":
      identity.userName = step.text;
      return client.setUserName(step.text);
    case "password":
      identity.password = step.bytes;
      return client.setPassword(step.bytes);
    case "will":
      identity.will = step;
      return client.setWill(step.topic, step.payload, step.options);
    case "clearWill":
      delete identity.will;
      return client.call("clearWill");
    default:
      delete identity.userName;
      delete identity.password;
      return client.call("clearCredentials");
  }
}

test("CONNECT has every field that was set last, in the order of the standard [MQTT-3.1.3-1] [MQTT-3.1.2-9] [MQTT-3.1.2-11] [MQTT-3.1.2-18] [MQTT-3.1.2-19] [MQTT-3.1.2-20] [MQTT-3.1.2-21]", () => {
  fc.assert(
    fc.property(
      fc.array(anyStep, { maxLength: 12 }),
      fc.boolean(),
      fc.nat({ max: 65535 }),
      (steps, cleanSession, keepAliveSeconds) => {
        const client = new Core().client({ identityCapacity: 1024 });
        const identity: Identity = { clientId: "" };
        for (const step of steps) expect(apply(client, identity, step)).toBe(Status.Ok);
        const isImpossible =
          (identity.password !== undefined && identity.userName === undefined) ||
          (identity.clientId === "" && !cleanSession);
        const before = client.snapshot();
        const status = client.connect({ cleanSession, keepAliveSeconds });
        if (isImpossible) {
          expect(status).toBe(Status.InvalidArgument);
          expect(client.snapshot()).toEqual(before);
          return;
        }
        expect(status).toBe(Status.Ok);
        expect(hex(client.drain())).toBe(
          hex(expectedConnect(identity, cleanSession, keepAliveSeconds)),
        );
        client.core.checkGuards();
      },
    ),
    { numRuns: 300 },
  );
});

test("what was set stays for every further connection, and may be changed between two [MQTT-3.1.3-2]", () => {
  const client = new Core().client();
  client.setClientId("one");
  client.setUserName("u");
  client.connect();
  const first = client.drain();
  client.connectionLost();
  client.connect();
  expect(client.drain()).toEqual(first);
  client.connectionLost();
  client.setWill("w", "gone", { qos: 1 });
  client.connect({ cleanSession: false });
  expect(hex(client.drain())).toBe(
    hex(
      expectedConnect(
        {
          clientId: "one",
          userName: "u",
          will: { topic: "w", payload: bytesOf("gone"), options: { qos: 1 } },
        },
        false,
        60,
      ),
    ),
  );
});

test("fields may be changed while connected: they are for the next CONNECT", () => {
  const client = new Core().client();
  client.setClientId("one");
  client.establish();
  expect(client.setClientId("two")).toBe(Status.Ok);
  client.connectionLost();
  client.connect();
  expect(hex(client.drain())).toBe(hex(expectedConnect({ clientId: "two" }, true, 60)));
});

test("a CONNECT of more than 127 bytes has a Remaining Length of two bytes, of more than 16383 of three", () => {
  for (const length of [113, 114, 115, 116, 117, 16369, 16370, 16371, 16372, 16373, 30000]) {
    const client = new Core("release", 0x10000).client({ identityCapacity: 0x10000 });
    const clientId = "x".repeat(length);
    expect(client.setClientId(clientId)).toBe(Status.Ok);
    client.connect();
    expect(client.drain()).toEqual(expectedConnect({ clientId }, true, 60));
  }
});

describe("the room for identity", () => {
  test("is used to its last byte, each field with two bytes of length", () => {
    const client = new Core().client({ identityCapacity: 32 });
    expect(client.setClientId("c".repeat(8))).toBe(Status.Ok);
    expect(client.setUserName("u".repeat(4))).toBe(Status.Ok);
    expect(client.setPassword("p".repeat(4))).toBe(Status.Ok);
    expect(client.setWill("w", "p".repeat(6))).toBe(Status.TooLarge);
    expect(client.setWill("w", "p".repeat(5))).toBe(Status.Ok);
    client.connect();
    expect(client.drain()).toHaveLength(12 + 32);
    client.core.checkGuards();
  });

  test("is enough for a field that takes the place of a longer one", () => {
    const client = new Core().client({ identityCapacity: 32 });
    expect(client.setClientId("c".repeat(30))).toBe(Status.Ok);
    expect(client.setClientId("d".repeat(30))).toBe(Status.Ok);
    expect(client.setClientId("d".repeat(31))).toBe(Status.TooLarge);
    expect(client.setUserName("")).toBe(Status.TooLarge);
    expect(client.setClientId("e".repeat(28))).toBe(Status.Ok);
    expect(client.setUserName("")).toBe(Status.Ok);
    client.connect();
    expect(client.drain()).toEqual(
      expectedConnect({ clientId: "e".repeat(28), userName: "" }, true, 60),
    );
  });
});

describe("texts in CONNECT", () => {
  const illFormed = [
    Uint8Array.of(0x80),
    Uint8Array.of(0xc3),
    Uint8Array.of(0xc0, 0xaf),
    Uint8Array.of(0xed, 0xa0, 0x80),
    Uint8Array.of(0xf4, 0x90, 0x80, 0x80),
    Uint8Array.of(0x61, 0x00),
  ];

  test.each(illFormed)(
    "ill-formed text is refused as client identifier: %s [MQTT-3.1.3-4] [MQTT-1.5.3-1] [MQTT-1.5.3-2]",
    (...bytes) => {
      expect(new Core().client().setClientId(Uint8Array.from(bytes))).toBe(Status.InvalidText);
    },
  );

  test.each(illFormed)(
    "ill-formed text is refused as Will topic: %s [MQTT-3.1.3-10] [MQTT-1.5.3-1] [MQTT-1.5.3-2]",
    (...bytes) => {
      expect(new Core().client().setWill(Uint8Array.from(bytes), "")).toBe(Status.InvalidText);
    },
  );

  test.each(illFormed)(
    "ill-formed text is refused as user name: %s [MQTT-3.1.3-11] [MQTT-1.5.3-1] [MQTT-1.5.3-2]",
    (...bytes) => {
      expect(new Core().client().setUserName(Uint8Array.from(bytes))).toBe(Status.InvalidText);
    },
  );

  test.each(illFormed)(
    "any bytes are taken as password and as Will message: %s [MQTT-3.1.2-21]",
    (...bytes) => {
      const client = new Core().client();
      client.setUserName("u");
      expect(client.setPassword(Uint8Array.from(bytes))).toBe(Status.Ok);
      expect(client.setWill("w", Uint8Array.from(bytes))).toBe(Status.Ok);
    },
  );

  test("U+FEFF is kept [MQTT-1.5.3-3]", () => {
    const client = new Core().client();
    client.setClientId("\ufeffid");
    client.connect();
    expect(hex(client.drain())).toContain("00 05 ef bb bf 69 64");
  });

  test("an empty Will topic and wildcards in one are refused [MQTT-4.7.3-1] [MQTT-4.7.1-1]", () => {
    const client = new Core().client();
    for (const topic of ["", "a/+", "#", "a#b"]) {
      expect(client.setWill(topic, "x")).toBe(Status.InvalidText);
    }
  });

  test("a Will at QoS 3 is refused [MQTT-3.1.2-14]", () => {
    const client = new Core().client();
    expect(client.setWill("w", "x", { qos: 3 as 2 })).toBe(Status.InvalidArgument);
    expect(client.setWill("w", "x", { qos: 3 as 2, retain: true })).toBe(Status.InvalidArgument);
    expect(client.setWill("w", "x", { qos: 8 as 2 })).toBe(Status.InvalidArgument);
  });
});
