/** All sensors of a run in one linear memory, and what they have counted. */

import type { Counter } from "../../firmware/core/abi.ts";
import type { EndReason } from "../../host/src/client/driver.ts";
import type { Core, ThermometerExports } from "../../host/src/core/core.ts";
import { ConnectionError, ProtocolError, RefusedError } from "../../host/src/errors.ts";
import type { OpenTransport, Transport } from "../../host/src/transport/transport.ts";
import type { Timer, World } from "../../host/src/world.ts";
import { LatencyHistogram } from "./histogram.ts";
import { fillPattern } from "./pattern.ts";
import { RandomStream } from "./random.ts";
import { type Scenario, type Target, targetCount } from "./scenario.ts";
import { Sensor, type SensorIdentity, type SensorLog, type SensorSurroundings } from "./sensor.ts";
import type { TelemetryAudit } from "./telemetry-audit.ts";
import type { WillLedger } from "./will-ledger.ts";

export interface FleetOptions {
  core: Core<ThermometerExports>;
  world: World;
  openTransport: OpenTransport;
  scenario: Scenario;
  /** The text of `passwordFile`. */
  password: string | undefined;
  startedAtMs: number;
  audit: TelemetryAudit;
  ledger: WillLedger;
}

/** What the fleet has counted since the start. Latencies are in milliseconds. */
class FleetCounts {
  attempted = 0;
  connected = 0;
  reconnected = 0;
  lost = 0;
  readonly failed = new Map<string, number>();
  readonly refused = new Map<string, number>();
  published = 0;
  readonly sent: [number, number, number] = [0, 0, 0];
  acknowledged = 0;
  refusedFull = 0;
  readonly connect = new LatencyHistogram();
  readonly publishAck = new LatencyHistogram();
  readonly publishAckUncorrected = new LatencyHistogram();
  readonly scheduleLag = new LatencyHistogram();
}

/** How often a ramp looks how many connections are due. */
const RAMP_STEP_MS = 10;

/** Telemetry whose time of publishing is remembered, for each device, until a subscriber has it. */
const RECENT_COUNT = 32;

export class Fleet {
  readonly sensors: readonly Sensor[];
  readonly counts = new FleetCounts();
  readonly #options: FleetOptions;
  readonly #surroundings: SensorSurroundings;
  readonly #byClientId: ReadonlyMap<string, Sensor>;
  readonly #recentSeqs: Float64Array;
  readonly #recentTimesMs: Float64Array;
  readonly #commandCounts: Uint32Array;
  /** What is left of a connection whose device is gone, until the device is back. */
  readonly #ghosts = new Map<Sensor, Transport>();
  readonly #targets: RandomStream;
  /** How long a device that comes back after a hold waits. */
  readonly #returns: RandomStream;
  /** In which a Will may come after a connection was lost: two keep alives, and the grace. */
  readonly #willMs: number;
  #rampTimer: Timer | undefined;
  #isBrokerStopped = false;

