/** Opens the line to a board: a serial port, a pseudo-terminal or a Unix socket. Says in plain words why it cannot. */

import { stat } from "node:fs/promises";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import type { SerialPort } from "serialport";
import { BoardError } from "./board-error.ts";
import type { LineHandlers, OpenLine, SerialLine } from "./serial-line.ts";
import { loadSerialPort } from "./serial-port-library.ts";
import { listSerialPorts, type SerialPortInfo } from "./serial-ports.ts";

export const BAUD_RATE = 115_200;

/** What to do on Linux when a port may not be opened. */
export const PERMISSION_REMEDY =
  "Serial ports belong to the group dialout (uucp on Arch). Join it: sudo usermod -aG dialout $USER; then log out and in again";

export interface OpenOptions {
  /** As in "linux". */
  readonly platform: string;
  /** 115,200 if absent. Pseudo-terminals and sockets have none. */
  readonly baudRate?: number | undefined;
}

/** What opens the line at `path`, anew with each call. */
export function serialLineAt(path: string, options: OpenOptions): OpenLine {
  return async (handlers) => {
    if (options.platform !== "win32" && (await kindOf(path, options.platform)) === "socket") {
      const socket = await openSocket(path);
      return lineOver(path, socket, handlers, () => socket.destroy());
    }
    const port = await openPort(path, options);
    return lineOver(path, port, handlers, () => {
      if (port.isOpen) port.close(() => {});
    });
  };
}

/** The port itself, for who needs its control lines and its speed. Throws a BoardError. */
export async function openSerialPort(path: string, options: OpenOptions): Promise<SerialPort> {
  if (options.platform !== "win32" && (await kindOf(path, options.platform)) === "socket") {
    throw new BoardError(
      "no-port",
      `${path} is a socket, and this needs a serial port`,
      "Give the serial port of a board with --device",
    );
  }
  return openPort(path, options);
}

/** Only a device or a socket can be a line; node-serialport would change the terminal settings of other things. */
async function kindOf(path: string, platform: string): Promise<"port" | "socket"> {
  const stats = await stat(path).catch(async (cause: NodeJS.ErrnoException) => {
    throw cause.code === "EACCES"
      ? notPermitted(path, platform, cause)
      : noSuchPort(path, await listSerialPorts({ platform }), cause);
  });
  if (stats.isSocket()) return "socket";
  if (stats.isCharacterDevice()) return "port";
  const what = stats.isDirectory() ? "a folder" : stats.isFile() ? "a file" : "no serial port";
  throw new BoardError(
    "no-port",
    `${path} is ${what}`,
    `--device takes a serial port, as in /dev/ttyUSB0. ${portsText(await listSerialPorts({ platform }))}`,
  );
}

/** What `--device` could be, as a sentence. */
export function portsText(ports: readonly SerialPortInfo[]): string {
  if (ports.length === 0) {
    return "There are no serial ports here: is the board plugged in, with a cable that carries data? Without a board: wasmqtt board run";
  }
  return `The ports of this machine: ${ports.map(({ path, product }) => (product === undefined ? path : `${path} (${product})`)).join(", ")}`;
}

function noSuchPort(path: string, ports: readonly SerialPortInfo[], cause?: unknown): BoardError {
  return new BoardError("no-port", `There is no port ${path}`, portsText(ports), { cause });
}

function notPermitted(path: string, platform: string, cause: unknown): BoardError {
  const remedy =
    platform === "linux" ? PERMISSION_REMEDY : "Give this user the right to read and write it";
  return new BoardError("not-permitted", `This user may not open ${path}`, remedy, { cause });
}

async function openPort(path: string, options: OpenOptions): Promise<SerialPort> {
  const { SerialPort: Port } = await loadSerialPort();
  const baudRate = options.baudRate ?? BAUD_RATE;
  // Without `hupcl` DTR stays as it is at the end: many boards reset when it falls.
  const port = new Port({ path, baudRate, hupcl: false, autoOpen: false });
  port.on("error", () => {}); // writes that a close has cut off end here, too
  const error = await new Promise<Error | null>((resolve) => port.open(resolve));
  if (error === null) return port;
  throw await whyNotOpen(path, error, options);
}

/** node-serialport has no codes, but texts of the operating system and its own. */
async function whyNotOpen(path: string, error: Error, options: OpenOptions): Promise<BoardError> {
  const { platform, baudRate } = options;
  const { message } = error;
  const cause = { cause: error };
  const isAccessDenied = platform === "win32" && /access denied/iu.test(message);
  if (isAccessDenied || /lock port|resource busy|temporarily unavailable/iu.test(message)) {
    return new BoardError(
      "busy",
      `${path} is in use by another program`,
      "End the other monitor, bridge or IDE that has it open; `fuser -v PORT` says which one it is",
      cause,
    );
  }
  if (/permission denied|not permitted/iu.test(message)) {
    return notPermitted(path, platform, error);
  }
  if (/no such|not found|cannot find/iu.test(message)) {
    return noSuchPort(path, await listSerialPorts({ platform }), error);
  }
  if (/ioctl|baud/iu.test(message)) {
    const speed = baudRate === undefined ? "" : ` at ${baudRate} baud`;
    return new BoardError(
      "no-port",
      `${path} does not work as a serial port${speed}: ${message}`,
      "Is it one? `wasmqtt devices` lists them",
      cause,
    );
  }
  return new BoardError(
    "failed",
    `${path} cannot be opened: ${message}`,
    "Pull the board's cable, plug it in again, and try once more",
    cause,
  );
}

/** QEMU's `-chardev socket,path=…`. */
async function openSocket(path: string): Promise<Duplex> {
  const socket = connect(path);
  return new Promise((resolve, reject) => {
    socket.once("connect", () => {
      socket.off("error", refuse);
      socket.on("error", () => {}); // `close` follows
      resolve(socket);
    });
    const refuse = (cause: NodeJS.ErrnoException) => {
      reject(
        new BoardError(
          cause.code === "EACCES" ? "not-permitted" : "no-port",
          cause.code === "EACCES"
            ? `This user may not open the socket ${path}`
            : `Nobody listens at the socket ${path}`,
          "Start the emulator first, as the same user; it must say server=on",
          { cause },
        ),
      );
    };
    socket.once("error", refuse);
  });
}

function lineOver(
  path: string,
  stream: Duplex,
  handlers: LineHandlers,
  end: () => void,
): SerialLine {
  let state: "open" | "closing" | "closed" = "open";
  const closed = new Promise<void>((resolve) => stream.once("close", () => resolve()));
  void closed.then(() => {
    const wasAsked = state === "closing";
    state = "closed";
    handlers.closed(wasAsked ? undefined : lineLost(path));
  });
  stream.once("end", end); // a port that hangs up reads as an end
  stream.on("data", (chunk: Buffer) => {
    if (state === "open") handlers.received(chunk);
  });
  return {
    path,
    write: (bytes) => {
      if (state === "open") stream.write(Buffer.from(bytes), () => {});
    },
    close: async () => {
      if (state === "open") {
        state = "closing";
        end();
      }
      await closed;
    },
  };
}

function lineLost(path: string): BoardError {
  return new BoardError(
    "lost",
    `The line to the board has ended: ${path} is gone`,
    "Plug the board in again; an upload goes on where it stopped",
  );
}
