/** A simulated world: a broker, a network, many devices, their faults, and the checks that watch. One seed, one course. */

import type { Core } from "../../../host/src/core/core.ts";
import { JournalStore } from "../../../host/src/store/journal.ts";
import type { SessionStore } from "../../../host/src/store/session-store.ts";
import { Conversation } from "./checks/conversation.ts";
import { ExcuseCounts } from "./checks/excuses.ts";
import { SessionKnowledge } from "./checks/session-knowledge.ts";
import { deviceIndexOf, isNumberedUp, Streams } from "./checks/streams.ts";
import { WillLedger } from "./checks/wills.ts";
import { WriteAhead } from "./checks/write-ahead.ts";
import { Clock } from "./clock.ts";
import { Device } from "./device.ts";
import { DEVICE_KINDS, type DeviceKind, drawPlan } from "./device-plan.ts";
import { SimulationFailure } from "./failure.ts";
import {
  type DeviceFault,
  type Fault,
  faultWords,
  planFaults,
  type WorldFault,
} from "./fault-plan.ts";
import type { Flash } from "./flash.ts";
import { type BrokerSettings, type BrokerWatcher, ModelBroker } from "./model-broker.ts";
import { Network } from "./network.ts";
import { clientPacketWords } from "./packet-words.ts";
import { Peer } from "./peer.ts";
import { PlainApp } from "./plain-app.ts";
import { randomStream } from "./streams.ts";
import { ThermometerApp } from "./thermometer-app.ts";
import { Trace } from "./trace.ts";

/** Numbered messages: from the devices (up) and to them (down), at each QoS. */
export const TRAFFIC = ["up0", "up1", "up2", "down0", "down1", "down2"] as const;
type Traffic = (typeof TRAFFIC)[number];

export interface SimulationOptions {
  /** From 0 to 2^32 - 1. */
  readonly seed: number;
  /** Of virtual time, with traffic and faults. */
  readonly hours: number;
  readonly deviceCount: number;
  /** The numbers of those that take part; all if absent. */
  readonly onlyDevices?: readonly number[] | undefined;
  /** The ids of the faults that happen; all if absent. */
  readonly onlyFaults?: readonly string[] | undefined;
  /** All if absent. */
  readonly traffic?: readonly Traffic[] | undefined;
  /** All if absent. */
  readonly kinds?: readonly DeviceKind[] | undefined;
  /** Keep in words what happens. */
  readonly isTraced?: boolean | undefined;
}

/** Instances of the modules that are tested, fresh ones. */
export interface SimulationModules {
  readonly core: Core;
  readonly thermometer: Core;
}

/** Parts of the world that a test exchanges, to see that the checks notice. */
export interface SimulationParts {
  makeStore(flash: Flash): SessionStore;
  makeBroker(clock: Clock, settings: BrokerSettings, watcher: BrokerWatcher): ModelBroker;
}

export const REAL_PARTS: SimulationParts = {
  makeStore: (flash) => new JournalStore(flash),
  makeBroker: (clock, settings, watcher) => new ModelBroker(clock, settings, watcher),
};

const HOUR_MS = 3_600_000;

/** When traffic and faults are over, all that is owed must be delivered within so much time. */
const CALM_MS = 600_000;

/** By then all devices have power, and keep it. */
const SETTLING_MS = 60_000;

/** Each device publishes, and is published to, at each QoS so often. */
const PUBLISH_MEAN_MS = 30_000;

/** Devices are switched on within so much time. */
const START_SPREAD_MS = 5000;

/** A power cut that waits for calls or bytes strikes after so much time at the latest. */
const POWER_LIMIT_MS = 20_000;

export class Simulation {
  readonly options: SimulationOptions;
  readonly clock = new Clock();
  readonly trace: Trace;
  readonly devices = new Map<number, Device>();
  readonly excuses = new ExcuseCounts();
  readonly streams = new Streams(this.excuses);
  readonly wills = new WillLedger();
  readonly faults: readonly Fault[];
  readonly broker: ModelBroker;
  readonly network: Network;
  /** When traffic and faults end, and when everything does. */
  readonly calmAtMs: number;
  readonly endMs: number;
  connectionCount = 0;
  readonly #knowledge = new Map<number, SessionKnowledge>();
  readonly #nextNumbers = new Map<number, readonly number[]>();

