/** What a run does: the broker, the fleet, the phases. A file is read into this by `scenario-file.ts`. */

import type { Qos } from "../../../host/src/core/session.ts";
import type { BrokerUrl } from "../../../host/src/transport/broker-url.ts";
import type { TemperatureSettings } from "../fleet/temperature.ts";
import type { ProfileName } from "../profiles/profile.ts";

export interface Scenario extends ScenarioContent {
  /** What is run, as YAML: the file with what the command line says instead. Without password and query of a URL. */
  text: string;
}

/** A scenario without its text: what the keys of a file say. */
export interface ScenarioContent {
  name: string;
  description: string;
  /** Everything random follows from it. */
  seed: number;
  broker: BrokerSettings;
  groups: DeviceGroup[];
  /** In order; the first is the only `connect`. After the last the devices say goodbye. */
  phases: Phase[];
  observe: ObserveSettings;
  thresholds: Threshold[];
}

export interface BrokerSettings {
  /** Without user name, password and topic. Undefined: the run brings its own broker. */
  url: BrokerUrl | undefined;
  /** 0 switches the Keep Alive off. */
  keepAliveSeconds: number;
  /** How long a device waits for CONNACK, SUBACK or PINGRESP. */
  responseTimeoutMs: number;
  /** A pattern with `%i` and `%c`: see `fillPattern`. */
  username: string | undefined;
  /** A pattern with `%i` and `%c`. At most one of `password` and `passwordFile` is there. */
  password: string | undefined;
  /** Path of a file whose text, without its last line ending, is the password of each device; it is no pattern. */
  passwordFile: string | undefined;
  tls: TlsSettings;
  /** Addresses of this machine from which the devices connect, in turn; empty: the system chooses. */
  localAddresses: string[];
}

export interface TlsSettings {
  /** Certificates that are trusted instead of the system's (PEM). */
  caFile: string | undefined;
  certFile: string | undefined;
  keyFile: string | undefined;
  /** Trusts any certificate. */
  insecure: boolean;
  /** The name that the certificate must have, if it is not the host's. */
  servername: string | undefined;
  /** Application protocol to ask for (RFC 7301), such as `mqtt`. */
  alpn: string | undefined;
}

/** Devices that are alike. */
export interface DeviceGroup {
  name: string;
  count: number;
  /** The pattern of the Client Identifiers: `%i` is `firstNumber` and the numbers after it. */
  id: string;
  firstNumber: number;
  cleanSession: boolean;
  /** Topics, births, Wills and payloads. */
  profile: ProfileName;
  publish: PublishSettings;
  temperature: TemperatureSettings;
  reconnect: ReconnectSettings;
}

export interface PublishSettings {
  intervalMs: number;
  /** 0 to 1: a reading is due up to this share of the interval earlier or later. */
  jitter: number;
  qos: Qos;
  retain: boolean;
  /** Readings that wait while they cannot be sent, at most. */
  outboxCount: number;
  /** A reading nearer than this to the last published one is not published; 0 publishes each. */
  deadBandMilliCelsius: number;
}

/** What a device does when its connection is lost: waits `afterMs`, tries, and backs off with full jitter. */
export interface ReconnectSettings {
  afterMs: number;
  baseMs: number;
  maxMs: number;
}

export interface ObserveSettings {
  /** Watches `motes/+/status` and accounts for each Last Will. */
  wills: boolean;
  /** Subscribes to the telemetry and accounts for each message. */
  audit: boolean;
  /** How much later than the standard says a Will may come and still be in time. */
  graceMs: number;
}

/** What the run must achieve besides what MQTT promises. */
export interface Threshold {
  /** As `metrics.ts` has them. */
  metric: string;
  /** In k6's grammar, such as p(99)<250. */
  rule: string;
  /** Ends the run as soon as the rule does not hold. */
  abortOnFail: boolean;
  /** Before this time of the run it does not end it. */
  delayAbortEvalMs: number;
}

/** In all groups together. From one address to one port of a broker there are 64 k connections anyway. */
export const DEVICE_COUNT_MAX = 100_000;

/** Characters in the name of a scenario, a group or a phase. */
export const NAME_LENGTH_MAX = 64;

