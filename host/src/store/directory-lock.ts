/** Lets one running device use a directory at a time. */

import { closeSync, constants, openSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { platform } from "node:os";
import { join } from "node:path";
import { StoreError } from "./store-errors.ts";

/** What a platform without named sockets locks in the directory. */
export const LOCK_FILE_NAME = "lock";

/** The lock ends with its process, whatever ends that: nothing is left behind that could block the next one. */
export interface DirectoryLock {
  release(): void;
}

/**
 * Takes the lock of an existing directory, by whatever path. Throws a StoreError if it is taken.
 *
 * The lock is a name that the kernel gives to one process and takes back when that dies: an abstract socket on Linux, a
 * named pipe on Windows. A file with a process id would have to be judged and broken after `kill -9`, and two
 * that start at once could both break it. Elsewhere it is a file that is locked while it is open.
 * Processes in different network namespaces (containers) or on different machines do not see each other's locks.
 */
export function lockDirectory(directory: string): DirectoryLock {
  const { dev, ino } = statSync(directory, { bigint: true });
  const name = `wasmqtt-store-${dev}-${ino}`;
  const system = platform();
  const lock =
    system === "linux" || system === "android"
      ? listen(abstractSocket(name))
      : system === "win32"
        ? listen(`\\\\.\\pipe\\${name}`)
        : lockFile(join(directory, LOCK_FILE_NAME));
  if (lock !== undefined) return lock;
  throw new StoreError(
    "locked",
    `${directory} is in use by another running device`,
    "End that device, or give this one a directory of its own",
  );
}

/** Fills the whole address: some versions of Node do that with zeros, some do not, and both must mean the same name. */
function abstractSocket(name: string): string {
  return `\0${name}`.padEnd(SOCKET_ADDRESS_LENGTH, "\0");
}

/** Bytes of sun_path on Linux. */
const SOCKET_ADDRESS_LENGTH = 108;

function listen(path: string): DirectoryLock | undefined {
  const server = createServer((socket) => socket.destroy());
  server.on("error", () => {}); // the name is taken: `listening` has told it already
  server.listen({ path, exclusive: true }); // by this process itself, not by the primary of a cluster
  if (!server.listening) return undefined;
  server.unref();
  return { release: () => server.close() };
}

/** From macOS's and the BSDs' sys/fcntl.h: lock the file as it is opened. */
const O_EXLOCK = 0x20;

function lockFile(path: string): DirectoryLock | undefined {
  const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    const file = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_EXLOCK, 0o600);
    return { release: () => closeSync(file) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return undefined;
    throw error;
  }
}
