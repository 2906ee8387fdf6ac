/** The buffer that all sockets write from: what the kernel takes at once needs none of its own. */

import type { Socket } from "node:net";

/** A longer message is copied into a buffer of its own. */
const LENGTH_MAX = 1024;

/** Beginnings of one buffer, by their length: no view is made twice. */
let beginnings: (Buffer | undefined)[] = [];

/** Writes a copy of `bytes`; answers as `socket.write` does. */
export function writeCopy(socket: Socket, bytes: Uint8Array): boolean {
  if (bytes.length > LENGTH_MAX || socket.writableLength > 0) {
    return socket.write(Buffer.from(bytes));
  }
  const copy = beginning(bytes.length);
  copy.set(bytes);
  const takesMore = socket.write(copy);
  // What has not left yet the socket keeps, and the buffer with it.
  if (socket.writableLength > 0) beginnings = [];
  return takesMore;
}

function beginning(length: number): Buffer {
  const known = beginnings[length];
  if (known !== undefined) return known;
  const whole = beginnings[LENGTH_MAX] ?? Buffer.allocUnsafeSlow(LENGTH_MAX);
  const made = whole.subarray(0, length);
  beginnings[LENGTH_MAX] = whole;
  beginnings[length] = made;
  return made;
}
