/** Publishes what a browser asks for, and sees it arrive. */

import type { IncomingMessage } from "node:http";
import { z } from "zod";
import { readTopicName } from "../../../host/src/cli/options.ts";
import { UsageError } from "../../../host/src/errors.ts";
import type { World } from "../../../host/src/world.ts";
import type { DashboardRun, WatchedMessage } from "./dashboard-run.ts";
import type { Arrival, PublishRequest } from "./page-data.ts";
import { type Objection, objectionToWriter } from "./request-guard.ts";

export interface PublishDeskOptions {
  token: string;
  world: World;
  /** Undefined while no run is under way. */
  run: () => DashboardRun | undefined;
  onArrival: (arrival: Arrival) => void;
}

const BODY_BYTES_MAX = 64 * 1024;
const READ_BYTES_MAX = 1024 * 1024;

/** Each is a subscription of the run's own client, until the end. */
const TOPIC_COUNT_MAX = 16;

/** A broker that is away keeps them waiting. */
const WAITING_COUNT_MAX = 8;

/** Of these the desk knows when they were published. */
const SENT_COUNT_MAX = 32;

const PAYLOAD_LENGTH_MAX = 1024;

const requestSchema = z.object({
  topic: z.string(),
  payload: z.string(),
  qos: z.literal([0, 1, 2]),
  retain: z.boolean(),
});

const decoder = new TextDecoder();

export class PublishDesk {
  readonly #options: PublishDeskOptions;
  readonly #startedAtMs: number;
  readonly #topics = new Map<string, Promise<void>>();
  readonly #sent: { topic: string; payload: string; atMs: number }[] = [];
  #waitingCount = 0;

  constructor(options: PublishDeskOptions) {
    this.#options = options;
    this.#startedAtMs = options.world.nowMs();
  }

  /** Answers why it was not published, or undefined when the broker has the message. Never throws. */
  async publish(request: IncomingMessage): Promise<Objection | undefined> {
    const objection = objectionToWriter(request, this.#options.token);
    if (objection !== undefined) return objection;
    const text = await bodyOf(request);
    if (text === undefined) {
      return { status: 413, problem: `A message may have ${BODY_BYTES_MAX} bytes at most` };
    }
    const message = messageOf(text);
    if (message === undefined) return { status: 400, problem: "Give topic, message and QoS" };
    const run = this.#options.run();
    if (run === undefined)
      return { status: 409, problem: "No run is under way: it is over, or has not begun" };
    if (this.#waitingCount >= WAITING_COUNT_MAX) {
      return { status: 503, problem: "The broker has not taken the last messages yet: wait" };
    }
    this.#waitingCount++;
    try {
      return await this.#publish(run, message);
    } catch (error) {
      return { status: 422, problem: problemOf(error) };
    } finally {
      this.#waitingCount--;
    }
  }

  async #publish(
    run: DashboardRun,
    { topic, payload, qos, retain }: PublishRequest,
  ): Promise<Objection | undefined> {
    readTopicName(topic, "topic");
    if (!this.#topics.has(topic) && this.#topics.size >= TOPIC_COUNT_MAX) {
      const problem = `The dashboard watches ${TOPIC_COUNT_MAX} topics at most: use one of them again`;
      return { status: 429, problem };
    }
    await this.#watch(run, topic);
    this.#sent.push({ topic, payload, atMs: this.#options.world.nowMs() });
    if (this.#sent.length > SENT_COUNT_MAX) this.#sent.shift();
    await run.publish(topic, payload, { qos, retain });
    return undefined;
  }

  /** Once for each topic, unless the broker refuses it. */
  #watch(run: DashboardRun, topic: string): Promise<void> {
    const known = this.#topics.get(topic);
    if (known !== undefined) return known;
    const watching = run.watch(topic, (message) => this.#onMessage(message));
    this.#topics.set(topic, watching);
    watching.catch(() => this.#topics.delete(topic));
    return watching;
  }

  #onMessage({ topic, payload, qos, retain }: WatchedMessage): void {
    const nowMs = this.#options.world.nowMs();
    const text = decoder.decode(payload);
    const sent = retain
      ? undefined
      : this.#sent.find((one) => one.topic === topic && one.payload === text);
    if (sent !== undefined) this.#sent.splice(this.#sent.indexOf(sent), 1);
    this.#options.onArrival({
      atSeconds: (nowMs - this.#startedAtMs) / 1000,
      topic,
      payload: text.length > PAYLOAD_LENGTH_MAX ? `${text.slice(0, PAYLOAD_LENGTH_MAX)}…` : text,
      qos,
      retain,
      afterMs: sent === undefined ? null : nowMs - sent.atMs,
    });
  }
}

function problemOf(error: unknown): string {
  if (error instanceof UsageError) return `${error.message}. ${error.remedy}`;
  return error instanceof Error ? error.message : String(error);
}

/** Undefined if it is too long. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length <= BODY_BYTES_MAX) chunks.push(chunk);
      // Up to here the rest is read, so that the browser comes to see the answer.
      else if (length > READ_BYTES_MAX) return undefined;
    }
  } catch {
    return ""; // the browser is gone
  }
  return length > BODY_BYTES_MAX ? undefined : Buffer.concat(chunks).toString("utf8");
}

function messageOf(text: string): PublishRequest | undefined {
  try {
    return requestSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