  constructor(options: SimulationOptions, modules: SimulationModules, parts = REAL_PARTS) {
    this.options = options;
    this.trace = new Trace(this.clock, options.isTraced === true);
    this.calmAtMs = Math.ceil(options.hours * HOUR_MS);
    this.endMs = this.calmAtMs + CALM_MS;
    const settings = brokerSettings(options.seed);
    this.broker = parts.makeBroker(this.clock, settings, this.#watcher());
    this.network = new Network(this.clock, (connection) => this.broker.accept(connection));
    const indices =
      options.onlyDevices ?? Array.from({ length: options.deviceCount }, (_, index) => index);
    const peer = this.#makePeer();
    for (const index of indices) this.#addDevice(index, modules, parts, peer);
    this.faults = planFaults({
      seed: options.seed,
      deviceIndices: indices,
      durationMs: this.calmAtMs,
      only: options.onlyFaults,
    });
    for (const fault of this.faults) this.clock.after(fault.atMs, () => this.#strike(fault));
    this.clock.after(this.calmAtMs, () => this.#beginCalm());
  }

  /** Lets the world go on until `untilMs`. Throws a SimulationFailure. */
  advance(untilMs: number): void {
    this.clock.runUntil(Math.min(untilMs, this.endMs));
  }

  /** After the end: what must hold when nothing hinders anything any more. Throws a SimulationFailure. */
  finish(): void {
    this.wills.finish();
    for (const device of this.devices.values()) {
      if (!device.isConnected) this.#starved(device, "it is not connected");
      const next = this.#nextNumbers.get(device.index) ?? [];
      this.streams.finish(device.index, device.lifeNumber, next);
      this.#checkAtRest(device);
    }
  }

  #checkAtRest(device: Device): void {
    if (device.plan.isThermometer) {
      const status = this.broker.retained.get(`motes/${device.clientId}/status`);
      if (status?.payload !== "online") this.#starved(device, "its status is not online");
      const session = this.broker.sessions.get(device.clientId);
      const isDeaf =
        session?.subscriptions.size === 0 && this.#knowledge.get(device.index)?.isDeceived !== true;
      if (isDeaf) this.#starved(device, "it has not subscribed to its commands");
      return; // telemetry never rests
    }
    const { exchanges } = device.conversation;
    if (device.session.inflightCount > 0) this.#starved(device, "messages are still under way");
    if (exchanges.owedCount > 0) this.#starved(device, "acknowledgements are still to come");
    const deliveryCount = this.broker.sessions.get(device.clientId)?.deliveries.length ?? 0;
    if (deliveryCount > 0) this.#starved(device, "the broker still waits for its answers");
  }

  #starved(device: Device, problem: string): never {
    const words = `${problem}, and nothing hinders it any more`;
    throw new SimulationFailure("starvation", device.index, words);
  }

  /** What was published until the calm has settled must arrive before it ends. */
  #beginCalm(): void {
    this.trace.add(undefined, "no more traffic, no more faults");
    this.clock.after(POWER_LIMIT_MS, () => {
      for (const device of this.devices.values()) device.calm();
    });
    this.clock.after(SETTLING_MS, () => {
      for (const { app, index, session } of this.devices.values()) {
        this.#nextNumbers.set(index, app.nextNumbers(session));
      }
    });
  }

