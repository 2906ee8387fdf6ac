/** MQTT over plain TCP, made for thousands of connections: one buffer to read into, and no listeners. */

import type { OnReadOpts } from "node:net";
import { connectionError } from "./connection-errors.ts";
import { writeDirectly } from "./direct-write.ts";
import { type Dial, GuardedTransport } from "./guarded-transport.ts";
import { connectSocket, TcpSocket, type TcpSocketOptions } from "./tcp-socket.ts";
import type { OpenTransport, TransportHandlers } from "./transport.ts";

export function openTcp(dial: Dial): OpenTransport {
  return (handlers) => new TcpTransport(dial, handlers);
}

/** Bytes that one read can bring. */
const READ_LENGTH = 65_536;

class TcpTransport extends GuardedTransport {
  readonly #socket: OwnedSocket;

  constructor(dial: Dial, handlers: TransportHandlers) {
    super(dial, handlers);
    this.#socket = connectSocket(dial, (options) => new OwnedSocket(options, this));
  }

  connected(): void {
    this.opened();
  }

  /** Answers whether more may come. */
  arrived(chunk: Uint8Array): boolean {
    this.received(chunk);
    return !this.#socket.isPaused();
  }

  errored(error: Error): void {
    this.failed(connectionError(error, this.where));
  }

  flushed(): void {
    this.drained();
  }

  peerEnded(): void {
    this.endInOrder();
  }

  gone(): void {
    this.ended();
  }

  protected send(bytes: Uint8Array): boolean {
    return writeDirectly(this.#socket, bytes);
  }

  protected stopReading(): void {
    this.#socket.pause();
  }

  protected startReading(): void {
    this.#socket.resume();
  }

  protected finish(): void {
    this.#socket.end();
  }

  protected destroy(): void {
    this.#socket.destroy();
  }

  protected abort(): void {
    // While a FIN is on its way libuv refuses to send RST, and Node would then never close the socket.
    this.#socket.endsWithReset = !this.#socket.writableEnded;
    this.destroy();
  }
}

/** Tells its transport what happens to it, without a listener for each of it. */
class OwnedSocket extends TcpSocket {
  readonly owner: TcpTransport;

  constructor(options: TcpSocketOptions, owner: TcpTransport) {
    options.onread = SHARED_READ;
    super(options);
    this.owner = owner;
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event === "error") {
      this.owner.errored(args[0] as Error);
      return true;
    }
    const isHeard = super.emit(event, ...args); // Node listens to its own sockets, too
    if (event === "connect") this.owner.connected();
    else if (event === "drain") this.owner.flushed();
    else if (event === "end") this.owner.peerEnded();
    else if (event === "close") this.owner.gone();
    return isHeard;
  }
}

/** Node calls it on the socket, and reads into the buffer again only when it has returned. */
const SHARED_READ: OnReadOpts = {
  buffer: new Uint8Array(READ_LENGTH),
  callback(this: unknown, length, buffer) {
    return (this as OwnedSocket).owner.arrived(buffer.subarray(0, length));
  },
};
