/**
 * Runs the golden vectors: Markdown files of bytes and the log that the core must give for them.
 *
 * A file is a `#` heading and, for each vector, a `##` heading that states the fact with its clause,
 * then blocks in the order in which they happen:
 *
 *   ```call     what the embedder does, one call a line (below)
 *   ```hex      bytes from the server; two spaces begin a comment; `61*300` is 300 times 61
 *   ```log      all that happened since the last log, one line each; two spaces begin a comment
 *
 * A vector whose first block is `hex` starts with a client that has sent CONNECT with a clean session.
 * Otherwise it starts with a fresh record. Each vector runs with its bytes in one piece, then in pieces
 * of 1, 2, 3 … bytes in both directions, and must give the same log.
 *
 *   client receive=128 transmit=512 identity=128 incoming=4    another record; only as the first line
 *   clientId "t"     userName "u"     password "p"     will "topic" "payload" qos=1 retain
 *   limits 16 Refuse          nextPacketId 7
 *   connect clean=1 keepAlive=60 timeout=0
 *   accepted clean=1 keepAlive=60 timeout=0 present=0    connect and take in CONNACK, unlogged
 *   lost     disconnect
 *   publish "topic" "payload" qos=1 retain
 *   subscribe "filter" 1 "filter" 2     unsubscribe "filter" "filter"     requeue
 *   clock 4294967295          sets the clock to so many milliseconds; it starts at 0
 *   wait 1000                 moves the clock on by so many milliseconds and ticks
 *   state     deadline     inflight     counter Stray     these four only log what they answer
 *
 * Of one block the log has the events first, then the packets that were sent; a field that is 0 or false
 * is left out. A call is logged if it answers anything but 0. Strings are as in JSON; an argument that is
 * left out has the value shown.
 */

import { readdirSync, readFileSync } from "node:fs";
import { Status, type WhenFull } from "../../firmware/core/abi.ts";
import { concat, hex, splitPackets, unhex } from "./bytes.ts";
import { Core, type CoreClient, type CoreEvent } from "./core-client.ts";
import { connack } from "./server-packets.ts";

interface VectorBlock {
  kind: "call" | "hex" | "log";
  lines: string[];
}

export interface Vector {
  title: string;
  blocks: VectorBlock[];
}

const FOLDER = new URL("../vectors/", import.meta.url);

/** Every vector file and what is in it. Throws if one is malformed. */
export function vectorFiles(): { file: string; vectors: Vector[] }[] {
  const files = readdirSync(FOLDER).filter((file) => file.endsWith(".md"));
  return files.sort().map((file) => ({
    file,
    vectors: parseVectors(readFileSync(new URL(file, FOLDER), "utf8"), file),
  }));
}

/** Runs a vector in pieces of `pieceLength` bytes and returns one log for each of its log blocks. */
export function runVector(
  vector: Vector,
  build: "release" | "debug",
  pieceLength: number,
): string[][] {
  const core = new Core(build);
  const run = new VectorRun(core, vector, pieceLength);
  const logs: string[][] = [];
  for (const block of vector.blocks) {
    if (block.kind === "log") logs.push(run.takeLog());
    else if (block.kind === "hex") run.bytes(bytesOfBlock(block));
    else for (const line of block.lines) run.call(line);
  }
  core.checkGuards();
  return logs;
}

/** What the vector says that the logs are, without comments. */
export function goldenLogs(vector: Vector): string[][] {
  return vector.blocks.filter(({ kind }) => kind === "log").map(({ lines }) => lines);
}

/** Every piece length at which the longest block is cut. */
export function pieceLengths(vector: Vector): number[] {
  const lengths = vector.blocks
    .filter(({ kind }) => kind === "hex")
    .map((block) => bytesOfBlock(block).length);
  const longest = Math.max(2, ...lengths);
  return [
    Number.POSITIVE_INFINITY,
    ...Array.from({ length: longest - 1 }, (_, index) => index + 1),
  ];
}

