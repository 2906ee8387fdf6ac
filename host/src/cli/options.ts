/** The flags of an MQTT connection, named as mosquitto names them, and what they come to. */

import { isIPv6 } from "node:net";
import { type Command, Option } from "commander";
import type { Qos } from "../core/session.ts";
import { UsageError } from "../errors.ts";
import { type BrokerUrl, parseBrokerUrl } from "../transport/broker-url.ts";
import type { TlsOptions } from "../transport/tls.ts";
import type { World } from "../world.ts";
import { type CliContext, readUserFile } from "./command.ts";
import type { Output } from "./output.ts";

/** Where the broker is and how to trust it. */
export interface BrokerPlace {
  readonly url: BrokerUrl;
  /** Undefined if no flag asks for anything; `mqtts` and `wss` then trust the well-known authorities. */
  readonly tls: TlsOptions | undefined;
}

/** Everything that one client needs to connect: options of `MqttClient`. */
export interface ConnectionSettings extends BrokerPlace {
  /** Empty: the server gives one (3.1.3.1). */
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
  /** 0 switches it off. */
  readonly keepAliveSeconds: number;
  readonly cleanSession: boolean;
  readonly will: WillSettings | undefined;
}

interface WillSettings {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: Qos;
  readonly retain: boolean;
}

/** The flags of `addBrokerOptions`, as commander gives them. */
export interface BrokerFlags {
  host?: string;
  port?: string;
  url?: string;
  cafile?: string;
  cert?: string;
  key?: string;
  insecure?: boolean;
  tlsAlpn?: string;
}

/** The flags of `addConnectionOptions` and, where a command has it, of `sessionOption`. */
export interface ConnectionFlags extends BrokerFlags {
  username?: string;
  password?: string;
  passwordFile?: string;
  id?: string;
  idPrefix?: string;
  keepalive?: string;
  mqttVersion?: string;
  willTopic?: string;
  willPayload?: string;
  willQos?: string;
  willRetain?: boolean;
  disableCleanSession?: boolean;
}

/** What the flags are judged with: the environment, the files they name, the client id's random part, and stderr. */
export type OptionsContext = Pick<CliContext, "env" | "world" | "readFile">;

/** Flags that a variable can give instead; a flag wins. */
const VARIABLES = {
  host: "WASMQTT_HOST",
  port: "WASMQTT_PORT",
  url: "WASMQTT_URL",
  cafile: "WASMQTT_CAFILE",
  cert: "WASMQTT_CERT",
  key: "WASMQTT_KEY",
  username: "WASMQTT_USERNAME",
  password: "WASMQTT_PASSWORD",
  passwordFile: "WASMQTT_PASSWORD_FILE",
  id: "WASMQTT_ID",
} as const;

/** Adds the flags that say where the broker is and how to trust it. */
export function addBrokerOptions(command: Command): Command {
  command
    .optionsGroup("Broker:")
    .option("-h, --host <host>", "name or address (default: localhost) [WASMQTT_HOST]")
    .option("-p, --port <port>", "port (default: 1883, or 8883 with TLS) [WASMQTT_PORT]")
    .option("-L, --url <url>", "mqtt://, mqtts://, ws:// or wss:// instead [WASMQTT_URL]")
    .option("--cafile <file>", "TLS: trust this authority (PEM) [WASMQTT_CAFILE]")
    .option("--cert <file>", "TLS: the client's certificate (PEM) [WASMQTT_CERT]")
    .option("--key <file>", "TLS: the client's private key (PEM) [WASMQTT_KEY]")
    .option("--insecure", "TLS: take any certificate (dangerous)")
    .option("--tls-alpn <protocol>", "TLS: ask for this application protocol");
  addAlias(command, "--hostname <host>", "host");
  addAlias(command, "--ca <file>", "cafile");
  return command;
}

/** Adds all flags of one client's connection. */
export function addConnectionOptions(command: Command): Command {
  addBrokerOptions(command)
    .optionsGroup("Client:")
    .option("-u, --username <name>", "user name [WASMQTT_USERNAME]")
    .option("-P, --password <password>", "password; others on this machine can see it in the list")
    .option("--password-file <file>", "password from a file [or WASMQTT_PASSWORD]")
    .option("-i, --id <id>", "client id (default: wasmqtt- and a random part) [WASMQTT_ID]")
    .option("-I, --id-prefix <prefix>", "client id: this and a random part")
    .option("-k, --keepalive <seconds>", "keep alive, 0 for none (default: 60)")
    .option("-V, --mqtt-version <version>", "3.1.1 is the only one so far (default: 3.1.1)")
    .optionsGroup("Last Will, published by the broker when the connection is lost:")
    .option("--will-topic <topic>", "where")
    .option("--will-payload <text>", "what (default: nothing)")
    .option("--will-qos <qos>", "0, 1 or 2 (default: 0)")
    .option("--will-retain", "keep it for later subscribers")
    .optionsGroup("");
  addAlias(command, "--client-id <id>", "id");
  return command;
}

export function sessionOption(): Option {
  return new Option("-c, --disable-clean-session", "keep the session on the broker; needs -i");
}

