/** The form of a phase in a scenario file. */

import { z } from "zod";
import { didYouMean } from "../did-you-mean.ts";
import { DAY_MS } from "../duration.ts";
import { FAULT_KINDS, NAME_LENGTH_MAX, type Phase } from "./scenario.ts";
import {
  duration,
  line,
  oneOf,
  qos,
  rate,
  strict,
  target,
  trueOrFalse,
  wholeNumber,
} from "./scenario-fields.ts";

const phaseName = (otherwise: string) =>
  line(NAME_LENGTH_MAX).default(otherwise).describe("What the phase is called in the output");

const phaseDuration = () =>
  duration(100, 7 * DAY_MS).describe("How long the phase lasts, such as 10s");

const connect = strict({
  name: phaseName("connect"),
  connect: strict({
    rate: rate(0.1, 100_000).prefault("100/s").describe("Devices that connect per second"),
    timeout: duration(100, DAY_MS)
      .prefault("60s")
      .describe("The run goes on with the devices that are connected by then"),
  }),
}).transform(
  (phase): Phase => ({
    kind: "connect",
    name: phase.name,
    ratePerSecond: phase.connect.rate,
    timeoutMs: phase.connect.timeout,
  }),
);

const steady = strict({ name: phaseName("steady"), duration: phaseDuration() }).transform(
  (phase): Phase => ({ kind: "steady", name: phase.name, durationMs: phase.duration }),
);

const spike = strict({
  name: phaseName("spike"),
  spike: strict({
    interval: duration(100, DAY_MS).describe("Time between two readings meanwhile, such as 100ms"),
    target: target().prefault("100%").describe("Which part of the fleet, or how many devices"),
  }),
  duration: phaseDuration(),
}).transform(
  ({ name, spike: { interval, target: part }, duration: durationMs }): Phase => ({
    kind: "spike",
    name,
    intervalMs: interval,
    target: part,
    durationMs,
  }),
);

const fault = strict({
  name: line(NAME_LENGTH_MAX)
    .optional()
    .describe("What the phase is called in the output; else the fault"),
  fault: strict({
    kind: oneOf(FAULT_KINDS).describe("How the devices go"),
    target: target().prefault("20%").describe("Which part of the fleet, or how many devices"),
    spread: duration(0, DAY_MS)
      .prefault("0s")
      .describe("The faults are spread over this time; 0s: all at once"),
    away: duration(0, DAY_MS)
      .prefault("3s")
      .describe(
        "How long each device stays away; if it lost no more than its connection, its reconnect delay comes on top",
      ),
  }),
  duration: phaseDuration(),
}).transform(
  (phase): Phase => ({
    kind: "fault",
    name: phase.name ?? phase.fault.kind,
    fault: phase.fault.kind,
    target: phase.fault.target,
    spreadMs: phase.fault.spread,
    awayMs: phase.fault.away,
    durationMs: phase.duration,
  }),
);

const commands = strict({
  name: phaseName("commands"),
  commands: strict({
    perDevice: wholeNumber(1, 1000).default(1).describe("Commands for each device"),
    qos: qos().default(1).describe("QoS of the commands"),
    text: line(256)
      .default("report")
      .describe('"report" asks for a reading now, "interval 5000" sets the interval in ms'),
    target: target().prefault("100%").describe("Which part of the fleet, or how many devices"),
    whileAway: trueOrFalse()
      .default(false)
      .describe(
        "The devices leave first and come back for their commands: needs cleanSession: false",
      ),
    timeout: duration(100, DAY_MS)
      .prefault("30s")
      .describe("A command that has not arrived by then is lost"),
  }),
}).transform(
  ({ name, commands: { timeout, ...rest } }): Phase => ({
    kind: "commands",
    name,
    ...rest,
    timeoutMs: timeout,
  }),
);

const brokerRestart = strict({
  name: phaseName("broker-restart"),
  brokerRestart: strict({
    downtime: duration(0, DAY_MS).prefault("2s").describe("How long the broker is gone"),
    keepState: trueOrFalse()
      .default(true)
      .describe("The broker still knows its sessions and retained messages afterwards"),
  }),
  duration: phaseDuration(),
}).transform(
  (phase): Phase => ({
    kind: "broker-restart",
    name: phase.name,
    downtimeMs: phase.brokerRestart.downtime,
    keepState: phase.brokerRestart.keepState,
    durationMs: phase.duration,
  }),
);

/** Each kind of phase by the key that makes it one. `duration` alone is a steady phase. */
export const phaseSchemas = { connect, spike, fault, commands, brokerRestart, duration: steady };

type Action = keyof typeof phaseSchemas;

/** The keys of which a phase has at most one. */
const ACTIONS: readonly Action[] = ["connect", "spike", "fault", "commands", "brokerRestart"];

/** What a phase is before it is known which; the published schema shows `phaseSchemas` in its place. */
export const rawPhase = z.unknown();

/** Looks which kind a phase is and reports only the mistakes of that kind, which a union could not. */
export const phase = rawPhase.transform((value, context): Phase => {
  const actions = actionsOf(value);
  const [action] = actions;
  if (action === undefined || actions.length > 1) {
    context.addIssue({ code: "custom", message: choiceProblem(actions) });
    return z.NEVER;
  }
  const parsed = phaseSchemas[action].safeParse(value);
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues) context.addIssue({ ...issue });
  return z.NEVER;
});

function actionsOf(value: unknown): Action[] {
  if (typeof value !== "object" || value === null) return [];
  const present = ACTIONS.filter((action) => action in value);
  if (present.length > 0) return present;
  const meant = Object.keys(value).map((key) => didYouMean(key, ACTIONS));
  const guess = ACTIONS.find((action) => meant.includes(action));
  if (guess !== undefined) return [guess];
  return "duration" in value ? ["duration"] : [];
}

function choiceProblem(actions: readonly Action[]): string {
  if (actions.length > 1) {
    return `does several things at once (${actions.join(", ")}); make a phase of each`;
  }
  return `must have one of ${ACTIONS.join(", ")}, or a duration alone`;
}
