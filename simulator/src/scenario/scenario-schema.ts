/** The form of a scenario file: its keys, their limits and defaults. */

import { isIP } from "node:net";
import { z } from "zod";
import { UsageError } from "../../../host/src/errors.ts";
import { type BrokerUrl, parseBrokerUrl } from "../../../host/src/transport/broker-url.ts";
import { DAY_MS, HOUR_MS } from "../duration.ts";
import { PROFILE_NAMES } from "../profiles/profile.ts";
import { SEED_LIMIT } from "../random.ts";
import { phase } from "./phase-schema.ts";
import {
  type BrokerSettings,
  DEFAULT_PHASES,
  DEVICE_COUNT_MAX,
  type DeviceGroup,
  GROUP_COUNT_DEFAULT,
  NAME_LENGTH_MAX,
  type ScenarioContent,
} from "./scenario.ts";
import { scenarioProblems } from "./scenario-checks.ts";
import {
  decimal,
  duration,
  line,
  oneOf,
  percent,
  prose,
  qos,
  strict,
  trueOrFalse,
  wholeNumber,
} from "./scenario-fields.ts";
import { thresholds } from "./threshold-schema.ts";

const KEEP_ALIVE_SECONDS_MAX = 65_535;

const path = () => line(4096).optional();

const brokerUrl = line(2048).transform((text, context): BrokerUrl => {
  try {
    const url = parseBrokerUrl(text);
    if (url.userName === undefined && url.topic === undefined) return url;
    const part = url.topic === undefined ? "user name" : "topic";
    const remedy = "write no more than scheme, host and port; broker.username is a key of its own";
    context.addIssue({ code: "custom", message: `has a ${part} in it: ${remedy}` });
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    context.addIssue({ code: "custom", message: `is wrong. ${error.message}. ${error.remedy}` });
  }
  return z.NEVER;
});

const keepAliveError = "must be whole seconds from 0s (off) to 65535s, such as 30s";

const broker = strict({
  url: brokerUrl.optional().describe("mqtt://host:1883; without it the run brings its own broker"),
  keepAlive: duration(0, 1000 * KEEP_ALIVE_SECONDS_MAX)
    .refine((valueMs) => valueMs % 1000 === 0, { error: keepAliveError })
    .prefault("30s")
    .describe("A device that was silent for 1.5 times as long is dead to the broker; 0s: off"),
  responseTimeout: duration(100, HOUR_MS)
    .prefault("10s")
    .describe("How long a device waits for an answer of the broker"),
  username: line(256)
    .optional()
    .describe(
      "%i is the device's number, %c its client id. The run's own subscriber logs in as the first device",
    ),
  password: line(256).optional().describe("%i is the device's number, %c its client id"),
  passwordFile: path().describe("A file with the password, taken as it is"),
  localAddresses: z
    .array(
      line(64).refine((text) => isIP(text) !== 0, {
        error: "must be an IP address of this machine",
      }),
    )
    .default([])
    .describe("Addresses of this machine to connect from, in turn: each has some 28,000 ports"),
  tls: strict({
    caFile: path().describe("Certificates to trust (PEM)"),
    certFile: path().describe("The devices' own certificate (PEM)"),
    keyFile: path().describe("The key of certFile (PEM)"),
    insecure: trueOrFalse().default(false).describe("Trusts any certificate: for tests only"),
    servername: line(255).optional().describe("The certificate's name, if it is not the host's"),
    alpn: line(255).optional().describe("Application protocol to ask for, such as mqtt"),
  })
    .optional()
    .describe("For mqtts:// and wss://"),
});

const intervalError =
  "must be a duration from 100ms to 24h, such as 500ms, 10s, 2m or 1h, or 0s for as fast as possible";

/** What the firmware can keep, or 0 for none. */
const interval = () =>
  duration(0, DAY_MS, intervalError).refine((valueMs) => valueMs === 0 || valueMs >= 100, {
    error: intervalError,
  });

export const group = strict({
  group: line(NAME_LENGTH_MAX)
    .optional()
    .describe("What the group is called in the output; else sensors, sensors-2 and so on"),
  count: wholeNumber(1, DEVICE_COUNT_MAX)
    .default(GROUP_COUNT_DEFAULT)
    .describe("Devices in this group"),
  id: line(128)
    .default("mote-%05i")
    .describe("Client Identifier: %i is the device's number, %05i the same with zeros in front"),
  firstNumber: wholeNumber(0, 1_000_000_000)
    .optional()
    .describe("The first device's number; else 1, or the one after the group above"),
  cleanSession: trueOrFalse()
    .default(true)
    .describe("false: the broker keeps subscriptions and messages for a device that is away"),
  profile: oneOf(PROFILE_NAMES)
    .default("plain")
    .describe("Topics, births, Wills and payloads: docs/profiles.md has the messages of each"),
  publish: strict({
    interval: interval()
      .prefault("10s")
      .describe("Time between two readings; 0s: as fast as the broker takes them"),
    jitter: percent()
      .prefault("10%")
      .describe("A reading is due up to so much of the interval earlier or later"),
    qos: qos().default(1).describe("0: at most once, 1: at least once, 2: exactly once"),
    retain: trueOrFalse().default(false).describe("The broker keeps the last reading"),
    outbox: wholeNumber(1, 1000)
      .optional()
      .describe(
        "Readings that a sensor keeps while it cannot send them; else those of 5 s, at least 4 and at most 20. Each takes about 100 bytes of every sensor",
      ),
    deadBand: decimal(0, 1000)
      .default(0)
      .describe("Readings that changed less than this (degrees Celsius) are not sent"),
  }).prefault({}),
  temperature: strict({
    mean: decimal(-100, 1000).default(21.5).describe("Degrees Celsius"),
    amplitude: decimal(0, 1000).default(3).describe("The daily curve goes so far up and down"),
    period: duration(1000, 365 * DAY_MS)
      .prefault("24h")
      .describe("Length of a day"),
    drift: decimal(0, 1000).default(0.5).describe("A sensor wanders so far over several days"),
    noise: decimal(0, 1000).default(0.1).describe("Standard deviation of one reading"),
  }).prefault({}),
  reconnect: strict({
    after: duration(0, DAY_MS).prefault("0s").describe("Wait after a lost connection"),
    base: duration(1, DAY_MS)
      .prefault("1s")
      .describe("Up to so long before the first attempt, then twice as long each time"),
    max: duration(1, DAY_MS).prefault("30s").describe("Never longer than this"),
  }).prefault({}),
}).describe("Devices that are alike");