export function qosOption(): Option {
  return new Option("-q, --qos <qos>", "0 at most once, 1 at least once, 2 exactly once").default(
    "0",
  );
}

export function retainOption(): Option {
  return new Option("-r, --retain", "the broker keeps the message for later subscribers");
}

/** Another name for a flag, not shown in the help. */
function addAlias(command: Command, flags: string, target: string): void {
  const alias = new Option(flags).hideHelp();
  command.addOption(alias);
  command.on(`option:${alias.name()}`, (value: string) => command.setOptionValue(target, value));
}

/** Reads the flags of `addBrokerOptions`. Throws a UsageError; says aloud if certificates are not checked. */
export function brokerPlace(
  flags: BrokerFlags,
  context: OptionsContext,
  output: Output,
): BrokerPlace {
  const wantsTls =
    flags.cafile !== undefined ||
    flags.cert !== undefined ||
    flags.key !== undefined ||
    flags.tlsAlpn !== undefined ||
    flags.insecure === true;
  const url = brokerUrl(flags, context.env, wantsTls);
  const isEncrypted = url.scheme === "mqtts" || url.scheme === "wss";
  if (!wantsTls && !isEncrypted) return { url, tls: undefined };

  if (flags.insecure === true) {
    output.warn("--insecure: the broker's certificate is not checked. Whoever sits in between");
    output.warn("--insecure: can read and change every message, and learns the password.");
  }
  return { url, tls: tlsOptions(flags, context) };
}

/** Reads the flags of `addConnectionOptions`, as `brokerPlace` does. */
export function connectionSettings(
  flags: ConnectionFlags,
  context: OptionsContext,
  output: Output,
): ConnectionSettings {
  checkMqttVersion(flags.mqttVersion);
  const place = brokerPlace(flags, context, output);
  const cleanSession = flags.disableCleanSession !== true;
  return {
    ...place,
    clientId: clientId(flags, context, cleanSession),
    ...credentials(flags, place.url, context),
    keepAliveSeconds: readInteger(flags.keepalive ?? "60", "--keepalive", 0, 65_535),
    cleanSession,
    will: will(flags),
  };
}

function brokerUrl(flags: BrokerFlags, env: CliContext["env"], wantsTls: boolean): BrokerUrl {
  const hasPlace = flags.host !== undefined || flags.port !== undefined;
  if (flags.url !== undefined && hasPlace) {
    throw new UsageError(
      "--url and --host or --port say twice where the broker is",
      "Give --url alone, or --host and --port",
    );
  }
  const url = flags.url ?? (hasPlace ? undefined : variable(env, "url"));
  if (url !== undefined) return parseBrokerUrl(url);

  const host = readHost(flags.host ?? variable(env, "host") ?? "localhost");
  const portText = flags.port ?? variable(env, "port");
  const hasTlsFile = (["cafile", "cert", "key"] as const).some((name) => variable(env, name));
  const hasTls = wantsTls || hasTlsFile;
  const port = portText === undefined ? (hasTls ? TLS_PORT : TCP_PORT) : readPort(portText);
  return { scheme: hasTls || port === TLS_PORT ? "mqtts" : "mqtt", host, port };
}

const TCP_PORT = 1883;
/** As in mosquitto_pub, this port means TLS. */
const TLS_PORT = 8883;

