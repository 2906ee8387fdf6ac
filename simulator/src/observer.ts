/** The run's own subscriber: sees births, goodbyes, Wills and telemetry as any other client would. */

import { once } from "node:events";
import { INCOMING_COUNT_MAX } from "../../firmware/core/abi.ts";
import type { MqttClientOptions } from "../../host/src/client/client-options.ts";
import { type DisconnectedInfo, MqttClient } from "../../host/src/client/mqtt-client.ts";
import type { IncomingMessage, Qos, Subscription } from "../../host/src/core/session.ts";
import { ConnectionError, UsageError } from "../../host/src/errors.ts";
import type { World } from "../../host/src/world.ts";
import { formatDuration } from "./duration.ts";
import type { Fleet } from "./fleet.ts";
import { LatencyHistogram } from "./histogram.ts";
import type { RunResult } from "./result.ts";
import type { Sensor } from "./sensor.ts";
import type { TelemetryAudit } from "./telemetry-audit.ts";
import { until } from "./waiting.ts";
import type { WillLedger } from "./will-ledger.ts";

export interface ObserverOptions {
  client: MqttClientOptions;
  world: World;
  fleet: Fleet;
  ledger: WillLedger;
  audit: TelemetryAudit;
  watchesWills: boolean;
  watchesTelemetry: boolean;
  /** Of the subscription to telemetry: the highest that a device publishes with, so that nothing is downgraded. */
  telemetryQos: Qos;
  graceMs: number;
}

const TOPIC_PREFIX = "motes/";
const STATUS_SUFFIX = "/status";
const TELEMETRY_SUFFIX = "/telemetry";

const ALLOW_OBSERVER =
  "Let this user read motes/#, or do not observe: in the scenario, observe: { wills: false, audit: false }";

/** When no retained message has come for so long, all have. */
const QUIET_MS = 100;
const RETAINED_MS_MAX = 5_000;

const decoder = new TextDecoder();

/** While it has no connection, or no subscription on it, it is away: what comes then cannot be judged. */
export class Observer {
  readonly endToEnd = new LatencyHistogram();
  readonly client: MqttClient;
  readonly #options: ObserverOptions;
  readonly #subscriptions: Subscription[] = [];
  #retainedAtMs = 0;
  #awaySinceMs: number | undefined;
  #awayMs = 0;
  #lostCount = 0;
  #lossText = "";
  #isBrokerStopped = false;

  constructor(options: ObserverOptions) {
    this.#options = options;
    const { watchesWills, watchesTelemetry, telemetryQos } = options;
    if (watchesWills) this.#subscriptions.push({ topicFilter: "motes/+/status", qos: 1 });
    if (watchesTelemetry) {
      this.#subscriptions.push({ topicFilter: "motes/+/telemetry", qos: telemetryQos });
    }
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
      const what =
        grantedQos === undefined ? "refuses" : `grants no more than QoS ${grantedQos} to`;
      throw new UsageError(
        `The broker ${what} the run's own subscription to ${topicFilter}`,
        ALLOW_OBSERVER,
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
    const { ledger, audit, world, graceMs } = this.#options;
    const nowMs = world.nowMs();
    if (!this.#isBrokerStopped) this.#awayMs += nowMs - this.#awaySinceMs;
    this.#awaySinceMs = undefined;
    ledger.excuse(nowMs, nowMs + graceMs);
    audit.excuse();
  }

  #onMessage({ topic, payload, retain }: IncomingMessage): void {
    if (retain) {
      this.#retainedAtMs = this.#options.world.nowMs();
      return; // from before this run: the subscription has brought it [MQTT-3.3.1-8]
    }
    const sensor = this.#sensorOf(topic);
    if (sensor === undefined) return;
    if (topic.endsWith(STATUS_SUFFIX)) this.#onStatus(sensor, decoder.decode(payload));
    else if (topic.endsWith(TELEMETRY_SUFFIX)) this.#onTelemetry(sensor, decoder.decode(payload));
  }

  #onStatus(sensor: Sensor, text: string): void {
    const { ledger, world } = this.#options;
    if (text === "online") ledger.online(sensor.index);
    else if (text === "offline") ledger.offline(sensor.index, world.nowMs());
  }

  #onTelemetry(sensor: Sensor, text: string): void {
    const { audit, fleet, world } = this.#options;
    const seq = seqOf(text);
    if (seq === undefined) return;
    audit.delivered(sensor.index, seq);
    const publishedAtMs = fleet.publishedAtMs(sensor.index, seq);
    if (publishedAtMs !== undefined) this.endToEnd.record(world.nowMs() - publishedAtMs);
  }

  /** The device of `motes/<id>/…`; undefined if it is none of this run. */
  #sensorOf(topic: string): Sensor | undefined {
    if (!topic.startsWith(TOPIC_PREFIX)) return undefined;
    return this.#options.fleet.byClientId(topic.slice(TOPIC_PREFIX.length, topic.lastIndexOf("/")));
  }
}

/** The `seq` of a telemetry's JSON, or undefined if it is not ours. */
function seqOf(text: string): number | undefined {
  const digits = /"seq":(\d+)/u.exec(text)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
