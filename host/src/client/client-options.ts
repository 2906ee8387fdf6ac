/** The options of MqttClient: what each means, what holds without it, and what cannot be. */

import {
  CAPACITY_MAX,
  IDENTITY_CAPACITY_MIN,
  INCOMING_COUNT_MAX,
  JOURNAL_CAPACITY_MIN,
  JOURNAL_RESERVE_LENGTH,
  RECEIVE_CAPACITY_MIN,
  TRANSMIT_CAPACITY_MIN,
  WhenFull,
} from "../../../firmware/core/abi.ts";
import type { Core } from "../core/core.ts";
import type { Capacities, ConnectOptions, OutgoingMessage } from "../core/session.ts";
import { UsageError } from "../errors.ts";
import type { SessionStore } from "../store/session-store.ts";
import { type BrokerUrl, parseBrokerUrl } from "../transport/broker-url.ts";
import { openTransport } from "../transport/open-transport.ts";
import type { TlsOptions } from "../transport/tls.ts";
import type { OpenTransport } from "../transport/transport.ts";
import { realWorld, type World } from "../world.ts";
import { RECONNECT_POLICY, type ReconnectPolicy } from "./reconnect.ts";

/** How a client is made. Only `url` or `openTransport` must be there. */
export interface MqttClientOptions {
  /**
   * Where the broker is: `mqtt://`, `mqtts://`, `ws://` or `wss://`, as in `mqtt://user:secret@localhost:1883`.
   * A topic in it is not used.
   */
  readonly url?: string | BrokerUrl | undefined;
  /** Opens the Network Connections instead of `url`: over a serial line, in memory, through a proxy. */
  readonly openTransport?: OpenTransport | undefined;
  /** How to trust the broker of an `mqtts` or `wss` URL; without it, as Node trusts. */
  readonly tls?: TlsOptions | undefined;

  /** What the broker knows this client by. `wasmqtt-` and 8 random digits if absent; empty: the broker chooses. */
  readonly clientId?: string | undefined;
  /**
   * True (if absent): the broker forgets this client with each connection. False: it keeps subscriptions and what
   * arrives at QoS 1 and 2 meanwhile; needs a `clientId`.
   */
  readonly cleanSession?: boolean | undefined;
  /**
   * Where the session survives the end of this process, as `openFileStore` makes it: what is unacknowledged in both
   * directions. Needs a `clientId` and `cleanSession: false`. In memory only if absent.
   */
  readonly store?: SessionStore | undefined;
  /** The broker gives a silent client up after 1.5 times this. 0 to 65535, 0 for never; 60 if absent. */
  readonly keepAliveSeconds?: number | undefined;
  /** Goes before the one in `url`. */
  readonly username?: string | undefined;
  /** Needs a user name [MQTT-3.1.2-22]. */
  readonly password?: string | Uint8Array | undefined;
  /** What the broker publishes when it loses this client without a `close()`: the Last Will. */
  readonly will?: OutgoingMessage | undefined;

  /** When to connect again after a connection was lost; false: not at all, and the client is closed then. */
  readonly reconnect?: Partial<ReconnectPolicy> | false | undefined;
  /** How long to wait for the broker's answers; 0 for ever, 10,000 if absent. */
  readonly responseTimeoutMs?: number | undefined;

  /**
   * Room in bytes. `receive`: the largest packet that is taken in whole; `transmit`: what is queued or unacknowledged.
   * 16,384 each if absent. `journal`, with a store: what is stored at once, and 24 bytes more than the largest message.
   */
  readonly capacities?: Partial<Capacities> | undefined;
  /** How many QoS 1 and 2 messages may be unacknowledged at once: 1 to 65535, 16 if absent. */
  readonly inflightMax?: number | undefined;
  /** What a full outbox does: lets new messages wait ("refuse", if absent), or throws away the oldest at QoS 0. */
  readonly whenFull?: "refuse" | "drop-oldest-qos0" | undefined;
  /** How many calls of `publish`, and of `subscribe` and `unsubscribe`, may wait for room at once; 1024 if absent. */
  readonly waitingMax?: number | undefined;

