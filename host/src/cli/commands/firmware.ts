/** `wasmqtt firmware`: puts the board's runtime onto a chip of Espressif's, the first time or anew. */

import { join } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import {
  type EspChip,
  type EspOptions,
  type FlashPart,
  withEspChip,
} from "../../board/esp-flasher.ts";
import { UsageError } from "../../errors.ts";
import { action, type CliContext, type CommandCall, readUserFile } from "../command.ts";
import { addDeviceOptions, type DeviceFlags, devicePath, lineOpener } from "../device-options.ts";
import { ExitCode } from "../exit-code.ts";
import { readInteger } from "../options.ts";
import { printable } from "../output.ts";
import { barLine } from "../progress-bar.ts";

interface FirmwareFlags extends DeviceFlags {
  json?: boolean;
  erase?: boolean;
}

/** A part of the flash, and the name of the file that it comes from. */
interface NamedPart extends FlashPart {
  readonly name: string;
}

/** What most adapters take; the tool falls back to 115,200 where it does not work. */
const LINE = { baudRate: 460_800 };

export function registerFirmware(program: Command, context: CliContext): void {
  const firmware = program
    .command("firmware")
    .description("Install the board's runtime on an ESP32, over its serial port.");
  const install = firmware
    .command("install")
    .description("Write the runtime into the chip's flash, and compare what is there.")
    .argument("<file...>", "the build folder of ESP-IDF; one merged binary; or offsets and files")
    .option("--erase", "erase the whole flash first: modules, configuration and keys, too");
  addDeviceOptions(install, LINE)
    .addHelpText("after", EXAMPLES)
    .action(action(context, installFirmware));
  const info = firmware
    .command("info")
    .description("Tell which chip it is, and how large its flash is.")
    .option("--json", "print one JSON document");
  addDeviceOptions(info, LINE).action(action(context, showChip));
  const erase = firmware
    .command("erase")
    .description("Erase the whole flash: runtime, modules, configuration and keys.");
  addDeviceOptions(erase, LINE).action(action(context, eraseChip));
}

const EXAMPLES = `
Examples (firmware/board/port/esp32 says how to build the runtime):
  wasmqtt firmware install build/                     the folder with flasher_args.json
  wasmqtt firmware install merged.bin                 at offset 0
  wasmqtt firmware install 0x0 bootloader.bin 0x8000 partition-table.bin 0x10000 app.bin`;

async function installFirmware(call: CommandCall<FirmwareFlags>): Promise<ExitCode> {
  const { context, output, flags, args } = call;
  const parts = readParts(args, context);
  const chip = await withEspChip(await espOptions(call), async (session) => {
    const found = await session.describe();
    output.note(`${found.chip}, flash ${found.flashSize ?? "of unknown size"}`);
    checkRoom(parts, found);
    if (flags.erase === true) {
      output.note("Erasing the whole flash: up to a minute");
      await session.erase();
    }
    await session.write(parts, (index, doneLength, length) => {
      const name = parts[index]?.name ?? "";
      const line = barLine(`Writing ${printable(name)}`, doneLength, length);
      output.progress([line], line);
    });
    return found;
  });
  output.endProgress();
  for (const { name, address, bytes } of parts) {
    output.result(`${hex(address)}  ${bytes.length} bytes  ${printable(name)}  written, verified`);
  }
  output.note(`The ${chip.chip} starts its new runtime. Next: wasmqtt flash thermometer.wasm`);
  return ExitCode.Ok;
}

async function showChip(call: CommandCall<FirmwareFlags>): Promise<ExitCode> {
  const { output, flags } = call;
  const found = await withEspChip(await espOptions(call), (session) => session.describe());
  if (flags.json === true) {
    output.json({ schema: "wasmqtt/chip.v1", ...found, flashSize: found.flashSize ?? null });
    return ExitCode.Ok;
  }
  const fact = (name: string, value: string) => {
    output.result(`  ${output.colors.dim(name.padEnd(10))}${printable(value)}`);
  };
  fact("chip", found.chip);
  fact("features", found.features);
  fact("MAC", found.macAddress);
  fact("crystal", `${found.crystalMhz} MHz`);
  fact("flash", found.flashSize ?? "of unknown size");
  return ExitCode.Ok;
}

