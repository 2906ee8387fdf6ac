/** Looks once a second at all parts of a fleet and tells everybody who watches the run. */

import type { Timer, World } from "../../../host/src/world.ts";
import { DeviceState } from "../fleet/device-states.ts";
import type { FleetMember } from "../fleet/fleet-member.ts";
import { LatencyMeter } from "../fleet/latency-meter.ts";
import type { ThreadLoad, ThreadMeter } from "../fleet/thread-meter.ts";
import type { GeneratorMeter } from "./generator-meter.ts";
import { mergeFaults } from "./merge-tallies.ts";
import {
  LATENCY_NAMES,
  type RunBreakdown,
  type RunCounters,
  type RunSample,
} from "./run-sample.ts";

export interface SamplerOptions {
  world: World;
  startedAtMs: number;
  members: readonly FleetMember[];
  generator: GeneratorMeter;
  /** Of the thread of the run, where no part of the fleet is on it. */
  ownThread: ThreadMeter | undefined;
  now: () => Now;
  listeners: readonly ((sample: RunSample) => void)[];
}

/** What is under way. */
type Now = Pick<RunSample, "phaseName" | "phaseIndex" | "problems">;

const SPAN_MS = 1_000;

export class Sampler {
  readonly #options: SamplerOptions;
  readonly #latencies = new LatencyMeter();
  #lastAtMs: number;
  #timer: Timer | undefined;
  #tick = 0;
  /** One look at a time, one after the other. */
  #looking: Promise<unknown> = Promise.resolve();

  constructor(options: SamplerOptions) {
    this.#options = options;
    this.#lastAtMs = options.startedAtMs;
  }

  start(): void {
    const { world, startedAtMs } = this.#options;
    // Whole seconds since the start, although a timer may be early or late.
    const elapsedMs = world.nowMs() - startedAtMs;
    this.#tick = Math.max(this.#tick + 1, Math.ceil(elapsedMs / SPAN_MS));
    const delayMs = Math.max(0, this.#tick * SPAN_MS - elapsedMs);
    this.#timer = world.setTimer(delayMs, () => {
      this.start();
      this.look().catch(() => {}); // the part that cannot be asked ends the run
    });
  }

  /** The counts of all parts, now; ends the span of what is under way. */
  look(): Promise<RunCounters> {
    const now = this.#options.now();
    const look = this.#looking.then(() => this.#look(now));
    this.#looking = look.catch(() => {});
    return look;
  }

  stop(): void {
    this.#timer?.clear();
  }

  async #look(now: Now): Promise<RunCounters> {
    const { members, ownThread } = this.#options;
    const loads: ThreadLoad[] = ownThread === undefined ? [] : [ownThread.turn()];
    const counters = noCounters();
    const breakdowns: RunBreakdown[] = [];
    await Promise.all(
      members.map((member) =>
        member.sample((sample) => {
          loads.push(sample.load);
          breakdowns.push(sample.breakdown);
          for (const name of COUNTER_NAMES) counters[name] += sample.counters[name];
          for (const name of LATENCY_NAMES) {
            this.#latencies.span[name].merge(sample.latencies[name]);
          }
        }),
      ),
    );
    this.#tell(now, counters, mergeBreakdowns(breakdowns), loads);
    return counters;
  }

  #tell(
    now: Now,
    counters: RunCounters,
    breakdown: RunBreakdown,
    loads: readonly ThreadLoad[],
  ): void {
    const { world, startedAtMs, members, generator, listeners } = this.#options;
    const nowMs = world.nowMs();
    const spanMs = nowMs - this.#lastAtMs;
    this.#lastAtMs = nowMs;
    const { cpuPercent, rssBytes } = generator.turn(spanMs, loads);
    const { totals } = this.#latencies;
    this.#latencies.turn((latencies) => {
      const sample: RunSample = {
        ...now,
        atMs: nowMs - startedAtMs,
        spanMs,
        deviceCount: members.reduce((sum, { stateBytes }) => sum + stateBytes.length, 0),
        connectedCount: members.reduce((sum, member) => sum + connectedCount(member), 0),
        counters,
        breakdown,
        latencies,
        totals,
        generator: {
          cpuPercent,
          rssBytes,
          eventLoopDelayMs: Math.max(...loads.map(({ eventLoopDelayMs }) => eventLoopDelayMs)),
        },
      };
      for (const listener of listeners) listener(sample);
    });
  }
}

function connectedCount({ stateBytes }: FleetMember): number {
  let count = 0;
  for (const state of stateBytes) if (state === DeviceState.Connected) count++;
  return count;
}

function mergeBreakdowns(parts: readonly RunBreakdown[]): RunBreakdown {
  const [first] = parts;
  if (first !== undefined && parts.length === 1) return first;
  const sentByQos: [number, number, number] = [0, 0, 0];
  for (const part of parts) {
    for (const qos of [0, 1, 2] as const) sentByQos[qos] += part.sentByQos[qos];
  }
  return { sentByQos, faults: mergeFaults(parts.map(({ faults }) => faults)) };
}

function noCounters(): RunCounters {
  return {
    attempted: 0,
    connected: 0,
    reconnected: 0,
    failed: 0,
    refused: 0,
    lost: 0,
    published: 0,
    sent: 0,
    acknowledged: 0,
    received: 0,
    dropped: 0,
    faults: 0,
    willsExpected: 0,
    willsDelivered: 0,
    willsUnexpected: 0,
  };
}

const COUNTER_NAMES = Object.keys(noCounters()) as (keyof RunCounters)[];