  /** An instance of core.wasm that several clients share; one of its own if absent. */
  readonly core?: Core | undefined;
  /** Clock, timers and randomness; the real ones if absent. */
  readonly world?: World | undefined;
}

/** The options with everything decided. */
export interface ClientSettings {
  readonly openTransport: OpenTransport;
  readonly clientId: string;
  readonly connect: ConnectOptions;
  readonly username: string | undefined;
  readonly password: string | Uint8Array | undefined;
  readonly will: OutgoingMessage | undefined;
  /** Undefined: not at all. */
  readonly reconnect: ReconnectPolicy | undefined;
  readonly capacities: Required<Capacities>;
  readonly inflightMax: number;
  readonly whenFull: WhenFull;
  readonly waitingMax: number;
  readonly store: SessionStore | undefined;
  readonly core: Core | undefined;
  readonly world: World;
}

const BUFFER_LENGTH = 16_384;

/** The largest message is the outbox's, with or without a store. */
const JOURNAL_LENGTH = BUFFER_LENGTH + JOURNAL_RESERVE_LENGTH;

/** Unfinished incoming QoS 2 messages. Brokers send some tens at once; two bytes for each. */
const INCOMING_COUNT = 256;

/** Decides everything. Throws a UsageError for what cannot be. */
export function settle(options: MqttClientOptions): ClientSettings {
  const { url: urlOption, world = realWorld } = options;
  const url = typeof urlOption === "string" ? parseBrokerUrl(urlOption) : urlOption;
  const username = options.username ?? url?.userName;
  const password = options.password ?? url?.password;
  const clientId = options.clientId ?? randomClientId(world);
  const settings = {
    openTransport: transportFor(url, options, world),
    clientId,
    connect: {
      cleanSession: options.cleanSession ?? true,
      keepAliveSeconds: options.keepAliveSeconds ?? 60,
      responseTimeoutMs: options.responseTimeoutMs ?? 10_000,
    },
    username,
    password,
    will: options.will,
    reconnect:
      options.reconnect === false ? undefined : { ...RECONNECT_POLICY, ...options.reconnect },
    capacities: {
      receive: BUFFER_LENGTH,
      transmit: BUFFER_LENGTH,
      identity: identityLength(clientId, options.will, username, password),
      incomingCount: INCOMING_COUNT,
      journal: options.store === undefined ? 0 : JOURNAL_LENGTH,
      ...options.capacities,
    },
    inflightMax: options.inflightMax ?? 16,
    whenFull: options.whenFull === "drop-oldest-qos0" ? WhenFull.DropOldestQos0 : WhenFull.Refuse,
    waitingMax: options.waitingMax ?? 1024,
    store: options.store,
    core: options.core,
    world,
  };
  checkIdentity(options, username, password);
  checkStore(options, settings.capacities.journal);
  if (options.will !== undefined) {
    checkMessage(options.will);
    checkText("will.topic", options.will.topic);
    checkLength("will.payload", Buffer.byteLength(options.will.payload));
  }
  checkRanges(settings);
  return settings;
}

function transportFor(
  url: BrokerUrl | undefined,
  options: MqttClientOptions,
  world: World,
): OpenTransport {
  const { openTransport: open, tls } = options;
  if (url !== undefined && open === undefined) return openTransport(url, world, { tls });
  if (url === undefined && open !== undefined && tls === undefined) return open;
  throw new UsageError(
    open === undefined
      ? "The client does not know where the broker is"
      : "openTransport cannot go together with url or tls",
    "Give url, as in mqtt://localhost, or openTransport",
  );
}

function randomClientId(world: World): string {
  const digits = Math.floor(world.random() * 2 ** 32).toString(16);
  return `wasmqtt-${digits.padStart(8, "0")}`;
}

/** Bytes of all fields with two bytes of length each (3.1.3). */
function identityLength(
  clientId: string,
  will: OutgoingMessage | undefined,
  ...credentials: (string | Uint8Array | undefined)[]
): number {
  const fields = [clientId, will?.topic, will?.payload, ...credentials];
  const lengths = fields.map((field) => 2 + Buffer.byteLength(field ?? ""));
  return Math.max(
    IDENTITY_CAPACITY_MIN,
    lengths.reduce((sum, length) => sum + length, 0),
  );
}

