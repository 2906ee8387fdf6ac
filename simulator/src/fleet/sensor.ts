/** One virtual thermometer: a record of the firmware module, a connection, and the ways to fail. */

import { ConnectionState, Counter, Event, RETAIN_FLAG } from "../../../firmware/core/abi.ts";
import { Driver, type DriverHandlers, type EndReason } from "../../../host/src/client/driver.ts";
import { RECONNECT_POLICY, reconnectDelayMs } from "../../../host/src/client/reconnect.ts";
import type { ThermometerExports } from "../../../host/src/core/core.ts";
import { type Capacities, CoreError, check, Session } from "../../../host/src/core/session.ts";
import type { OpenTransport, Transport } from "../../../host/src/transport/transport.ts";
import type { World } from "../../../host/src/world.ts";
import { RandomStream } from "../random.ts";
import type { Departures } from "./departures.ts";
import { DeviceState, type DeviceStates } from "./device-states.ts";
import type { PublishTimes } from "./publish-times.ts";
import type { Credentials, SensorKind } from "./sensor-kind.ts";
import type { Temperatures } from "./temperature.ts";
import type { TimerWheel } from "./timer-wheel.ts";

/** What all sensors of a fleet have in common; arrays have a place for each, by its `index`. */
export interface SensorSurroundings {
  world: World;
  openTransport: OpenTransport;
  seed: number;
  /** True while nobody shall connect again by itself: see `Fleet.hold` and `Fleet.settle`. */
  isHeld: boolean;
  /** When the run began, on the world's clock: temperatures count from here. */
  startedAtMs: number;
  states: DeviceStates;
  temperatures: Temperatures;
  times: PublishTimes;
  /** ALARM_COUNT for each sensor; `Sensor.ring` is called with the number within. */
  alarms: TimerWheel;
  departures: Departures;
  log: SensorLog;
}

/** What a sensor tells of itself. Times are those of the world's clock, in milliseconds. */
export interface SensorLog {
  connecting(sensor: Sensor): void;
  connected(sensor: Sensor, latencyMs: number): void;
  /** The connection ended without CONNACK, or with a refusal. */
  failed(sensor: Sensor, reason: EndReason): void;
  /** The connection ended although nobody here wanted it to, or before the broker took a goodbye. */
  lost(sensor: Sensor, reason: EndReason): void;
  /** The broker has not closed the connection that has sent it garbage: the device does now. */
  ignored(sensor: Sensor): void;
  /** A reading was taken, so much later than it was due. */
  measured(sensor: Sensor, lagMs: number): void;
  published(sensor: Sensor, seq: number): void;
  /** `count` messages of telemetry have a connection to go by, for the first time. */
  sent(sensor: Sensor, count: number): void;
  /** `place` is where `SensorSurroundings.times` has the message. */
  acknowledged(sensor: Sensor, place: number, nowMs: number): void;
  /** The broker has taken over what the device says of itself: that it is there, or that it goes. */
  statusAcknowledged(sensor: Sensor, status: "birth" | "goodbye"): void;
  /** The outbox had no room for a reading that was due then. */
  refused(sensor: Sensor, dueAtMs: number): void;
  /** So many readings were never taken, the first of them due at `dueAtMs`: the process had no time for them. */
  missed(sensor: Sensor, count: number, dueAtMs: number, intervalMs: number): void;
  command(sensor: Sensor): void;
}

/** The alarms of one sensor, by their number within. */
const Alarm = { Driver: 0, Reading: 1, Connect: 2 } as const;
export const ALARM_COUNT = 3;

/** A PUBLISH at QoS 3, for which the broker must close [MQTT-3.3.1-4]. Of all malformed packets this is the one that brokers notice. */
const GARBAGE = Uint8Array.of(0x36, 0x05, 0x00, 0x01, 0x61, 0x00, 0x01);

/** A broker that has not closed a connection for so long since garbage came will not. Sooner, its FIN may be on its way. */
const IGNORED_MS = 1_000;

/** A device that lost its memory does not start with the identifier it may have under way at the broker. */
const PACKET_ID_MAX = 65_535;

/** The firmware of a device that publishes as fast as it can does not look at its clock. */
const FLOOD_INTERVAL_MS = 86_400_000;

/** How soon it fills its outbox again. Node's timers know nothing shorter. */
const POUR_MS = 1;

/** A device that is to come back while its goodbye is still under way looks again after this. */
const PARTING_MS = 10;

