/** mqtt-packet as an independent reader: of all that the core sends under any input, and of mutated packets for it. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import {
  generate,
  type IConnackPacket,
  type IPublishPacket,
  type Packet,
  parser,
} from "mqtt-packet";
import { describe, expect, test } from "vitest";
import { RandomStream } from "../../simulator/src/random.ts";
import { hex, readRemainingLength, textOf } from "../support/bytes.ts";
import { type ClientPacket, ClientStream } from "../support/client-stream.ts";
import { Core, type CoreClient, type CoreEvent, MODULES_FOLDER } from "../support/core-client.ts";
import { connack, pubrec } from "../support/server-packets.ts";
import { corpusOf, type ModuleName } from "./corpus.ts";
import {
  DIFFERENCES,
  type Difference,
  FILTER_COUNT,
  factsOf,
  RECEIVE_CAPACITY,
  SUBSCRIBE_ID,
} from "./differential-rules.ts";
import type { Server } from "./machine.ts";
import { anyPacketId, chance, faultyPacket, mutateBytes, pick } from "./packet-grammar.ts";
import { soak } from "./soak.ts";

const CLIENT_KINDS = [
  ...["CONNECT", "DISCONNECT", "PINGREQ", "PUBACK", "PUBCOMP", "PUBLISH", "PUBREC", "PUBREL"],
  ...["SUBSCRIBE", "UNSUBSCRIBE"],
];
const SERVER_KINDS = [
  ...["connack", "pingresp", "puback", "pubcomp", "publish", "pubrec", "pubrel", "suback"],
  "unsuback",
];

/** A reader for one connection: the packets that are complete now, or what is wrong. */
function reader() {
  const packets: Packet[] = [];
  let problem = "";
  const parsing = parser({ protocolVersion: 4 });
  parsing.on("packet", (packet) => packets.push(packet));
  parsing.on("error", (error) => {
    problem = error.message;
  });
  return (bytes: Uint8Array): { packets: Packet[]; problem: string } => {
    if (bytes.length > 0) parsing.parse(Buffer.from(bytes));
    return { packets: packets.splice(0), problem };
  };
}

describe("what the core sends under any input, two readers read with the same fields", () => {
  /** Both readers on one connection; they must agree packet by packet. */
  class BothReaders implements Server {
    static readonly seen = new Map<string, number>();
    readonly #strict = new ClientStream();
    readonly #read = reader();

    read(bytes: Uint8Array): void {
      const expected = this.#strict.read(bytes);
      const { packets, problem } = this.#read(bytes);
      if (problem !== "") throw new Error(`mqtt-packet: ${problem}`);
      const [theirs, ours] = [packets.map(ofOracle), expected.map(ofStrict)];
      if (!isDeepStrictEqual(theirs, ours)) expect(theirs).toEqual(ours);
      for (const { type } of expected) {
        BothReaders.seen.set(type, (BothReaders.seen.get(type) ?? 0) + 1);
      }
    }
  }

  /** The packet in words that both sides share. */
  function ofStrict(packet: ClientPacket): object {
    const { type, ...fields } = packet;
    const cmd = type.toLowerCase();
    if (packet.type === "CONNECT") {
      const { will, password } = packet;
      const willFields = will && { ...will, payload: hex(will.payload) };
      return { cmd, ...fields, will: willFields, password: password && hex(password) };
    }
    return packet.type === "PUBLISH"
      ? { cmd, ...fields, payload: hex(packet.payload) }
      : { cmd, ...fields };
  }

  function ofOracle(packet: Packet): object {
    const { cmd, messageId: packetId } = packet;
    switch (packet.cmd) {
      case "connect": {
        const { clean, keepalive, clientId, will, username, password } = packet;
        return {
          cmd,
          cleanSession: clean,
          keepAliveSeconds: keepalive,
          clientId,
          will: will && {
            topic: will.topic,
            payload: hex(Buffer.from(will.payload)),
            qos: will.qos,
            retain: will.retain,
          },
          userName: username,
          password: password && hex(Buffer.from(password)),
        };
      }
      case "publish": {
        const { topic, payload, qos, dup, retain } = packet;
        return {
          cmd,
          topic,
          payload: hex(Buffer.from(payload)),
          qos,
          dup,
          retain,
          packetId: packetId ?? 0,
        };
      }
      case "subscribe":
        return {
          cmd,
          packetId,
          filters: packet.subscriptions.map(({ topic, qos }) => ({ filter: topic, qos })),
        };
      case "unsubscribe":
        return { cmd, packetId, filters: packet.unsubscriptions };
      case "pingreq":
      case "disconnect":
        return { cmd };
      default:
        return { cmd, packetId };
    }
  }

  const modules: [name: ModuleName, kinds: string[]][] = [
    ["core", CLIENT_KINDS],
    ["thermometer", CLIENT_KINDS.filter((kind) => kind !== "DISCONNECT")], // only after a farewell
  ];
  test.each(modules)("%s, every kind of packet", (name, kinds) => {
    BothReaders.seen.clear();
    const module = new WebAssembly.Module(readFileSync(join(MODULES_FOLDER, `${name}.wasm`)));
    const corpus = corpusOf(name);
    soak({ module, seed: 3, byteCount: 400_000, corpus, newServer: () => new BothReaders() });
    expect([...BothReaders.seen.keys()]).toEqual(expect.arrayContaining(kinds));
  });
});

