/** Programs by their grammar: what an embedder does in a sensible order, what a server sends, and what neither should. */

import type { RandomStream } from "../../simulator/src/random.ts";
import { bytesOf, concat, lengthPrefixed } from "../support/bytes.ts";
import { journalRecords } from "./journal-grammar.ts";
import {
  anyBytes,
  chance,
  connack,
  faultyPacket,
  INTERESTING,
  PAYLOADS,
  pick,
  serverPacket,
  TOPICS,
} from "./packet-grammar.ts";
import { type Argument, BASES, type Program, RECORD_COUNT, type Step, step } from "./program.ts";

/** An export that takes a record, and how many more numbers. */
interface Callable {
  name: string;
  argumentCount: number;
}

export interface Grammar {
  callables: Callable[];
  /** Most packets that come at once. */
  packetCountMax: number;
  /** Of what happens, so much is that packets come. */
  feedPart: number;
}

const RECEIVE = [16, 17, 32, 48, 64, 128, 512];
const TRANSMIT = [64, 65, 96, 128, 256, 512];
const IDENTITY = [32, 48, 128, 128];
const INCOMING = [0, 1, 2, 8];
const JOURNAL = [0, 0, 64, 65, 96, 128, 256, 512];
const FILTERS = ["a", "a/#", "+/b", "#", "+", "/", "a#", "+b", "", "\u20ac/+"];
const SCRATCH: Argument = { base: "s", offset: 0 };
const NOW: Argument = { base: "now", offset: 0 };

/** A whole program: some records, and what happens to them. */
export function anyProgram(random: RandomStream, grammar: Grammar): Program {
  const program: Program = [];
  const recordCount = chance(random, 0.7) ? 1 : RECORD_COUNT;
  for (let record = 0; record < recordCount; record++) {
    program.push(...anyRecord(random, record));
    if (chance(random, 0.9)) program.push(...connection(random, record));
  }
  const moveCount = random.integer(1, 40);
  for (let count = 0; count < moveCount; count++) {
    program.push(...anyMove(random, random.integer(0, recordCount - 1), grammar));
  }
  return program;
}

/** One thing that happens to a record; some are several steps. */
export function anyMove(random: RandomStream, record: number, grammar: Grammar): Step[] {
  if (chance(random, grammar.feedPart)) return [anyFeed(random, record, grammar)];
  const at = random.integer(40, 99);
  if (at < 52) return [publish(random, record)];
  if (at < 64) return [drain(random, record)];
  if (at < 70) return connection(random, record);
  if (at < 75) return [request(random, record)];
  if (at < 80) return durable(random, record);
  if (at < 84) return [...aWhile(random, record), drain(random, record)];
  if (at < 85) return [step("disconnect", record, [NOW]), drain(random, record)];
  if (at < 86) return [step("setLimits", record, [random.integer(1, 5), random.integer(0, 1)])];
  if (at < 88) return [step("requeue", record), step("poll", record, [NOW])];
  if (at < 89) return anyRecord(random, record);
  if (at < 92) return [application(random, record)];
  return [anyCall(random, record, grammar)];
}

/** Any export with arguments of the kind that breaks things. */
export function anyCall(random: RandomStream, record: number, { callables }: Grammar): Step {
  const { name, argumentCount } = pick(random, callables);
  const args = Array.from({ length: argumentCount }, () => anyArgument(random));
  const bytes = chance(random, 0.3) ? filters(random, chance(random, 0.5)) : anyBytes(random, 8);
  return step(name, record, args, bytes);
}

/** Small, at a border, an address, or any number. */
export function anyArgument(random: RandomStream): Argument {
  if (chance(random, 0.3)) return { base: "", offset: random.integer(0, 9) };
  if (chance(random, 0.3)) return { base: "", offset: pick(random, INTERESTING) };
  if (chance(random, 0.1)) return { base: "", offset: random.word() };
  const offset = chance(random, 0.4) ? 0 : pick(random, [-1, 1, 1, random.integer(-64, 64)]);
  return { base: pick(random, BASES), offset };
}

function anyRecord(random: RandomStream, record: number): Step[] {
  const sizes = [RECEIVE, TRANSMIT, IDENTITY, INCOMING, JOURNAL].map((list) => pick(random, list));
  if (chance(random, 0.05)) sizes[random.integer(0, 4)] = pick(random, INTERESTING);
  const steps = [step("init", record, sizes)];
  if (chance(random, 0.5)) steps.push(step("image", record, [0]));
  if (chance(random, 0.2)) {
    const args = [SCRATCH, 1, { base: "s", offset: 1 } as const, 2, pick(random, [0, 1, 2, 5, 6])];
    steps.push(step("setWill", record, args, bytesOf("wxy")));
  }
  if (chance(random, 0.2)) steps.push(step("setUserName", record, [SCRATCH, 1], bytesOf("u")));
  if (chance(random, 0.2)) steps.push(step("setPassword", record, [SCRATCH, 1], bytesOf("p")));
  return steps;
}

