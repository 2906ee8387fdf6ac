/** A connection in layers: TCP, then TLS if asked, then what a subclass puts on top. */

import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { ConnectionError } from "../errors.ts";
import { connectionError } from "./connection-errors.ts";
import { type Dial, GuardedTransport } from "./guarded-transport.ts";
import { connectSocket, type TcpSocket } from "./tcp-socket.ts";
import { type Secure, tlsError } from "./tls.ts";
import type { OpenTransport, TransportHandlers } from "./transport.ts";

/** MQTT over TLS. */
export function openTls(dial: Dial): OpenTransport {
  return (handlers) => new LayeredTransport(dial, handlers);
}

export class LayeredTransport extends GuardedTransport {
  readonly #socket: TcpSocket;
  /** From the socket up. */
  readonly #layers: Duplex[] = [];
  /** The topmost layer. */
  #stream: Duplex;

  constructor(dial: Dial, handlers: TransportHandlers) {
    super(dial, handlers);
    this.#socket = connectSocket(dial);
    this.#stream = this.#socket;
    this.#socket.on("connect", () => this.#connected(dial.secure));
    this.cover(this.#socket, (error) => this.explain(error));
  }

  /** TCP and TLS stand on `socket`. A subclass may put another layer on top before it calls `begin`. */
  protected established(_socket: Socket): void {
    this.begin();
  }

  protected explain(error: Error): ConnectionError {
    return connectionError(error, this.where);
  }

  /** Makes `layer` the topmost one: its end is the connection's end. */
  protected cover(layer: Duplex, explain: (error: Error) => ConnectionError): void {
    this.#layers.push(layer);
    this.#stream = layer;
    layer.on("error", (error) => this.failed(explain(error)));
    layer.on("close", () => {
      if (this.#stream === layer) this.ended();
    });
  }

  /** Bytes may flow through the topmost layer. */
  protected begin(): void {
    this.#stream.on("data", (chunk: Uint8Array) => this.received(chunk));
    this.#stream.on("drain", () => this.drained());
    this.#stream.on("end", () => this.endInOrder());
    this.opened();
  }

  protected send(bytes: Uint8Array): boolean {
    return this.#stream.write(Buffer.from(bytes));
  }

  protected stopReading(): void {
    this.#stream.pause();
  }

  protected startReading(): void {
    this.#stream.resume();
  }

  protected finish(): void {
    this.#stream.end();
  }

  protected destroy(): void {
    // From the top down: TLS that loses its socket from under it, while it reads, takes the process with it.
    for (const layer of this.#layers.toReversed()) layer.destroy();
  }

  protected abort(): void {
    // While a FIN is on its way libuv refuses to send RST, and Node would then never close the socket.
    this.#socket.endsWithReset = this.#layers.every((layer) => !layer.writableEnded);
    this.destroy();
  }

  #connected(secure: Secure | undefined): void {
    if (secure === undefined) {
      this.established(this.#socket);
      return;
    }
    let isSecured = false;
    const tlsSocket = secure(this.#socket);
    this.cover(tlsSocket, (error) => tlsError(error, this.where, isSecured));
    tlsSocket.on("secureConnect", () => {
      isSecured = true;
      this.established(tlsSocket);
    });
  }
}
