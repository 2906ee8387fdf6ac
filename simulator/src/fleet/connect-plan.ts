/** How the devices of a run reach the broker: everything that was read from files, so that a thread can be told. */

import type { BrokerUrl } from "../../../host/src/transport/broker-url.ts";
import { openTransport } from "../../../host/src/transport/open-transport.ts";
import type { TlsOptions } from "../../../host/src/transport/tls.ts";
import type { OpenTransport } from "../../../host/src/transport/transport.ts";
import type { World } from "../../../host/src/world.ts";
import type { Scenario } from "../scenario/scenario.ts";

export interface ConnectPlan {
  url: BrokerUrl;
  tls: TlsOptions | undefined;
  /** Addresses of this machine that take turns; empty: the system chooses. */
  localAddresses: readonly string[];
  /** The text of `passwordFile`. */
  password: string | undefined;
}

/** Throws a UsageError if a file that the scenario names cannot be read. */
export function connectPlan(
  { broker }: Scenario,
  url: BrokerUrl,
  readFile: (path: string, what: string) => Uint8Array,
): ConnectPlan {
  const { caFile, certFile, keyFile, insecure, servername, alpn } = broker.tls;
  const isSecure = url.scheme === "mqtts" || url.scheme === "wss";
  const read = (path: string | undefined, what: string) =>
    path === undefined ? undefined : Buffer.from(readFile(path, what));
  return {
    url,
    tls: isSecure
      ? {
          ca: read(caFile, "CA file"),
          cert: read(certFile, "certificate file"),
          key: read(keyFile, "key file"),
          insecure,
          serverName: servername,
          alpn,
        }
      : undefined,
    localAddresses: broker.localAddresses,
    password: read(broker.passwordFile, "password file")
      ?.toString("utf8")
      .replace(/\r?\n$/u, ""),
  };
}

/** Opens the devices' connections, from each local address in turn. */
export function openPlanned(
  { url, tls, localAddresses }: ConnectPlan,
  world: World,
): OpenTransport {
  const options = tls === undefined ? {} : { tls };
  if (localAddresses.length === 0) return openTransport(url, world, options);
  const openers = localAddresses.map((localAddress) =>
    openTransport(url, world, { ...options, localAddress }),
  );
  let turn = 0;
  return (handlers) => (openers[turn++ % openers.length] as OpenTransport)(handlers);
}
