/** Writes to a TCP socket past its stream, as long as the kernel takes what is written (docs/decisions/0009). */

import { writeSync } from "node:fs";
import { NO_DESCRIPTOR, type TcpSocket } from "./tcp-socket.ts";

/**
 * Writes `bytes`, of which nothing is kept; answers as `socket.write` does. An error destroys the socket, as one that
 * its stream meets.
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
    if ((error as NodeJS.ErrnoException).code !== "EAGAIN") socket.destroy(error as Error);
    return 0;
  }
}
