/** A TCP socket that knows its descriptor, and can be told to end with RST instead of FIN, whichever layer destroys it. */

import { isIP, type OnReadOpts, Socket, type SocketConstructorOpts } from "node:net";
import type { DuplexOptions } from "node:stream";
import type { Dial } from "./guarded-transport.ts";

/** A socket without one: not connected, destroyed, or on Windows. */
export const NO_DESCRIPTOR = -1;

export class TcpSocket extends Socket {
  endsWithReset = false;
  #descriptor = NO_DESCRIPTOR;

  /** By which the operating system knows the connection. Once it is closed another may have it. */
  get descriptor(): number {
    // To ask Node each time costs as much as half a write.
    if (this.#descriptor === NO_DESCRIPTOR && !this.connecting) {
      const { _handle: handle } = this as { _handle?: { fd?: number } | null };
      this.#descriptor = handle?.fd ?? NO_DESCRIPTOR;
    }
    return this.#descriptor;
  }

  override destroy(error?: Error): this {
    const resets = this.endsWithReset && !this.connecting && !this.destroyed;
    this.endsWithReset = false; // `resetAndDestroy` comes here once more.
    return resets ? this.resetAndDestroy() : super.destroy(error);
  }

  /** However the socket ends, Node calls it, and closes the descriptor in it. */
  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#descriptor = NO_DESCRIPTOR;
    super._destroy(error, callback);
  }
}

/** What a net.Socket is made with, which its types do not say: it hands its options on to Duplex, and reads as `connect` lets it. */
export interface TcpSocketOptions extends SocketConstructorOpts, DuplexOptions {
  onread: OnReadOpts | undefined;
}

/** Starts to connect. `Kind` may be a subclass that is told of its events without listeners. */
export function connectSocket<Kind extends TcpSocket = TcpSocket>(
  dial: Dial,
  make: (options: TcpSocketOptions) => Kind = (options) => new TcpSocket(options) as Kind,
): Kind {
  const { url, localAddress, lookup } = dial;
  return make(optionsFor(dial))
    .setNoDelay(true)
    .connect({
      host: url.host,
      port: url.port,
      lookup,
      // Both ends must be of one family, and Node does not choose it by the local one.
      ...(localAddress === undefined ? {} : { localAddress, family: isIP(localAddress) }),
    });
}

/**
 * The four in the middle are what Node itself puts into its copy. Where Node 20 has to add them, V8 makes hidden classes for
 * each copy, and with them 2 KB of garbage for each socket, half of that where only a full collection finds it.
 */
function optionsFor({ highWaterLength }: Dial): TcpSocketOptions {
  return {
    highWaterMark: highWaterLength,
    allowHalfOpen: false,
    emitClose: false,
    autoDestroy: true,
    decodeStrings: false,
    onread: undefined,
  };
}
