/** Runs the emulated board: QEMU's `virt` machine for RISC-V, with its serial line at a path and its flash in a file. */

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { constants, type FileHandle, open, stat } from "node:fs/promises";
import { connect } from "node:net";
import { platform } from "node:os";
import { resolve } from "node:path";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { UsageError } from "../errors.ts";
import type { World } from "../world.ts";
import { BoardError } from "./board-error.ts";
import { wait } from "./waiting.ts";

export interface EmulatorOptions {
  readonly world: World;
  /** The board's whole flash. Made, erased, where there is no such file. */
  readonly flashPath: string;
  /** A Unix socket to listen at instead of a pseudo-terminal. */
  readonly socketPath: string | undefined;
  /** The runtime, as an ELF file; the one that comes with this package if undefined. */
  readonly elfPath: string | undefined;
}

export interface Emulator {
  /** What `--device` takes. */
  readonly devicePath: string;
  /** Rejects with a BoardError when the emulator ends without being asked to; resolves after `stop`. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

/** What the machine has at its second pflash place; QEMU takes no file of another length. */
export const FLASH_LENGTH = 32 * 1024 * 1024;

const QEMU = "qemu-system-riscv32";

/** Seen: 60 to 215 ms. */
const LINE_PATTERN = /char device redirected to (\S+)/u;

/**
 * Throws a BoardError if the emulator does not start or another one has the flash, a UsageError for a file that is no
 * flash or no runtime.
 */
export async function startEmulator(options: EmulatorOptions): Promise<Emulator> {
  const elfPath = options.elfPath ?? builtInElfPath();
  await checkElf(elfPath);
  await makeFlash(options.flashPath);
  const flash = await openLocked(options.flashPath);
  let emulated: EmulatorProcess;
  try {
    const words = [QEMU, ...qemuArguments(elfPath, options)];
    emulated = new EmulatorProcess(spawnBound(words, flash.fd));
  } finally {
    await flash.close();
  }
  try {
    const { world } = options;
    const socketPath = options.socketPath === undefined ? undefined : resolve(options.socketPath);
    if (socketPath !== undefined)
      await Promise.race([listening(socketPath, world), emulated.ended]);
    const devicePath = socketPath ?? (await emulated.printed(LINE_PATTERN));
    return { devicePath, ended: emulated.ended, stop: () => emulated.stop() };
  } catch (error) {
    await emulated.stop();
    throw error;
  }
}

/** From dist/host/src/board/, and from host/src/board/ where tests run the sources. */
function builtInElfPath(): string {
  const isBuilt = import.meta.url.endsWith(".js");
  return fileURLToPath(
    new URL(`../../../${isBuilt ? "" : "dist/"}board/virt-rv32.elf`, import.meta.url),
  );
}

async function checkElf(path: string): Promise<void> {
  const wrong = whatIsWrongWith(await elfHeader(path));
  if (wrong === undefined) return;
  throw new UsageError(
    `${path} is not the runtime of an emulated board: ${wrong}`,
    "Name an ELF file for 32-bit RISC-V with --runtime, as `npm run build:board` makes it",
  );
}

/** As much of it as there is. */
async function elfHeader(path: string): Promise<Buffer> {
  try {
    const file = await open(path);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(ELF_HEADER_LENGTH));
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new BoardError(
      "not-installed",
      code === "ENOENT"
        ? `The board's runtime is not there: ${path}`
        : `The board's runtime cannot be read: ${message}`,
      "Build it with `npm run build:board` (firmware/board/README.md says what that needs), or name one with --runtime",
      { cause },
    );
  }
}

/** Of an ELF file for 32 bits (System V ABI, chapter 4). */
const ELF_HEADER_LENGTH = 52;
const ELF_MAGIC = Buffer.from("\x7fELF", "latin1");
const ELF_CLASS_AT = 4;
const ELF_CLASS_32 = 1;
const ELF_MACHINE_AT = 18;
const ELF_MACHINE_RISCV = 243;

function whatIsWrongWith(header: Buffer): string | undefined {
  if (!header.subarray(0, ELF_MAGIC.length).equals(ELF_MAGIC)) return "it is no ELF file";
  if (header.length < ELF_HEADER_LENGTH) return "the file ends within its ELF header";
  const machine = header.readUInt16LE(ELF_MACHINE_AT);
  if (machine !== ELF_MACHINE_RISCV) {
    return `it is for another processor (ELF machine ${machine}; RISC-V is ${ELF_MACHINE_RISCV})`;
  }
  return header[ELF_CLASS_AT] === ELF_CLASS_32 ? undefined : "it is for 64-bit RISC-V";
}

