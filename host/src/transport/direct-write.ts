/** Writes to a TCP socket past its stream, as long as the kernel takes what is written (docs/decisions/0009). */

import { writeSync } from "node:fs";
import { NO_DESCRIPTOR, type TcpSocket } from "./tcp-socket.ts";

/** What the stream knows to wait for: libuv takes ENOBUFS for a full kernel, and EPROTOTYPE (macOS) for a peer that is gone. */
const LEFT_TO_STREAM = new Set<string | undefined>(["EAGAIN", "ENOBUFS", "EPROTOTYPE"]);

/**
 * Writes `bytes`, of which nothing is kept. False: wait for "drain", or the socket is destroyed. An error destroys it, as one
 * that its stream meets: the kernel tells it once.
 */
export function writeDirectly(socket: TcpSocket, bytes: Uint8Array): boolean {
  const length = writeNow(socket, bytes);
  if (length === bytes.length) return true;
  return !socket.destroyed && socket.write(Buffer.from(bytes.subarray(length)));
}

/** Returns how much of `bytes` the kernel took. What waits in the stream goes before. */
function writeNow(socket: TcpSocket, bytes: Uint8Array): number {
  const { descriptor } = socket;
  if (descriptor === NO_DESCRIPTOR || socket.writableLength > 0) return 0;
  try {
    return writeSync(descriptor, bytes);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (!LEFT_TO_STREAM.has(code)) socket.destroy(error as Error);
    return 0;
  }
}
