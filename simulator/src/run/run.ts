/** One run of a scenario, from the broker to the result. */

import { randomUUID } from "node:crypto";
import { aborted } from "../../../host/src/aborted.ts";
import {
  type EmbeddedBroker,
  startEmbeddedBroker,
} from "../../../host/src/broker/embedded-broker.ts";
import type { Qos } from "../../../host/src/core/session.ts";
import {
  type BrokerUrl,
  brokerUrlText,
  parseBrokerUrl,
} from "../../../host/src/transport/broker-url.ts";
import type { OpenTransport } from "../../../host/src/transport/transport.ts";
import type { World } from "../../../host/src/world.ts";
import { type ConnectPlan, connectPlan, openPlanned } from "../fleet/connect-plan.ts";
import { DeviceDirectory } from "../fleet/device-directory.ts";
import {
  type Firmware,
  type FirmwareOf,
  type FirmwareSet,
  loadFirmware,
} from "../fleet/firmware-set.ts";
import { type FleetMember, LocalMember } from "../fleet/fleet-member.ts";
import { type FleetPart, partSize } from "../fleet/fleet-part.ts";
import { GOODBYE_PHASE, PartRun } from "../fleet/part-run.ts";
import { ThreadMember } from "../fleet/thread-member.ts";
import { ThreadMeter } from "../fleet/thread-meter.ts";
import { Gathering, type Together } from "../fleet/together.ts";
import type { DashboardRun } from "../pages/dashboard-run.ts";
import { profileOf } from "../profiles/profile.ts";
import { type BrokerRestartPhase, type Scenario, targetCount } from "../scenario/scenario.ts";
import { interruptible, pause, until } from "../waiting.ts";
import { GeneratorMeter, type ProcessMeter } from "./generator-meter.ts";
import { mergeTallies } from "./merge-tallies.ts";
import { Observer } from "./observer.ts";
import type { RunResult } from "./result.ts";
import { resultOf } from "./run-result.ts";
import type { RunCounters, RunSample } from "./run-sample.ts";
import { Sampler } from "./sampler.ts";
import { Timeline } from "./timeline.ts";

export interface RunOptions {
  scenario: Scenario;
  /** What the devices of a group run. */
  firmwareOf: FirmwareOf;
  world: World;
  /** Aborted when somebody wants the run to end: the devices still say goodbye. */
  interrupt: AbortSignal;
  /** Aborted when somebody does not want to wait for that either: the run ends with what it knows. */
  hurry?: AbortSignal;
  meter: ProcessMeter;
  /** Reads a file that the scenario names. */
  readFile: (path: string, what: string) => Uint8Array;
  /** Of wasmqtt. */
  version: string;
  environment: RunResult["environment"];
  /** Parts into which the fleet is divided, each on a thread of its own; 1 if absent, which is this thread. */
  threadCount?: number;
  /**
   * Opens the connections to the scenario's `broker.url` instead of the network: in memory, for simulated worlds. All
   * parts are on this thread then.
   */
  openTransport?: OpenTransport;
  /** Called when a phase of the scenario begins, and for the waiting and the goodbye after them. */
  onPhase?: (name: string) => void;
  /** Called once, before the first device connects: what it gives can be looked at while the run goes on. */
  onStart?: (view: RunView) => void;
  /** Called about once a second. */
  onSample?: (sample: RunSample) => void;
}

/** A run that is under way. */
export interface RunView extends DashboardRun {
  /** What went wrong so far, in plain sentences. Grows. */
  problems: readonly string[];
}

/** How long a client may take to come back when its broker does. */
const OBSERVER_RETURN_MS = 15_000;

