/** `wasmqtt monitor`: what a board says to people. */

import type { Command } from "commander";
import { UsageError } from "../../errors.ts";
import { action, type CliContext, type CommandCall } from "../command.ts";
import { printConsole } from "../console-text.ts";
import { addDeviceOptions, type DeviceFlags, deviceLine } from "../device-options.ts";
import { ExitCode } from "../exit-code.ts";

interface MonitorFlags extends DeviceFlags {
  raw?: boolean;
  json?: boolean;
}

export function registerMonitor(program: Command, context: CliContext): void {
  const command = program
    .command("monitor")
    .description("Print a board's console with the time of day, over resets, until Ctrl-C.")
    .option("--raw", "print the bytes as they come")
    .option("--json", "print one line of JSON for each line");
  addDeviceOptions(command).action(action(context, monitor));
}

async function monitor({ context, output, flags }: CommandCall<MonitorFlags>): Promise<ExitCode> {
  if (flags.raw === true && flags.json === true) {
    throw new UsageError("--raw and --json are two forms of the same", "Give one of the two");
  }
  const line = await deviceLine(flags, context);
  const style = flags.raw === true ? "raw" : flags.json === true ? "json" : "text";
  await printConsole({ line, style, context, output });
  return ExitCode.Ok;
}