describe("mutated packets from a server: the same verdict and the same fields, or a known difference", () => {
  type Verdict =
    | { kind: "accepts"; fields: object; cmd: string }
    | { kind: "refuses" }
    | { kind: "waits" };

  const PUBLISH_ID = 1;
  const PUBLISH_QOS2_ID = 2;
  const PUBREL_ID = 3;
  const UNSUBSCRIBE_ID = 5;

  /** A client that waits for CONNACK, or for an answer of every kind. It is put back for each packet. */
  class Prepared {
    readonly #client: CoreClient;
    readonly #snapshot: Uint8Array;
    readonly #strayCount: number;

    constructor(isConnected: boolean) {
      const sizes = { receiveCapacity: RECEIVE_CAPACITY, transmitCapacity: 512, incomingCount: 8 };
      this.#client = new Core().client(sizes);
      this.#client.setClientId("t");
      this.#client.connect({ cleanSession: false });
      this.#client.drain();
      if (isConnected) this.#ask();
      this.#snapshot = this.#client.snapshot();
      this.#strayCount = this.#client.counter("Stray");
    }

    judge(bytes: Uint8Array): Verdict {
      const client = this.#client;
      client.core.memory.set(this.#snapshot, client.at);
      client.receive(bytes);
      const event = client.poll();
      client.core.checkGuards();
      if (event?.kind === "Failed") return { kind: "refuses" };
      const isTaken = client.call("receiveRoom") === RECEIVE_CAPACITY;
      if (!isTaken && event === undefined) return { kind: "waits" };
      return { kind: "accepts", cmd: "", fields: this.#fields(event) };
    }

    #ask(): void {
      const client = this.#client;
      client.exchange(connack(true));
      client.publish("a", "", { qos: 1 });
      client.publish("a", "", { qos: 2 });
      client.publish("a", "", { qos: 2 });
      client.subscribe(...Array.from({ length: FILTER_COUNT }, (): [string, number] => ["a", 0]));
      client.unsubscribe("a");
      client.exchange(pubrec(PUBREL_ID));
    }

    #fields(event: CoreEvent | undefined): object {
      const isStray = this.#client.counter("Stray") > this.#strayCount;
      return { event, isStray, sent: hex(this.#client.drain()) };
    }
  }

  const connecting = new Prepared(false);
  const connected = new Prepared(true);

  function oracle(bytes: Uint8Array): Verdict {
    const { packets, problem } = reader()(bytes);
    if (problem !== "") return { kind: "refuses" };
    const [packet] = packets;
    if (packet === undefined) return { kind: "waits" };
    return { kind: "accepts", cmd: packet.cmd, fields: expected(packet) };
  }

  const SILENT = { event: undefined, isStray: false, sent: "" };
  const STRAY = { ...SILENT, isStray: true };

  /** What the client that waits for everything makes of the answers that it waits for. */
  const AWAITED: { [cmd: string]: { [packetId: number]: object } } = {
    puback: { 1: published(PUBLISH_ID, 1), 2: published(PUBLISH_QOS2_ID, 1) },
    pubrec: { 2: { ...SILENT, sent: answer(0x62, PUBLISH_QOS2_ID) } },
    pubcomp: { 3: published(PUBREL_ID, 2) },
    unsuback: { 5: { ...SILENT, event: { kind: "Unsubscribed", packetId: UNSUBSCRIBE_ID } } },
  };

  /** What it makes of any packet with these fields. */
  function expected(packet: Packet): object {
    const packetId = packet.messageId ?? 0;
    switch (packet.cmd) {
      case "connack":
        return expectedOfConnack(packet);
      case "publish":
        return expectedOfPublish(packet, packetId);
      case "pubrel":
        return { ...SILENT, sent: answer(0x70, packetId) };
      case "pingresp":
        return SILENT;
      case "suback": {
        const event = { kind: "Subscribed", packetId, granted: packet.granted };
        return packetId === SUBSCRIBE_ID ? { ...SILENT, event } : STRAY;
      }
      default:
        return AWAITED[packet.cmd]?.[packetId] ?? STRAY;
    }
  }

  function expectedOfConnack({ sessionPresent, returnCode }: IConnackPacket): object {
    const isRefused = returnCode !== 0;
    const event = isRefused
      ? { kind: "Refused", returnCode }
      : { kind: "Connected", sessionPresent };
    return { ...SILENT, event };
  }

  function expectedOfPublish(packet: IPublishPacket, packetId: number): object {
    const { topic, qos, dup, retain } = packet;
    const payload = textOf(Buffer.from(packet.payload));
    const event = { kind: "Message", topic, payload, qos, packetId, dup, retain };
    return { ...SILENT, event, sent: qos === 0 ? "" : answer(qos === 1 ? 0x40 : 0x50, packetId) };
  }

  function published(packetId: number, qos: number): object {
    return { ...SILENT, event: { kind: "Published", packetId, qos } };
  }

  function answer(firstByte: number, packetId: number): string {
    return hex(Uint8Array.of(firstByte, 2, packetId >> 8, packetId & 0xff));
  }

  /** A packet that mqtt-packet made, mostly changed a little, cut at the end that its own length says. */
  function anyPacket(random: RandomStream): Uint8Array {
    let bytes = chance(random, 0.1) ? faultyPacket(random) : generate(soundPacket(random));
    const changeCount = random.integer(0, 3);
    for (let count = 0; count < changeCount; count++) bytes = mutateBytes(random, bytes);
    const header = readRemainingLength(bytes, 1);
    const end = header === undefined ? bytes.length : header.bodyAt + header.length;
    const packet = bytes.slice(0, Math.min(end, RECEIVE_CAPACITY));
    return packet.length > 0 ? Uint8Array.from(packet) : Uint8Array.of(0);
  }

  function soundPacket(random: RandomStream): Packet {
    const messageId = anyPacketId(random) || 1;
    const flags = { retain: chance(random, 0.5), dup: chance(random, 0.3), messageId };
    return pick<Packet>(random, [
      { cmd: "connack", returnCode: random.integer(0, 5), sessionPresent: false },
      { cmd: "connack", returnCode: 0, sessionPresent: true },
      {
        cmd: "publish",
        topic: "\u20ac",
        payload: "21.5",
        qos: 0,
        dup: false,
        retain: flags.retain,
      },
      { cmd: "publish", topic: "a/b", payload: "x", qos: 1, ...flags },
      { cmd: "publish", topic: "a", payload: "", qos: 2, ...flags },
      { cmd: "puback", messageId },
      { cmd: "pubrec", messageId },
      { cmd: "pubrel", messageId },
      { cmd: "pubcomp", messageId },
      { cmd: "suback", messageId, granted: [random.integer(0, 2), 128] },
      { cmd: "unsuback", messageId, granted: [] },
      { cmd: "pingresp" },
    ]);
  }

  /** The kind of the packet if both took it, and the known differences if they disagree. */
  function compare(bytes: Uint8Array): { accepted?: string; known: Difference[] } {
    const facts = factsOf(bytes);
    const core = (facts.type === 2 ? connecting : connected).judge(bytes);
    const theirs = oracle(bytes);
    if (core.kind === "accepts" && theirs.kind === "accepts") {
      if (!isDeepStrictEqual(core.fields, theirs.fields))
        expect(core.fields, hex(bytes)).toEqual(theirs.fields);
      return { accepted: theirs.cmd, known: [] };
    }
    if (core.kind === theirs.kind) return { known: [] };
    const known = DIFFERENCES.filter((row) => row.core === core.kind && row.holds(facts));
    if (known.length === 0)
      throw new Error(`core ${core.kind}, mqtt-packet ${theirs.kind}: ${hex(bytes)}`);
    return { known };
  }

  test("20,000 packets of every kind; each known difference is seen", () => {
    const acceptedKinds = new Set<string>();
    const seen = new Set<string>();
    for (let index = 0; index < 20_000; index++) {
      const { accepted, known } = compare(anyPacket(new RandomStream(1, index, "fault")));
      if (accepted !== undefined) acceptedKinds.add(accepted);
      for (const { what } of known) seen.add(what);
    }
    expect([...acceptedKinds].sort()).toEqual(SERVER_KINDS);
    expect(DIFFERENCES.filter(({ what }) => !seen.has(what))).toEqual([]);
  });
});