function checkIdentity(
  { cleanSession, clientId }: MqttClientOptions,
  username: string | undefined,
  password: string | Uint8Array | undefined,
): void {
  if (cleanSession === false && (clientId === undefined || clientId === "")) {
    throw new UsageError(
      "A session that the broker keeps needs a client id, or nobody can come back to it",
      "Give clientId, the same one each time",
    );
  }
  if (password !== undefined && username === undefined) {
    throw new UsageError("A password needs a user name", "Give username as well"); // [MQTT-3.1.2-22]
  }
  checkText("clientId", clientId ?? "");
  checkText("username", username ?? "");
  checkLength("password", Buffer.byteLength(password ?? ""));
}

function checkStore({ store, cleanSession }: MqttClientOptions, journal: number): void {
  if (store !== undefined && cleanSession !== false) {
    throw new UsageError(
      "A session that is stored must be kept by the broker as well",
      "Give cleanSession: false and a clientId",
    );
  }
  if (store === undefined) checkRange("capacities.journal (without a store)", journal, 0, 0);
  else checkRange("capacities.journal", journal, JOURNAL_CAPACITY_MIN, CAPACITY_MAX);
}

/** Two bytes tell the length of a field of CONNECT (1.5.3, 3.1.3). */
const FIELD_LENGTH_MAX = 65_535;

function checkText(name: string, text: string): void {
  checkLength(name, Buffer.byteLength(text));
  if (!text.includes("\0")) return;
  throw new UsageError(`${name} holds U+0000`, "MQTT allows every other character"); // [MQTT-1.5.3-2]
}

function checkLength(name: string, length: number): void {
  if (length <= FIELD_LENGTH_MAX) return;
  throw new UsageError(`${name} has ${length} bytes`, `Give at most ${FIELD_LENGTH_MAX} bytes`);
}

const U32_MAX = 0xffffffff;

const DAY_MS = 86_400_000;

function checkRanges(settings: ClientSettings): void {
  const { connect, capacities, inflightMax, waitingMax, reconnect } = settings;
  checkRange("keepAliveSeconds", connect.keepAliveSeconds, 0, 65_535);
  checkRange("responseTimeoutMs", connect.responseTimeoutMs, 0, U32_MAX);
  checkRange("capacities.receive", capacities.receive, RECEIVE_CAPACITY_MIN, CAPACITY_MAX);
  checkRange("capacities.transmit", capacities.transmit, TRANSMIT_CAPACITY_MIN, CAPACITY_MAX);
  checkRange("capacities.identity", capacities.identity, IDENTITY_CAPACITY_MIN, CAPACITY_MAX);
  checkRange("capacities.incomingCount", capacities.incomingCount, 0, INCOMING_COUNT_MAX);
  checkRange("inflightMax", inflightMax, 1, 65_535);
  if (reconnect !== undefined) {
    checkRange("reconnect.baseMs", reconnect.baseMs, 1, DAY_MS);
    checkRange("reconnect.maxMs", reconnect.maxMs, 1, DAY_MS);
    checkRange("reconnect.stableMs", reconnect.stableMs, 0, DAY_MS);
  }
  checkRange("waitingMax", waitingMax, 0, U32_MAX);
}

/** Throws a UsageError unless `value` is a whole number from `min` to `max`. */
export function checkRange(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new UsageError(
    `${name} is ${value}, which is out of range`,
    `Give a whole number from ${min} to ${max}`,
  );
}

/** Throws a UsageError for what TypeScript would have refused, and the core cannot see. */
export function checkMessage({ payload, qos = 0 }: OutgoingMessage): void {
  checkRange("qos", qos, 0, 2);
  if (typeof payload === "string" || payload instanceof Uint8Array) return;
  throw new UsageError(
    `The payload is neither a string nor a Uint8Array but ${typeof payload}`,
    "Make one of it, for example with JSON.stringify",
  );
}
