/** One virtual thermometer: a record of the firmware module, a connection, a temperature, and the ways to fail. */

import { ConnectionState, Counter, Event, RETAIN_FLAG } from "../../firmware/core/abi.ts";
import { Driver, type EndReason } from "../../host/src/client/driver.ts";
import { RECONNECT_POLICY, reconnectDelayMs } from "../../host/src/client/reconnect.ts";
import type { Core, ThermometerExports } from "../../host/src/core/core.ts";
import { type Capacities, CoreError, check, Session } from "../../host/src/core/session.ts";
import type { OpenTransport, Transport } from "../../host/src/transport/transport.ts";
import type { Timer, World } from "../../host/src/world.ts";
import { RandomStream } from "./random.ts";
import type { DeviceGroup } from "./scenario.ts";
import { deviceTemperature, type Temperature } from "./temperature.ts";

/** What all sensors of a fleet have in common. */
export interface SensorSurroundings {
  core: Core<ThermometerExports>;
  world: World;
  openTransport: OpenTransport;
  keepAliveSeconds: number;
  responseTimeoutMs: number;
  seed: number;
  /** True while nobody shall connect again by itself: see `Fleet.hold` and `Fleet.settle`. */
  isHeld: boolean;
  /** When the run began, on the world's clock: temperatures count from here. */
  startedAtMs: number;
  log: SensorLog;
}

/** What makes one sensor this one. */
export interface SensorIdentity {
  /** 0-based in the fleet. */
  index: number;
  clientId: string;
  username: string | undefined;
  password: string | undefined;
  group: DeviceGroup;
}

/** What a sensor tells of itself. Times are those of the world's clock, in milliseconds. */
export interface SensorLog {
  connecting(sensor: Sensor): void;
  connected(sensor: Sensor, latencyMs: number): void;
  /** The connection ended without CONNACK, or with a refusal. */
  failed(sensor: Sensor, reason: EndReason): void;
  /** The connection ended although nobody here wanted it to, or before the broker took a goodbye. */
  lost(sensor: Sensor, reason: EndReason): void;
  /** A reading was taken, so much later than it was due. */
  measured(sensor: Sensor, lagMs: number): void;
  published(sensor: Sensor, seq: number, atMs: number): void;
  /** `count` messages of telemetry have a connection to go by, for the first time. */
  sent(sensor: Sensor, count: number): void;
  /** `dueAtMs` is when the reading should have been taken, `publishedAtMs` when it was published. */
  acknowledged(sensor: Sensor, seq: number, dueAtMs: number, publishedAtMs: number): void;
  /** The broker has taken over what the device says of itself: that it is there, or that it goes. */
  statusAcknowledged(sensor: Sensor, status: "birth" | "goodbye"): void;
  /** The outbox had no room for a reading. */
  refused(sensor: Sensor): void;
  command(sensor: Sensor): void;
}

/** Room for what a sensor receives (commands), and for about 20 readings that wait. A fleet of 10,000 has to fit. */
const BUFFERS = { receive: 512, transmit: 2048, incomingCount: 16 };

/** The Will beside two client ids: "motes/", "/status", "offline", and two bytes of length for each of five fields. */
const IDENTITY_LENGTH = 30;

/** Telemetry whose packet is under way. */
interface Outstanding {
  seq: number;
  dueAtMs: number;
  publishedAtMs: number;
}

/**
 *   off, waiting ──comeBackIn──> connecting ──CONNACK──> connected ──fault──> leaving, condemned ──ended──> waiting
 *                                    │                     │   └──goodbye──> parting ──acknowledged──> parted ──ended──> off
 *                                    └──────ended──────────┴──> waiting
 */
type State =
  /** No connection, and the clock stands: not yet started, without power, hung, or asleep after a goodbye. */
  | "off"
  /** No connection; readings wait in the outbox. */
  | "waiting"
  | "connecting"
  | "connected"
  /** This side is about to end the connection, for a fault. */
  | "leaving"
  /** It has sent garbage: the broker is about to end the connection. */
  | "condemned"
  /** The goodbye is under way. */
  | "parting"
  /** The broker has taken the goodbye; DISCONNECT follows it. */
  | "parted";

/** A packet of a type that does not exist (2.2.1), so that the broker must close [MQTT-4.8.0-1]. */
const GARBAGE = Uint8Array.of(0xf0, 0x00);

/** A device that lost its memory does not start with the identifier it may have under way at the broker. */
const PACKET_ID_MAX = 65_535;

/** A device that is to come back while its goodbye is still under way looks again after this. */
const PARTING_MS = 10;

