/** One run of a scenario, from the broker to the result. */

import { randomUUID } from "node:crypto";
import { type EmbeddedBroker, startEmbeddedBroker } from "../../host/src/broker/embedded-broker.ts";
import { loadCore, type ThermometerExports } from "../../host/src/core/core.ts";
import type { Qos } from "../../host/src/core/session.ts";
import {
  type BrokerUrl,
  brokerUrlText,
  parseBrokerUrl,
} from "../../host/src/transport/broker-url.ts";
import { openTransport } from "../../host/src/transport/open-transport.ts";
import type { OpenTransport } from "../../host/src/transport/transport.ts";
import type { World } from "../../host/src/world.ts";
import { Fleet } from "./fleet.ts";
import { forgetSessions } from "./forget-sessions.ts";
import { GeneratorMeter, type ProcessMeter } from "./generator-meter.ts";
import { Observer } from "./observer.ts";
import { runPhase, type Stage, sayGoodbye } from "./phases.ts";
import type { RunResult } from "./result.ts";
import { resultOf } from "./run-result.ts";
import type { Scenario } from "./scenario.ts";
import type { SensorIdentity } from "./sensor.ts";
import { TelemetryAudit } from "./telemetry-audit.ts";
import { interruptible, pause, until } from "./waiting.ts";
import { WillLedger } from "./will-ledger.ts";

export interface RunOptions {
  scenario: Scenario;
  /** The bytes of the firmware, and what it is called. */
  firmware: { name: string; bytes: Uint8Array };
  world: World;
  /** Aborted when somebody wants the run to end: the devices still say goodbye. */
  interrupt: AbortSignal;
  meter: ProcessMeter;
  /** Reads a file that the scenario names. */
  readFile: (path: string, what: string) => Uint8Array;
  /** Of wasmqtt. */
  version: string;
  /** Opens the connections to the scenario's `broker.url` instead of the network: in memory, for simulated worlds. */
  openTransport?: OpenTransport;
  /** Called when a phase of the scenario begins, and then for `WAITING_PHASE`, if it has to, and `GOODBYE_PHASE`. */
  onPhase?: (name: string) => void;
  /** Called once, before the first device connects: what it gives can be looked at while the run goes on. */
  onStart?: (view: RunView) => void;
}

/** A run that is under way. */
export interface RunView {
  fleet: Fleet;
  ledger: WillLedger;
  observer: Observer;
  brokerUrl: string;
  /** What went wrong so far, in plain sentences. Grows. */
  problems: readonly string[];
}

/** What a run does when the scenario is over: waits for the Wills that are still to come, and lets the devices leave. */
const WAITING_PHASE = "waiting for Last Wills";
const GOODBYE_PHASE = "goodbye";

/** How long the devices may take to say goodbye: so long, and a little for each. */
const GOODBYE_MS = 5_000;
const GOODBYE_EACH_MS = 2;

/** So many say goodbye at once. Brokers have queues: mosquitto keeps no more than 1,000 messages for one subscriber. */
const GOODBYE_COUNT = 250;

/** After the last goodbye, what is still on its way to the observer may take so long. */
const ARRIVAL_MS_MAX = 5_000;

/** A repeated message or Will follows the first within this, if it comes at all. */
const SECOND_COPY_MS = 100;

/**
 * Runs a scenario and tells what came of it. Throws a ConnectionError, RefusedError or ProtocolError if the broker cannot
 * be used at all, a UsageError if the scenario names files that cannot be read or the broker lets nobody observe, and
 * an AbortError if it is interrupted before the first device connects.
 */
export async function runScenario(options: RunOptions): Promise<RunResult> {
  const { scenario, world } = options;
  const broker = scenario.broker.url === undefined ? await startOwnBroker(world) : undefined;
  try {
    const url = scenario.broker.url ?? parseBrokerUrl(`mqtt://127.0.0.1:${broker?.port}`);
    return await new Run(options, url, broker).run();
  } finally {
    await broker?.stop();
  }
}

function startOwnBroker(world: World): Promise<EmbeddedBroker> {
  return startEmbeddedBroker({ world, bind: "127.0.0.1", port: 0 });
}

class Run {
  readonly #options: RunOptions;
  readonly #url: BrokerUrl;
  readonly #broker: EmbeddedBroker | undefined;
  readonly #openTransport: OpenTransport;
  readonly #problems: string[] = [];

