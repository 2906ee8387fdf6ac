/** `wasmqtt bridge` and `wasmqtt board run`: what they print, and how they end. */

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SerialPort } from "serialport";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Emulator, FLASH_LENGTH, startEmulator } from "../../host/src/board/emulator.ts";
import { registerBoard } from "../../host/src/cli/commands/board.ts";
import { registerBridge } from "../../host/src/cli/commands/bridge.ts";
import { registerMonitor } from "../../host/src/cli/commands/monitor.ts";
import { ExitCode } from "../../host/src/cli/exit-code.ts";
import { runCli } from "../../host/src/cli/program.ts";
import { realWorld } from "../../host/src/world.ts";
import { describeWith } from "../support/optional.ts";
import { openPtyPair, type PtyPair } from "../support/pty-pair.ts";
import { RecordingContext, startCli } from "../support/run-cli.ts";

const COMMANDS = [registerBridge, registerBoard, registerMonitor];

let context: RecordingContext;
let folder: string;

/** Asserts what becomes true within a generous limit. */
const soon = <Value>(look: () => Value) => expect.poll(look, { timeout: 10_000 });

beforeEach(() => {
  context = new RecordingContext();
  folder = mkdtempSync(join(tmpdir(), "wasmqtt-bridge-"));
});
afterEach(() => {
  context.interruptController.abort(ExitCode.Interrupted);
  rmSync(folder, { recursive: true });
});

function run(...args: string[]): Promise<ExitCode> {
  return runCli(args, context, COMMANDS);
}

describeWith(["socat"], "bridge", () => {
  let pair: PtyPair;
  let port: SerialPort;

  beforeEach(async () => {
    pair = await openPtyPair();
    port = new SerialPort({ path: pair.boardPath, baudRate: 115_200 });
    port.on("error", () => {});
    await new Promise((resolve) => port.once("open", resolve));
  });
  afterEach(async () => {
    if (port.isOpen) await new Promise<void>((resolve) => port.close(() => resolve()));
    await pair.cut();
  });

  test("greets the board with frames, and prints what it says, until Ctrl-C", async () => {
    let heard = Buffer.alloc(0);
    port.on("data", (chunk: Buffer) => {
      heard = Buffer.concat([heard, chunk]);
    });
    const ended = run("bridge", "-h", "127.0.0.1", "-p", "1", "-d", pair.hostPath);
    // HELLO, version 1 of the wire (docs/wire.md)
    await soon(() => heard.includes(Buffer.from("c001000001", "hex"))).toBe(true);
    port.write("\u001b[2Jthe board says hello\r\n");
    await soon(() => context.stdout.text).toContain("the board says hello");
    expect(context.stdout.text).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {2}\S+ {2}line open$/mu);
    expect(context.stdout.text).toContain("| \\u{1b}[2Jthe board says hello");
    expect(context.stderr.text).toContain("Broker: mqtt://127.0.0.1:1");
    context.interruptController.abort(ExitCode.Interrupted);
    expect(await ended).toBe(ExitCode.Interrupted);
    expect(context.stderr.text).toContain("0 connections, 0 bytes to the broker");
  });

  test("--json prints one object for each event, and goes on when the cable is pulled", async () => {
    const ended = run("bridge", "--json", "-d", pair.hostPath);
    await soon(() => context.stdout.text).toContain("line-opened");
    port.write("hello\r\n");
    await soon(() => context.stdout.text).toContain("hello");
    await pair.cut();
    await soon(() => context.stdout.text).toContain("line-closed");
    context.interruptController.abort(ExitCode.Interrupted);
    await ended;
    const events = context.stdout.text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT/u);
    const path = pair.hostPath;
    expect(events).toContainEqual({ time, path, event: "line-opened" });
    expect(events).toContainEqual({ time, path, event: "console", text: "hello", isWhole: true });
    expect(events).toContainEqual({
      time,
      path,
      event: "line-closed",
      error: expect.stringContaining(path),
      remedy: expect.stringContaining("Plug the board in again"),
      retryInMs: expect.any(Number),
    });
  });
});

describe("bridge", () => {
  test("without the port it is told is exit code 4", async () => {
    expect(await run("bridge", "-d", "/dev/ttyMISSING7")).toBe(ExitCode.Device);
    expect(context.stderr.text).toContain("There is no port /dev/ttyMISSING7");
  });

  test.each([
    [["-u", "me"], "each board says its own"],
    [["--password-file", "secret.txt"], "each board says its own"],
    [["-L", "mqtt://me:secret@localhost"], "each board says its own"],
    [["-p", "/dev/ttyUSB0"], "Name a serial port with -d"],
    [["--all", "-d", "/dev/ttyUSB0"], "name different boards"],
  ])("%j is exit code 2", async (args, text) => {
    expect(await run("bridge", ...args)).toBe(ExitCode.Usage);
    expect(context.stderr.text).toContain(text);
  });
});

