/** A TCP server on 127.0.0.1 that reads its clients strictly and answers as a script says. */

import { createServer, type Server, type Socket } from "node:net";
import { type ClientPacket, ClientStream } from "./client-stream.ts";

/** One Network Connection, told from the server's side. */
export interface Conversation {
  /** 0 for the first connection of this server, then 1, 2 … */
  readonly index: number;
  readonly socket: Socket;
  /** The next packet, or undefined when the client has closed. Throws ClientFault, or when none comes. */
  next(): Promise<ClientPacket | undefined>;
  /** The next packet, which must be of this type. */
  expect<T extends ClientPacket["type"]>(type: T): Promise<Extract<ClientPacket, { type: T }>>;
  /** Waits until the client has closed; a packet before that is an error. */
  expectEnd(): Promise<void>;
  send(...packets: Uint8Array[]): void;
  /** Sends FIN. */
  end(): void;
  /** Sends RST. */
  reset(): void;
}

export interface ScriptedServer {
  readonly port: number;
  readonly url: string;
  /** Ends all connections and the server; rejects with the first error that a script had. */
  close(): Promise<void>;
}

/** How long a script waits for a packet before it fails. */
const PATIENCE_MS = 10_000;

/**
 * Starts a server on a free port. `script` runs once for each connection; when it is done the
 * connection stays open until one side ends it.
 */
export async function scriptedServer(
  script: (conversation: Conversation) => Promise<void>,
): Promise<ScriptedServer> {
  const sockets = new Set<Socket>();
  const scripts: Promise<unknown>[] = [];
  const errors: unknown[] = [];
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    const conversation = new SocketConversation(socket, scripts.length);
    scripts.push(script(conversation).catch((error: unknown) => errors.push(error)));
  });
  const port = await listen(server);
  return {
    port,
    url: `mqtt://127.0.0.1:${port}`,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await Promise.all(scripts);
      if (errors.length > 0) throw errors[0];
    },
  };
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no TCP address");
  return address.port;
}

class SocketConversation implements Conversation {
  readonly index: number;
  readonly socket: Socket;
  readonly #stream = new ClientStream();
  readonly #packets: ClientPacket[] = [];
  #failure: unknown;
  #isOver = false;
  #wake: () => void = () => {};

  constructor(socket: Socket, index: number) {
    this.socket = socket;
    this.index = index;
    socket.setNoDelay(true);
    socket.on("data", (bytes) => this.#take(bytes));
    socket.on("error", () => this.#end());
    socket.on("close", () => this.#end());
    socket.on("end", () => this.#end());
  }

  async next(): Promise<ClientPacket | undefined> {
    while (this.#packets.length === 0 && !this.#isOver && this.#failure === undefined) {
      await this.#somethingNew();
    }
    const packet = this.#packets.shift();
    if (packet === undefined && this.#failure !== undefined) throw this.#failure;
    return packet;
  }

  async expect<T extends ClientPacket["type"]>(
    type: T,
  ): Promise<Extract<ClientPacket, { type: T }>> {
    const packet = await this.next();
    if (packet?.type !== type) {
      throw new Error(`expected ${type}, got ${packet?.type ?? "the end of the connection"}`);
    }
    return packet as Extract<ClientPacket, { type: T }>;
  }

  async expectEnd(): Promise<void> {
    const packet = await this.next();
    if (packet !== undefined) {
      throw new Error(`expected the end of the connection, got ${packet.type}`);
    }
  }

  send(...packets: Uint8Array[]): void {
    for (const packet of packets) this.socket.write(packet);
  }

  end(): void {
    this.socket.end();
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }

  #take(bytes: Uint8Array): void {
    try {
      this.#packets.push(...this.#stream.read(bytes));
    } catch (error) {
      this.#failure = error;
      this.socket.destroy();
    }
    this.#wake();
  }

  #end(): void {
    this.#isOver = true;
    this.#wake();
  }

  async #somethingNew(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`no packet within ${PATIENCE_MS} ms`)),
        PATIENCE_MS,
      );
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
