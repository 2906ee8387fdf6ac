/** Builds the runtime of the emulated board into dist/board, where `wasmqtt board run` looks for it: `npm run build:board`. */

import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const BOARD = fileURLToPath(new URL("../firmware/board", import.meta.url));
const BUILT = `${BOARD}/build/virt-rv32/board.elf`;
const TARGET = fileURLToPath(new URL("../dist/board/virt-rv32.elf", import.meta.url));

run("make", ["-C", BOARD, "virt-rv32"]);
mkdirSync(fileURLToPath(new URL("../dist/board", import.meta.url)), { recursive: true });
// What only a debugger reads is nine tenths of the file.
run("riscv64-unknown-elf-strip", ["-o", TARGET, BUILT]);

function run(program, programArguments) {
  const { status, error } = spawnSync(program, programArguments, { stdio: "inherit" });
  if (status === 0) return;
  const why = error === undefined ? `ended with ${status}` : error.message;
  throw new Error(`${program}: ${why}. firmware/board/README.md says what the build needs`);
}