/**
 *   Off, Waiting ──comeBackIn──> Connecting ──CONNACK──> Connected ──fault──> Leaving, Condemned ──ended──> Waiting
 *                                    │                     │   └──goodbye──> Parting ──acknowledged──> Parted ──ended──> Off
 *                                    └──────ended──────────┴──> Waiting
 */
export class Sensor implements DriverHandlers {
  /** In the arrays of its fleet. */
  readonly index: number;
  readonly clientId: string;
  readonly kind: SensorKind;
  /** Stands for `%i` in patterns. */
  readonly number: number;
  readonly #surroundings: SensorSurroundings;
  readonly #session: Session<ThermometerExports>;
  readonly #driver: Driver<ThermometerExports>;
  /** Undefined without jitter. */
  readonly #schedule: RandomStream | undefined;
  readonly #backoff: RandomStream;
  #lostCounters: Map<Counter, number> | undefined;
  /** When the readings are due that wait for their jitter behind the one whose alarm is set, in order. */
  #laterReadings: number[] | undefined;
  #wasConnected = false;
  #hasLostMemory = false;
  #isQuiet = false;
  #openedAtMs = 0;
  /** Infinity until the connection stands. */
  #connectedAtMs = Number.POSITIVE_INFINITY;
  #condemnedAtMs = 0;
  #attempt = 0;
  /** When the next reading should be taken; NaN before the first. */
  #dueAtMs = Number.NaN;
  /** With which that was planned. */
  #intervalMs = 0;
  /** What the next reading that is published will have. */
  #nextSeq = 0;
  #unsentCount = 0;

  /** `seedIndex` is its index in the whole fleet, which may be divided among threads. */
  constructor(
    surroundings: SensorSurroundings,
    kind: SensorKind,
    place: { index: number; seedIndex: number; number: number },
  ) {
    const { seed, world } = surroundings;
    this.index = place.index;
    this.number = place.number;
    this.kind = kind;
    this.clientId = kind.clientId(place.number);
    this.#surroundings = surroundings;
    const hasJitter = kind.group.publish.jitter > 0;
    this.#schedule = hasJitter ? new RandomStream(seed, place.seedIndex, "schedule") : undefined;
    this.#backoff = new RandomStream(seed, place.seedIndex, "reconnect");
    this.#session = new Session(kind.core, this.#capacities());
    this.#driver = new Driver(this.#session, world, this);
    this.#boot(1);
  }

  get group(): SensorKind["group"] {
    return this.kind.group;
  }

  get isConnected(): boolean {
    return this.#state === DeviceState.Connected;
  }

  get isConnecting(): boolean {
    return this.#state === DeviceState.Connecting;
  }

  /** True if it has a connection, or is making or ending one. */
  get isBusy(): boolean {
    return this.#driver.isOpen;
  }

  /** True if it is gone until somebody calls `comeBackIn`. */
  get isOff(): boolean {
    return this.#state === DeviceState.Off;
  }

  /** True if it lost its connection while the fleet was held, and will not make another by itself. */
  get isStranded(): boolean {
    return (
      this.#state === DeviceState.Waiting &&
      !this.#surroundings.alarms.isSet(this.#alarm(Alarm.Connect))
    );
  }

  /** True from the first CONNACK on. */
  get wasConnected(): boolean {
    return this.#wasConnected;
  }

  /** Telemetry at QoS 1 and 2 without an acknowledgement. */
  get outstandingCount(): number {
    return this.#surroundings.times.waitingCount(this.index);
  }

  /** What it logs in with. */
  get credentials(): Credentials {
    return this.kind.credentials(this.number, this.clientId);
  }

  /** When bytes last went to the broker. */
  get sentAtMs(): number {
    return this.#driver.sentAtMs;
  }

