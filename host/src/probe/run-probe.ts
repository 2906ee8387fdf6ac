/** Puts all questions to a broker, side by side and within a time, and leaves nothing behind. */

import { ClosedError, PublishError } from "../client/client-errors.ts";
import { Deferred } from "../client/deferred.ts";
import { MqttClient } from "../client/mqtt-client.ts";
import { ConnectionError, ProtocolError, RefusedError } from "../errors.ts";
import type { OpenTransport } from "../transport/transport.ts";
import type { World } from "../world.ts";
import { Lab } from "./lab.ts";
import { type Outcome, type Probe, SUBJECTS, type Subject } from "./probe.ts";
import { NotFoundOut } from "./probe-client.ts";
import { brokenProbes } from "./probes/broken.ts";
import { connectingProbes } from "./probes/connecting.ts";
import { latencyProbes } from "./probes/latency.ts";
import { limitProbes } from "./probes/limits.ts";
import { qualityProbes } from "./probes/quality.ts";
import { retainedProbes } from "./probes/retained.ts";
import { sessionProbes } from "./probes/sessions.ts";
import { topicProbes } from "./probes/topics.ts";
import { willProbes } from "./probes/wills.ts";
import type { Finding } from "./report.ts";
import { tidyUp } from "./tidy-up.ts";

export interface ProbeOptions {
  /** Opens connections to the broker. */
  readonly open: OpenTransport;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
  readonly world: World;
  /** Ends it early; what was found out until then counts. */
  readonly interrupt: AbortSignal;
  /** For all questions together; tidying up comes on top, at most 5 s. */
  readonly timeoutMs: number;
  /** How long a single answer may take; 5,000 if absent. */
  readonly answerMs?: number;
  /** After how long without anything new nothing more is expected; 300 if absent. */
  readonly quietMs?: number;
  readonly onProgress?: (doneCount: number, totalCount: number) => void;
}

export interface ProbeResult {
  readonly findings: readonly Finding[];
  /** What could not be removed. */
  readonly leftOver: readonly string[];
}

/** So many questions are under way at once. */
const LANE_COUNT = 12;

interface Question {
  readonly subject: Subject;
  readonly probe: Probe;
}

const TIMES = latencyProbes.map(about("Limits and times"));
const LIMITS = limitProbes.map(about("Limits and times"));
/** The slow ones first, so that all others fit beside them. */
const SIDE_BY_SIDE: readonly Question[] = [
  ...willProbes.map(about("Last Will")),
  ...sessionProbes.map(about("Sessions")),
  ...brokenProbes.map(about("Broken packets")),
  ...retainedProbes.map(about("Retained messages")),
  ...topicProbes.map(about("Topics and subscriptions")),
  ...qualityProbes.map(about("Quality of service")),
  ...connectingProbes.map(about("Versions and client ids")),
];

/** The ids of all questions, in the order in which people read the answers. */
export const QUESTION_IDS: readonly string[] = SUBJECTS.flatMap((subject) =>
  [...SIDE_BY_SIDE, ...TIMES, ...LIMITS]
    .filter((question) => question.subject === subject)
    .map(({ probe }) => probe.id),
);

function about(subject: Subject): (probe: Probe) => Question {
  return (probe) => ({ subject, probe });
}

/**
 * Throws why the broker cannot be asked at all: a ConnectionError or a RefusedError. A question without an answer is a
 * finding whose verdict is "unknown".
 */
export async function runProbe(options: ProbeOptions): Promise<ProbeResult> {
  const labs = new LabRoom(options);
  await Promise.race([meet(labs.make("hello")), aborted(options.interrupt)]);
  const timer = options.world.setTimer(options.timeoutMs, () => labs.close("the time was up"));
  const onInterrupt = () => labs.close("somebody ended the probe before");
  options.interrupt.addEventListener("abort", onInterrupt, { once: true });
  if (options.interrupt.aborted) onInterrupt();
  try {
    const findings = await askAll(labs, options);
    return { findings, leftOver: await labs.tidyUp() };
  } finally {
    timer.clear();
    options.interrupt.removeEventListener("abort", onInterrupt);
    await labs.close("the probe has failed");
  }
}

