/** What one question to a broker works with: connections, names of its own, and a list of what must be tidied up. */

import type { MqttClientOptions } from "../client/client-options.ts";
import { Deferred } from "../client/deferred.ts";
import type { OpenTransport } from "../transport/transport.ts";
import type { World } from "../world.ts";
import { type ConnectFields, connectPacket } from "./client-packets.ts";
import { NotFoundOut, ProbeClient } from "./probe-client.ts";
import type { ProbeMessage, ServerPacket } from "./server-packets.ts";

export interface LabOptions {
  readonly open: OpenTransport;
  readonly world: World;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
  /** Of all topics, without a slash at its end. */
  readonly topicPrefix: string;
  /** Of all client ids: letters and digits, at most 16. */
  readonly idPrefix: string;
  /** How long an answer may take. */
  readonly answerMs: number;
  /** Who has not come so long after another one is not expected any more. */
  readonly quietMs: number;
}

/** What the broker answered to a CONNECT. */
export type ConnectAnswer =
  | {
      readonly kind: "answered";
      readonly returnCode: number;
      readonly sessionPresent: boolean;
      readonly connack: ServerPacket;
    }
  | { readonly kind: "closed" }
  | { readonly kind: "silent" };

/** The payload that ends a wait: what was published before it has come when it comes. */
const MARKER = "marker";

export class Lab {
  readonly world: World;
  readonly quietMs: number;
  /** Where a retained message may lie. */
  readonly retainedTopics = new Set<string>();
  /** Client ids that may have a session. */
  readonly sessionIds = new Set<string>();
  readonly #options: LabOptions;
  readonly #clients = new Set<ProbeClient>();
  readonly #stopped = new Deferred<never>();
  #idCount = 0;
  #stopText: string | undefined;

  constructor(options: LabOptions) {
    this.#options = options;
    this.world = options.world;
    this.quietMs = options.quietMs;
  }

  topic(name: string): string {
    return `${this.#options.topicPrefix}/${name}`;
  }

  /** Where a message will be retained. */
  retainedTopic(name: string): string {
    const topic = this.topic(name);
    this.retainedTopics.add(topic);
    return topic;
  }

  clientId(): string {
    this.#idCount++;
    return `${this.#options.idPrefix}${this.#idCount}`;
  }

  /** A Network Connection without any packet. */
  async open(): Promise<ProbeClient> {
    this.check();
    const client = new ProbeClient(this.#options);
    this.#clients.add(client);
    await client.opened();
    return client;
  }

  /** A client that the broker has accepted; a clean session, and an id of its own, if absent. */
  async connect(fields: Partial<ConnectFields> = {}): Promise<ProbeClient> {
    const { client, answer } = await this.tryConnect(fields);
    if (answer.kind === "answered" && answer.returnCode === 0) return client;
    throw new NotFoundOut(`the broker does not take the connection: ${answerText(answer)}`);
  }

  async tryConnect(
    fields: Partial<ConnectFields>,
  ): Promise<{ client: ProbeClient; answer: ConnectAnswer }> {
    const { username, password } = this.#options;
    const clientId = fields.clientId ?? this.clientId();
    // Nobody can come back to a session whose client id the broker has chosen.
    if (fields.cleanSession === false && clientId !== "") this.sessionIds.add(clientId);
    const client = await this.open();
    client.send(connectPacket({ username, password, ...fields, clientId }));
    const connack = await client.next("CONNACK");
    if (connack === undefined) {
      return { client, answer: { kind: client.isClosed ? "closed" : "silent" } };
    }
    const [flags = 0, returnCode = 0] = connack.body;
    const sessionPresent = (flags & 1) === 1;
    return { client, answer: { kind: "answered", returnCode, sessionPresent, connack } };
  }

  /** Clients for a message's way: one that has subscribed to `filter`, and one that publishes. */
  async pair(filter: string, qos: number): Promise<{ from: ProbeClient; to: ProbeClient }> {
    const [from, to] = await Promise.all([this.connect(), this.connect()]);
    await to.subscribe(filter, qos);
    return { from, to };
  }

  /**
   * What `to` has received when all that was published before is there: a last message on `topic` has come, and nothing
   * after it for a while.
   */
  async settled(to: ProbeClient, topic: string, from?: ProbeClient): Promise<ProbeMessage[]> {
    const isMarker = ({ payload }: ProbeMessage) => payload === MARKER;
    const sender = from ?? (await this.connect());
    await sender.publish({ topic, payload: MARKER, qos: 1 });
    if (!(await to.until(() => to.messages.some(isMarker)))) {
      throw new NotFoundOut(`a message on ${topic} did not come, so nothing can be said`);
    }
    await this.quiet(to);
    return to.messages.filter((message) => !isMarker(message));
  }

  /** Resolves when no message has come for a while. */
  async quiet(to: ProbeClient): Promise<void> {
    for (let seen = -1; seen < to.messages.length; ) {
      seen = to.messages.length;
      await this.sleep(this.quietMs);
    }
  }

  /** What a new subscription to `filter` brings; `topic` matches it. */
  async newcomer(filter: string, topic = filter, qos = 1): Promise<ProbeMessage[]> {
    const to = await this.connect();
    await to.subscribe(filter, qos);
    return this.settled(to, topic);
  }

  /** For a client of this package, on the same broker. */
  get clientOptions(): MqttClientOptions {
    const { open: openTransport, username, password, world, answerMs } = this.#options;
    const responseTimeoutMs = answerMs;
    return { openTransport, username, password, world, responseTimeoutMs, reconnect: false };
  }

  sleep(delayMs: number): Promise<void> {
    return this.unlessStopped(
      new Promise((resolve) => {
        this.world.setTimer(delayMs, resolve);
      }),
    );
  }

  /** What `work` resolves with, if that takes no longer than an answer may. */
  async answered<Value>(work: Promise<Value>): Promise<Value> {
    const tooLate = new Deferred<never>();
    const { answerMs } = this.#options;
    const timer = this.world.setTimer(answerMs, () => {
      tooLate.fail(new NotFoundOut(`nothing came within ${answerMs / 1000} seconds`));
    });
    try {
      return await this.unlessStopped(Promise.race([work, tooLate.promise]));
    } finally {
      timer.clear();
    }
  }

  /** What `work` resolves with, unless `stop` comes first. */
  unlessStopped<Value>(work: Promise<Value>): Promise<Value> {
    this.check();
    work.catch(() => {}); // it may lose the race, and fail only then
    return Promise.race([work, this.#stopped.promise]);
  }

  /** Ends all connections with a goodbye, so that no Will comes later, and every wait with this reason. */
  async stop(reason: string): Promise<void> {
    if (this.#stopText === undefined) {
      this.#stopText = reason;
      this.#stopped.fail(new NotFoundOut(reason));
    }
    await Promise.all([...this.#clients].map((client) => client.stop(reason)));
  }

  /** Throws a NotFoundOut after `stop`. */
  check(): void {
    if (this.#stopText !== undefined) throw new NotFoundOut(this.#stopText);
  }
}

/** As in "accepted" or "refused with return code 2". */
export function answerText(answer: ConnectAnswer): string {
  if (answer.kind === "closed") return "closed without an answer";
  if (answer.kind === "silent") return "no answer";
  return answer.returnCode === 0 ? "accepted" : `refused with return code ${answer.returnCode}`;
}