async function eraseChip(call: CommandCall<FirmwareFlags>): Promise<ExitCode> {
  const { output } = call;
  await withEspChip(await espOptions(call), async (session) => {
    output.note("Erasing the whole flash: up to a minute");
    await session.erase();
  });
  output.result("The flash is empty.");
  output.note("Next: wasmqtt firmware install build/");
  return ExitCode.Ok;
}

async function espOptions({
  context,
  output,
  flags,
}: CommandCall<FirmwareFlags>): Promise<EspOptions> {
  lineOpener(flags, context); // judges the flags
  return {
    path: await devicePath(flags, context),
    platform: context.system.platform,
    baudRate: readInteger(flags.baud ?? `${LINE.baudRate}`, "--baud", 9_600, 4_000_000),
    tell: (line) => output.progress([printable(line)], printable(line)),
  };
}

function readParts(args: readonly string[], context: CliContext): NamedPart[] {
  const [first = "", ...others] = args;
  if (others.length === 0) {
    return first.endsWith(".bin") ? [readPart("0x0", first, context)] : readFolder(first, context);
  }
  if (args.length % 2 !== 0) {
    throw new UsageError(
      `${args.length} words are no pairs of an offset and a file`,
      "As in: 0x0 bootloader.bin 0x8000 partition-table.bin 0x10000 app.bin",
    );
  }
  const parts: NamedPart[] = [];
  for (let index = 0; index < args.length; index += 2) {
    parts.push(readPart(args[index] ?? "", args[index + 1] ?? "", context));
  }
  return checkedParts(parts);
}

const ADDRESS_MAX = 0xff_ff_ff;
const SECTOR_LENGTH = 4096;

function readPart(offset: string, path: string, context: CliContext): NamedPart {
  const address = /^(0x[\da-f]{1,8}|\d{1,8})$/iu.test(offset) ? Number(offset) : Number.NaN;
  if (!(address <= ADDRESS_MAX && address % SECTOR_LENGTH === 0)) {
    throw new UsageError(
      `${JSON.stringify(offset)} is no offset in a flash`,
      "Give multiples of 4096, as in 0x10000, each before its file",
    );
  }
  return { address, bytes: readUserFile(context, path, "binary"), name: path };
}

const flasherArguments = z.looseObject({ flash_files: z.record(z.string(), z.string()) });

/** What `idf.py build` leaves behind. */
function readFolder(folder: string, context: CliContext): NamedPart[] {
  const path = join(folder, "flasher_args.json");
  const text = readUserFile(context, path, "list of ESP-IDF's build").toString();
  const parsed = flasherArguments.safeParse(jsonOf(text));
  if (!parsed.success) {
    throw new UsageError(
      `${path} does not say which file goes where`,
      "Build the runtime anew with `idf.py build`, or name offsets and files",
    );
  }
  const files = Object.entries(parsed.data.flash_files);
  return checkedParts(files.map(([offset, name]) => readPart(offset, join(folder, name), context)));
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** By offset. Two parts on one place would spoil each other. */
function checkedParts(parts: NamedPart[]): NamedPart[] {
  parts.sort((a, b) => a.address - b.address);
  for (const [index, part] of parts.entries()) {
    const next = parts[index + 1];
    if (next === undefined || part.address + part.bytes.length <= next.address) continue;
    throw new UsageError(
      `${part.name} reaches into ${next.name}: it has ${part.bytes.length} bytes from ${hex(part.address)} on`,
      "Check the offsets",
    );
  }
  return parts;
}

function checkRoom(parts: readonly NamedPart[], { flashSize }: EspChip): void {
  const capacity = flashLength(flashSize);
  for (const { name, address, bytes } of parts) {
    if (capacity === undefined || address + bytes.length <= capacity) continue;
    throw new UsageError(
      `${name} does not fit: it ends at ${hex(address + bytes.length)}, and the flash has ${flashSize}`,
      "Build the runtime for a flash of this size (idf.py menuconfig, Serial flasher config)",
    );
  }
}

/** "4MB" as a number of bytes. */
function flashLength(text: string | undefined): number | undefined {
  const match = /^(\d+)([KM])B$/u.exec(text ?? "");
  return match === null ? undefined : Number(match[1]) * (match[2] === "M" ? 1 << 20 : 1 << 10);
}

function hex(address: number): string {
  return `0x${address.toString(16)}`;
}