  constructor(options: RunOptions, url: BrokerUrl, broker: EmbeddedBroker | undefined) {
    this.#options = options;
    this.#url = url;
    this.#broker = broker;
    this.#openTransport = options.openTransport ?? this.#transport();
  }

  async run(): Promise<RunResult> {
    const { scenario, world, interrupt, meter, firmware, version } = this.#options;
    const generator = new GeneratorMeter(meter);
    const startedAtMs = world.nowMs();
    const startedAt = new Date(world.unixMs()).toISOString();
    const brokerUrl = brokerUrlText(this.#url);
    const core = await loadCore<ThermometerExports>(firmware.bytes);
    const { stage, audit } = this.#makeStage(core, startedAtMs);
    const { fleet, ledger, observer } = stage;
    try {
      await interruptible(observer.start(), interrupt);
      const problems = this.#problems;
      this.#options.onStart?.({ fleet, ledger, observer, brokerUrl, problems });
      await this.#runPhases(stage, generator);
      await this.#finish(stage, audit);
    } finally {
      await observer.finish(); // first, or it would see the Wills of devices that are cut off
      fleet.stop();
      generator.stop();
    }
    const durationMs = world.nowMs() - startedAtMs;
    const cost = generator.result(durationMs, fleet.counts.published, fleet.sensors.length);
    ledger.close(world.nowMs());
    await this.#forgetSessions(fleet);
    return resultOf({
      scenario,
      stage,
      audit,
      core,
      generator: cost,
      runId: randomUUID(),
      version,
      firmwareName: firmware.name,
      startedAt,
      durationMs,
      interrupted: interrupt.aborted,
      brokerUrl,
      problems: [...this.#problems, ...observer.problems],
    });
  }

  #makeStage(
    core: Awaited<ReturnType<typeof loadCore<ThermometerExports>>>,
    startedAtMs: number,
  ): { stage: Stage; audit: TelemetryAudit } {
    const { scenario, world, interrupt } = this.#options;
    const { broker, observe, groups } = scenario;
    const qosOfDevice = groups.flatMap(({ count, publish }) => Array<Qos>(count).fill(publish.qos));
    const audit = new TelemetryAudit(qosOfDevice);
    const { graceMs } = observe;
    const ledger = new WillLedger(qosOfDevice.length, graceMs);
    const keepAliveMs = broker.keepAliveSeconds * 1000;
    const openTransport = this.#openTransport;
    const password = this.#filePassword();
    const fleet = new Fleet({
      core,
      world,
      openTransport,
      scenario,
      password,
      startedAtMs,
      audit,
      ledger,
    });
    const observer = new Observer({
      client: this.#observerOptions(openTransport, fleet.sensors[0]?.identity),
      world,
      fleet,
      ledger,
      audit,
      watchesWills: observe.wills,
      watchesTelemetry: observe.audit,
      telemetryQos: Math.max(...groups.map(({ publish }) => publish.qos)) as Qos,
      graceMs,
    });
    const stage: Stage = {
      world,
      interrupt,
      fleet,
      ledger,
      observer,
      broker: this.#broker,
      keepAliveMs,
      graceMs,
      commands: new Map(),
      connectedCount: 0,
      restartCount: 0,
      unansweredCount: 0,
      problem: (sentence) => this.#problems.push(sentence),
    };
    return { stage, audit };
  }

  async #runPhases(stage: Stage, generator: GeneratorMeter): Promise<void> {
    const { scenario, interrupt, onPhase } = this.#options;
    for (const phase of scenario.phases) {
      if (interrupt.aborted) return;
      onPhase?.(phase.name);
      await runPhase(phase, stage);
      if (phase.kind === "connect") generator.fleetConnected(stage.fleet.counts.published);
    }
  }

  /** Waits for the Wills that are owed, lets the devices say goodbye, and waits for what is on its way. */
  async #finish(stage: Stage, audit: TelemetryAudit): Promise<void> {
    const { world, interrupt, fleet, ledger, graceMs } = stage;
    const { observe, broker } = this.#options.scenario;
    const untilMs = observe.wills ? ledger.pendingUntilMs : undefined;
    if (untilMs !== undefined && !interrupt.aborted) {
      this.#options.onPhase?.(WAITING_PHASE);
      const isSettled = () => ledger.pendingWillCount === 0;
      await until(isSettled, world, untilMs - world.nowMs(), interrupt);
    }

