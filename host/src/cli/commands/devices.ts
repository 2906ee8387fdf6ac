/** `wasmqtt devices`: the serial ports of this machine. It opens none of them: that may reset a board. */

import type { Command } from "commander";
import { PERMISSION_REMEDY, portsText } from "../../board/serial-port.ts";
import { listSerialPorts, type SerialPortInfo } from "../../board/serial-ports.ts";
import { action, type CliContext, type CommandCall } from "../command.ts";
import { ExitCode } from "../exit-code.ts";
import { type Output, printable } from "../output.ts";
import { tableLines } from "../table.ts";

interface DevicesFlags {
  json?: boolean;
}

export function registerDevices(program: Command, context: CliContext): void {
  program
    .command("devices")
    .description("List the serial ports, where boards are. Opens none of them.")
    .option("--json", "print one JSON document")
    .action(action(context, devices));
}

async function devices({ context, output, flags }: CommandCall<DevicesFlags>): Promise<ExitCode> {
  const ports = await listSerialPorts({ platform: context.system.platform });
  if (flags.json === true) output.json({ schema: "wasmqtt/devices.v1", devices: ports });
  else printPorts(ports, output);
  return ExitCode.Ok;
}

function printPorts(ports: readonly SerialPortInfo[], output: Output): void {
  if (ports.length === 0) {
    output.note(portsText(ports));
    return;
  }
  const rows = ports.map((port) => [
    port.path,
    port.vendorId === undefined ? "-" : `${port.vendorId}:${port.productId}`,
    printable([port.manufacturer, port.product].filter(Boolean).join(" ")) || "-",
    printable(port.serialNumber ?? "-"),
  ]);
  const lines = tableLines([["PORT", "USB", "WHAT", "SERIAL NUMBER"], ...rows]);
  for (const [index, line] of lines.entries()) {
    output.result(index === 0 ? output.colors.dim(line) : line);
  }
  const closed = ports.filter(({ isPermitted }) => isPermitted === false);
  if (closed.length === 0) return;
  output.warn(`This user may not open ${closed.map(({ path }) => path).join(", ")}.`);
  output.warn(`${PERMISSION_REMEDY}.`);
}