/** Rejects when somebody ends the command. */
function aborted(interrupt: AbortSignal): Promise<never> {
  const ended = new Deferred<never>();
  const onAbort = () => ended.fail(new DOMException("ended before it began", "AbortError"));
  interrupt.addEventListener("abort", onAbort, { once: true });
  if (interrupt.aborted) onAbort();
  return ended.promise;
}

/** The first connection, with good explanations of what may be wrong, and a message's way there and back. */
async function meet(lab: Lab): Promise<void> {
  const client = new MqttClient(lab.clientOptions);
  try {
    await client.connect();
    await client.close();
  } finally {
    client.abort();
  }
  try {
    const { from, to } = await lab.pair(lab.topic("t"), 1);
    await lab.settled(to, lab.topic("t"), from);
  } catch (error) {
    if (!(error instanceof NotFoundOut)) throw error;
    const remedy = "Let this user publish and subscribe below wasmqtt-probe-…, or use another";
    throw new ConnectionError("lost", `The broker cannot be asked: ${error.message}`, remedy);
  }
}

/** Times first, while nothing disturbs them; limits last, since they disturb all others. */
async function askAll(labs: LabRoom, { onProgress }: ProbeOptions): Promise<Finding[]> {
  const findings: Finding[] = [];
  const askNext = async (queue: Iterator<Question>) => {
    for (let next = queue.next(); !next.done; next = queue.next()) {
      onProgress?.(findings.length, QUESTION_IDS.length);
      findings.push(await ask(next.value, labs));
    }
  };
  await askNext(TIMES.values());
  const queue = SIDE_BY_SIDE.values();
  await Promise.all(Array.from({ length: LANE_COUNT }, () => askNext(queue)));
  await askNext(LIMITS.values());
  return findings.sort(
    (first, second) => QUESTION_IDS.indexOf(first.id) - QUESTION_IDS.indexOf(second.id),
  );
}

async function ask({ subject, probe }: Question, labs: LabRoom): Promise<Finding> {
  const { id, question, did, clause = null } = probe;
  const about = { id, subject, question, did, clause };
  const lab = labs.make(id);
  try {
    const { verdict, found, got, measured }: Outcome = await probe.run(lab);
    lab.check(); // or our own end of the connections would count as the broker's
    const { value = null, unit = null } = measured ?? {};
    return { ...about, verdict, found, got, value, unit };
  } catch (error) {
    if (!isNoAnswer(error)) throw error;
    const found = "not found out";
    return { ...about, verdict: "unknown", found, got: error.message, value: null, unit: null };
  } finally {
    await lab.stop("the question has its answer");
  }
}

function isNoAnswer(error: unknown): error is Error {
  return (
    error instanceof NotFoundOut ||
    error instanceof ClosedError ||
    error instanceof PublishError ||
    error instanceof ConnectionError ||
    error instanceof ProtocolError ||
    error instanceof RefusedError
  );
}

/** Makes a lab for each question, and knows in the end what all of them have left. */
class LabRoom {
  readonly #options: ProbeOptions;
  readonly #random: string;
  readonly #labs: Lab[] = [];
  #closedText: string | undefined;

  constructor(options: ProbeOptions) {
    this.#options = options;
    this.#random = Math.floor(options.world.random() * 2 ** 32)
      .toString(16)
      .padStart(8, "0");
  }

  make(name: string): Lab {
    const { answerMs = 5000, quietMs = 300, ...options } = this.#options;
    const lab = new Lab({
      ...options,
      // Some brokers read a dot in a topic as a slash.
      topicPrefix: `wasmqtt-probe-${this.#random}/${name.replaceAll(".", "-")}`,
      idPrefix: `wqp${this.#random}${`${this.#labs.length}`.padStart(3, "0")}`,
      answerMs,
      quietMs,
    });
    this.#labs.push(lab);
    if (this.#closedText !== undefined) void lab.stop(this.#closedText);
    return lab;
  }

  /** Ends what is under way, and lets nothing new begin. */
  async close(reason: string): Promise<void> {
    this.#closedText ??= reason;
    await Promise.all(this.#labs.map((lab) => lab.stop(reason)));
  }

  async tidyUp(): Promise<string[]> {
    await this.close("the probe is over");
    const topics = this.#labs.flatMap(({ retainedTopics }) => [...retainedTopics]);
    const clientIds = this.#labs.flatMap(({ sessionIds }) => [...sessionIds]);
    this.#closedText = undefined;
    return tidyUp(this.make("tidy"), topics, clientIds);
  }
}