/** Erased flash is all ones, so that the file cannot have holes. */
async function makeFlash(path: string): Promise<void> {
  const stats = await stat(path).catch(() => undefined);
  if (stats !== undefined) {
    if (stats.isFile() && stats.size === FLASH_LENGTH) return;
    throw new UsageError(
      `${path} is not the flash of an emulated board: that is a file of ${FLASH_LENGTH} bytes`,
      "Name another file with --flash; one that is not there is made",
    );
  }
  try {
    const file = await open(path, "wx");
    try {
      await file.writeFile(Buffer.alloc(FLASH_LENGTH, 0xff));
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new UsageError(
      `The flash ${path} cannot be made: ${(cause as Error).message}`,
      "Name a file in a folder that this user may write, with 32 MiB of room",
      { cause },
    );
  }
}

/** From macOS's and the BSDs' sys/fcntl.h: lock the file as it is opened. */
const O_EXLOCK = 0x20;

/**
 * Locks the flash, as flock(2) does: as long as the file is open, here or in a process that has inherited it. The lock
 * thus ends with the emulator, whatever ends that. QEMU's own locks let others write.
 */
async function openLocked(path: string): Promise<FileHandle> {
  const { O_RDWR, O_NONBLOCK } = constants;
  const isLinux = platform() === "linux";
  let file: FileHandle;
  try {
    file = await open(path, isLinux ? O_RDWR : O_RDWR | O_NONBLOCK | O_EXLOCK);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "EAGAIN") throw flashBusy(path);
    throw new UsageError(
      `The flash ${path} cannot be opened: ${message}`,
      "Name a file with --flash that this user may read and write",
      { cause },
    );
  }
  try {
    if (isLinux && !(await takesLock(file))) throw flashBusy(path);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** By flock(1), whose lock stays with the open file that we share with it. False if another emulator has the lock. */
async function takesLock(file: FileHandle): Promise<boolean> {
  try {
    const child = spawn("flock", ["-n", "3"], { stdio: ["ignore", "ignore", "ignore", file.fd] });
    const [exitCode] = await once(child, "close");
    return exitCode === 0;
  } catch (cause) {
    throw new BoardError(
      "not-installed",
      "The program flock is not installed: without it two emulated boards could have one flash",
      "Install util-linux",
      { cause },
    );
  }
}

function flashBusy(path: string): BoardError {
  return new BoardError(
    "busy",
    `The flash ${path} is in use by another emulated board`,
    "End that board, or give this one a file of its own with --flash",
  );
}

function qemuArguments(elfPath: string, { flashPath, socketPath }: EmulatorOptions): string[] {
  const line =
    socketPath === undefined ? "pty" : `socket,path=${quoted(socketPath)},server=on,wait=off`;
  return [
    ...["-machine", "virt", "-m", "32M", "-bios", "none", "-display", "none", "-monitor", "none"],
    ...["-chardev", `${line},id=line`, "-serial", "chardev:line"],
    ...["-device", `loader,file=${quoted(elfPath)}`],
    ...["-drive", `if=pflash,unit=1,format=raw,file=${quoted(flashPath)},file.locking=off`],
  ];
}

/** A comma would begin another option. */
function quoted(path: string): string {
  return path.replaceAll(",", ",,");
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/**
 * The shell ends what it runs when our end of its stdin is closed: by `stop`, and by the system when this process dies,
 * however it dies. What it runs, and nothing else, keeps 3, the flash that is locked.
 */
const BOUND_SCRIPT = `
exec 4<&0
"$@" </dev/null 4<&- & child=$!
exec 3<&-
{ read -r _ <&4; kill -9 $child; } >/dev/null 2>&1 & guard=$!
wait $child; code=$?
kill $guard 2>/dev/null
exit $code`;

function spawnBound(words: readonly string[], flashFd: number): Child {
  // A group of its own: Ctrl-C at the terminal is for this process, which then ends the emulator.
  return spawn("/bin/sh", ["-c", BOUND_SCRIPT, "sh", ...words], {
    stdio: ["pipe", "pipe", "pipe", flashFd],
    detached: true,
  }) as Child;
}

class EmulatorProcess {
  readonly #child: Child;
  readonly #closed: Promise<unknown>;
  readonly ended: Promise<void>;
  #stdout = "";
  #stderr = "";
  #isStopping = false;

  constructor(child: Child) {
    this.#child = child;
    child.stdin.on("error", () => {}); // it is gone already
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout = keep(this.#stdout + text);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = keep(this.#stderr + text);
    });
    this.#closed = once(child, "close").catch((error: Error) => {
      this.#stderr = error.message;
    });
    this.ended = this.#closed.then(() => {
      if (!this.#isStopping) throw whyEnded(child.exitCode, this.#stderr.trim());
    });
    this.ended.catch(() => {}); // it may end while nobody waits
  }

  /** The first group of the first match on stdout. Rejects when the process ends without it. */
  printed(pattern: RegExp): Promise<string> {
    return new Promise((found, reject) => {
      const look = () => {
        const text = pattern.exec(this.#stdout)?.[1];
        if (text !== undefined) found(text);
      };
      this.#child.stdout.on("data", look);
      look();
      this.ended.catch(reject);
    });
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#child.stdin.end();
    await this.#closed;
  }
}

const LISTEN_ATTEMPT_COUNT = 200;
const LISTEN_INTERVAL_MS = 50;

/** Resolves when somebody listens at the socket. */
async function listening(path: string, world: World): Promise<void> {
  for (let attempt = 0; attempt < LISTEN_ATTEMPT_COUNT; attempt++) {
    if (await takesConnection(path)) return;
    await wait(world, LISTEN_INTERVAL_MS);
  }
  throw new BoardError(
    "failed",
    `The emulator does not listen at ${path}`,
    "Give --socket a shorter path, in a folder that this user may write",
  );
}

function takesConnection(path: string): Promise<boolean> {
  return new Promise((answer) => {
    const socket = connect(path);
    socket.once("error", () => answer(false));
    socket.once("connect", () => {
      socket.destroy();
      answer(true);
    });
  });
}

const KEPT_LENGTH = 4096;

function keep(text: string): string {
  return text.slice(-KEPT_LENGTH);
}

/** As shells say it. */
const NOT_FOUND_CODE = 127;

function whyEnded(exitCode: number | null, stderr: string): BoardError {
  if (exitCode === NOT_FOUND_CODE) {
    return new BoardError(
      "not-installed",
      `The emulator ${QEMU} is not installed`,
      "Debian and Ubuntu: sudo apt install qemu-system-misc; Fedora: sudo dnf install qemu-system-riscv; macOS: brew install qemu",
    );
  }
  return new BoardError(
    "failed",
    `The emulator has ended${stderr === "" ? "" : `: ${stderr}`}`,
    "Start it again; a flash that is no good is made anew when its file is deleted",
  );
}
