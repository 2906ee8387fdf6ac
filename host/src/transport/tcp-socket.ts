/** A TCP socket that can be told to end with RST instead of FIN, whichever layer destroys it. */

import { isIP, Socket, type SocketConstructorOpts } from "node:net";
import type { DuplexOptions } from "node:stream";
import type { Dial } from "./guarded-transport.ts";

export class TcpSocket extends Socket {
  endsWithReset = false;

  override destroy(error?: Error): this {
    const resets = this.endsWithReset && !this.connecting && !this.destroyed;
    this.endsWithReset = false; // `resetAndDestroy` comes here once more.
    return resets ? this.resetAndDestroy() : super.destroy(error);
  }
}

/** Starts to connect. `Kind` may be a subclass that is told of its events without listeners. */
export function connectSocket<Kind extends TcpSocket = TcpSocket>(
  dial: Dial,
  make: (options: SocketConstructorOpts) => Kind = (options) => new TcpSocket(options) as Kind,
): Kind {
  const { url, localAddress, lookup } = dial;
  // A net.Socket hands its options on to Duplex, which its types do not say.
  const options: SocketConstructorOpts & DuplexOptions = { highWaterMark: dial.highWaterLength };
  return make(options)
    .setNoDelay(true)
    .connect({
      host: url.host,
      port: url.port,
      lookup,
      // Both ends must be of one family, and Node does not choose it by the local one.
      ...(localAddress === undefined ? {} : { localAddress, family: isIP(localAddress) }),
    });
}
