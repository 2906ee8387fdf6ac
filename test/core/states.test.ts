/** What every call answers in every ConnectionState, and where no client is (ABI). */

import { describe, expect, test } from "vitest";
import { ABI_VERSION, type ConnectionState, NEVER_MS, Status } from "../../firmware/core/abi.ts";
import { lengthPrefixed } from "../support/bytes.ts";
import {
  CORE_FUNCTIONS,
  Core,
  type CoreClient,
  type CoreFunctionName,
} from "../support/core-client.ts";
import { imageOf } from "../support/journal.ts";
import { connack } from "../support/server-packets.ts";

type StateName = keyof typeof ConnectionState;

const enter: { [state in StateName]: (client: CoreClient) => void } = {
  Disconnected: () => {},
  Connecting: (client) => client.connect(),
  Connected: (client) => client.establish(),
  Disconnecting(client) {
    client.establish();
    client.disconnect();
  },
  Closed(client) {
    client.connect();
    client.exchange(connack(false, 5));
  },
};
const states = Object.keys(enter) as StateName[];

function clientIn(state: StateName): CoreClient {
  const client = new Core().client();
  client.setClientId("t");
  enter[state](client);
  expect(client.state).toBe(state);
  return client;
}

/** Calls that are answered Ok in these states and WrongState in all others. */
const allowedIn: [title: string, states: StateName[], call: (client: CoreClient) => number][] = [
  ["connect [MQTT-3.1.0-2]", ["Disconnected"], (client) => client.connect()],
  ["disconnect [MQTT-3.14.4-2]", ["Connected"], (client) => client.disconnect()],
  ["subscribe", ["Connected"], (client) => Math.min(0, client.subscribe(["a", 0]))],
  ["unsubscribe", ["Connected"], (client) => Math.min(0, client.unsubscribe("a"))],
  ["requeue", [], (client) => client.call("requeue")],
  ["restore", ["Disconnected"], (client) => client.restore(imageOf(""))],
  ["saveImage", states, (client) => Math.min(0, client.saveImage().length)],
  ["publish", states, (client) => Math.min(0, client.publish("a", "", { qos: 1 }))],
  ["connectionLost", states, (client) => client.connectionLost()],
  ["setLimits", states, (client) => client.setLimits(1)],
  ["setNextPacketId", states, (client) => client.call("setNextPacketId", 1)],
  ["received", states, (client) => client.call("received", 0)],
  ["transmitted", states, (client) => client.call("transmitted", 0, 0)],
  ["tick", states, (client) => client.call("tick", 0)],
  ["poll", states, (client) => client.call("poll", 0)],
  ...["setClientId", "setUserName", "setPassword", "setWill", "clearWill", "clearCredentials"].map(
    (name): [string, StateName[], (client: CoreClient) => number] => [
      name,
      states.filter((state) => state !== "Connecting"),
      (client) => {
        if (name === "setWill") return client.setWill("w", "");
        if (name === "clearWill" || name === "clearCredentials") return client.call(name);
        return client[name as "setClientId"]("x");
      },
    ],
  ),
];

describe.each(allowedIn)("%s", (_, allowed, call) => {
  test.each(states)("in state %s", (state) => {
    const client = clientIn(state);
    const before = client.snapshot();
    const answer = call(client);
    if (allowed.includes(state)) {
      expect(Status[answer]).toBe("Ok");
    } else {
      expect(Status[answer]).toBe("WrongState");
      expect(client.snapshot()).toEqual(before);
    }
  });
});

test.each(states)(
  "in state %s a client with a journal takes a note and an image is the same",
  (state) => {
    const client = new Core().client({ journalCapacity: 64 });
    client.setClientId("t");
    const image = client.saveImage();
    enter[state](client);
    expect(client.state).toBe(state);
    expect(Status[client.note("x")]).toBe("Ok");
    expect(Status[client.stored()]).toBe("Ok");
    const clientIdAt = 18;
    expect(client.saveImage().slice(clientIdAt)).toEqual(image.slice(clientIdAt));
  },
);

test("bytes go out in the states Connecting, Connected and Disconnecting only [MQTT-3.1.0-1]", () => {
  for (const state of states) {
    const client = clientIn(state);
    client.drain();
    client.publish("a", "x");
    const expected = state === "Connected" ? ["30 04 00 01 61 78"] : [];
    expect(client.sent(), state).toEqual(expected);
  }
});