    this.#options.onPhase?.(GOODBYE_PHASE);
    // An interrupted run says goodbye all the same; only a second Ctrl-C ends it at once.
    const uninterrupted = new AbortController().signal;
    const { responseTimeoutMs } = broker;
    fleet.settle();
    await until(() => fleet.connectingCount === 0, world, responseTimeoutMs, uninterrupted);
    for (const sensor of fleet.sensors) sensor.quiet();
    await until(() => fleet.outstandingCount === 0, world, responseTimeoutMs, uninterrupted);
    stage.unansweredCount = fleet.outstandingCount;
    await this.#sayGoodbyes(stage, uninterrupted);
    const hasAll = () =>
      (!observe.wills || ledger.pendingStatusCount === 0) &&
      (!observe.audit || audit.owedCount === 0);
    await until(hasAll, world, Math.min(graceMs, ARRIVAL_MS_MAX), uninterrupted);
    // What comes twice comes at once: a moment for a second copy of the last message.
    await pause(world, SECOND_COPY_MS, uninterrupted);
  }

  async #sayGoodbyes(stage: Stage, uninterrupted: AbortSignal): Promise<void> {
    const { world, ledger, fleet } = stage;
    const sensors = fleet.sensors.filter(({ isConnected }) => isConnected);
    const endMs = world.nowMs() + GOODBYE_MS + GOODBYE_EACH_MS * sensors.length;
    for (let start = 0; start < sensors.length; start += GOODBYE_COUNT) {
      const some = sensors.slice(start, start + GOODBYE_COUNT);
      for (const sensor of some) sayGoodbye(sensor, stage);
      const areGone = () =>
        some.every(({ isBusy }) => !isBusy) && ledger.pendingStatusCount < GOODBYE_COUNT;
      await until(areGone, world, endMs - world.nowMs(), uninterrupted);
    }
  }

  /** What devices have left at a broker of somebody else would wait there for ever, and for the next run. */
  async #forgetSessions({ sensors }: Fleet): Promise<void> {
    if (this.#broker !== undefined) return;
    const { world, scenario } = this.#options;
    const { responseTimeoutMs } = scenario.broker;
    const left = sensors.filter(({ wasConnected, group }) => wasConnected && !group.cleanSession);
    const openTransport = this.#openTransport;
    const failedCount = await forgetSessions(left, { openTransport, world, responseTimeoutMs });
    if (failedCount > 0) {
      this.#problems.push(`Sessions that were left at the broker: ${failedCount}.`);
    }
  }

  #transport(): OpenTransport {
    const { scenario, world, readFile } = this.#options;
    const { caFile, certFile, keyFile, insecure, servername, alpn } = scenario.broker.tls;
    const isSecure = this.#url.scheme === "mqtts" || this.#url.scheme === "wss";
    if (!isSecure) return openTransport(this.#url, world);
    const read = (path: string | undefined, what: string) =>
      path === undefined ? undefined : Buffer.from(readFile(path, what));
    return openTransport(this.#url, world, {
      tls: {
        ca: read(caFile, "CA file"),
        cert: read(certFile, "certificate file"),
        key: read(keyFile, "key file"),
        insecure,
        serverName: servername,
        alpn,
      },
    });
  }

  #filePassword(): string | undefined {
    const { scenario, readFile } = this.#options;
    const path = scenario.broker.passwordFile;
    if (path === undefined) return undefined;
    return new TextDecoder().decode(readFile(path, "password file")).replace(/\r?\n$/u, "");
  }

  /**
   * A restart of our own broker shall lose nothing of what the observer has not yet seen: then it needs a session. It logs
   * in as the first device, whom the broker knows.
   */
  #observerOptions(openTransport: OpenTransport, first: SensorIdentity | undefined) {
    const { scenario, world } = this.#options;
    const { broker, phases } = scenario;
    const isRestarted = phases.some(({ kind }) => kind === "broker-restart");
    return {
      openTransport,
      world,
      clientId: `wasmqtt-observer-${randomUUID().slice(0, 8)}`,
      responseTimeoutMs: broker.responseTimeoutMs,
      cleanSession: this.#broker === undefined || !isRestarted,
      username: first?.username,
      password: first?.password,
      reconnect: { baseMs: 100, maxMs: 1000 },
    };
  }
}