function readHost(host: string): string {
  const address = host.replace(/^\[(.*)\]$/, "$1");
  if (isIPv6(address) || /^[^\s:/?#@[\]]+$/.test(host)) return address;
  throw new UsageError(
    `--host ${JSON.stringify(host)} is no host name and no address`,
    host.includes("://") ? `Give a URL with --url ${host}` : "As in --host localhost --port 1883",
  );
}

function readPort(text: string): number {
  if (/^(\/|\.|COM\d|tty)/i.test(text)) {
    throw new UsageError(
      `--port ${JSON.stringify(text)} looks like a serial port, and -p is the broker's port`,
      "Name a serial port with -d or --device",
    );
  }
  return readInteger(text, "--port", 1, 65_535);
}

function tlsOptions(flags: BrokerFlags, context: OptionsContext): TlsOptions {
  const read = (path: string | undefined, what: string) =>
    path === undefined ? undefined : readUserFile(context, path, what);
  return {
    ca: read(flags.cafile ?? variable(context.env, "cafile"), "CA file"),
    cert: read(flags.cert ?? variable(context.env, "cert"), "client certificate"),
    key: read(flags.key ?? variable(context.env, "key"), "client key"),
    insecure: flags.insecure === true,
    alpn: flags.tlsAlpn,
  };
}

function clientId(flags: ConnectionFlags, context: OptionsContext, cleanSession: boolean): string {
  if (flags.id !== undefined && flags.idPrefix !== undefined) {
    throw new UsageError("--id and --id-prefix cannot go together", "Give one of the two");
  }
  if (flags.idPrefix !== undefined) return `${flags.idPrefix}${randomHex(context.world)}`;
  const id = flags.id ?? variable(context.env, "id");
  if (!cleanSession && (id === undefined || id === "")) {
    throw new UsageError(
      "A session that the broker keeps needs a client id, or nobody can come back to it",
      "Name the client with --id",
    );
  }
  return id ?? `wasmqtt-${randomHex(context.world)}`;
}

/** 8 digits. */
function randomHex(world: World): string {
  return Math.floor(world.random() * 2 ** 32)
    .toString(16)
    .padStart(8, "0");
}

function credentials(
  flags: ConnectionFlags,
  url: BrokerUrl,
  context: OptionsContext,
): Pick<ConnectionSettings, "username" | "password"> {
  const username = flags.username ?? url.userName ?? variable(context.env, "username");
  const password = readPassword(flags, url, context);
  if (password !== undefined && username === undefined) {
    // [MQTT-3.1.2-22]
    throw new UsageError("A password needs a user name", "Give the user name with --username");
  }
  return { username, password };
}

function readPassword(
  flags: ConnectionFlags,
  url: BrokerUrl,
  context: OptionsContext,
): Uint8Array | undefined {
  if (flags.password !== undefined && flags.passwordFile !== undefined) {
    throw new UsageError("There are two passwords", "Give --password or --password-file");
  }
  if (flags.passwordFile !== undefined) return passwordFromFile(flags.passwordFile, context);
  const text = flags.password ?? url.password ?? variable(context.env, "password");
  if (text !== undefined) return Buffer.from(text);
  const path = variable(context.env, "passwordFile");
  return path === undefined ? undefined : passwordFromFile(path, context);
}

/** The line end that an editor put behind it is no part of the password. */
function passwordFromFile(path: string, context: OptionsContext): Uint8Array {
  const bytes = readUserFile(context, path, "password file");
  const ending = /\r?\n?$/.exec(bytes.toString("latin1"))?.[0] ?? "";
  return bytes.subarray(0, bytes.length - ending.length);
}

function will(flags: ConnectionFlags): WillSettings | undefined {
  const { willTopic: topic, willPayload = "", willQos = "0", willRetain = false } = flags;
  if (topic === undefined) {
    const rest = [flags.willPayload, flags.willQos, flags.willRetain];
    if (rest.some((flag) => flag !== undefined)) {
      throw new UsageError("The Last Will has no topic", "Say where with --will-topic");
    }
    return undefined;
  }
  return {
    topic: readTopicName(topic, "--will-topic"),
    payload: Buffer.from(willPayload),
    qos: readQos(willQos, "--will-qos"),
    retain: willRetain,
  };
}

/** A topic to publish on: not empty, no wildcards [MQTT-3.3.2-2] [MQTT-4.7.3-1], at most 65,535 bytes (1.5.3). */
export function readTopicName(topic: string, flag: string): string {
  if (topic !== "" && !/[#+\0]/.test(topic) && Buffer.byteLength(topic) <= 65_535) return topic;
  throw new UsageError(
    `${flag} ${JSON.stringify(topic)} is no topic to publish on`,
    "Give 1 to 65535 bytes without # and +, as in motes/kitchen/status",
  );
}

export function readQos(text: string, flag: string): Qos {
  return readInteger(text, flag, 0, 2) as Qos;
}

/** A whole number from `min` to `max`. Throws a UsageError that names `flag`. */
export function readInteger(text: string, flag: string, min: number, max: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(
    `${flag} ${JSON.stringify(text)} is out of range or no number`,
    `Give a whole number from ${min} to ${max}`,
  );
}

/** Seconds, with fractions if need be, as milliseconds. Throws a UsageError that names `flag`. */
export function readSeconds(text: string, flag: string, minMs = 0, maxMs = 86_400_000): number {
  const valueMs = /^\d{1,9}(\.\d{1,9})?$/.test(text) ? Math.round(Number(text) * 1000) : Number.NaN;
  if (valueMs >= minMs && valueMs <= maxMs) return valueMs;
  throw new UsageError(
    `${flag} ${JSON.stringify(text)} is out of range or no number`,
    `Give seconds from ${minMs / 1000} to ${maxMs / 1000}, as in 0.5`,
  );
}

function checkMqttVersion(version: string | undefined): void {
  if (version === undefined || ["3.1.1", "311", "4", "mqttv311"].includes(version)) return;
  const other = OTHER_VERSIONS.get(version);
  throw new UsageError(
    other === undefined
      ? `--mqtt-version ${JSON.stringify(version)} is not known`
      : `MQTT ${other} is not spoken here`,
    "Leave out --mqtt-version, or say 3.1.1; brokers for MQTT 5 speak that as well",
  );
}

const OTHER_VERSIONS: ReadonlyMap<string, string> = new Map([
  ["5", "5"],
  ["5.0", "5"],
  ["mqttv5", "5"],
  ["3", "3.1"],
  ["31", "3.1"],
  ["3.1", "3.1"],
  ["mqttv31", "3.1"],
]);

/** An empty variable counts as none. */
function variable(env: CliContext["env"], name: keyof typeof VARIABLES): string | undefined {
  return env[VARIABLES[name]] || undefined;
}
