/** Picks the transport that a broker URL asks for. */

import { isIP } from "node:net";
import { UsageError } from "../errors.ts";
import type { World } from "../world.ts";
import { type BrokerUrl, brokerAddressText } from "./broker-url.ts";
import { type Dial, HIGH_WATER_LENGTH, OPEN_TIMEOUT_MS } from "./guarded-transport.ts";
import { hostLookup } from "./host-lookup.ts";
import { openTls } from "./layered-transport.ts";
import { openTcp } from "./tcp.ts";
import { type Secure, type TlsOptions, tlsTo } from "./tls.ts";
import type { OpenTransport } from "./transport.ts";
import { openWebSocket } from "./websocket.ts";

export interface TransportOptions {
  /** Only for `mqtts` and `wss`, which work without it if a well-known authority vouches for the broker. */
  readonly tls?: TlsOptions | undefined;
  /** An address of this machine to connect from. */
  readonly localAddress?: string | undefined;
  /** For everything until `opened`: name, TCP, TLS, WebSocket. 10,000 if absent. */
  readonly timeoutMs?: number | undefined;
  /** Bytes that may wait before `write` answers false. 16,384 if absent. */
  readonly highWaterLength?: number | undefined;
}

/**
 * Makes what opens Network Connections to the broker, one with each call. Ask once for many connections: they
 * share what can be shared. Throws a UsageError if the options cannot be used.
 */
export function openTransport(
  url: BrokerUrl,
  world: World,
  options: TransportOptions = {},
): OpenTransport {
  const dial: Dial = {
    url,
    where: brokerAddressText(url),
    world,
    localAddress: checkedAddress(options.localAddress),
    timeoutMs: options.timeoutMs ?? OPEN_TIMEOUT_MS,
    highWaterLength: options.highWaterLength ?? HIGH_WATER_LENGTH,
    lookup: hostLookup(world),
    secure: secureFor(url, options.tls),
  };
  if (url.scheme === "ws" || url.scheme === "wss") return openWebSocket(dial);
  return dial.secure === undefined ? openTcp(dial) : openTls(dial);
}

function checkedAddress(localAddress: string | undefined): string | undefined {
  if (localAddress === undefined || isIP(localAddress) !== 0) return localAddress;
  throw new UsageError(
    `The local address ${JSON.stringify(localAddress)} is no IP address`,
    "Give an IPv4 or IPv6 address of this machine",
  );
}

function secureFor(url: BrokerUrl, tls: TlsOptions | undefined): Secure | undefined {
  if (url.scheme === "mqtts" || url.scheme === "wss") return tlsTo(url.host, tls ?? {});
  if (tls === undefined) return undefined;
  throw new UsageError(
    `TLS was asked for, but ${url.scheme}:// is not encrypted`,
    `Write ${url.scheme === "ws" ? "wss" : "mqtts"}://, or leave out the TLS options`,
  );
}