export class Sensor {
  readonly index: number;
  readonly clientId: string;
  readonly group: DeviceGroup;
  readonly identity: SensorIdentity;
  readonly #surroundings: SensorSurroundings;
  readonly #capacities: Capacities;
  readonly #session: Session<ThermometerExports>;
  readonly #driver: Driver<ThermometerExports>;
  readonly #temperature: Temperature;
  readonly #schedule: RandomStream;
  readonly #backoff: RandomStream;
  readonly #outstanding = new Map<number, Outstanding>();
  readonly #lostCounters = new Map<Counter, number>();
  /** Readings that wait for their jitter. */
  readonly #readings = new Set<Timer>();
  #state: State = "off";
  #wasConnected = false;
  #hasLostMemory = false;
  #isQuiet = false;
  #openedAtMs = 0;
  /** Infinity until the connection stands. */
  #connectedAtMs = Number.POSITIVE_INFINITY;
  #attempt = 0;
  #retryTimer: Timer | undefined;
  #dueAtMs: number | undefined;
  #unsentCount = 0;

  constructor(surroundings: SensorSurroundings, identity: SensorIdentity) {
    const { core, world, seed } = surroundings;
    this.index = identity.index;
    this.clientId = identity.clientId;
    this.group = identity.group;
    this.identity = identity;
    this.#surroundings = surroundings;
    this.#temperature = deviceTemperature(identity.group.temperature, seed, identity.index);
    this.#schedule = new RandomStream(seed, identity.index, "schedule");
    this.#backoff = new RandomStream(seed, identity.index, "reconnect");
    this.#capacities = capacitiesFor(identity);
    this.#session = new Session(core, this.#capacities);
    this.#driver = new Driver(this.#session, world, {
      event: (event) => this.#onEvent(event),
      ended: (reason) => this.#onEnded(reason),
    });
    this.#boot(1);
  }

  get isConnected(): boolean {
    return this.#state === "connected";
  }

  get isConnecting(): boolean {
    return this.#state === "connecting";
  }

  /** True if it has a connection, or is making or ending one. */
  get isBusy(): boolean {
    return this.#driver.isOpen;
  }

  /** True if it is gone until somebody calls `comeBackIn`. */
  get isOff(): boolean {
    return this.#state === "off";
  }

  /** True if it lost its connection while the fleet was held, and will not make another by itself. */
  get isStranded(): boolean {
    return this.#state === "waiting" && this.#retryTimer === undefined;
  }

  /** True from the first CONNACK on. */
  get wasConnected(): boolean {
    return this.#wasConnected;
  }

  /** Telemetry at QoS 1 and 2 without an acknowledgement. */
  get outstandingCount(): number {
    return this.#outstanding.size;
  }

  /** When bytes last went to the broker. */
  get sentAtMs(): number {
    return this.#driver.sentAtMs;
  }

  /** What the record has counted since the start, losses of power included. */
  counter(which: Counter): number {
    return (this.#lostCounters.get(which) ?? 0) + this.#session.counter(which);
  }

  /** Connects after `delayMs`, as often as it takes. A connection that still stands is torn down first. */
  comeBackIn(delayMs: number): void {
    this.#retryTimer?.clear();
    this.#retryTimer = this.#surroundings.world.setTimer(delayMs, () => this.#open());
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
    this.#retryTimer?.clear();
    this.#retryTimer = undefined;
  }

  /** `tcp-close`: FIN without DISCONNECT. */
  closeConnection(): void {
    this.#state = "leaving";
    this.#driver.abort("close");
  }

  /** `tcp-reset`: RST. */
  resetConnection(): void {
    this.#state = "leaving";
    this.#driver.abort("reset");
  }

  /** `protocol-error`: the broker must close. */
  sendGarbage(): void {
    this.#state = "condemned";
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
    this.#outstanding.clear();
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
    this.#state = "parting";
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

  #open(): void {
    if (this.#state === "parting" || this.#state === "parted") {
      this.comeBackIn(PARTING_MS); // a reset now would cause the Will that a goodbye prevents
      return;
    }
    this.#retryTimer = undefined;
    if (this.#driver.isOpen) this.#driver.detach()?.reset();
    if (this.#hasLostMemory) this.#boot(this.#surroundings.core.exports.sequence(this.#session.at));
    this.#state = "connecting";
    this.#connectedAtMs = Number.POSITIVE_INFINITY;
    this.#openedAtMs = this.#surroundings.world.nowMs();
    this.#surroundings.log.connecting(this);
    const { keepAliveSeconds, responseTimeoutMs, openTransport } = this.#surroundings;
    const { cleanSession } = this.group;
    this.#driver.open(openTransport, { cleanSession, keepAliveSeconds, responseTimeoutMs });
  }

  /** Sets the record up, as a device does that gets power. `seq` is what a board keeps in its flash. */
  #boot(seq: number): void {
    const { core, world } = this.#surroundings;
    const { at } = this.#session;
    if (this.#hasLostMemory) this.#saveCounters();
    this.#session.reset(this.#capacities);
    this.#session.setClientId(this.clientId);
    this.#session.setCredentials(this.identity.username, this.identity.password);
    this.#session.setNextPacketId(1 + Math.floor(this.#backoff.uniform() * PACKET_ID_MAX));
    const { intervalMs, deadBandMilliCelsius, qos, retain } = this.group.publish;
    const flags = qos | (retain ? RETAIN_FLAG : 0);
    check("configure", core.exports.configure(at, intervalMs, deadBandMilliCelsius, flags));
    check("setSequence", core.exports.setSequence(at, seq));
    const unixMs = world.unixMs();
    const nowMs = world.nowMs();
    check("setClock", core.exports.setClock(at, unixMs / 1000, unixMs % 1000, nowMs));
    this.#hasLostMemory = false;
    this.#dueAtMs = undefined;
  }

  #saveCounters(): void {
    for (const which of [Counter.Refused, Counter.Discarded, Counter.Requeued]) {
      this.#lostCounters.set(which, this.counter(which));
    }
  }

  #turnOff(): void {
    this.#state = "off";
    this.#cancelReadings();
    this.#driver.stop();
  }

  #cancelReadings(): void {
    for (const timer of this.#readings) timer.clear();
    this.#readings.clear();
  }

  #onEvent(event: Event): void {
    if (event === Event.ReadingDue) this.#planReading();
    else if (event === Event.Published) this.#onAcknowledged(this.#session.packetId);
    else if (event === Event.Connected) this.#onConnected();
    else if (event === Event.Dropped) this.#outstanding.delete(this.#session.packetId);
    else if (event === Event.CommandDone || event === Event.CommandUnknown) {
      this.#surroundings.log.command(this);
    }
  }

  #onConnected(): void {
    const { log, world } = this.#surroundings;
    this.#state = "connected";
    this.#connectedAtMs = world.nowMs();
    log.connected(this, this.#connectedAtMs - this.#openedAtMs);
    this.#wasConnected = true;
    if (this.#unsentCount > 0) log.sent(this, this.#unsentCount);
    this.#unsentCount = 0;
  }

  #onEnded(reason: EndReason): void {
    const { log, isHeld } = this.#surroundings;
    const state = this.#state;
    this.#state = "waiting";
    if (state === "parting" || state === "parted") this.#turnOff();
    if (state === "parting" || state === "connected") log.lost(this, reason);
    else if (state === "connecting") log.failed(this, reason);
    if (isHeld) return;
    if (state === "connected") this.reconnectIn(this.group.reconnect.afterMs);
    else if (state === "connecting") this.reconnectIn(0);
  }

  /** The firmware wants a reading. Jitter lets it wait, so that a fleet does not march in step. */
  #planReading(): void {
    if (this.#isQuiet) return;
    const { core, world } = this.#surroundings;
    const nowMs = world.nowMs();
    const intervalMs = core.exports.intervalMs(this.#session.at);
    const dueAtMs = this.#dueAtMs ?? nowMs;
    const isOnSchedule = nowMs >= dueAtMs - 1 && nowMs < dueAtMs + intervalMs;
    const scheduledAtMs = isOnSchedule ? dueAtMs : nowMs;
    this.#dueAtMs = scheduledAtMs + intervalMs;

    const jitterMs = 2 * this.group.publish.jitter * intervalMs * this.#schedule.uniform();
    if (jitterMs === 0) {
      this.#read(scheduledAtMs);
      return;
    }
    const timer = world.setTimer(Math.max(0, scheduledAtMs + jitterMs - nowMs), () => {
      this.#readings.delete(timer);
      this.#read(scheduledAtMs + jitterMs);
    });
    this.#readings.add(timer);
  }

  #read(dueAtMs: number): void {
    const { core, world, log, startedAtMs } = this.#surroundings;
    const { at } = this.#session;
    const nowMs = world.nowMs();
    log.measured(this, Math.max(0, nowMs - dueAtMs));
    const packetId = core.exports.reading(at, this.#temperature(nowMs - startedAtMs), nowMs);
    if (packetId < 0) {
      log.refused(this);
      return;
    }
    if (core.exports.readingPublished(at) === 0) return;
    const seq = (core.exports.sequence(at) >>> 0) - 1;
    if (packetId > 0) this.#outstanding.set(packetId, { seq, dueAtMs, publishedAtMs: nowMs });
    log.published(this, seq, nowMs);
    if (this.#state === "connected" || this.#state === "condemned") {
      log.sent(this, 1);
      this.#driver.flush();
    } else this.#unsentCount++;
  }

  #onAcknowledged(packetId: number): void {
    const { log } = this.#surroundings;
    const outstanding = this.#outstanding.get(packetId);
    if (outstanding !== undefined) {
      this.#outstanding.delete(packetId);
      const { seq, dueAtMs, publishedAtMs } = outstanding;
      log.acknowledged(this, seq, dueAtMs, publishedAtMs);
    } else if (this.#session.state === ConnectionState.Disconnecting) {
      this.#state = "parted"; // the firmware has queued DISCONNECT behind its goodbye
      log.statusAcknowledged(this, "goodbye");
    } else log.statusAcknowledged(this, "birth");
  }
}

/** As much room for client id, Will and credentials as they need. */
function capacitiesFor({ clientId, username = "", password = "" }: SensorIdentity): Capacities {
  const length =
    2 * Buffer.byteLength(clientId) + Buffer.byteLength(username) + Buffer.byteLength(password);
  return { ...BUFFERS, identity: IDENTITY_LENGTH + length };
}