export function parseVectors(markdown: string, file: string): Vector[] {
  const sections = markdown.split(/^## /m).slice(1);
  if (sections.length === 0) throw new Error(`${file}: no vector`);
  return sections.map((section) => {
    const title = section.slice(0, section.indexOf("\n")).trim();
    const blocks = [...section.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(
      ([, kind = "", body = ""]): VectorBlock => {
        if (kind !== "call" && kind !== "hex" && kind !== "log") {
          throw new Error(`${file}: ${title}: no block is called ${kind}`);
        }
        return { kind, lines: linesOf(body) };
      },
    );
    if (blocks.at(-1)?.kind !== "log") {
      throw new Error(`${file}: ${title}: the last log is missing`);
    }
    if (section.split("```").length !== 2 * blocks.length + 1) {
      throw new Error(`${file}: ${title}: a block does not start or end as it should`);
    }
    return { title, blocks };
  });
}

function linesOf(body: string): string[] {
  const lines = body.split("\n").map((line) => line.replace(/ {2,}.*$/, "").trimEnd());
  return lines.filter((line) => line !== "");
}

function bytesOfBlock(block: VectorBlock): Uint8Array {
  const words = block.lines.flatMap((line) => line.split(" ")).filter((word) => word !== "");
  return concat(
    ...words.map((word) => {
      const [digits = "", count = "1"] = word.split("*");
      return concat(...Array.from({ length: Number(count) }, () => unhex(digits)));
    }),
  );
}

/** One client that goes through a vector. */
class VectorRun {
  readonly #client: CoreClient;
  readonly #pieceLength: number;
  #log: string[] = [];

  constructor(core: Core, vector: Vector, pieceLength: number) {
    this.#pieceLength = pieceLength;
    const [first] = vector.blocks;
    const spec = new Arguments(first?.kind === "call" ? (first.lines[0] ?? "") : "");
    this.#client = core.client({
      receiveCapacity: spec.number("receive", 128),
      transmitCapacity: spec.number("transmit", 512),
      identityCapacity: spec.number("identity", 128),
      incomingCount: spec.number("incoming", 4),
    });
    this.#client.setClientId("t");
    if (first?.kind !== "hex") return;
    this.#client.connect();
    this.#client.drain();
  }

  takeLog(): string[] {
    const log = this.#log;
    this.#log = [];
    return log;
  }

  /** The server sends these bytes. */
  bytes(bytes: Uint8Array): void {
    const { events, packets } = this.#client.exchange(bytes, this.#pieceLength);
    this.#log.push(...events.map(eventLine), ...packets.map((packet) => `transmit ${packet}`));
  }

  /** The embedder makes this call. */
  call(line: string): void {
    const args = new Arguments(line);
    const before = this.#log.length;
    if (args.name === "client") return;
    const answer = this.#answer(args);
    if (typeof answer === "string") this.#log.push(`${args.name} ${answer}`);
    else if (answer > 0) this.#log.push(`${args.name} ${answer}`);
    else if (answer < 0) this.#log.push(`${args.name} ${Status[answer] ?? answer}`);
    if (args.name === "accepted") this.#log.length = before;
    const packets = splitPackets(this.#client.drain(this.#pieceLength)).map(hex);
    this.#log.push(...packets.map((packet) => `transmit ${packet}`));
  }

  #answer(args: Arguments): number | string {
    const client = this.#client;
    switch (args.name) {
      case "clientId":
        return client.setClientId(args.string(0));
      case "userName":
        return client.setUserName(args.string(0));
      case "password":
        return client.setPassword(args.string(0));
      case "will":
        return client.setWill(args.string(0), args.string(1), args.message());
      case "limits":
        return client.setLimits(Number(args.string(0)), args.string(1) as keyof typeof WhenFull);
      case "nextPacketId":
        return client.call("setNextPacketId", Number(args.string(0)));
      case "connect":
        return client.connect(args.connection());
      case "accepted":
        return this.#accepted(args);
      case "lost":
        return client.connectionLost();
      case "disconnect":
        return client.disconnect();
      case "publish":
        return client.publish(args.string(0), args.string(1), args.message());
      case "subscribe":
        return client.subscribe(...args.pairs());
      case "unsubscribe":
        return client.unsubscribe(...args.strings);
      case "requeue":
        return client.call("requeue");
      case "clock":
        client.nowMs = Number(args.string(0));
        return 0;
      case "wait":
        return this.#wait(Number(args.string(0)));
      default:
        return this.#question(args);
    }
  }

  #question(args: Arguments): string {
    const client = this.#client;
    switch (args.name) {
      case "state":
        return client.state;
      case "deadline":
        return String(client.nextDeadlineMs());
      case "inflight":
        return String(client.call("inflightCount"));
      case "counter": {
        const which = args.string(0) as Parameters<CoreClient["counter"]>[0];
        return `${which} ${client.counter(which)}`;
      }
      default:
        throw new Error(`no call is named ${args.name}`);
    }
  }

  #accepted(args: Arguments): number {
    const status = this.#client.connect(args.connection());
    if (status !== Status.Ok) throw new Error(`connect: ${Status[status]}`);
    this.#client.drain();
    this.#client.receive(connack(args.number("present", 0) === 1));
    const [event] = this.#client.pollAll();
    if (event?.kind !== "Connected") throw new Error(`not connected but ${JSON.stringify(event)}`);
    return 0;
  }

  #wait(elapsedMs: number): number {
    const event = this.#client.wait(elapsedMs);
    if (event !== undefined) this.#log.push(eventLine(event));
    return 0;
  }
}

