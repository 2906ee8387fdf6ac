/** The run's own subscriber: sees births, goodbyes, Wills and telemetry as any other client would. */

import { once } from "node:events";
import { INCOMING_COUNT_MAX } from "../../../firmware/core/abi.ts";
import type { MqttClientOptions } from "../../../host/src/client/client-options.ts";
import { type DisconnectedInfo, MqttClient } from "../../../host/src/client/mqtt-client.ts";
import type { IncomingMessage, Qos, Subscription } from "../../../host/src/core/session.ts";
import { ConnectionError, UsageError } from "../../../host/src/errors.ts";
import type { World } from "../../../host/src/world.ts";
import { formatDuration } from "../duration.ts";
import type { DeviceMessage } from "../profiles/convention.ts";
import type { Profile } from "../profiles/profile.ts";
import { until } from "../waiting.ts";
import type { RunResult } from "./result.ts";

/** Who is told what the observer sees. Devices are numbered as in the whole fleet, times are the world's. */
export interface Witness {
  /** The number of the device with this Client Identifier, if it is one of this run. */
  deviceOf(clientId: string): number | undefined;
  online(device: number): void;
  offline(device: number, atMs: number): void;
  /** `measuredUnixMs` is what the message says of itself. */
  telemetry(
    device: number,
    seq: number | undefined,
    atMs: number,
    measuredUnixMs: number | undefined,
  ): void;
  /** Until `nowMs` it could not see everything. */
  excuse(nowMs: number): void;
}

export interface ObserverOptions {
  client: MqttClientOptions;
  world: World;
  witness: Witness;
  watchesWills: boolean;
  watchesTelemetry: boolean;
  /** Of the subscription to telemetry: the highest that a device publishes with, so that nothing is downgraded. */
  telemetryQos: Qos;
  /** How the devices of this run speak. */
  profiles: readonly Profile[];
}

const ALLOW_OBSERVER =
  "Let this user read the devices' topics, or do not observe: in the scenario, observe: { wills: false, audit: false }";

/** When no retained message has come for so long, all have. */
const QUIET_MS = 100;
const RETAINED_MS_MAX = 5_000;

/** Somebody who wants to see what arrives on one topic. */
type Watcher = (message: IncomingMessage) => void;

/** While it has no connection, or no subscription on it, it is away: what comes then cannot be judged. */
export class Observer {
  readonly client: MqttClient;
  readonly #options: ObserverOptions;
  readonly #subscriptions: Subscription[] = [];
  readonly #watchers = new Map<string, Watcher>();
  #retainedAtMs = 0;
  #awaySinceMs: number | undefined;
  #awayMs = 0;
  #lostCount = 0;
  #lossText = "";
  #isBrokerStopped = false;

