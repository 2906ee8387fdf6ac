/** All sensors of a run, or of a thread's part of it, and how they come, stay away and leave. */

import type { Counter } from "../../../firmware/core/abi.ts";
import type { Core, ThermometerExports } from "../../../host/src/core/core.ts";
import type { OpenTransport, Transport } from "../../../host/src/transport/transport.ts";
import type { Timer, World } from "../../../host/src/world.ts";
import { RandomStream } from "../random.ts";
import type { DeviceGroup, Scenario } from "../scenario/scenario.ts";
import { Departures } from "./departures.ts";
import { DeviceState, DeviceStates } from "./device-states.ts";
import { FleetBooks } from "./fleet-books.ts";
import { type FleetPart, fleetIndex, type Place, partSize, placesOf } from "./fleet-part.ts";
import type { LatencyMeter } from "./latency-meter.ts";
import { PublishTimes } from "./publish-times.ts";
import { ALARM_COUNT, Sensor, type SensorSurroundings } from "./sensor.ts";
import { SensorKind } from "./sensor-kind.ts";
import type { TelemetryAudit } from "./telemetry-audit.ts";
import { Temperatures } from "./temperature.ts";
import { TimerWheel } from "./timer-wheel.ts";
import type { WillLedger } from "./will-ledger.ts";

export interface FleetOptions {
  /** The firmware of a group. One instance holds all devices that run it. */
  coreOf: (group: DeviceGroup) => Core<ThermometerExports>;
  world: World;
  openTransport: OpenTransport;
  scenario: Scenario;
  /** Which devices of the scenario these are. */
  part: FleetPart;
  /** The text of `passwordFile`. */
  password: string | undefined;
  startedAtMs: number;
  audit: TelemetryAudit;
  ledger: WillLedger;
  latencies: LatencyMeter;
  /** What the counts alone would not say, in a plain sentence. */
  problem: (sentence: string) => void;
  /** A zero for each device: see `DeviceStates`. */
  stateBytes: Uint8Array;
}

/** How often a ramp looks how many connections are due. */
const RAMP_STEP_MS = 10;

export class Fleet {
  readonly sensors: readonly Sensor[];
  readonly books: FleetBooks;
  readonly states: DeviceStates;
  readonly #options: FleetOptions;
  readonly #surroundings: SensorSurroundings;
  readonly #byClientId = new Map<string, Sensor>();
  /** What is left of a connection whose device is gone, until the device is back. */
  readonly #ghosts = new Map<Sensor, Transport>();
  /** How long a device that comes back after a hold waits. */
  readonly #returns: RandomStream;
  #rampTimer: Timer | undefined;

  constructor(options: FleetOptions) {
    const { world, openTransport, scenario, part, startedAtMs, audit, ledger, latencies, problem } =
      options;
    const kinds = kindsOf(options);
    this.#options = options;
    this.states = new DeviceStates(options.stateBytes);
    const places = () => placesOf(scenario, part);
    const times = new PublishTimes(
      Array.from(places(), ({ group }) => kinds.get(group)?.placeCount ?? 0),
    );
    const { keepAliveSeconds } = scenario.broker;
    this.books = new FleetBooks({
      world,
      audit,
      ledger,
      latencies,
      times,
      problem,
      /** A Will may come so long after a connection was lost. */
      willMs: 2 * keepAliveSeconds * 1000 + scenario.observe.graceMs,
      connected: (sensor) => this.#endGhost(sensor),
    });
    const ring = (alarm: number, nowMs: number, dueAtMs: number) => {
      const sensor = this.sensors[Math.floor(alarm / ALARM_COUNT)] as Sensor;
      sensor.ring(alarm % ALARM_COUNT, nowMs, dueAtMs);
    };
    const departures = new Departures(world);
    const rung = () => departures.send();
    const { seed } = scenario;
    const count = partSize(scenario, part);
    this.#surroundings = {
      world,
      openTransport,
      seed,
      startedAtMs,
      isHeld: false,
      states: this.states,
      temperatures: new Temperatures(seed, count, (index) => fleetIndex(part, index)),
      times,
      alarms: new TimerWheel(world, count * ALARM_COUNT, ring, rung),
      departures,
      log: this.books,
    };
    this.sensors = Array.from(places(), (place) => this.#makeSensor(place, kinds));
    for (const sensor of this.sensors) this.#byClientId.set(sensor.clientId, sensor);
    this.#returns = new RandomStream(seed, part.index, "return");
  }

  get connectedCount(): number {
    return this.states.count(DeviceState.Connected);
  }

  get connectingCount(): number {
    return this.states.count(DeviceState.Connecting);
  }

  /** Telemetry of connected devices that waits for its acknowledgement. */
  get outstandingCount(): number {
    let sum = 0;
    for (const sensor of this.sensors) if (sensor.isConnected) sum += sensor.outstandingCount;
    return sum;
  }

  /** The sensor with this Client Identifier, if it is one of these. */
  byClientId(clientId: string): Sensor | undefined {
    return this.#byClientId.get(clientId);
  }

  /** A counter of the firmware, over all devices. */
  counter(which: Counter): number {
    return this.sensors.reduce((sum, sensor) => sum + sensor.counter(which), 0);
  }

  /** Starts to connect all devices, so many a second of the whole fleet. */
  connectAll(ratePerSecond: number): void {
    const { world, part } = this.#options;
    const startedAtMs = world.nowMs();
    let started = 0;
    const step = () => {
      const due = Math.ceil(((world.nowMs() - startedAtMs) * ratePerSecond) / 1000);
      for (; started < this.sensors.length && fleetIndex(part, started) < due; started++) {
        this.sensors[started]?.comeBackIn(0);
      }
      if (started < this.sensors.length) this.#rampTimer = world.setTimer(RAMP_STEP_MS, step);
    };
    this.#rampTimer = world.setTimer(0, step);
  }

  /** Keeps a connection that its device has left, so that the broker sees nothing of it. */
  keepGhost(sensor: Sensor, ghost: Transport | undefined): void {
    if (ghost !== undefined) this.#ghosts.set(sensor, ghost);
  }

  /** The broker stops: no device connects again by itself until `release`, and what is lost was to be. */
  hold(): void {
    this.books.isBrokerStopped = true;
    this.#surroundings.isHeld = true;
  }

  /** All devices that lost their connection meanwhile come back, spread over their backoff. */
  release(): void {
    this.books.isBrokerStopped = false;
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
    this.#surroundings.alarms.stop();
  }

  #makeSensor(place: Place, kinds: ReadonlyMap<DeviceGroup, SensorKind>): Sensor {
    return new Sensor(this.#surroundings, kinds.get(place.group) as SensorKind, place);
  }

  /** The broker has closed it [MQTT-3.1.4-2]. */
  #endGhost(sensor: Sensor): void {
    if (this.#ghosts.size === 0) return;
    this.#ghosts.get(sensor)?.reset();
    this.#ghosts.delete(sensor);
  }
}

function kindsOf({ scenario, password, coreOf }: FleetOptions): Map<DeviceGroup, SensorKind> {
  return new Map(
    scenario.groups.map((group) => [
      group,
      new SensorKind(group, coreOf(group), scenario, password),
    ]),
  );
}
