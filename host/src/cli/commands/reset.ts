/** `wasmqtt reset`: restarts a board, and waits until it is back. */

import type { Command } from "commander";
import { moduleText } from "../board-text.ts";
import { action, type CliContext, type CommandCall } from "../command.ts";
import { addDeviceOptions, type DeviceFlags, deviceLine } from "../device-options.ts";
import { ExitCode } from "../exit-code.ts";
import { withBoard } from "../with-board.ts";

export function registerReset(program: Command, context: CliContext): void {
  const command = program
    .command("reset")
    .description("Restart a board, and wait until it is back. A module on trial gives way.");
  addDeviceOptions(command).action(action(context, reset));
}

async function reset({ context, output, flags }: CommandCall<DeviceFlags>): Promise<ExitCode> {
  const line = await deviceLine(flags, context);
  const info = await withBoard(line, context, (board) =>
    board.restart({ signal: context.interrupt }),
  );
  output.result(`The board has restarted. ${moduleText(info)}`);
  return ExitCode.Ok;
}
