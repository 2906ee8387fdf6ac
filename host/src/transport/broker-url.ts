/** Broker URLs: `mqtt://`, `mqtts://`, `ws://` and `wss://`, read from text and printed as text. */

import { isIPv6 } from "node:net";
import { domainToASCII } from "node:url";
import { UsageError } from "../errors.ts";

/** `mqtt` is TCP, `mqtts` TLS, `ws` WebSocket, `wss` WebSocket over TLS. */
export type BrokerScheme = "mqtt" | "mqtts" | "ws" | "wss";

/** Where a broker is, and what else its URL said. */
export interface BrokerUrl {
  readonly scheme: BrokerScheme;
  /** A name in lower case, or an address. An IPv6 address has no brackets here. */
  readonly host: string;
  readonly port: number;
  /** `ws` and `wss`: path and query of the HTTP request. Absent counts as `DEFAULT_PATH`. */
  readonly path?: string | undefined;
  /** `mqtt` and `mqtts`: what stands behind the first "/", as in `mosquitto_sub -L`. */
  readonly topic?: string | undefined;
  readonly userName?: string | undefined;
  readonly password?: string | undefined;
}

/**
 * The path of a WebSocket URL that has none. EMQX and HiveMQ listen only here, Paho and MQTTX ask for it too;
 * mosquitto and aedes take any path. `ws://host/` asks for "/".
 */
export const DEFAULT_PATH = "/mqtt";

const DEFAULT_PORTS: Readonly<Record<BrokerScheme, number>> = {
  mqtt: 1883,
  mqtts: 8883,
  ws: 80,
  wss: 443,
};

/** Schemes that people write and we do not know, and what they mean by them. */
const SCHEME_HINTS: ReadonlyMap<string, string> = new Map([
  ["tcp", "Write mqtt:// for MQTT over TCP"],
  ["ssl", "Write mqtts:// for MQTT over TLS"],
  ["tls", "Write mqtts:// for MQTT over TLS"],
  ["http", "Write ws:// for MQTT over WebSocket, or mqtt:// for MQTT over TCP"],
  ["https", "Write wss:// for MQTT over WebSocket and TLS, or mqtts:// for MQTT over TLS"],
]);

/** scheme://credentials@host:port rest. A password may hold an "@": the last one counts. */
const URL_PARTS =
  /^([a-z][a-z0-9+.-]*):\/\/(?:([^/?#]*)@)?(\[[^\]]*\]|[^:/?#]*)(?::([^/?#]*))?([/?#].*)?$/is;

/**
 * Reads a broker URL. User name, password and topic are percent-decoded; "+", "#" and "?" in a topic need no
 * encoding. Throws a UsageError, whose text never shows what stands before the "@".
 */
export function parseBrokerUrl(text: string): BrokerUrl {
  const parts = URL_PARTS.exec(text);
  if (parts === null) {
    throw wrongUrl(
      text,
      "has no scheme",
      "Write mqtt://HOST, mqtts://HOST, ws://HOST or wss://HOST",
    );
  }
  const [, schemeText = "", credentials, hostText = "", portText, rest = ""] = parts;

  const scheme = readScheme(text, schemeText.toLowerCase());
  const place = {
    scheme,
    host: readHost(text, hostText),
    port: portText === undefined ? DEFAULT_PORTS[scheme] : readPort(text, portText),
    ...readCredentials(text, credentials),
  };
  if (scheme === "ws" || scheme === "wss") return { ...place, path: readPath(text, rest) };
  return { ...place, topic: readTopic(text, rest) };
}

/**
 * The URL as text for summaries and logs: always with its port, never with what may be secret, which is user name,
 * password, and the query of a WebSocket URL.
 */
export function brokerUrlText(url: BrokerUrl): string {
  const topic = url.topic === undefined ? "" : `/${encodeURI(url.topic)}`;
  const path = url.path?.replace(/\?.*/s, "");
  return `${url.scheme}://${brokerAddressText(url)}${path ?? topic}`;
}

/** Host and port alone, as in `localhost:1883` or `[::1]:1883`. */
export function brokerAddressText(url: BrokerUrl): string {
  const host = isIPv6(url.host) ? `[${url.host.replace("%", "%25")}]` : url.host;
  return `${host}:${url.port}`;
}

function readScheme(text: string, scheme: string): BrokerScheme {
  if (isBrokerScheme(scheme)) return scheme;
  throw wrongUrl(
    text,
    `starts with ${scheme}://, which is no scheme of MQTT`,
    SCHEME_HINTS.get(scheme) ?? "Write mqtt://, mqtts://, ws:// or wss://",
  );
}

function isBrokerScheme(scheme: string): scheme is BrokerScheme {
  return Object.hasOwn(DEFAULT_PORTS, scheme);
}

function readHost(text: string, host: string): string {
  if (host === "") {
    throw wrongUrl(text, "names no host", "Write the host behind //, as in mqtt://localhost");
  }
  const isBracketed = host.startsWith("[");
  // RFC 6874: the "%" before the zone of an IPv6 address is written "%25".
  const name = isBracketed ? host.slice(1, -1).replace("%25", "%") : domainToASCII(host);
  if (isBracketed ? isIPv6(name) : name !== "") return name;
  throw wrongUrl(
    text,
    "has no valid host",
    "Write a host name, an IPv4 address, or an IPv6 address in brackets, as in mqtt://[::1]",
  );
}

function readPort(text: string, portText: string): number {
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : 0;
  if (port >= 1 && port <= 65_535) return port;
  throw wrongUrl(
    text,
    "has no valid port",
    "Write a port from 1 to 65535; an IPv6 address in brackets, as in mqtt://[::1]:1883; " +
      "and / ? # in a user name or password as %2F %3F %23",
  );
}

function readCredentials(text: string, credentials: string | undefined) {
  if (credentials === undefined || credentials === "") return {};
  const colonAt = credentials.indexOf(":");
  if (colonAt < 0) return { userName: decode(text, "user name", credentials) };
  return {
    userName: decode(text, "user name", credentials.slice(0, colonAt)),
    password: decode(text, "password", credentials.slice(colonAt + 1)),
  };
}

function readPath(text: string, rest: string): string {
  if (rest === "") return DEFAULT_PATH;
  if (rest.includes("#")) {
    throw wrongUrl(
      text,
      'has a "#", which a WebSocket URL cannot have',
      "Leave out what follows #",
    );
  }
  const { pathname, search } = new URL(`ws://host${rest}`);
  return pathname + search;
}

function readTopic(text: string, rest: string): string | undefined {
  if (rest === "" || rest === "/") return undefined;
  if (rest.startsWith("/")) return decode(text, "topic", rest.slice(1));
  throw wrongUrl(text, 'has no "/" before its topic', "Write mqtt://HOST:PORT/TOPIC");
}

function decode(text: string, part: string, encoded: string): string {
  try {
    const decoded = decodeURIComponent(encoded);
    encodeURIComponent(decoded); // Throws for half a surrogate pair, which no packet can carry.
    return decoded;
  } catch (cause) {
    throw wrongUrl(
      text,
      `has a ${part} that is not percent-encoded UTF-8`,
      "Write each % itself as %25",
      { cause },
    );
  }
}

function wrongUrl(text: string, problem: string, remedy: string, options?: ErrorOptions) {
  const shown = JSON.stringify(text.replace(/^([^/]*\/\/)?.*@/s, "$1***@"));
  return new UsageError(`The broker URL ${shown} ${problem}`, remedy, options);
}
