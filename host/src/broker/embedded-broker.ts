/** An MQTT broker inside this process, for demonstrations and tests: aedes behind a TCP and a WebSocket listener. */

import { createServer as createHttpServer } from "node:http";
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from "node:net";
import type { Duplex } from "node:stream";
import { Aedes, type AedesPublishPacket, type Client } from "aedes";
import { createWebSocketStream, type WebSocket, WebSocketServer } from "ws";
import { UsageError } from "../errors.ts";
import type { World } from "../world.ts";

/** What a client did, for a log. */
export type BrokerEvent =
  | { kind: "connected"; clientId: string; address: string; cleanSession: boolean }
  | { kind: "disconnected"; clientId: string }
  /** Refused, or ended for an error; without an id if CONNECT had not come yet. */
  | { kind: "failed"; clientId: string | undefined; address: string; reason: string }
  | { kind: "subscribed"; clientId: string; topicFilter: string; qos: number }
  | {
      kind: "published";
      clientId: string;
      topic: string;
      qos: number;
      retain: boolean;
      payloadLength: number;
    };

export interface EmbeddedBrokerOptions {
  world: World;
  /** The address to listen on; 127.0.0.1 keeps everybody else away. */
  bind: string;
  /** 0 takes a free port. */
  port: number;
  /** The same for MQTT over WebSocket; undefined for none. */
  wsPort?: number | undefined;
  /** Who may connect; everybody without it. */
  authenticate?: (userName: string | undefined, password: Uint8Array | undefined) => boolean;
  onEvent?: (event: BrokerEvent) => void;
}

/**
 * Starts a broker and answers when it listens. Throws a `UsageError` if it cannot listen there.
 *
 * What aedes 1.2 does differently from other brokers: it speaks MQTT 3.1 and 3.1.1 and refuses MQTT 5 with return code 1;
 * a session without subscriptions is not reported as present; PUBACK is sent before the message reaches
 * subscribers; more than 42 packets before CONNACK end the connection; a subscriber that reads nothing for 60
 * seconds can hold up the others, and is then dropped.
 */
export async function startEmbeddedBroker(options: EmbeddedBrokerOptions): Promise<EmbeddedBroker> {
  const broker = new EmbeddedBroker(options);
  await broker.start();
  return broker;
}

/** Connections that wait to be accepted: room for a fleet that connects at once. */
const BACKLOG_COUNT = 4096;

export class EmbeddedBroker {
  readonly #options: EmbeddedBrokerOptions;
  /** Kept over a restart that keeps the state. */
  #aedes: Aedes | undefined;
  #listeners: Server[] = [];
  readonly #sockets = new Set<Socket>();
  /** With the address of each, which its socket forgets when it ends. */
  readonly #clients = new Map<Client, string>();
  /** Clients that `stop` cut off: their Wills are not published, as when a broker's process dies. */
  readonly #cutOff = new WeakSet<Client>();
  #port: number;
  #wsPort: number | undefined;

  constructor(options: EmbeddedBrokerOptions) {
    this.#options = options;
    this.#port = options.port;
    this.#wsPort = options.wsPort;
  }

  /** The port in use, also where 0 was asked for. */
  get port(): number {
    return this.#port;
  }

  get wsPort(): number | undefined {
    return this.#wsPort;
  }

  /** How many clients are connected. */
  get clientCount(): number {
    return this.#aedes?.connectedClients ?? 0;
  }

