/** A TCP proxy that stops a conversation at any byte: it looks alive on both sides, but nothing passes any more. */

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

const HOST = "127.0.0.1";

/** Listens on a free port and passes everything on to `targetPort`. Stop it in a `finally` or an `afterEach`. */
export async function startFreezingProxy(targetPort: number): Promise<FreezingProxy> {
  const proxy = new FreezingProxy(targetPort);
  await proxy.listen();
  return proxy;
}

export interface PassedOptions {
  /** Freezes at exactly that byte, or when the time is up. */
  freeze: boolean;
  /** Waits no longer, even if fewer bytes have passed. */
  limitMs: number;
}

/** A call of `passed`. */
interface Watch {
  remainingLength: number;
  readonly freeze: boolean;
  readonly over: () => void;
}

export class FreezingProxy {
  readonly #targetPort: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isFrozen = false;
  #watch: Watch | undefined;

  constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#server = createServer({ noDelay: true }, (client) => this.#connect(client));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async listen(): Promise<void> {
    this.#server.listen(0, HOST);
    await once(this.#server, "listening");
  }

  /** Resolves when `byteCount` more bytes have passed, both directions and all connections together. One call at a time. */
  passed(byteCount: number, { freeze, limitMs }: PassedOptions): Promise<void> {
    return new Promise((resolve) => {
      const over = () => {
        clearTimeout(timer);
        this.#watch = undefined;
        if (freeze) this.freeze();
        resolve();
      };
      const timer = setTimeout(over, limitMs);
      if (byteCount === 0) over();
      else this.#watch = { remainingLength: byteCount, freeze, over };
    });
  }

  /** What comes from now on is lost, the end of a connection as well. Only `cut` ends this. */
  freeze(): void {
    this.#isFrozen = true;
  }

  /** Ends every connection on both sides at once; those that come later pass again. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#isFrozen = false;
  }

  /** Harmless a second time. */
  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #connect(client: Socket): void {
    const server = connect({ port: this.#targetPort, host: HOST, noDelay: true });
    this.#pipe(client, server);
    this.#pipe(server, client);
  }

  #pipe(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.on("data", (chunk) => this.#pass(chunk, to));
    from.on("error", () => {}); // "close" follows
    from.on("close", () => {
      this.#sockets.delete(from);
      if (!this.#isFrozen) to.destroySoon();
    });
  }

  #pass(chunk: Buffer, to: Socket): void {
    if (this.#isFrozen) return;
    const watch = this.#watch;
    if (watch === undefined || chunk.length < watch.remainingLength) {
      to.write(chunk);
      if (watch !== undefined) watch.remainingLength -= chunk.length;
      return;
    }
    to.write(watch.freeze ? chunk.subarray(0, watch.remainingLength) : chunk);
    watch.over();
  }
}