  /** What the record has counted since the start, losses of power included. */
  counter(which: Counter): number {
    return (this.#lostCounters?.get(which) ?? 0) + this.#session.counter(which);
  }

  /** Connects after `delayMs`, as often as it takes. A connection that still stands is torn down first. */
  comeBackIn(delayMs: number): void {
    const { alarms, world } = this.#surroundings;
    alarms.set(this.#alarm(Alarm.Connect), world.nowMs() + delayMs);
  }

  /** Connects after `delayMs` and a random time that grows with each attempt, as a device that lost its connection. */
  reconnectIn(delayMs: number): void {
    const { baseMs, maxMs } = this.group.reconnect;
    // Two devices with one client id take the broker from each other in turn: their delays must grow all the same.
    const nowMs = this.#surroundings.world.nowMs();
    if (nowMs - this.#connectedAtMs >= RECONNECT_POLICY.stableMs) this.#attempt = 0;
    const random = () => this.#backoff.uniform();
    const backoffMs = reconnectDelayMs(this.#attempt, random, { baseMs, maxMs });
    this.#attempt++;
    this.comeBackIn(delayMs + backoffMs);
  }

  /** Does not connect by itself any more. */
  stay(): void {
    this.#surroundings.alarms.clear(this.#alarm(Alarm.Connect));
  }

  /** `tcp-close`: FIN without DISCONNECT. */
  closeConnection(): void {
    this.#state = DeviceState.Leaving;
    this.#driver.abort("close");
  }

  /** `tcp-reset`: RST. */
  resetConnection(): void {
    this.#state = DeviceState.Leaving;
    this.#driver.abort("reset");
  }

  /** `protocol-error`: the broker must close. */
  sendGarbage(): void {
    this.#state = DeviceState.Condemned;
    this.#condemnedAtMs = this.#surroundings.world.nowMs();
    this.#driver.transport?.write(GARBAGE);
  }

  /** `takeover`: connects anew while the old connection stands, which it no longer listens to. Returns the old one. */
  takeOver(): Transport | undefined {
    const ghost = this.#driver.detach();
    this.#open();
    return ghost;
  }

  /** `power-loss`: not a byte more, and the memory is lost. Returns what is left of the connection. */
  powerOff(): Transport | undefined {
    const ghost = this.hang();
    this.#hasLostMemory = true;
    this.#surroundings.times.forget(this.index);
    this.#unsentCount = 0;
    return ghost;
  }

  /** `hang`: not a byte more, but the connection stands. Returns it. */
  hang(): Transport | undefined {
    const ghost = this.#driver.detach();
    ghost?.pause();
    this.#turnOff();
    return ghost;
  }

  /** `clean`: publishes its own `offline`, then DISCONNECT. False if the outbox has no room for it now. */
  sayGoodbye(): boolean {
    try {
      this.#driver.disconnect();
    } catch (error) {
      if (error instanceof CoreError) return false;
      throw error;
    }
    this.#state = DeviceState.Parting;
    this.#cancelReadings();
    return true;
  }

  /** Takes no more readings, so that what is under way can come to its end. */
  quiet(): void {
    this.#isQuiet = true;
    this.#cancelReadings();
  }

  /** Ends everything at once: nothing of this sensor keeps the process. */
  stop(): void {
    this.stay();
    this.#driver.detach()?.reset();
    this.#turnOff();
  }

  /** Takes readings at another interval from now on. */
  measureEvery(intervalMs: number): void {
    this.#configure(intervalMs);
    this.#driver.reschedule();
  }

  /** One of its alarms rings. */
  ring(alarm: number, nowMs: number, dueAtMs: number): void {
    if (alarm === Alarm.Driver) {
      this.#driver.doDue(nowMs);
      this.#surroundings.departures.add(this.#driver);
    } else if (alarm === Alarm.Reading && this.kind.isFlooding) this.#pour(nowMs);
    else if (alarm === Alarm.Reading) this.#readWaiting(dueAtMs, nowMs);
    else this.#open();
  }

  /** For the driver. */
  wakeAt(atMs: number): void {
    this.#surroundings.alarms.set(this.#alarm(Alarm.Driver), atMs);
  }

  /** For the driver. */
  transmitted(): void {
    if (this.kind.isFlooding) this.#pourSoon();
  }

  /** For the driver. */
  event(event: Event, nowMs: number): void {
    if (event === Event.ReadingDue) this.#planReading(nowMs);
    else if (event === Event.Published) this.#onAcknowledged(this.#session.packetId, nowMs);
    else if (event === Event.Connected) this.#onConnected();
    else if (event === Event.Dropped) {
      this.#surroundings.times.take(this.index, this.#session.packetId);
    } else if (event === Event.CommandDone || event === Event.CommandUnknown) {
      this.#surroundings.log.command(this);
    }
  }

  /** For the driver. */
  ended(reason: EndReason): void {
    const { log, isHeld } = this.#surroundings;
    const state = this.#state;
    this.#state = DeviceState.Waiting;
    if (state === DeviceState.Parting || state === DeviceState.Parted) this.#turnOff();
    if (state === DeviceState.Parting || state === DeviceState.Connected) log.lost(this, reason);
    else if (state === DeviceState.Connecting) log.failed(this, reason);
    if (isHeld) return;
    if (state === DeviceState.Connected) this.reconnectIn(this.group.reconnect.afterMs);
    else if (state === DeviceState.Connecting) this.reconnectIn(0);
  }

  get #state(): DeviceState {
    return this.#surroundings.states.get(this.index);
  }

  set #state(state: DeviceState) {
    this.#surroundings.states.set(this.index, state);
  }

  #alarm(alarm: number): number {
    return this.index * ALARM_COUNT + alarm;
  }

  #open(): void {
    if (this.#state === DeviceState.Parting || this.#state === DeviceState.Parted) {
      this.comeBackIn(PARTING_MS); // a reset now would cause the Will that a goodbye prevents
      return;
    }
    const { log, openTransport, world } = this.#surroundings;
    this.stay();
    const isIgnored = world.nowMs() - this.#condemnedAtMs >= IGNORED_MS;
    if (this.#state === DeviceState.Condemned && isIgnored) log.ignored(this);
    if (this.#driver.isOpen) this.#driver.detach()?.reset();
    if (this.#hasLostMemory) this.#boot(this.kind.core.exports.sequence(this.#session.at));
    this.#state = DeviceState.Connecting;
    this.#connectedAtMs = Number.POSITIVE_INFINITY;
    this.#openedAtMs = world.nowMs();
    log.connecting(this);
    this.#driver.open(openTransport, this.kind.connectOptions);
  }

  /** Sets the record up, as a device does that gets power. `seq` is what a board keeps in its flash. */
  #boot(seq: number): void {
    const { world } = this.#surroundings;
    const { exports } = this.kind.core;
    const { at } = this.#session;
    if (this.#hasLostMemory) {
      this.#saveCounters();
      this.#session.reset(this.#capacities());
    }
    this.kind.setProfile(at);
    this.#session.setClientId(this.clientId);
    const { username, password } = this.credentials;
    if (username !== undefined) this.#session.setCredentials(username, password);
    this.#session.setNextPacketId(1 + Math.floor(this.#backoff.uniform() * PACKET_ID_MAX));
    this.#configure(this.group.publish.intervalMs);
    check("setSequence", exports.setSequence(at, seq));
    this.#nextSeq = seq;
    const unixMs = world.unixMs();
    check("setClock", exports.setClock(at, unixMs / 1000, unixMs % 1000, world.nowMs()));
    this.#hasLostMemory = false;
    this.#dueAtMs = Number.NaN;
  }

  #configure(intervalMs: number): void {
    const { deadBandMilliCelsius, qos, retain } = this.group.publish;
    const flags = qos | (retain ? RETAIN_FLAG : 0);
    const { configure } = this.kind.core.exports;
    const ownIntervalMs = intervalMs === 0 ? FLOOD_INTERVAL_MS : intervalMs;
    check("configure", configure(this.#session.at, ownIntervalMs, deadBandMilliCelsius, flags));
  }

  #capacities(): Capacities {
    return this.kind.capacities(this.clientId, this.credentials);
  }

  #saveCounters(): void {
    this.#lostCounters ??= new Map();
    for (const which of [Counter.Refused, Counter.Discarded, Counter.Requeued]) {
      this.#lostCounters.set(which, this.counter(which));
    }
  }

  #turnOff(): void {
    this.#state = DeviceState.Off;
    this.#dueAtMs = Number.NaN;
    this.#cancelReadings();
    this.#driver.stop();
  }

