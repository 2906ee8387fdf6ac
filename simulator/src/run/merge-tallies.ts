/** Adds up what the parts of a fleet have counted and measured, as exactly as if one had counted it all. */

import { LatencyHistogram } from "../histogram.ts";
import { FAULT_KINDS } from "../scenario/scenario.ts";
import { type LatencyResult, latencyResult, type RunResult } from "./result.ts";

/** The part of a result that can be added up: sums and histograms. A whole result is one too. */
export type Tally = Pick<
  RunResult,
  | "devices"
  | "connections"
  | "messages"
  | "latencies"
  | "faults"
  | "wills"
  | "goodbyes"
  | "statusMessages"
  | "observer"
  | "audit"
  | "commands"
> & { generator: Pick<RunResult["generator"], "scheduleLag"> };

/**
 * The sum of at least one tally; the order does not matter. What only some have counted (null in the others) is the sum of
 * those. Throws a RangeError if there is no tally, or if a histogram in it cannot be read.
 */
export function mergeTallies(tallies: readonly Tally[]): Tally {
  if (tallies.length === 0) throw new RangeError("There is no tally to merge");
  return {
    devices: mergeDevices(tallies.map(({ devices }) => devices)),
    connections: mergeConnections(tallies.map(({ connections }) => connections)),
    messages: mergeMessages(tallies.map(({ messages }) => messages)),
    latencies: mergeAllLatencies(tallies.map(({ latencies }) => latencies)),
    faults: mergeFaults(tallies.map(({ faults }) => faults)),
    wills: addIfAny(tallies.map(({ wills }) => wills)),
    goodbyes: tallies.reduce((sum, { goodbyes }) => sum + goodbyes, 0),
    statusMessages: addIfAny(tallies.map(({ statusMessages }) => statusMessages)),
    observer: add(tallies.map(({ observer }) => observer)),
    audit: addIfAny(tallies.map(({ audit }) => audit)),
    commands: addIfAny(tallies.map(({ commands }) => commands)),
    generator: {
      scheduleLag: mergeLatencies(tallies.map(({ generator }) => generator.scheduleLag)),
    },
  };
}

/** One histogram of all values; null if there are none. Throws a RangeError if one cannot be read. */
export function mergeLatencies(
  latencies: readonly (LatencyResult | null | undefined)[],
): LatencyResult | null {
  const present = latencies.filter((latency) => latency != null);
  const [only] = present;
  if (only !== undefined && present.length === 1) return only;
  const histogram = new LatencyHistogram();
  for (const part of present) histogram.merge(LatencyHistogram.decode(part.histogram));
  const sum = latencyResult(histogram);
  if (sum === null) return null;
  // An encoded histogram knows the extremes only as well as all values; beside it they stand as they were.
  const minMs = Math.min(...present.map((part) => part.minMs));
  const maxMs = Math.max(...present.map((part) => part.maxMs));
  return {
    ...sum,
    minMs,
    maxMs,
    p50Ms: Math.min(sum.p50Ms, maxMs),
    p90Ms: Math.min(sum.p90Ms, maxMs),
    p99Ms: Math.min(sum.p99Ms, maxMs),
    p999Ms: Math.min(sum.p999Ms, maxMs),
  };
}

/** Each count summed; a count that only some have counts as 0 in the others. */
export function add<Counts extends Readonly<Record<string, number>>>(
  parts: readonly Counts[],
): Counts {
  const sum: Record<string, number> = {};
  for (const [name, count] of parts.flatMap((part) => Object.entries(part))) {
    sum[name] = (sum[name] ?? 0) + count;
  }
  return sum as Counts;
}

function addIfAny<Counts extends Readonly<Record<string, number>>>(
  parts: readonly (Counts | null)[],
): Counts | null {
  const present = parts.filter((part) => part !== null);
  return present.length === 0 ? null : add(present);
}

type Devices = Tally["devices"];

/** Groups that are alike in everything but their count are one group. */
function mergeDevices(parts: readonly Devices[]): Devices {
  const groups = new Map<string, Devices["groups"][number]>();
  for (const { count, ...kind } of parts.flatMap((part) => part.groups)) {
    const { name, qos, cleanSession, intervalMs } = kind;
    const key = JSON.stringify([name, qos, cleanSession, intervalMs]);
    groups.set(key, { ...kind, count: count + (groups.get(key)?.count ?? 0) });
  }
  return {
    ...add(parts.map(({ count, connected }) => ({ count, connected }))),
    groups: [...groups.values()],
  };
}

type Connections = Tally["connections"];

function mergeConnections(parts: readonly Connections[]): Connections {
  return {
    ...add(parts.map(({ failed: _, refused: __, ...counts }) => counts)),
    failed: add(parts.map(({ failed }) => failed)),
    refused: add(parts.map(({ refused }) => refused)),
  };
}

type Messages = Tally["messages"];

function mergeMessages(parts: readonly Messages[]): Messages {
  return {
    ...add(parts.map(({ sent: _, ...counts }) => counts)),
    sent: add(parts.map(({ sent }) => sent)),
  };
}

type AllLatencies = Tally["latencies"];

function mergeAllLatencies(parts: readonly AllLatencies[]): AllLatencies {
  const willDelivery: AllLatencies["willDelivery"] = {};
  for (const fault of FAULT_KINDS) {
    const latency = mergeLatencies(parts.map((part) => part.willDelivery[fault]));
    if (latency !== null) willDelivery[fault] = latency;
  }
  return {
    connect: mergeLatencies(parts.map(({ connect }) => connect)),
    publishAck: mergeLatencies(parts.map(({ publishAck }) => publishAck)),
    publishAckQos1: mergeLatencies(parts.map(({ publishAckQos1 }) => publishAckQos1)),
    publishAckQos2: mergeLatencies(parts.map(({ publishAckQos2 }) => publishAckQos2)),
    publishAckUncorrected: mergeLatencies(parts.map((part) => part.publishAckUncorrected)),
    endToEnd: mergeLatencies(parts.map(({ endToEnd }) => endToEnd)),
    willDelivery,
  };
}

type Faults = Tally["faults"];

/** By kind; what nobody watched stays null. */
export function mergeFaults(parts: readonly Faults[]): Faults {
  const faults: Faults = {};
  for (const kind of FAULT_KINDS) {
    const present = parts.map((part) => part[kind]).filter((fault) => fault !== undefined);
    if (present.length === 0) continue;
    faults[kind] = {
      injected: present.reduce((sum, { injected }) => sum + injected, 0),
      wills: addIfAny(present.map(({ wills }) => wills)),
    };
  }
  return faults;
}