describeWith(["qemu-system-riscv32", "flock", "ps"], "board run", () => {
  /** Prints "hi" on the UART again and again. */
  const PROGRAM = [
    ...[0x10000537, 0x06800593, 0x00b50023, 0x06900593, 0x00b50023, 0x00a00593, 0x00b50023],
    ...[0x00400637, 0xfff60613, 0xfe061ee3, 0xfd9ff06f],
  ];
  let flash: string;
  let elf: string;

  beforeEach(() => {
    flash = join(folder, "board.flash");
    elf = join(folder, "board,1.elf"); // QEMU would take the comma for the end of the name
    writeFileSync(elf, elfOf(PROGRAM));
  });

  function start(other: { flashPath?: string; socketPath?: string } = {}): Promise<Emulator> {
    const options = { world: realWorld, flashPath: flash, socketPath: undefined, elfPath: elf };
    return startEmulator({ ...options, ...other });
  }

  test("a board starts with an erased flash, is heard at its line, and ends with Ctrl-C", async () => {
    const ended = run("board", "run", "--flash", flash, "--runtime", elf);
    await soon(() => context.stdout.text).toMatch(/^\/dev\/\S+\n$/u);
    expect(statSync(flash).size).toBe(FLASH_LENGTH);
    const monitor = new RecordingContext();
    // A link of its own: the number of a pseudo-terminal that is gone may soon be another test's.
    const path = join(folder, "line");
    symlinkSync(context.stdout.text.trim(), path);
    const monitored = runCli(["monitor", "-d", path], monitor, COMMANDS);
    await soon(() => monitor.stdout.text).toMatch(/ {2}hi$/mu);
    context.interruptController.abort(ExitCode.Interrupted);
    expect(await ended).toBe(ExitCode.Interrupted);
    await soon(() => monitor.stderr.text).toContain("waiting until it is back");
    monitor.interruptController.abort(ExitCode.Interrupted);
    await monitored;
  });

  test("--socket gives its line a path that stays the same, which -d takes", async () => {
    const socketPath = join(folder, "line.sock");
    const board = await start({ socketPath });
    try {
      const ended = run("monitor", "-d", board.devicePath);
      await soon(() => context.stdout.text).toMatch(/ {2}hi$/mu);
      context.interruptController.abort(ExitCode.Interrupted);
      await ended;
    } finally {
      await board.stop();
    }
  });

  test("the emulator ends when its parent is killed", async () => {
    const child = startCli(["board", "run", "--flash", flash, "--runtime", elf, "--json"]);
    try {
      await child.waitFor("stdout", /"device"/u);
      expect(emulatorsWith(flash)).toBe(1);
      child.signal("SIGKILL");
      await soon(() => emulatorsWith(flash)).toBe(0);
    } finally {
      await child.stop();
    }
    await (await start()).stop(); // nothing is left that would keep the flash
  });

  test("a flash has one board at a time, by whatever name", async () => {
    const board = await start();
    const otherName = join(folder, "other.flash");
    symlinkSync(flash, otherName);
    const socketPath = join(folder, "line.sock");
    try {
      await expect(start({ flashPath: otherName })).rejects.toMatchObject({ failure: "busy" });
      await expect(start({ socketPath })).rejects.toMatchObject({ failure: "busy" });
      expect(await run("board", "run", "--flash", flash, "--runtime", elf)).toBe(ExitCode.Device);
      expect(context.stdout.text).toBe("");
      expect(context.stderr.text).toContain(`${flash} is in use by another emulated board`);
      expect(emulatorsWith(folder)).toBe(1);
    } finally {
      await board.stop();
    }
    await (await start({ flashPath: otherName })).stop();
  });

  test("boards with a flash each run at the same time", async () => {
    const boards = await Promise.all([start(), start({ flashPath: join(folder, "2.flash") })]);
    const paths = boards.map(({ devicePath }) => devicePath);
    for (const board of boards) await board.stop();
    expect(new Set(paths).size).toBe(2);
  });

  test("a file that is no flash is left alone", async () => {
    writeFileSync(flash, "precious");
    expect(await run("board", "run", "--flash", flash, "--runtime", elf)).toBe(ExitCode.Usage);
    expect(context.stderr.text).toContain("is not the flash of an emulated board");
    expect(statSync(flash).size).toBe("precious".length);
  });
});