  #cancelReadings(): void {
    this.#laterReadings = undefined;
    this.#surroundings.alarms.clear(this.#alarm(Alarm.Reading));
  }

  #onConnected(): void {
    const { log, world } = this.#surroundings;
    this.#state = DeviceState.Connected;
    this.#connectedAtMs = world.nowMs();
    log.connected(this, this.#connectedAtMs - this.#openedAtMs);
    this.#wasConnected = true;
    if (this.#unsentCount > 0) log.sent(this, this.#unsentCount);
    this.#unsentCount = 0;
    if (this.kind.isFlooding) this.#pourSoon();
  }

  /** The firmware wants a reading. Jitter lets it wait, so that a fleet does not march in step. */
  #planReading(nowMs: number): void {
    if (this.#isQuiet || this.kind.isFlooding) return;
    const intervalMs = this.kind.core.exports.intervalMs(this.#session.at);
    const scheduledAtMs = this.#scheduledAtMs(nowMs, intervalMs);
    this.#dueAtMs = scheduledAtMs + intervalMs;
    this.#intervalMs = intervalMs;
    if (this.#schedule === undefined) {
      this.#read(scheduledAtMs, nowMs);
      return;
    }
    const jitterMs = 2 * this.group.publish.jitter * intervalMs * this.#schedule.uniform();
    this.#awaitReading(scheduledAtMs + jitterMs);
  }

  /** When the reading that the firmware wants now was due. Intervals that have passed entirely it leaves out. */
  #scheduledAtMs(nowMs: number, intervalMs: number): number {
    const dueAtMs = this.#dueAtMs;
    // A command may want it sooner, and another interval makes another schedule.
    if (!(nowMs >= dueAtMs - 1) || intervalMs !== this.#intervalMs) return nowMs;
    const missedCount = Math.max(0, Math.floor((nowMs - dueAtMs) / intervalMs));
    if (missedCount > 0) this.#surroundings.log.missed(this, missedCount, dueAtMs, intervalMs);
    return dueAtMs + missedCount * intervalMs;
  }

  /** A jitter of more than half an interval may let several wait. */
  #awaitReading(atMs: number): void {
    const { alarms } = this.#surroundings;
    const alarm = this.#alarm(Alarm.Reading);
    const firstAtMs = alarms.dueAtMs(alarm);
    if (atMs < firstAtMs) alarms.set(alarm, atMs);
    if (firstAtMs === Number.POSITIVE_INFINITY) return;
    this.#laterReadings ??= [];
    this.#laterReadings.push(Math.max(atMs, firstAtMs));
    this.#laterReadings.sort((one, other) => one - other);
  }

  #readWaiting(dueAtMs: number, nowMs: number): void {
    const nextAtMs = this.#laterReadings?.shift();
    if (nextAtMs !== undefined) {
      this.#surroundings.alarms.set(this.#alarm(Alarm.Reading), nextAtMs);
    }
    this.#read(dueAtMs, nowMs);
  }

  #read(dueAtMs: number, nowMs: number): void {
    const { log } = this.#surroundings;
    log.measured(this, Math.max(0, nowMs - dueAtMs));
    const outcome = this.#publish(dueAtMs, nowMs);
    if (outcome === "refused") log.refused(this, dueAtMs);
    if (outcome !== "published") return;
    const state = this.#state;
    if (state === DeviceState.Connected || state === DeviceState.Condemned) {
      log.sent(this, 1);
      this.#driver.flush();
    } else this.#unsentCount++;
  }

  /** Takes a reading and lets the firmware make a message of it. */
  #publish(dueAtMs: number, nowMs: number): "published" | "unchanged" | "refused" {
    const { log, startedAtMs, temperatures, times } = this.#surroundings;
    const { exports } = this.kind.core;
    const { at } = this.#session;
    const { temperature } = this.group;
    const milliCelsius = temperatures.milliCelsius(temperature, this.index, nowMs - startedAtMs);
    const packetId = exports.reading(at, milliCelsius, nowMs);
    if (packetId < 0) return "refused";
    const nextSeq = exports.sequence(at) >>> 0;
    if (nextSeq === this.#nextSeq) return "unchanged"; // within the dead band
    this.#nextSeq = nextSeq;
    const seq = nextSeq - 1;
    if (this.kind.isTimed) times.put(this.index, seq, packetId, { dueAtMs, publishedAtMs: nowMs });
    log.published(this, seq);
    return "published";
  }

  /** Fills the outbox as soon as the others have had their turn. */
  #pourSoon(): void {
    const { alarms, world } = this.#surroundings;
    const alarm = this.#alarm(Alarm.Reading);
    if (!alarms.isSet(alarm)) alarms.set(alarm, world.nowMs() + POUR_MS);
  }

  /** Takes readings until the outbox is full: they leave in one write. */
  #pour(nowMs: number): void {
    if (this.#isQuiet || !this.isConnected) return;
    let count = 0;
    const countMax = this.group.publish.outboxCount;
    while (count < countMax && this.#publish(nowMs, nowMs) !== "refused") count++;
    if (count === 0) return;
    this.#surroundings.log.sent(this, count);
    this.#driver.flush();
  }

  #onAcknowledged(packetId: number, nowMs: number): void {
    const { log, times } = this.#surroundings;
    const place = times.take(this.index, packetId);
    if (place !== undefined) {
      log.acknowledged(this, place, nowMs);
      if (this.kind.isFlooding) this.#pourSoon();
    } else if (this.#session.state === ConnectionState.Disconnecting) {
      this.#state = DeviceState.Parted; // the firmware has queued DISCONNECT behind its goodbye
      log.statusAcknowledged(this, "goodbye");
    } else if ((this.kind.birthPacketId(this.#session.at) ?? packetId) === packetId) {
      log.statusAcknowledged(this, "birth");
    }
  }
}