/** The devices of a group that does not say how many it has. */
export const GROUP_COUNT_DEFAULT = 100;

/** The phases of a scenario that does not say any, as in a file. */
export const DEFAULT_PHASES = [{ connect: {} }, { duration: "30s" }];

/** How a device can go. Each leads to a Last Will, but `clean`. */
export const FAULT_KINDS = [
  /** The TCP connection is closed in order (FIN), without DISCONNECT. */
  "tcp-close",
  /** The TCP connection is reset (RST). */
  "tcp-reset",
  /** Nothing is sent any more and nothing is answered, as if the power had gone. */
  "power-loss",
  /** The connection stays, but the device sends nothing: no readings, no PINGREQ. */
  "hang",
  /** Another client connects with the same Client Identifier; the broker throws the device out [MQTT-3.1.4-2]. */
  "takeover",
  /** The device says goodbye with DISCONNECT: no Will may come [MQTT-3.14.4-3]. */
  "clean",
  /** The device sends bytes that are no MQTT; the broker must close the connection [MQTT-4.8.0-1]. */
  "protocol-error",
] as const;

export type FaultKind = (typeof FAULT_KINDS)[number];

/** The faults that a broker notices only by the Keep Alive, after 1.5 times of it [MQTT-3.1.2-24]. */
export const SILENT_FAULT_KINDS: ReadonlySet<FaultKind> = new Set(["power-loss", "hang"]);

/** The devices connect, `ratePerSecond` of them, until all are connected or `timeoutMs` have passed. */
export interface ConnectPhase {
  kind: "connect";
  name: string;
  ratePerSecond: number;
  timeoutMs: number;
}

/** The devices do their work. */
export interface SteadyPhase {
  kind: "steady";
  name: string;
  durationMs: number;
}

/** Some devices measure at another interval for a while, then at that of their group again, whatever commands have said. */
export interface SpikePhase {
  kind: "spike";
  name: string;
  intervalMs: number;
  target: Target;
  durationMs: number;
}

/**
 * Some devices fail, spread evenly over `spreadMs` from the start of the phase; each comes back after `awayMs`. A device
 * that lost its connection, but neither its power nor its mind, waits for its backoff too.
 */
export interface FaultPhase {
  kind: "fault";
  name: string;
  fault: FaultKind;
  target: Target;
  spreadMs: number;
  awayMs: number;
  durationMs: number;
}

/** A controller sends commands to some devices. The phase ends when all have arrived, or after `timeoutMs`. */
export interface CommandsPhase {
  kind: "commands";
  name: string;
  perDevice: number;
  qos: Qos;
  text: string;
  target: Target;
  /** The devices leave with DISCONNECT, the commands are sent, then the devices come back for them. */
  whileAway: boolean;
  timeoutMs: number;
}

/** The broker stops at the start of the phase and is back after `downtimeMs`. Somebody else's broker is left to its owner. */
export interface BrokerRestartPhase {
  kind: "broker-restart";
  name: string;
  downtimeMs: number;
  /** The broker still knows its sessions and retained messages. */
  keepState: boolean;
  durationMs: number;
}

export type Phase =
  | ConnectPhase
  | SteadyPhase
  | SpikePhase
  | FaultPhase
  | CommandsPhase
  | BrokerRestartPhase;

/** A part of the fleet. */
export type Target = { share: number } | { count: number };

/** All devices of a scenario. */
export function deviceCount(groups: readonly DeviceGroup[]): number {
  return groups.reduce((sum, { count }) => sum + count, 0);
}

/** How many of `fleetCount` devices a target is: none for 0%, else at least one. */
export function targetCount(target: Target, fleetCount: number): number {
  if ("count" in target) return Math.min(target.count, fleetCount);
  if (target.share === 0) return 0;
  return Math.max(1, Math.round(target.share * fleetCount));
}

/** How long the phases take when nothing goes wrong; for commands that is no time. */
export function plannedDurationMs({ phases, groups }: Scenario): number {
  const durations = phases.map((phase) => {
    if (phase.kind === "connect") return (1000 * deviceCount(groups)) / phase.ratePerSecond;
    return phase.kind === "commands" ? 0 : phase.durationMs;
  });
  return durations.reduce((sum, durationMs) => sum + durationMs, 0);
}
