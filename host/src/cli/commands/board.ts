/** `wasmqtt board run`: the emulated board, to try everything that boards do without having one. */

import type { Command } from "commander";
import { type Emulator, startEmulator } from "../../board/emulator.ts";
import { action, type CliContext, type CommandCall, interrupted } from "../command.ts";
import { ExitCode } from "../exit-code.ts";
import { type Output, printable } from "../output.ts";

interface BoardRunFlags {
  flash: string;
  socket?: string;
  runtime?: string;
  json?: boolean;
}

export function registerBoard(program: Command, context: CliContext): void {
  const board = program.command("board").description("A board that needs no hardware.");
  board
    .command("run")
    .description("Start an emulated board (QEMU, RISC-V) and keep it running until Ctrl-C.")
    .option(
      "--flash <file>",
      "its flash: what is on it stays; made if it is not there",
      "board.flash",
    )
    .option("--socket <path>", "its line as a Unix socket, at a path that stays the same")
    .option("--runtime <elf>", "another runtime than the one that comes with this")
    .option("--json", "print where its line is as one JSON document")
    .addHelpText("after", EXAMPLES)
    .action(action(context, runBoard));
}

const EXAMPLES = `
Examples, with the board in another terminal:
  wasmqtt board run
  export WASMQTT_DEVICE=/dev/pts/5          what \`board run\` has said
  wasmqtt flash thermometer.wasm --monitor
  wasmqtt bridge -h localhost

It needs qemu-system-riscv32 (Debian: qemu-system-misc). Deleting the flash gives a board as from the factory.`;

async function runBoard({ context, output, flags }: CommandCall<BoardRunFlags>): Promise<ExitCode> {
  const emulator = await startEmulator({
    world: context.world,
    flashPath: flags.flash,
    socketPath: flags.socket,
    elfPath: flags.runtime,
  });
  try {
    introduce(emulator, flags, output);
    await Promise.race([interrupted(context), emulator.ended]);
    return ExitCode.Ok;
  } finally {
    await emulator.stop();
  }
}

function introduce({ devicePath }: Emulator, flags: BoardRunFlags, output: Output): void {
  const path = printable(devicePath);
  if (flags.json === true) {
    output.json({ schema: "wasmqtt/board.v1", device: devicePath, flash: flags.flash });
    return;
  }
  output.result(devicePath);
  output.note(
    `The emulated board runs, its flash is ${printable(flags.flash)}. In another terminal:`,
  );
  output.note(`  export WASMQTT_DEVICE=${path}`);
  output.note("  wasmqtt flash thermometer.wasm --monitor");
  output.note("Stop it with Ctrl-C.");
}