  #makePeer(): Peer {
    const { seed, traffic = TRAFFIC } = this.options;
    const publishedQos = [0, 1, 2].filter((qos) => traffic.includes(`down${qos}` as Traffic));
    return new Peer({
      broker: this.broker,
      clock: this.clock,
      streams: this.streams,
      seed,
      publishMeanMs: PUBLISH_MEAN_MS,
      publishedQos,
      endMs: this.calmAtMs,
    });
  }

  #addDevice(index: number, modules: SimulationModules, parts: SimulationParts, peer: Peer): void {
    const { seed, kinds = DEVICE_KINDS } = this.options;
    const random = randomStream(seed, index, "board");
    const plan = drawPlan(random, kinds);
    const { clock, network, trace } = this;
    const core = plan.isThermometer ? modules.thermometer : modules.core;
    const device = new Device(index, plan, {
      seed,
      clock,
      network,
      trace,
      core,
      makeStore: (flash) => parts.makeStore(flash),
    });
    const writeAhead = plan.isDurable ? new WriteAhead(index, device.flash) : undefined;
    device.conversation = new Conversation({
      deviceIndex: index,
      clock,
      trace,
      keepAliveMs: plan.keepAliveSeconds * 1000,
      responseTimeoutMs: plan.responseTimeoutMs,
      isDurable: plan.isDurable,
      acknowledged: (packet) => {
        if (isNumberedUp(packet.topic)) this.streams.acknowledged(packet);
      },
      sending: (packet) => writeAhead?.sending(packet),
      knowledge: this.#knowledgeOf(device),
    });
    device.app = plan.isThermometer
      ? new ThermometerApp(device, this.streams, seed)
      : this.#plainApp(device);
    this.devices.set(index, device);
    this.streams.add(device);
    peer.serve(device);
    clock.after(random.integer(0, START_SPREAD_MS), () => device.powerUp());
  }

  #plainApp(device: Device): PlainApp {
    const { seed, traffic = TRAFFIC } = this.options;
    return new PlainApp({
      device,
      clock: this.clock,
      seed,
      streams: this.streams,
      publishMeanMs: PUBLISH_MEAN_MS,
      publishedQos: [0, 1, 2].filter((qos) => traffic.includes(`up${qos}` as Traffic)),
      endMs: this.calmAtMs,
    });
  }

  #watcher(): BrokerWatcher {
    return {
      accepted: (connection, packet) => {
        this.connectionCount++;
        this.wills.accepted(connection, packet);
      },
      ended: (connection) => this.wills.ended(connection),
      published: (message, from, isWill) => {
        if (isWill) this.wills.published(message, deviceIndexOf(from));
        else if (from !== "peer" && isNumberedUp(message.topic)) this.streams.arrived(message);
      },
      sessionEnded: (session) => this.streams.sessionEnded(session),
      took: ({ deviceIndex }, packet) => {
        if (this.trace.isOn)
          this.trace.add(deviceIndex, `  broker takes ${clientPacketWords(packet)}`);
      },
      violated: (connection, problem) => {
        throw new SimulationFailure("conversation", connection.deviceIndex, problem);
      },
    };
  }

  #knowledgeOf(device: Device): SessionKnowledge {
    const knowledge = new SessionKnowledge({
      isDurable: device.plan.isDurable,
      exchanges: () => device.conversation.exchanges,
      currentSession: () => this.broker.sessions.get(device.clientId),
      doubtSent: (message) => this.streams.doubtUntold(message),
      mistaken: (message) => this.streams.mistaken(message),
    });
    this.#knowledge.set(device.index, knowledge);
    return knowledge;
  }

  #strike(fault: Fault): void {
    const index = "deviceIndex" in fault ? fault.deviceIndex : undefined;
    this.trace.add(index, `fault ${fault.id}: ${faultWords(fault)}`);
    if ("deviceIndex" in fault) this.#strikeDevice(fault);
    else this.#strikeWorld(fault);
  }

  #strikeDevice(fault: DeviceFault): void {
    const device = this.devices.get(fault.deviceIndex);
    if (device === undefined) return;
    switch (fault.kind) {
      case "cut":
        device.connection?.cut();
        break;
      case "half-open":
        for (const direction of fault.directions) device.connection?.kill(direction);
        break;
      case "power":
        device.armPowerCut(fault.after, POWER_LIMIT_MS);
        break;
      case "farewell":
        device.farewell();
        break;
      case "clock-jump":
        device.jumpClock(fault.byMs);
        break;
    }
  }

  #strikeWorld(fault: WorldFault): void {
    const nowMs = this.clock.nowMs;
    if (fault.kind === "storm") {
      this.network.isStormUntilMs = nowMs + fault.durationMs;
      this.network.stormLatencyMs = fault.latencyMs;
      return;
    }
    this.network.isServerDownUntilMs = nowMs + fault.downMs;
    this.network.isFlakyUntilMs = nowMs + fault.downMs + fault.flakyMs;
    this.broker.restart(fault.keepsState);
    if (!fault.keepsState) this.wills.forget();
  }
}

function brokerSettings(seed: number): BrokerSettings {
  const random = randomStream(seed, 0, "broker");
  return {
    passesOnAt: random.integer(0, 1) === 0 ? "publish" : "pubrel",
    packetIds: {
      first: random.integer(1, 65_535),
      order: random.integer(0, 1) === 0 ? "ascending" : "lowest",
    },
  };
}