  constructor(options: ObserverOptions) {
    this.#options = options;
    this.#subscriptions.push(...subscriptionsOf(options));
    // A broker may have any number of QoS 2 messages under way to one subscriber: aedes has no limit.
    const capacities = { incomingCount: INCOMING_COUNT_MAX };
    this.client = new MqttClient({ capacities, ...options.client });
    this.client.on("message", (message) => this.#onMessage(message));
  }

  /** False while it is away. */
  get seesAll(): boolean {
    return this.#awaySinceMs === undefined;
  }

  /**
   * Connects and subscribes, before the first device does. Throws as `MqttClient.connect` does, and a UsageError if the
   * broker does not let it see what it has to watch.
   */
  async start(): Promise<void> {
    await this.client.connect();
    const lost = once(this.client, "disconnected").then(() => {
      throw new ConnectionError(
        "lost",
        "The broker ended the connection when the run's own observer subscribed",
        ALLOW_OBSERVER,
      );
    });
    await Promise.race([this.#subscribe(), lost]);
    this.client.on("disconnected", (info) => this.#onDisconnected(info));
    this.client.on("connected", ({ sessionPresent }) => this.#onConnected(sessionPresent));
    await this.#retainedHaveCome();
  }

  /** Tells `watcher` of each message on this topic, too. Rejects if the broker does not grant the subscription. */
  async watch(topic: string, watcher: Watcher): Promise<void> {
    const isWatched = this.#watchers.has(topic) || this.#subscribesTo(topic);
    this.#watchers.set(topic, watcher);
    if (isWatched) return;
    const subscription: Subscription = { topicFilter: topic, qos: 2 };
    const [granted] = await this.client.subscribe([subscription]);
    if (granted?.grantedQos === undefined) {
      throw new UsageError(`The broker refuses a subscription to ${topic}`, "Take another topic");
    }
    this.#subscriptions.push(subscription);
  }

  /** Its connection is about to end with the broker's: no loss, as long as the session is still there afterwards. */
  brokerStops(): void {
    this.#isBrokerStopped = true;
  }

  /** Ends the connection. What it could not see until now is excused. */
  async finish(): Promise<void> {
    this.#return();
    this.client.removeAllListeners("disconnected");
    await this.client.close();
  }

  result(): RunResult["observer"] {
    return { lost: this.#lostCount, awayMs: this.#awayMs };
  }

  /** What a person should know, as plain sentences. */
  get problems(): string[] {
    if (this.#lostCount === 0) return [];
    return [
      `The run's own subscriber lost its connection (times: ${this.#lostCount}, in all ${formatDuration(this.#awayMs)}): ${this.#lossText}. What came meanwhile it could not see; neither the broker nor the devices are blamed for that.`,
    ];
  }

  /** Earlier runs have left a status of each device. They would take up the broker's queue when the devices come. */
  async #retainedHaveCome(): Promise<void> {
    const { world } = this.#options;
    this.#retainedAtMs = world.nowMs();
    const isQuiet = () => world.nowMs() - this.#retainedAtMs >= QUIET_MS;
    await until(isQuiet, world, RETAINED_MS_MAX, new AbortController().signal);
  }

  async #subscribe(): Promise<void> {
    const granted = await this.client.subscribe(this.#subscriptions);
    for (const [index, { topicFilter, grantedQos }] of granted.entries()) {
      const { qos = 0 } = this.#subscriptions[index] ?? {};
      if (grantedQos !== undefined && grantedQos >= qos) continue;
      const isRefused = grantedQos === undefined;
      const what = isRefused ? "refuses" : `grants no more than QoS ${grantedQos} to`;
      throw new UsageError(
        `The broker ${what} the run's own subscription to ${topicFilter}`,
        isRefused ? ALLOW_OBSERVER : lowerQosRemedy(grantedQos),
      );
    }
  }

  #onDisconnected({ reason }: DisconnectedInfo): void {
    if (!this.seesAll) return; // an attempt to come back has failed
    this.#awaySinceMs = this.#options.world.nowMs();
    if (this.#isBrokerStopped) return;
    this.#lostCount++;
    this.#lossText = reason?.message ?? "it was closed";
  }

  /** With its session the broker has kept all that is to come at QoS 1 and 2. */
  async #onConnected(sessionPresent: boolean): Promise<void> {
    try {
      if (!sessionPresent) await this.#subscribe();
    } catch {
      return; // closed, or refused now: it stays away
    }
    if (sessionPresent && this.#isBrokerStopped) this.#awaySinceMs = undefined;
    this.#return();
    this.#isBrokerStopped = false;
  }

  /** Sees again. What it may have missed is excused. */
  #return(): void {
    if (this.#awaySinceMs === undefined) return;
    const { witness, world } = this.#options;
    const nowMs = world.nowMs();
    if (!this.#isBrokerStopped) this.#awayMs += nowMs - this.#awaySinceMs;
    this.#awaySinceMs = undefined;
    witness.excuse(nowMs);
  }

  #subscribesTo(topic: string): boolean {
    return this.#subscriptions.some(({ topicFilter }) => matches(topicFilter, topic));
  }

  #onMessage(message: IncomingMessage): void {
    const { topic, payload, retain } = message;
    if (this.#watchers.size > 0) this.#watchers.get(topic)?.(message);
    if (retain) {
      this.#retainedAtMs = this.#options.world.nowMs();
      return; // from before this run: the subscription has brought it [MQTT-3.3.1-8]
    }
    const said = this.#read(topic, payload);
    const device = said === undefined ? undefined : this.#options.witness.deviceOf(said.clientId);
    if (said === undefined || device === undefined) return;
    const { witness, world } = this.#options;
    if (said.kind === "telemetry") {
      witness.telemetry(device, said.seq, world.nowMs(), said.unixMs);
    } else if (said.kind === "online") witness.online(device);
    else witness.offline(device, world.nowMs());
  }

  #read(topic: string, payload: Uint8Array): DeviceMessage | undefined {
    for (const profile of this.#options.profiles) {
      const said = profile.read(topic, payload);
      if (said !== undefined) return said;
    }
    return undefined;
  }
}

/** A subscription at a lower QoS would lose what was published at a higher one, and blame the broker [MQTT-3.8.4-6]. */
function lowerQosRemedy(grantedQos: Qos): string {
  return `Let the devices publish at QoS ${grantedQos} (-q ${grantedQos}), or do not audit: in the scenario, observe: { audit: false }`;
}

/** Each filter once: two that overlap may bring a message twice [MQTT-3.3.5-1]. */
function subscriptionsOf(options: ObserverOptions): Subscription[] {
  const { watchesWills, watchesTelemetry, telemetryQos, profiles } = options;
  const qosOf = new Map<string, Qos>();
  for (const { filters } of profiles) {
    for (const filter of watchesWills ? filters.status : []) qosOf.set(filter, 1);
    for (const filter of watchesTelemetry ? filters.telemetry : []) {
      qosOf.set(filter, Math.max(telemetryQos, qosOf.get(filter) ?? 0) as Qos);
    }
  }
  return Array.from(qosOf, ([topicFilter, qos]) => ({ topicFilter, qos }));
}

/** True if a filter without "#" matches the topic (4.7). */
function matches(topicFilter: string, topic: string): boolean {
  const levels = topic.split("/");
  const wanted = topicFilter.split("/");
  return (
    levels.length === wanted.length &&
    wanted.every((level, index) => level === "+" || level === levels[index])
  );
}
