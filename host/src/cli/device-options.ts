/** The flags that say which board is meant, and what they come to. */

import { type Command, Option } from "commander";
import { BoardError } from "../board/board-error.ts";
import type { OpenLine } from "../board/serial-line.ts";
import { BAUD_RATE, portsText, serialLineAt } from "../board/serial-port.ts";
import { listSerialPorts, type SerialPortInfo } from "../board/serial-ports.ts";
import { UsageError } from "../errors.ts";
import type { CliContext } from "./command.ts";
import { readInteger } from "./options.ts";

/** The flags of `addDeviceOptions`, as commander gives them. */
export interface DeviceFlags {
  device?: string;
  baud?: string;
  /** Of `addDeviceOptions` too: the mistake of who comes from another tool. */
  port?: string;
}

/** A board's line that is not open yet. */
export interface DeviceLine {
  readonly path: string;
  readonly openLine: OpenLine;
}

/** The last two are those of espflash and esptool. */
const VARIABLES = ["WASMQTT_DEVICE", "ESPFLASH_PORT", "ESPTOOL_PORT"];

/** Adds -d and --baud. `hasBroker` says that -p is taken. */
export function addDeviceOptions(
  command: Command,
  { hasBroker = false, baudRate = BAUD_RATE } = {},
): Command {
  command
    .optionsGroup("Board:")
    .option("-d, --device <port>", "serial port (default: the only one on USB) [WASMQTT_DEVICE]")
    .option("--baud <rate>", `speed of the line (default: ${baudRate})`);
  if (!hasBroker) command.addOption(new Option("-p, --port <port>").hideHelp());
  return command.optionsGroup("");
}

/** Throws a BoardError if no port is named and there is not exactly one on USB, a UsageError for flags that are wrong. */
export async function deviceLine(
  flags: DeviceFlags,
  context: Pick<CliContext, "env" | "system">,
): Promise<DeviceLine> {
  const openLineTo = lineOpener(flags, context);
  const path = await devicePath(flags, context);
  return { path, openLine: openLineTo(path) };
}

/** What opens the line of any port with these flags. */
export function lineOpener(
  { baud, port }: DeviceFlags,
  { system }: Pick<CliContext, "system">,
): (path: string) => OpenLine {
  if (port !== undefined) {
    throw new UsageError(
      "-p and --port are a broker's port, and there is no broker here",
      `Name the serial port with -d or --device: -d ${port}`,
    );
  }
  const { platform } = system;
  const baudRate = baud === undefined ? undefined : readInteger(baud, "--baud", 300, 10_000_000);
  return (path) => serialLineAt(path, { platform, baudRate });
}

/** The port that was named, or the only one on USB. Throws a BoardError. */
export async function devicePath(
  { device }: DeviceFlags,
  { env, system }: Pick<CliContext, "env" | "system">,
): Promise<string> {
  const named = device ?? VARIABLES.map((name) => env[name]).find((value) => value);
  if (named !== undefined && named !== "") return named;
  const ports = await listSerialPorts({ platform: system.platform });
  const likely = likelyPorts(ports);
  const [only] = likely;
  if (only === undefined) throw noBoard(ports);
  if (likely.length === 1) return only.path;
  throw new BoardError(
    "no-port",
    "Which board? There are several USB ports",
    `Name one with --device. ${portsText(ports)}`,
  );
}

/** Those that may be taken without being named. What is no USB device is none: it may be a login console. */
export function likelyPorts(ports: readonly SerialPortInfo[]): readonly SerialPortInfo[] {
  return ports.filter(({ vendorId }) => vendorId !== undefined);
}

function noBoard(ports: readonly SerialPortInfo[]): BoardError {
  if (ports.length === 0) {
    return new BoardError("no-port", "There is no board here", portsText(ports));
  }
  return new BoardError(
    "no-port",
    "There is no board on USB here",
    `A port that is not on USB may be the machine's own console: if the board is at one, name it with --device. ${portsText(ports)}`,
  );
}