const RECORD_KEYS = ["receive", "transmit", "identity", "incoming"];
const CALL_KEYS = ["qos", "retain", "clean", "keepAlive", "timeout", "present"];
const KNOWN_KEYS = [...RECORD_KEYS, ...CALL_KEYS];

/** `name "string" word key=value`, taken apart. */
class Arguments {
  readonly name: string;
  readonly strings: string[] = [];
  readonly #named = new Map<string, number>();

  constructor(line: string) {
    const [name = "", ...words] = line.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? [];
    this.name = name;
    for (const word of words) {
      const [, key, value] = /^(\w+)=(\d+)$/.exec(word) ?? [];
      if (key !== undefined && !KNOWN_KEYS.includes(key)) throw new Error(`no argument is ${key}`);
      if (key !== undefined) this.#named.set(key, Number(value));
      else if (word === "retain") this.#named.set(word, 1);
      else this.strings.push(word.startsWith('"') ? String(JSON.parse(word)) : word);
    }
  }

  string(index: number): string {
    const value = this.strings[index];
    if (value === undefined) throw new Error(`${this.name} lacks an argument`);
    return value;
  }

  number(name: string, otherwise: number): number {
    return this.#named.get(name) ?? otherwise;
  }

  message(): { qos: 0 | 1 | 2; retain: boolean } {
    return { qos: this.number("qos", 0) as 0 | 1 | 2, retain: this.number("retain", 0) === 1 };
  }

  connection(): { cleanSession: boolean; keepAliveSeconds: number; responseTimeoutMs: number } {
    return {
      cleanSession: this.number("clean", 1) === 1,
      keepAliveSeconds: this.number("keepAlive", 60),
      responseTimeoutMs: this.number("timeout", 0),
    };
  }

  pairs(): [filter: string, qos: number][] {
    const count = this.strings.length / 2;
    return Array.from({ length: count }, (_, index) => [
      this.string(2 * index),
      Number(this.string(2 * index + 1)),
    ]);
  }
}

/** `Message topic="temp" payload="21." qos=1 packetId=10 retain` */
function eventLine(event: CoreEvent): string {
  const { kind, ...fields } = event;
  if (kind === "Failed") return String(event.kind === "Failed" ? event.status : "");
  const words = Object.entries(fields).flatMap(([name, value]) => {
    if (value === false || value === 0) return [];
    if (value === true) return [name];
    if (typeof value === "string") return [`${name}=${quote(value)}`];
    if (Array.isArray(value)) return [`${name}=${value.join(",")}`];
    return [`${name}=${value}`];
  });
  return [kind, ...words].join(" ");
}

/** As in JSON, with every character beyond ASCII as `\\u{e9}`. */
function quote(value: string): string {
  return JSON.stringify(value).replace(
    /[^\x20-\x7e]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}