/** By now each group has taken from them what it lacks. The published schema shows a group in their place. */
export const rawDefaults = z.unknown().refine((value) => value === undefined, {
  error: "must be a mapping, with a list of groups (devices) to apply it to",
});

const observe = strict({
  wills: trueOrFalse().default(true).describe("Accounts for each Last Will"),
  audit: trueOrFalse().default(true).describe("Accounts for each reading"),
  grace: duration(100, HOUR_MS)
    .prefault("8s")
    .describe(
      "A Will may come so much later than the standard says. Mosquitto looks for silent clients about every 6 s, in whole seconds",
    ),
});

const file = strict({
  $schema: z.string().optional(),
  version: z.literal(1, { error: "must be 1" }),
  name: line(NAME_LENGTH_MAX).default("unnamed"),
  description: prose(4096).default(""),
  seed: wholeNumber(0, SEED_LIMIT - 1)
    .default(1)
    .describe("The same seed gives the same fleet and the same faults"),
  broker: broker.prefault({}),
  defaults: rawDefaults
    .optional()
    .describe("What holds for each group of devices that does not say it itself"),
  devices: z
    .array(group, { error: "must be a list of groups of devices" })
    .min(1, { error: "must have at least one group of devices" })
    .max(100, { error: "must have at most 100 groups of devices" })
    .prefault([{}]),
  phases: z
    .array(phase, { error: "must be a list of phases" })
    .min(1, { error: "must have at least one phase" })
    .max(1000, { error: "must have at most 1000 phases" })
    .prefault(DEFAULT_PHASES)
    .describe("What happens, one after the other; at the end the devices say goodbye"),
  observe: observe.prefault({}),
  thresholds: thresholds
    .prefault({})
    .describe("What the run must achieve besides what MQTT promises: k6's rules, by metric"),
});

/** Reads a scenario but for its text; an issue's path is that of the file. */
export const scenarioSchema = file.transform(toScenario).superRefine((scenario, context) => {
  for (const { path: problemPath, message } of scenarioProblems(scenario)) {
    context.addIssue({ code: "custom", path: problemPath, message });
  }
});

function toScenario(input: z.output<typeof file>): ScenarioContent {
  return {
    name: input.name,
    description: input.description.trim(),
    seed: input.seed,
    broker: toBroker(input.broker),
    groups: toGroups(input.devices),
    phases: input.phases,
    observe: {
      wills: input.observe.wills,
      audit: input.observe.audit,
      graceMs: input.observe.grace,
    },
    thresholds: input.thresholds,
  };
}

function toBroker(input: z.output<typeof broker>): BrokerSettings {
  return {
    url: input.url,
    keepAliveSeconds: input.keepAlive / 1000,
    responseTimeoutMs: input.responseTimeout,
    username: input.username,
    password: input.password,
    passwordFile: input.passwordFile,
    localAddresses: input.localAddresses,
    tls: {
      caFile: input.tls?.caFile,
      certFile: input.tls?.certFile,
      keyFile: input.tls?.keyFile,
      insecure: input.tls?.insecure ?? false,
      servername: input.tls?.servername,
      alpn: input.tls?.alpn,
    },
  };
}

/** Groups that do not say where their numbers start go on where the group above ends. */
function toGroups(inputs: readonly z.output<typeof group>[]): DeviceGroup[] {
  let nextNumber = 1;
  return inputs.map((input, index) => {
    const firstNumber = input.firstNumber ?? nextNumber;
    nextNumber = firstNumber + input.count;
    const name = input.group ?? (index === 0 ? "sensors" : `sensors-${index + 1}`);
    return { name, firstNumber, ...toGroup(input) };
  });
}

/** Readings that go in one write where there is no interval: 16 KiB. */
const FLOOD_OUTBOX_COUNT = 180;

/** Readings of five seconds. */
function outboxCountFor(intervalMs: number): number {
  if (intervalMs === 0) return FLOOD_OUTBOX_COUNT;
  return Math.min(20, Math.max(4, Math.ceil(5_000 / intervalMs)));
}

function toGroup(input: z.output<typeof group>): Omit<DeviceGroup, "name" | "firstNumber"> {
  const { publish, temperature, reconnect } = input;
  return {
    count: input.count,
    id: input.id,
    cleanSession: input.cleanSession,
    profile: input.profile,
    publish: {
      intervalMs: publish.interval,
      jitter: publish.jitter,
      qos: publish.qos,
      retain: publish.retain,
      outboxCount: publish.outbox ?? outboxCountFor(publish.interval),
      deadBandMilliCelsius: Math.round(1000 * publish.deadBand),
    },
    temperature: {
      mean: temperature.mean,
      amplitude: temperature.amplitude,
      periodMs: temperature.period,
      drift: temperature.drift,
      noise: temperature.noise,
    },
    reconnect: {
      afterMs: reconnect.after,
      baseMs: reconnect.base,
      maxMs: reconnect.max,
    },
  };
}