describeWith(["flock"], "board run with an emulator that does not start", () => {
  const { PATH } = process.env;

  afterEach(() => {
    process.env["PATH"] = PATH;
  });

  /** `script` undefined: there is no such program. */
  function withEmulator(script: string | undefined, hasLocks = true): Promise<ExitCode> {
    if (hasLocks) symlinkSync(pathOf("flock"), join(folder, "flock"));
    process.env["PATH"] = folder;
    const path = join(folder, "qemu-system-riscv32");
    if (script !== undefined) writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    const elf = join(folder, "board.elf");
    writeFileSync(elf, elfOf([]));
    return run("board", "run", "--flash", join(folder, "board.flash"), "--runtime", elf);
  }

  test("because it is not installed says how to install it", async () => {
    expect(await withEmulator(undefined)).toBe(ExitCode.Device);
    expect(context.stderr.text).toContain("sudo apt install qemu-system-misc");
  });

  test.runIf(process.platform === "linux")(
    "because its flash cannot be locked says what is missing",
    async () => {
      expect(await withEmulator("exit 1", false)).toBe(ExitCode.Device);
      expect(context.stderr.text).toContain("Install util-linux");
    },
  );

  test("because of something else says what", async () => {
    expect(await withEmulator("echo no block of flash >&2; exit 1")).toBe(ExitCode.Device);
    expect(context.stderr.text).toContain("The emulator has ended: no block of flash");
  });
});

test("board run without its runtime says how to build it", async () => {
  const args = ["--flash", join(folder, "f"), "--runtime", join(folder, "missing.elf")];
  expect(await run("board", "run", ...args)).toBe(ExitCode.Device);
  expect(context.stderr.text).toContain("npm run build:board");
});

test.each([
  [
    "a text",
    Buffer.from("The runtime of the board, but not as QEMU wants to have it: a text."),
    "is no ELF file",
  ],
  ["nothing", Buffer.alloc(0), "is no ELF file"],
  ["a part", elfOf([]).subarray(0, 40), "ends within its ELF header"],
  ["another processor's", patched(elfOf([]), 18, 62), "another processor (ELF machine 62"],
  ["for 64 bits", patched(elfOf([]), 4, 2), "64-bit RISC-V"],
])("board run with a runtime that is %s says so, and makes no flash", async (_, bytes, text) => {
  const [elf, flash] = [join(folder, "board.elf"), join(folder, "board.flash")];
  writeFileSync(elf, bytes);
  expect(await run("board", "run", "--flash", flash, "--runtime", elf)).toBe(ExitCode.Usage);
  expect(context.stderr.text).toContain(text);
  expect(existsSync(flash)).toBe(false);
});

test("board run with a runtime that cannot be read says why", async () => {
  const args = ["--flash", join(folder, "f"), "--runtime", folder];
  expect(await run("board", "run", ...args)).toBe(ExitCode.Device);
  expect(context.stderr.text).toContain("The board's runtime cannot be read: EISDIR");
});

function patched(bytes: Buffer, at: number, value: number): Buffer {
  bytes[at] = value;
  return bytes;
}

function pathOf(program: string): string {
  return spawnSync("which", [program], { encoding: "utf8" }).stdout.trim();
}

/** Processes with this file on their command line that are QEMU. */
function emulatorsWith(path: string): number {
  const { stdout } = spawnSync("ps", ["-eo", "args"], { encoding: "utf8" });
  return stdout.split("\n").filter((line) => line.startsWith("qemu") && line.includes(path)).length;
}

/** An ELF file for RV32 with these instructions at the start of the RAM. */
function elfOf(words: readonly number[]): Buffer {
  const ramAt = 0x8000_0000;
  const [headerLength, segmentLength] = [52, 32];
  const codeAt = headerLength + segmentLength;
  const file = Buffer.alloc(codeAt + 4 * words.length);
  file.write("\x7fELF\x01\x01\x01", 0, "latin1");
  const halves = [2, 243]; // executable, RISC-V
  halves.forEach((value, index) => {
    file.writeUInt16LE(value, 16 + 2 * index);
  });
  const header = [1, ramAt, headerLength, 0, 0];
  header.forEach((value, index) => {
    file.writeUInt32LE(value, 20 + 4 * index);
  });
  const sizes = [headerLength, segmentLength, 1, 40, 0, 0];
  sizes.forEach((value, index) => {
    file.writeUInt16LE(value, 40 + 2 * index);
  });
  const length = 4 * words.length;
  const segment = [1, codeAt, ramAt, ramAt, length, length, 5, 4];
  segment.forEach((value, index) => {
    file.writeUInt32LE(value, headerLength + 4 * index);
  });
  words.forEach((word, index) => {
    file.writeUInt32LE(word, codeAt + 4 * index);
  });
  return file;
}