  /** Listens again after `stop`, on the same ports. Does nothing while it runs. */
  async start(): Promise<void> {
    if (this.#listeners.length > 0) return;
    this.#aedes ??= await this.#createAedes();
    try {
      this.#port = await this.#listen(this.#tcpServer(this.#aedes), this.#port);
      if (this.#wsPort !== undefined) {
        this.#wsPort = await this.#listen(this.#webSocketServer(this.#aedes), this.#wsPort);
      }
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /**
   * Ends every connection at once, as a process that dies: no Will is published. `keepState` keeps sessions,
   * retained messages and what is queued for the next `start`, and needs another `stop` in the end.
   */
  async stop({ keepState = false } = {}): Promise<void> {
    const listeners = this.#listeners;
    this.#listeners = [];
    const closings = listeners.map((listener) => closed(listener));
    closings.push(...[...this.#clients.keys()].map((client) => this.#cut(client)));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closings);

    if (keepState || this.#aedes === undefined) return;
    const aedes = this.#aedes;
    this.#aedes = undefined;
    await new Promise<void>((resolve) => aedes.close(resolve));
  }

  /** Stops, stays away for `downtimeMs`, and listens again on the same ports. */
  async restart({ keepState, downtimeMs }: { keepState: boolean; downtimeMs: number }) {
    await this.stop({ keepState });
    await new Promise<void>((resolve) => {
      this.#options.world.setTimer(downtimeMs, resolve);
    });
    await this.start();
  }

  async #createAedes(): Promise<Aedes> {
    const { authenticate } = this.#options;
    const aedes = await Aedes.createBroker({
      authenticate: (_client, userName, password, done) =>
        done(null, authenticate === undefined || authenticate(userName, password)),
      authorizePublish: (client, packet, done) => done(this.#objection(client, packet.topic)),
    });
    keepPubrelsApart(aedes);
    this.#forwardEvents(aedes);
    return aedes;
  }

  /** Why a message may not be published; Wills pass through here as well. */
  #objection(client: Client | null, topic: string): Error | null {
    if (client !== null && this.#cutOff.has(client)) return new Error("the broker was stopped");
    return topic.startsWith("$SYS/") ? new Error("only the broker publishes on $SYS/") : null;
  }

  #forwardEvents(aedes: Aedes): void {
    const { onEvent } = this.#options;
    if (onEvent === undefined) return;
    const failed = (client: Client, { message }: Error) => {
      const clientId: string | null = client.id;
      const address = this.#clients.get(client) ?? "?";
      onEvent({ kind: "failed", clientId: clientId ?? undefined, address, reason: message });
    };
    aedes.on("connectionError", failed);
    aedes.on("clientError", failed);
    aedes.on("clientReady", (client) => {
      const address = this.#clients.get(client) ?? "?";
      onEvent({ kind: "connected", clientId: client.id, address, cleanSession: client.clean });
    });
    aedes.on("clientDisconnect", ({ id }) => onEvent({ kind: "disconnected", clientId: id }));
    aedes.on("subscribe", (subscriptions, { id }) => {
      for (const { topic, qos } of subscriptions) {
        onEvent({ kind: "subscribed", clientId: id, topicFilter: topic, qos });
      }
    });
    aedes.on("publish", (packet, client) => {
      if (client !== null) onEvent(published(packet, client.id));
    });
  }

  #tcpServer(aedes: Aedes): Server {
    return createTcpServer({ noDelay: true }, (socket) => {
      this.#accept(aedes.handle(socket), socket);
    });
  }

  #webSocketServer(aedes: Aedes): Server {
    const server = createHttpServer((_request, response) => {
      response.writeHead(426, { "Content-Type": "text/plain" });
      response.end("This port speaks MQTT over WebSocket.\n");
    });
    const webSockets = new WebSocketServer({
      server,
      // [MQTT-6.0.0-3] [MQTT-6.0.0-4] The sub-protocol is "mqtt", on both sides.
      verifyClient: ({ req }, answer) =>
        answer(offersMqtt(req.headers["sec-websocket-protocol"]), 400, "Sub-protocol is not mqtt"),
      handleProtocols: () => "mqtt",
    });
    // `listen` reports the errors of the server, which ws repeats here.
    webSockets.on("error", () => {});
    webSockets.on("connection", (webSocket, request) => {
      refuseText(webSocket);
      this.#accept(aedes.handle(streamOf(webSocket), request), request.socket);
    });
    return server;
  }

  #accept(client: Client, { remoteAddress, remotePort }: Socket): void {
    this.#clients.set(client, `${remoteAddress}:${remotePort}`);
    client.conn.once("close", () => this.#clients.delete(client));
  }

  /** Returns the port. */
  async #listen(server: Server, port: number): Promise<number> {
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    const { bind } = this.#options;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error: NodeJS.ErrnoException) => {
        reject(cannotListen(bind, port, error));
      });
      server.listen({ host: bind, port, backlog: BACKLOG_COUNT }, resolve);
    });
    this.#listeners.push(server);
    return (server.address() as AddressInfo).port;
  }

  #cut(client: Client): Promise<void> {
    this.#cutOff.add(client);
    client.conn.destroy();
    return new Promise((resolve) => client.close(resolve));
  }
}

function closed(listener: Server): Promise<void> {
  return new Promise((resolve) => {
    listener.close(() => resolve());
  });
}

function offersMqtt(protocols: string | undefined): boolean {
  return (protocols ?? "").split(",").some((protocol) => protocol.trim() === "mqtt");
}

/** aedes writes a packet in pieces and corks them: together they make one WebSocket message instead of many. */
function streamOf(webSocket: WebSocket): Duplex {
  return createWebSocketStream(webSocket, {
    writev: (pieces, callback) => {
      webSocket.send(Buffer.concat(pieces.map(({ chunk }) => chunk)), callback);
    },
  });
}

/**
 * aedes-persistence 11 compares what waits for a client by broker id, which a PUBREL has not: each PUBREL would overwrite
 * the identifier of the first in the queue, and of two PUBRECs that come together one would never be answered.
 */
function keepPubrelsApart(aedes: Aedes): void {
  const persistence = (aedes as unknown as { persistence: OutgoingPersistence }).persistence;
  const update = persistence.outgoingUpdate.bind(persistence);
  persistence.outgoingUpdate = (client, packet, ...rest) =>
    update(client, packet.cmd === "pubrel" ? { ...packet, brokerId: Number.NaN } : packet, ...rest);
}

interface OutgoingPersistence {
  outgoingUpdate(
    client: unknown,
    packet: { cmd: string; brokerId?: string | number },
    ...rest: unknown[]
  ): unknown;
}

/** [MQTT-6.0.0-1] Packets come in binary frames; anything else ends the connection. */
function refuseText(webSocket: WebSocket): void {
  webSocket.on("message", (_data, isBinary) => {
    if (!isBinary) webSocket.terminate();
  });
}

function published(packet: AedesPublishPacket, clientId: string): BrokerEvent {
  const { topic, qos, retain, payload } = packet;
  const payloadLength = Buffer.byteLength(payload);
  return { kind: "published", clientId, topic, qos, retain, payloadLength };
}

function cannotListen(bind: string, port: number, error: NodeJS.ErrnoException): Error {
  const place = `${bind} port ${port}`;
  switch (error.code) {
    case "EADDRINUSE":
      return new UsageError(
        `${place} is in use by another program`,
        "Stop that program, or choose another port; 0 takes a free one.",
        { cause: error },
      );
    case "EACCES":
      return new UsageError(`this user may not listen on ${place}`, "Choose a port above 1023.", {
        cause: error,
      });
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return new UsageError(
        `${bind} is no address of this machine`,
        "Listen on 127.0.0.1 for this machine only, or on 0.0.0.0 for all its addresses.",
        { cause: error },
      );
    default:
      return error;
  }
}
