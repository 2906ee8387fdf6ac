/**
 * Counts what a publish costs on the emulated board, in instructions, and fails above the limits. Needs QEMU and the
 * cross compiler; firmware/board/tests/bench.c is what runs.
 */

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const BOARD = join(ROOT, "firmware/board");

/** With `-icount shift=5` an instruction takes 32 ns; the board's clock ticks each 100 ns. */
const INSTRUCTIONS_PER_TICK = 100 / 32;

const FLASH_LENGTH = 32 * 1024 * 1024;
const SECTOR_LENGTH = 256 * 1024;
/** Where bench.c looks for the module's length: the area of the state. */
const LENGTH_AT = 2 * SECTOR_LENGTH;

const RUN_TIMEOUT_MS = 60_000;

/** What is counted in ticks, and the most instructions it may take; what is in bytes is printed only. */
const INSTRUCTIONS_MAX = {
  start: 250_000,
  publish: 25_000,
  "reading-qos-0": 60_000,
  "reading-qos-1": 110_000,
};

run("make", ["--silent", "-C", BOARD, "bench"]);
for (const [name, number] of measure("thermometer")) report(name, number);

function measure(module) {
  const folder = mkdtempSync(join(tmpdir(), "board-bench-"));
  try {
    const flash = join(folder, "flash.img");
    writeFileSync(flash, flashWith(readFileSync(join(ROOT, `dist/${module}.wasm`))));
    const output = run("qemu-system-riscv32", [
      ...["-M", "virt", "-m", "32M", "-bios", "none", "-icount", "shift=5,sleep=off"],
      ...["-device", `loader,file=${join(BOARD, "build/virt-rv32/bench.elf")}`],
      ...["-drive", `if=pflash,unit=1,format=raw,file=${flash}`],
      ...["-display", "none", "-monitor", "none", "-serial", "stdio"],
    ]);
    const lines = output.trim().split(/\r?\n/);
    if (lines.pop() !== "end") throw new Error(`The bench did not come to its end: ${output}`);
    return lines.map((line) => line.split(" "));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function flashWith(module) {
  const flash = Buffer.alloc(FLASH_LENGTH, 0xff);
  module.copy(flash);
  flash.writeUInt32LE(module.length, LENGTH_AT);
  return flash;
}

function run(program, programArguments) {
  const { status, stdout, stderr, error } = spawnSync(program, programArguments, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    timeout: RUN_TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  if (status !== 0) throw new Error(`${program}: ${error?.message ?? ""} ${stderr}`);
  return stdout;
}

function report(name, number) {
  const limit = INSTRUCTIONS_MAX[name];
  if (limit === undefined) {
    process.stdout.write(`${name.padEnd(16)}${number.padStart(9)} bytes\n`);
    return;
  }
  const count = Math.round(number * INSTRUCTIONS_PER_TICK);
  process.stdout.write(`${name.padEnd(16)}${`${count}`.padStart(9)} instructions of ${limit}\n`);
  if (count > limit) process.exitCode = 1;
}