test("bytes that come without a connection are thrown away, and do not reach the next one", () => {
  for (const state of ["Disconnected", "Disconnecting", "Closed"] as const) {
    const client = clientIn(state);
    client.receive(connack());
    expect(client.pollAll()).toEqual([]);
    client.connectionLost();
    client.connect();
    client.drain();
    expect(client.pollAll()).toEqual([]);
    expect(client.state).toBe("Connecting");
  }
});

test("bytes that were left when the connection was lost do not reach the next one", () => {
  const client = clientIn("Connected");
  client.receive(Uint8Array.of(0x30, 0x04, 0x00));
  client.pollAll();
  client.connectionLost();
  client.connect();
  client.drain();
  client.receive(connack());
  expect(client.pollAll()).toEqual([{ kind: "Connected", sessionPresent: false }]);
});

test("bytes that come between two connections and are not polled do not reach the next one", () => {
  const client = clientIn("Disconnected");
  client.receive(connack());
  client.connect();
  client.drain();
  expect(client.pollAll()).toEqual([]);
});

test("after DISCONNECT the connection is closed by the embedder when nothing is left to send [MQTT-3.14.4-1]", () => {
  const client = clientIn("Disconnecting");
  expect(client.sent()).toEqual(["e0 00"]);
  expect(client.call("transmitLength")).toBe(0);
  expect(client.state).toBe("Disconnecting");
  client.connectionLost();
  expect(client.state).toBe("Disconnected");
});

test("connectionLost too often is harmless", () => {
  const client = clientIn("Connected");
  client.publish("a", "1", { qos: 1 });
  client.drain();
  client.connectionLost();
  const before = client.snapshot();
  client.connectionLost();
  client.connectionLost();
  expect(client.snapshot()).toEqual(before);
});

describe("no client", () => {
  /** Functions that answer a length, an address or a duration: what they answer where there is no client. */
  const plain: { [name in CoreFunctionName]?: number } = {
    receiveAt: 0,
    receiveRoom: 0,
    eventAt: 0,
    transmitAt: 0,
    transmitLength: 0,
    storeLength: 0,
    storeAt: 0,
    inflightCount: 0,
    transmitRoom: 0,
    counter: 0,
    nextDeadlineMs: NEVER_MS,
  };
  const withoutRecord: CoreFunctionName[] = [
    "abiVersion",
    "memoryGrown",
    "clientSize",
    "clientInit",
  ];
  const onRecord = (Object.keys(CORE_FUNCTIONS) as CoreFunctionName[]).filter(
    (name) => !withoutRecord.includes(name),
  );

  test.each(onRecord)("%s", (name) => {
    const core = new Core();
    const client = core.client();
    const copyAt = core.place(client.size);
    core.memory.copyWithin(copyAt, client.at, client.at + client.size);
    const emptyAt = core.place(client.size);
    core.memory.fill(0, emptyAt, emptyAt + client.size);
    const end = core.exports.memory.buffer.byteLength;
    const places = [0, 1, 8, client.at + 1, client.at + 8, client.at - 8, copyAt, emptyAt];
    places.push(end - 8, end - 4, end, end + 8, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff);
    const before = core.bytes(0, end);
    const rest = Array.from({ length: CORE_FUNCTIONS[name] - 1 }, () => 1);
    for (const at of places) {
      const answer = core.exports[name](at, ...rest);
      expect(answer >>> 0, `at ${at}`).toBe((plain[name] ?? Status.NotAClient) >>> 0);
    }
    expect(Buffer.compare(before, core.bytes(0, end))).toBe(0);
  });
});

test("the ABI version is told", () => {
  expect(new Core().exports.abiVersion()).toBe(ABI_VERSION);
});

test("two clients in one memory know nothing of each other", () => {
  const core = new Core();
  const [one, two] = [core.client(), core.client()];
  one.setClientId("one");
  two.setClientId("two");
  const before = two.snapshot();
  one.establish();
  one.publish("a", "1", { qos: 2 });
  one.drain();
  one.exchange(Uint8Array.of(0x34, 0x06, 0x00, 0x01, 0x61, 0x00, 0x05, 0x31));
  expect(two.snapshot()).toEqual(before);
  two.connect();
  expect([...two.drain().slice(-5)]).toEqual([...lengthPrefixed("two")]);
  core.checkGuards();
});