function connection(random: RandomStream, record: number): Step[] {
  const keepAliveSeconds = pick(random, [0, 1, 60, 65535]);
  const timeoutMs = pick(random, [0, 1000, 0x7fffffff]);
  return [
    step("connectionLost", record),
    step("connect", record, [chance(random, 0.25) ? 1 : 0, keepAliveSeconds, timeoutMs, NOW]),
    step("drain", record, [pick(random, [0, 0, 0, 1, 5])]),
    step("feed", record, [pick(random, [4, 4, 1])], connack(random)),
    step("drain", record, [0]),
  ];
}

function anyFeed(random: RandomStream, record: number, grammar: Grammar): Step {
  const count = random.integer(1, grammar.packetCountMax);
  const pieces = Array.from({ length: count }, () => {
    const at = random.uniform();
    if (at < 0.01) return anyBytes(random, 64);
    return at < 0.04 ? faultyPacket(random) : serverPacket(random);
  });
  const pieceLength = pick(random, [1, 2, 3, 5, 8, 13, 40, 100, 1000]);
  return step("feed", record, [pieceLength, random.integer(0, 2)], concat(...pieces));
}

function publish(random: RandomStream, record: number): Step {
  const topic = pick(random, TOPICS);
  const payload = chance(random, 0.1)
    ? new Uint8Array(random.integer(0, 500))
    : pick(random, PAYLOADS);
  const payloadAt: Argument = { base: "s", offset: topic.length };
  const args = [SCRATCH, topic.length, payloadAt, payload.length, random.integer(0, 6)];
  return step("publish", record, args, concat(topic, payload));
}

function request(random: RandomStream, record: number): Step {
  const isSubscribe = chance(random, 0.5);
  const bytes = filters(random, isSubscribe);
  const name = isSubscribe ? "subscribe" : "unsubscribe";
  return step(name, record, [SCRATCH, bytes.length, NOW], bytes);
}

function filters(random: RandomStream, isSubscribe: boolean): Uint8Array {
  const list = Array.from({ length: random.integer(1, 3) }, () => {
    const filter = lengthPrefixed(
      pick(random, chance(random, 0.8) ? FILTERS.slice(0, 6) : FILTERS),
    );
    return isSubscribe ? concat(filter, Uint8Array.of(random.integer(0, 2))) : filter;
  });
  return concat(...list);
}

/** What is stored, lost, restored, and what somebody did to the medium meanwhile. */
function durable(random: RandomStream, record: number): Step[] {
  const image = step("image", record, [random.integer(0, 9)], anyBytes(random, 6));
  const note = step("note", record, [SCRATCH, random.integer(0, 20)], anyBytes(random, 20));
  const power = step("power", record);
  const index = random.integer(0, 9);
  switch (random.integer(0, 6)) {
    case 0:
      return [image];
    case 1:
      return [note];
    case 2:
      return [power];
    case 3: {
      const change = chance(random, 0.5) ? random.integer(1, 255) : 1 << random.integer(0, 7);
      const args = [index, random.integer(0, 60), change, random.integer(0, 1)];
      return [step("tamper", record, args), power];
    }
    case 4:
      return [step("chop", record, [index, random.integer(0, 60), random.integer(0, 2)]), power];
    case 5:
      return [image, step("batch", record, [], journalRecords(random)), power];
    default:
      return [step("batch", record, [], journalRecords(random)), power];
  }
}

/** The thermometer's own; the core does not have them. */
function application(random: RandomStream, record: number): Step {
  switch (random.integer(0, 3)) {
    case 0: {
      const intervalMs = pick(random, [100, 1000, 86_400_000]);
      return step("configure", record, [intervalMs, pick(random, [0, 500]), random.integer(0, 6)]);
    }
    case 1:
      return step("setClock", record, [random.word(), random.integer(0, 1000), NOW]);
    default:
      return step("reading", record, [pick(random, [0, -1, 21_530, 0x7fffffff, -0x80000000]), NOW]);
  }
}

function drain(random: RandomStream, record: number): Step {
  return step("drain", record, [pick(random, [0, 0, 1, 2, 3, 7, 50])]);
}

/** Time passes; mostly until something is due. */
function aWhile(random: RandomStream, record: number): Step[] {
  return [step("wait", record, [anyTime(random)]), step("tick", record, [NOW])];
}

function anyTime(random: RandomStream): number {
  return chance(random, 0.5) ? random.integer(0, 120_000) : pick(random, INTERESTING);
}