/**
 * Runs a scenario and tells what came of it. Throws a ConnectionError, RefusedError or ProtocolError if the broker cannot
 * be used at all, a UsageError if the scenario names files that cannot be read, the broker lets nobody observe, or the
 * firmware cannot be run, and an AbortError if it is interrupted before the first device connects.
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
  readonly #plan: ConnectPlan;
  readonly #openTransport: OpenTransport;
  readonly #startedAtMs: number;
  readonly #startedAt: string;
  readonly #generator: GeneratorMeter;
  readonly #directory: DeviceDirectory;
  readonly #observer: Observer;
  readonly #gathering: Gathering;
  readonly #timeline = new Timeline();
  readonly #phases: RunResult["phases"] = [];
  readonly #problems: string[] = [];
  #members: readonly FleetMember[] = [];
  #sampler: Sampler | undefined;
  #restartCount = 0;

  constructor(options: RunOptions, url: BrokerUrl, broker: EmbeddedBroker | undefined) {
    const { scenario, world, meter, readFile, threadCount = 1 } = options;
    this.#options = options;
    this.#url = url;
    this.#broker = broker;
    this.#plan = connectPlan(scenario, url, readFile);
    this.#openTransport = options.openTransport ?? openPlanned(this.#plan, world);
    this.#startedAtMs = world.nowMs();
    this.#startedAt = new Date(world.unixMs()).toISOString();
    this.#generator = new GeneratorMeter(meter);
    this.#directory = new DeviceDirectory(scenario, threadCount, () => this.#members);
    this.#observer = this.#makeObserver();
    this.#gathering = new Gathering({
      partCount: threadCount,
      draw: async (target) => {
        const drawn = this.#directory.draw();
        return drawn.slice(0, targetCount(target, this.#directory.deviceCount));
      },
      restartBroker: (phase) => this.#restartBroker(phase),
      publish: async (topic, text, qos) => {
        await this.#observer.client.publish(topic, text, { qos });
      },
      phaseBegins: (name, kind) => this.#phaseBegins(name, kind),
      problem: (sentence) => {
        if (!this.#problems.includes(sentence)) this.#problems.push(sentence);
      },
    });
  }

  async run(): Promise<RunResult> {
    const { interrupt, hurry, scenario, firmwareOf } = this.#options;
    // Whatever is wrong with the firmware shall be known before anything connects.
    const { coreOf } = await loadFirmware(scenario, firmwareOf);
    const [firstGroup] = scenario.groups;
    if (firstGroup === undefined) throw new RangeError("A scenario has a group of devices");
    const { sha256, byteLength } = coreOf(firstGroup);
    const ownThread = this.#hasThreads ? new ThreadMeter() : undefined;
    try {
      this.#members = this.#makeMembers(coreOf);
      await Promise.all(this.#members.map((member) => member.begin()));
      await interruptible(this.#observer.start(), interrupt);
      this.#sampler = this.#startSampler(ownThread);
      this.#options.onStart?.(this.#view());
      const parts = Promise.all(this.#members.map((member) => this.#runMember(member)));
      await (hurry === undefined ? parts : Promise.race([parts, aborted(hurry)]));
      if (hurry?.aborted) this.#giveUp();
    } catch (error) {
      await this.#end((member) => member.abandon());
      throw error;
    }
    await this.#end((member) => member.stop());
    const firmware = { name: firmwareOf(firstGroup).name, sha256, byteLength };
    return await this.#result(firmware, ownThread);
  }

  get #hasThreads(): boolean {
    const { threadCount = 1, openTransport } = this.#options;
    return threadCount > 1 && openTransport === undefined;
  }

  async #end(endMember: (member: FleetMember) => Promise<void>): Promise<void> {
    this.#sampler?.stop();
    // First, or it would see the Wills of devices that are cut off.
    await this.#observer.finish();
    await Promise.all(this.#members.map(endMember));
  }

  /** What has not come yet is nobody's fault. */
  #giveUp(): void {
    const nowMs = this.#options.world.nowMs();
    for (const member of this.#members) member.excuse(nowMs);
    this.#observer.client.abort();
    this.#problems.push(
      "The run was ended before its devices had left: what was under way is not judged.",
    );
  }

  /** When one part fails, the others shall not wait for it. */
  async #runMember(member: FleetMember): Promise<void> {
    try {
      await member.run();
    } catch (error) {
      this.#gathering.fail(error as Error);
      throw error;
    }
  }

  #makeMembers(coreOf: FirmwareSet["coreOf"]): FleetMember[] {
    const { threadCount = 1 } = this.#options;
    return Array.from({ length: threadCount }, (_, index) => {
      const part = { index, count: threadCount };
      const together = this.#gathering.member(index);
      return this.#hasThreads
        ? this.#makeThread(part, together)
        : this.#makeLocal(part, together, coreOf);
    });
  }

  #makeLocal(part: FleetPart, together: Together, coreOf: FirmwareSet["coreOf"]): FleetMember {
    const { scenario, world, interrupt } = this.#options;
    const run = new PartRun({
      scenario,
      part,
      coreOf,
      world,
      openTransport: this.#openTransport,
      password: this.#plan.password,
      startedAtMs: this.#startedAtMs,
      hasOwnBroker: this.#broker !== undefined,
      together,
      interrupt,
      stateBytes: new Uint8Array(partSize(scenario, part)),
    });
    return new LocalMember(run);
  }

  #makeThread(part: FleetPart, together: Together): FleetMember {
    const { scenario, interrupt, firmwareOf } = this.#options;
    const firmwares = new Map<string, Firmware>(
      scenario.groups.map((group) => [group.name, firmwareOf(group)]),
    );
    return new ThreadMember({
      scenario,
      part,
      firmwares,
      plan: this.#plan,
      startedAtMs: this.#startedAtMs,
      hasOwnBroker: this.#broker !== undefined,
      together,
      interrupt,
    });
  }

  #startSampler(ownThread: ThreadMeter | undefined): Sampler {
    const { world, onSample = () => {} } = this.#options;
    const sampler = new Sampler({
      world,
      startedAtMs: this.#startedAtMs,
      members: this.#members,
      generator: this.#generator,
      ownThread,
      now: () => ({
        phaseName: this.#phases.at(-1)?.name ?? "",
        phaseIndex: Math.max(0, this.#phases.length - 1),
        problems: this.#problems,
      }),
      listeners: [(sample) => this.#timeline.add(sample), onSample],
    });
    sampler.start();
    return sampler;
  }

  #view(): RunView {
    return {
      brokerUrl: brokerUrlText(this.#url),
      problems: this.#problems,
      deviceStates: () => this.#directory.deviceStates(),
      deviceName: (index) => this.#directory.clientId(index),
      publish: async (topic, payload, options) => {
        await this.#observer.client.publish(topic, payload, options);
      },
      watch: (topic, onMessage) => this.#observer.watch(topic, onMessage),
    };
  }

  #phaseBegins(name: string, kind: string): void {
    if (this.#options.hurry?.aborted) return; // nobody waits for it
    const nowMs = this.#options.world.nowMs() - this.#startedAtMs;
    const last = this.#phases.at(-1);
    // A span ends with its phase, so that what happens in a phase is counted there.
    const looking = last === undefined ? undefined : this.#sampler?.look();
    if (last !== undefined) last.endMs = nowMs;
    this.#phases.push({ name, kind, startMs: nowMs, endMs: nowMs });
    this.#options.onPhase?.(name);
    const measure = ({ published }: RunCounters) => {
      if (last?.kind === "connect") this.#generator.fleetConnected(published);
      if (kind === "end" && name === GOODBYE_PHASE) this.#generator.fleetLeaves(published);
    };
    looking?.then(measure, () => {}); // the part that cannot be asked ends the run
  }

  async #restartBroker({ downtimeMs, keepState }: BrokerRestartPhase): Promise<boolean> {
    const { world, interrupt } = this.#options;
    const observer = this.#observer;
    this.#restartCount++;
    observer.brokerStops();
    await this.#broker?.stop({ keepState });
    await pause(world, downtimeMs, interrupt);
    await this.#broker?.start();
    return await until(() => observer.seesAll, world, OBSERVER_RETURN_MS, interrupt);
  }

  async #result(
    firmware: { name: string; sha256: string; byteLength: number },
    ownThread: ThreadMeter | undefined,
  ): Promise<RunResult> {
    const { scenario, world, interrupt, version, environment } = this.#options;
    const durationMs = world.nowMs() - this.#startedAtMs;
    await this.#sampler?.look();
    const last = this.#phases.at(-1);
    if (last !== undefined) last.endMs = durationMs;
    const parts = await Promise.all(this.#members.map((member) => member.finish()));
    const unforgottenCount = parts.reduce((sum, part) => sum + part.unforgottenCount, 0);
    if (unforgottenCount > 0) {
      this.#problems.push(`Sessions that were left at the broker: ${unforgottenCount}.`);
    }
    const tally = mergeTallies(parts.map((part) => part.tally));
    const loads = parts.map(({ load }) => load);
    return resultOf({
      scenario,
      tally,
      observer: this.#observer.result(),
      firmware,
      generator: this.#generator.result({
        durationMs,
        messageCount: tally.messages.published,
        deviceCount: tally.devices.count,
        scheduleLag: tally.generator.scheduleLag,
        threadCount: loads.length,
        loads: ownThread === undefined ? loads : [...loads, ownThread.stop()],
      }),
      environment,
      runId: randomUUID(),
      version,
      startedAt: this.#startedAt,
      durationMs,
      interrupted: interrupt.aborted,
      broker: { url: brokerUrlText(this.#url), embedded: this.#broker !== undefined },
      brokerRestarts: this.#restartCount,
      phases: this.#phases,
      timeline: this.#timeline.points,
      problems: [...this.#problems, ...this.#observer.problems],
    });
  }

  /**
   * A restart of our own broker shall lose nothing of what the observer has not yet seen: then it needs a session. It logs
   * in as the first device, whom the broker knows.
   */
  #makeObserver(): Observer {
    const { scenario, world } = this.#options;
    const { broker, phases, observe, groups } = scenario;
    const isRestarted = phases.some(({ kind }) => kind === "broker-restart");
    return new Observer({
      client: {
        openTransport: this.#openTransport,
        world,
        clientId: `wasmqtt-observer-${randomUUID().slice(0, 8)}`,
        responseTimeoutMs: broker.responseTimeoutMs,
        cleanSession: this.#broker === undefined || !isRestarted,
        ...this.#directory.credentials(0, this.#plan.password),
        reconnect: { baseMs: 100, maxMs: 1000 },
      },
      world,
      witness: this.#directory,
      profiles: [...new Set(groups.map(({ profile }) => profile))].map(profileOf),
      watchesWills: observe.wills,
      watchesTelemetry: observe.audit,
      telemetryQos: Math.max(...groups.map(({ publish }) => publish.qos)) as Qos,
    });
  }
}