  constructor(options: FleetOptions) {
    const { core, world, openTransport, scenario, startedAtMs } = options;
    const identities = identitiesOf(scenario, options.password);
    this.#options = options;
    this.#surroundings = {
      core,
      world,
      openTransport,
      keepAliveSeconds: scenario.broker.keepAliveSeconds,
      responseTimeoutMs: scenario.broker.responseTimeoutMs,
      seed: scenario.seed,
      startedAtMs,
      isHeld: false,
      log: this.#log(),
    };
    this.#recentSeqs = new Float64Array(identities.length * RECENT_COUNT).fill(-1);
    this.#recentTimesMs = new Float64Array(identities.length * RECENT_COUNT);
    this.#commandCounts = new Uint32Array(identities.length);
    this.sensors = identities.map((identity) => new Sensor(this.#surroundings, identity));
    this.#byClientId = new Map(this.sensors.map((sensor) => [sensor.clientId, sensor]));
    this.#targets = new RandomStream(scenario.seed, 0, "fault");
    this.#returns = new RandomStream(scenario.seed, 0, "return");
    const { broker, observe } = scenario;
    this.#willMs = 2 * broker.keepAliveSeconds * 1000 + observe.graceMs;
  }

  get connectedCount(): number {
    return this.sensors.reduce((sum, { isConnected }) => sum + (isConnected ? 1 : 0), 0);
  }

  get connectingCount(): number {
    return this.sensors.reduce((sum, { isConnecting }) => sum + (isConnecting ? 1 : 0), 0);
  }

  /** Telemetry of connected devices that waits for its acknowledgement. */
  get outstandingCount(): number {
    return this.sensors.reduce(
      (sum, { isConnected, outstandingCount }) => sum + (isConnected ? outstandingCount : 0),
      0,
    );
  }

  /** The sensor with this Client Identifier, if it is one of ours. */
  byClientId(clientId: string): Sensor | undefined {
    return this.#byClientId.get(clientId);
  }

  /** Commands that have arrived at a device since the start. */
  commandCount(index: number): number {
    return this.#commandCounts[index] ?? 0;
  }

  /** When a device published this telemetry, if that is not long ago. */
  publishedAtMs(index: number, seq: number): number | undefined {
    const place = recentPlace(index, seq);
    return this.#recentSeqs[place] === seq ? this.#recentTimesMs[place] : undefined;
  }

  /** A counter of the firmware, over all devices. */
  counter(which: Counter): number {
    return this.sensors.reduce((sum, sensor) => sum + sensor.counter(which), 0);
  }

  /** Starts to connect all devices, so many a second. */
  connectAll(ratePerSecond: number): void {
    const { world } = this.#options;
    const startedAtMs = world.nowMs();
    let started = 0;
    const step = () => {
      const due = Math.ceil(((world.nowMs() - startedAtMs) * ratePerSecond) / 1000);
      for (; started < Math.min(due, this.sensors.length); started++) {
        this.sensors[started]?.comeBackIn(0);
      }
      if (started < this.sensors.length) this.#rampTimer = world.setTimer(RAMP_STEP_MS, step);
    };
    this.#rampTimer = world.setTimer(0, step);
  }

  /**
   * Draws connected devices; fewer than the target if fewer are connected. The same seed draws the same, and a device
   * that happens to be away changes nobody's turn but its own.
   */
  draw(target: Target): Sensor[] {
    const order = [...this.sensors];
    for (let index = order.length - 1; index > 0; index--) {
      const other = this.#targets.integer(0, index);
      [order[index], order[other]] = [order[other] as Sensor, order[index] as Sensor];
    }
    const count = targetCount(target, order.length);
    return order.filter(({ isConnected }) => isConnected).slice(0, count);
  }

  /** Keeps a connection that its device has left, so that the broker sees nothing of it. */
  keepGhost(sensor: Sensor, ghost: Transport | undefined): void {
    if (ghost !== undefined) this.#ghosts.set(sensor, ghost);
  }

  /** The broker stops: no device connects again by itself until `release`, and what is lost was to be. */
  hold(): void {
    this.#isBrokerStopped = true;
    this.#surroundings.isHeld = true;
  }

  /** All devices that lost their connection meanwhile come back, spread over their backoff. */
  release(): void {
    this.#isBrokerStopped = false;
    this.#surroundings.isHeld = false;
    for (const sensor of this.sensors) {
      if (sensor.isStranded)
        sensor.comeBackIn(this.#returns.uniform() * sensor.group.reconnect.baseMs);
    }
  }

  /** From now on no device begins to connect, be it for the first time or again. */
  settle(): void {
    this.#rampTimer?.clear();
    this.#surroundings.isHeld = true;
    for (const sensor of this.sensors) sensor.stay();
  }

  /** Ends everything that is still open, at once. */
  stop(): void {
    this.#rampTimer?.clear();
    for (const sensor of this.sensors) sensor.stop();
    for (const ghost of this.#ghosts.values()) ghost.reset();
    this.#ghosts.clear();
  }

  #log(): SensorLog {
    const { counts } = this;
    const { audit, ledger, world } = this.#options;
    return {
      connecting: ({ index }) => {
        counts.attempted++;
        ledger.deviceReturns(index, world.nowMs());
      },
      connected: (sensor, latencyMs) => {
        counts.connected++;
        if (sensor.wasConnected) counts.reconnected++;
        counts.connect.record(latencyMs);
        ledger.deviceReturned(sensor.index, world.nowMs());
        this.#ghosts.get(sensor)?.reset(); // the broker has closed it [MQTT-3.1.4-2]
        this.#ghosts.delete(sensor);
      },
      failed: (_sensor, reason) => countFailure(counts, reason),
      lost: ({ index }) => {
        if (!this.#isBrokerStopped) counts.lost++;
        const nowMs = world.nowMs();
        ledger.connectionLost(index, nowMs, nowMs + this.#willMs);
      },
      measured: (_sensor, lagMs) => counts.scheduleLag.record(lagMs),
      published: (sensor, seq, atMs) => {
        counts.published++;
        audit.accepted(sensor.index, seq);
        const place = recentPlace(sensor.index, seq);
        this.#recentSeqs[place] = seq;
        this.#recentTimesMs[place] = atMs;
      },
      sent: ({ group }, count) => {
        counts.sent[group.publish.qos] += count;
      },
      acknowledged: (sensor, seq, dueAtMs, publishedAtMs) => {
        const nowMs = world.nowMs();
        counts.acknowledged++;
        audit.acknowledged(sensor.index, seq);
        counts.publishAck.record(nowMs - dueAtMs);
        counts.publishAckUncorrected.record(nowMs - publishedAtMs);
      },
      statusAcknowledged: ({ index }, status) => {
        if (status === "birth") ledger.birthAcknowledged(index);
        else ledger.goodbyeAcknowledged(index);
      },
      refused: () => {
        counts.refusedFull++;
      },
      command: ({ index }) => {
        this.#commandCounts[index] = (this.#commandCounts[index] ?? 0) + 1;
      },
    };
  }
}

function recentPlace(index: number, seq: number): number {
  return index * RECENT_COUNT + (seq % RECENT_COUNT);
}

function identitiesOf(scenario: Scenario, password: string | undefined): SensorIdentity[] {
  const { broker } = scenario;
  const identities: SensorIdentity[] = [];
  for (const group of scenario.groups) {
    for (let number = group.firstNumber; number < group.firstNumber + group.count; number++) {
      const clientId = fillPattern(group.id, { number });
      const fill = (pattern: string | undefined) =>
        pattern === undefined ? undefined : fillPattern(pattern, { number, clientId });
      identities.push({
        index: identities.length,
        clientId,
        username: fill(broker.username),
        password: password ?? fill(broker.password),
        group,
      });
    }
  }
  return identities;
}

function countFailure(counts: FleetCounts, reason: EndReason): void {
  const isRefused = reason instanceof RefusedError;
  const key = isRefused ? String(reason.returnCode) : failureText(reason);
  const map = isRefused ? counts.refused : counts.failed;
  map.set(key, (map.get(key) ?? 0) + 1);
}

function failureText(reason: EndReason): string {
  if (reason instanceof ConnectionError) return reason.failure;
  if (reason instanceof ProtocolError) return reason.message;
  return "the broker closed the connection without an answer";
}
