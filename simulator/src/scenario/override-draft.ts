/** A scenario file's data while the command line's flags are written into it. */

import { isMapping, type KeyPath, type Mapping, valueAt } from "./plain-data.ts";

/** Values as they came from the command line; the form of a scenario checks them. */
export interface ScenarioOverrides {
  url?: string | undefined;
  host?: string | undefined;
  port?: string | undefined;
  username?: string | undefined;
  password?: string | undefined;
  passwordFile?: string | undefined;
  /** A duration, or a number of seconds as in mosquitto. */
  keepAlive?: string | undefined;
  caFile?: string | undefined;
  certFile?: string | undefined;
  keyFile?: string | undefined;
  insecure?: boolean | undefined;
  servername?: string | undefined;
  alpn?: string | undefined;
  localAddresses?: readonly string[] | undefined;
  seed?: string | undefined;
  /** All devices; several groups share them in proportion to their counts. */
  count?: string | undefined;
  /** The number of the first device; all groups are numbered on from there. */
  firstNumber?: string | undefined;
  id?: string | undefined;
  profile?: string | undefined;
  interval?: string | undefined;
  jitter?: string | undefined;
  qos?: string | undefined;
  retain?: boolean | undefined;
  /** Connections per second of the connect phase. */
  rate?: string | undefined;
  /** Of the one phase that is nothing but a duration. */
  duration?: string | undefined;
  /** Each `METRIC: RULE`; they join those of the file. */
  thresholds?: readonly string[] | undefined;
}

/** The flag of each override, as the command line has it. */
const OVERRIDE_FLAGS: Readonly<Record<keyof ScenarioOverrides, string>> = {
  url: "--url",
  host: "--host",
  port: "--port",
  username: "--username",
  password: "--password",
  passwordFile: "--password-file",
  keepAlive: "--keepalive",
  caFile: "--cafile",
  certFile: "--cert",
  keyFile: "--key",
  insecure: "--insecure",
  servername: "--servername",
  alpn: "--tls-alpn",
  localAddresses: "--ifaddr",
  seed: "--seed",
  count: "--count",
  firstNumber: "--startnumber",
  id: "--id",
  profile: "--profile",
  interval: "--interval",
  jitter: "--jitter",
  qos: "--qos",
  retain: "--retain",
  rate: "--connrate",
  duration: "--duration",
  thresholds: "--threshold",
};

/** A flag that cannot be applied; `message` is the rest of a sentence that begins with the flag. */
export interface FlagMistake {
  flag: string;
  message: string;
}

export interface Overridden {
  /** What to check now. */
  document: unknown;
  /** The flag that wrote a key, or a key above it. */
  flagOf(path: KeyPath): string | undefined;
  mistakes: readonly FlagMistake[];
}

/** Tells afterwards which flag wrote which key. */
export class Draft implements Overridden {
  readonly document: unknown;
  readonly mistakes: FlagMistake[] = [];
  readonly #flags = new Map<string, string>();

  constructor(document: unknown) {
    this.document = document;
  }

  /** Does nothing if `value` is undefined, or if something on the way is no mapping and no list. */
  set(path: KeyPath, override: keyof ScenarioOverrides, value: unknown): void {
    const key = path.at(-1);
    if (value === undefined || key === undefined) return;
    const parent = this.#parentAt(path.slice(0, -1));
    if (parent === undefined) return;
    parent[key] = value;
    this.#flags.set(JSON.stringify(path), OVERRIDE_FLAGS[override]);
  }

  remove(path: KeyPath): void {
    const key = path.at(-1);
    const parent = valueAt(this.document, path.slice(0, -1));
    if (key !== undefined && isMapping(parent)) delete parent[key];
  }

  /** Reports a flag that fits nowhere. */
  fail(override: keyof ScenarioOverrides, message: string): void {
    this.mistakes.push({ flag: OVERRIDE_FLAGS[override], message });
  }

  flagOf(path: KeyPath): string | undefined {
    for (let length = path.length; length > 0; length--) {
      const flag = this.#flags.get(JSON.stringify(path.slice(0, length)));
      if (flag !== undefined) return flag;
    }
    return undefined;
  }

  /** The mapping or list at `path`; mappings that are missing on the way are made. */
  #parentAt(path: KeyPath): Mapping | undefined {
    let parent = this.document;
    for (const key of path) {
      if (isMapping(parent)) parent[key] ??= {};
      parent = valueAt(parent, [key]);
    }
    return isMapping(parent) || Array.isArray(parent) ? (parent as Mapping) : undefined;
  }
}
