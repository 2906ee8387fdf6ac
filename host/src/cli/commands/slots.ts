/** `wasmqtt slots`: which modules a board has, which one runs, and what that takes. */

import type { Command } from "commander";
import type { Board } from "../../board/board.ts";
import type { BoardInfo } from "../../board/board-info.ts";
import type { ImageSlot, SlotInfo } from "../../board/image-state.ts";
import { UsageError } from "../../errors.ts";
import { boardText, spanText } from "../board-text.ts";
import { action, type CliContext, type CommandCall } from "../command.ts";
import { addDeviceOptions, type DeviceFlags, deviceLine } from "../device-options.ts";
import { ExitCode } from "../exit-code.ts";
import { type Output, printableLine } from "../output.ts";
import { tableLines } from "../table.ts";
import { withBoard } from "../with-board.ts";

interface SlotsFlags extends DeviceFlags {
  json?: boolean;
  confirm?: boolean;
  erase?: boolean;
}

/** Everything at one moment. */
interface Facts {
  readonly info: BoardInfo;
  readonly images: readonly ImageSlot[];
  readonly slots: SlotInfo;
}

export function registerSlots(program: Command, context: CliContext): void {
  const command = program
    .command("slots")
    .description("Show a board's modules, which one runs, and how much memory that takes.")
    .option("--confirm", "let the module that runs on trial stay")
    .option("--erase", "erase the module that does not run")
    .option("--json", "print one JSON document");
  addDeviceOptions(command).action(action(context, showSlots));
}

async function showSlots({ context, output, flags }: CommandCall<SlotsFlags>): Promise<ExitCode> {
  if (flags.confirm === true && flags.erase === true) {
    throw new UsageError("--confirm and --erase are two things", "Do one after the other");
  }
  const line = await deviceLine(flags, context);
  const facts = await withBoard(line, context, async (board) => {
    if (flags.confirm === true) await board.confirm();
    if (flags.erase === true) await board.erase();
    return readFacts(board);
  });
  if (flags.json === true) output.json(jsonOf(facts));
  else printFacts(facts, output);
  return ExitCode.Ok;
}

async function readFacts(board: Board): Promise<Facts> {
  return { info: await board.info(), images: await board.images(), slots: await board.slots() };
}

function jsonOf({ info, images, slots }: Facts) {
  return {
    schema: "wasmqtt/slots.v1",
    ...info,
    imageLengthMax: slots.imageLengthMax,
    slots: slots.slots.map(({ slot, length }) => {
      const image = images.find((candidate) => candidate.slot === slot);
      const { hash, slot: _, ...state } = image ?? { hash: undefined, slot };
      const hashText = hash === undefined ? undefined : Buffer.from(hash).toString("hex");
      return { slot, length, module: image === undefined ? null : { ...state, hash: hashText } };
    }),
  };
}

function printFacts({ info, images, slots }: Facts, output: Output): void {
  const { dim, bold } = output.colors;
  const fact = (name: string, value: string) => {
    output.result(`  ${dim(name.padEnd(9))}${value}`);
  };
  const { ram, module } = info;
  output.result(bold(boardText(info)));
  fact("up", `${spanText(info.uptimeMs)}, after a reset by ${RESETS[info.resetReason]}`);
  fact("memory", `${used(ram.heapLength, ram.heapCapacity)}`);
  fact("stack", `${used(ram.stackLength, ram.stackCapacity)}, at most so far`);
  fact("module", moduleFacts(info));
  if (module.state !== "none" && module.sha256 !== undefined) fact("SHA-256", module.sha256);
  if (module.note !== undefined && module.note !== "") fact("note", printableLine(module.note));
  const rows = slots.slots.map(({ slot, length }) => {
    const image = images.find((candidate) => candidate.slot === slot);
    const size = `${Math.floor(length / 1024)} KiB`;
    if (image === undefined) return [`${slot}`, size, "-", "empty", ""];
    const hash = image.hash === undefined ? "" : Buffer.from(image.hash).toString("hex");
    return [`${slot}`, size, printableLine(image.version), stateText(image), hash.slice(0, 16)];
  });
  const lines = tableLines([["SLOT", "ROOM", "VERSION", "STATE", "IMAGE HASH"], ...rows]);
  for (const [index, line] of lines.entries()) output.result(`  ${index === 0 ? dim(line) : line}`);
}

const RESETS = { power: "power", request: "request", watchdog: "the watchdog" } as const;

function used(length: number, capacity: number): string {
  return `${length} of ${capacity} bytes`;
}

function moduleFacts({ module }: BoardInfo): string {
  const { state, upMs, startCount, fallCount, publishedCount, isConnected, length } = module;
  if (state === "none") return "none";
  const size = length === undefined ? "" : `, ${length} bytes`;
  if (state !== "running") return `${state}${size}, ${startCount} starts, ${fallCount} falls`;
  const connection = isConnected ? "connected" : "not connected";
  return `running for ${spanText(upMs)}${size}, ${connection}, ${publishedCount} published, ${fallCount} falls`;
}

function stateText(image: ImageSlot): string {
  const { isActive, isConfirmed, isPending, isPermanent, isBootable } = image;
  const words = [
    isActive ? (isConfirmed ? "runs" : "runs on trial") : "",
    !isActive && isConfirmed ? "confirmed" : "",
    isPending ? (isPermanent ? "runs from the next reset" : "on trial from the next reset") : "",
    isBootable ? "" : "cannot run",
  ].filter((word) => word !== "");
  return words.length === 0 ? "waits" : words.join(", ");
}
