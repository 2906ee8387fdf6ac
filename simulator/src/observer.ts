/** The run's own subscriber: sees births, goodbyes, Wills and telemetry as any other client would. */

import type { MqttClientOptions } from "../../host/src/client/client-options.ts";
import { MqttClient } from "../../host/src/client/mqtt-client.ts";
import type { IncomingMessage, Qos } from "../../host/src/core/session.ts";
import type { World } from "../../host/src/world.ts";
import type { Fleet } from "./fleet.ts";
import { LatencyHistogram } from "./histogram.ts";
import type { Sensor } from "./sensor.ts";
import type { TelemetryAudit } from "./telemetry-audit.ts";
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
}

const TOPIC_PREFIX = "motes/";
const STATUS_SUFFIX = "/status";
const TELEMETRY_SUFFIX = "/telemetry";

const decoder = new TextDecoder();

export class Observer {
  readonly endToEnd = new LatencyHistogram();
  readonly client: MqttClient;
  readonly #options: ObserverOptions;

  constructor(options: ObserverOptions) {
    this.#options = options;
    this.client = new MqttClient(options.client);
    this.client.on("message", (message) => this.#onMessage(message));
  }

  get isConnected(): boolean {
    return this.client.isConnected;
  }

  /** Connects and subscribes, before the first device does. Throws as `MqttClient.connect` does. */
  async start(): Promise<void> {
    await this.client.connect();
    const { watchesWills, watchesTelemetry, telemetryQos } = this.#options;
    const filters: { topicFilter: string; qos: Qos }[] = [];
    if (watchesWills) filters.push({ topicFilter: "motes/+/status", qos: 1 });
    if (watchesTelemetry) filters.push({ topicFilter: "motes/+/telemetry", qos: telemetryQos });
    if (filters.length > 0) await this.client.subscribe(filters);
  }

  #onMessage({ topic, payload, retain }: IncomingMessage): void {
    if (retain) return; // from before this run: the subscription has brought it [MQTT-3.3.1-8]
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
