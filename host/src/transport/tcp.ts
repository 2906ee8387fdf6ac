/** MQTT over TCP, and over TLS where `dial.secure` asks for it. */

import { isIP, Socket, type SocketConstructorOpts } from "node:net";
import type { Duplex, DuplexOptions } from "node:stream";
import type { ConnectionError } from "../errors.ts";
import type { World } from "../world.ts";
import { type BrokerUrl, brokerAddressText } from "./broker-url.ts";
import { connectionError } from "./connection-errors.ts";
import { GuardedTransport } from "./guarded-transport.ts";
import { type Secure, tlsError } from "./tls.ts";
import type { OpenTransport, TransportHandlers } from "./transport.ts";

/** What all connections to one broker share. */
export interface Dial {
  readonly url: BrokerUrl;
  readonly world: World;
  /** An address of this machine. */
  readonly localAddress: string | undefined;
  readonly timeoutMs: number;
  readonly highWaterLength: number;
  /** Starts TLS on a connected socket; without it the connection is plain. */
  readonly secure: Secure | undefined;
}

export function openTcp(dial: Dial): OpenTransport {
  return (handlers) => new SocketTransport(dial, handlers);
}

/** A connection in layers: TCP, then TLS if asked, then what a subclass puts on top. */
export class SocketTransport extends GuardedTransport {
  protected readonly where: string;
  readonly #socket: TcpSocket;
  /** From the socket up. */
  readonly #layers: Duplex[] = [];
  /** The topmost layer. */
  #stream: Duplex;

  constructor(dial: Dial, handlers: TransportHandlers) {
    const where = brokerAddressText(dial.url);
    super(handlers, dial.world, where, dial.timeoutMs);
    this.where = where;
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

/** A TCP socket that can be told to end with RST instead of FIN, whichever layer destroys it. */
class TcpSocket extends Socket {
  endsWithReset = false;

  override destroy(error?: Error): this {
    const resets = this.endsWithReset && !this.connecting && !this.destroyed;
    this.endsWithReset = false; // `resetAndDestroy` comes here once more.
    return resets ? this.resetAndDestroy() : super.destroy(error);
  }
}

function connectSocket(dial: Dial): TcpSocket {
  const { url, localAddress } = dial;
  // A net.Socket hands its options on to Duplex, which its types do not say.
  const options: SocketConstructorOpts & DuplexOptions = { highWaterMark: dial.highWaterLength };
  return new TcpSocket(options).setNoDelay(true).connect({
    host: url.host,
    port: url.port,
    // Both ends must be of one family, and Node does not choose it by the local one.
    ...(localAddress === undefined ? {} : { localAddress, family: isIP(localAddress) }),
  });
}
