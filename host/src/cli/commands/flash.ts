/** `wasmqtt flash`: brings a module onto a board, and lets it stay if it runs. */

import type { KeyObject } from "node:crypto";
import { basename } from "node:path";
import type { Command } from "commander";
import type { Board } from "../../board/board.ts";
import { BoardError, type BoardFailure } from "../../board/board-error.ts";
import type { ConsoleLine } from "../../board/board-link.ts";
import { type FlashEvent, flashModule } from "../../board/flash-module.ts";
import {
  type FlashFile,
  type FlashPlan,
  type FlashWishes,
  planFlash,
  readFlashFile,
} from "../../board/flash-plan.ts";
import { parseVersion, versionText } from "../../board/module-image.ts";
import { readPrivateKey } from "../../board/signing-keys.ts";
import type { ModuleName } from "../../core/core.ts";
import { UsageError } from "../../errors.ts";
import { boardText, moduleText } from "../board-text.ts";
import { action, type CliContext, type CommandCall, readUserFile } from "../command.ts";
import { plainText, printConsole } from "../console-text.ts";
import {
  addDeviceOptions,
  type DeviceFlags,
  type DeviceLine,
  deviceLine,
} from "../device-options.ts";
import { ExitCode, explain } from "../exit-code.ts";
import { nextChange } from "../file-change.ts";
import { type Output, printable } from "../output.ts";
import { barLine } from "../progress-bar.ts";
import { withBoard } from "../with-board.ts";

interface FlashFlags extends DeviceFlags {
  watch?: boolean;
  monitor?: boolean;
  key?: string;
  imageVersion?: string;
  /** False after --no-confirm. */
  confirm: boolean;
  json?: boolean;
}

/** One call of the command; with --watch it flashes more than once. */
interface FlashJob {
  readonly path: string;
  readonly line: DeviceLine;
  readonly wishes: FlashWishes;
  readonly context: CliContext;
  readonly output: Output;
  readonly flags: FlashFlags;
}

export function registerFlash(program: Command, context: CliContext): void {
  const command = program
    .command("flash")
    .description("Bring a module onto a board, start it, and let it stay if it runs.")
    .argument(
      "<file>",
      "a .wasm file, or one that `wasmqtt sign` has wrapped; thermometer.wasm and reporter.wasm ship",
    )
    .option("--watch", "flash again whenever the file changes, until Ctrl-C")
    .option("--monitor", "then print the board's console, until Ctrl-C")
    .option("--key <file>", "sign it with this key, as `wasmqtt keygen` makes it")
    .option("--image-version <version>", "as in 1.2.0 (default: that of the module on the board)")
    .option("--no-confirm", "leave it on trial: the module before returns with the next reset")
    .option("--json", "print the result as one JSON document");
  addDeviceOptions(command).addHelpText("after", NOTES).action(action(context, flash));
}

const NOTES = `
The file is checked before anything on the board is erased. The module runs on trial: if it falls, hangs or is refused, the one
before returns, and the exit code is 4. An upload that was interrupted goes on where it stopped.`;

async function flash({ context, output, flags, args }: CommandCall<FlashFlags>): Promise<ExitCode> {
  const [path = ""] = args;
  if (flags.json === true && (flags.watch === true || flags.monitor === true)) {
    throw new UsageError("--json prints one result", "Leave out --watch and --monitor");
  }
  const wishes = wishesOf(flags, context);
  const first = await readFile(path, context);
  const line = await deviceLine(flags, context);
  const job: FlashJob = { path, line, wishes, context, output, flags };
  if (flags.watch === true) {
    await keepFlashing(job);
    return ExitCode.Ok;
  }
  await flashOnce(job, first);
  if (flags.monitor === true) await printConsole({ ...job, style: "text" });
  return ExitCode.Ok;
}

function wishesOf({ key, imageVersion }: FlashFlags, context: CliContext): FlashWishes {
  return {
    privateKey: key === undefined ? undefined : privateKeyOf(key, context),
    version: imageVersion === undefined ? undefined : parseVersion(imageVersion),
  };
}

function privateKeyOf(path: string, context: CliContext): KeyObject {
  return readPrivateKey(readUserFile(context, path, "private key"));
}

async function readFile(path: string, context: CliContext): Promise<FlashFile> {
  const shipped = SHIPPED.find((name) => path === `${name}.wasm`);
  try {
    return readFlashFile(path, readUserFile(context, path, "module"));
  } catch (error) {
    if (shipped === undefined || !isMissing(error)) throw error;
    return readFlashFile(path, await context.system.readModule(shipped));
  }
}

/** There is no such file, which is another thing than one that cannot be read. */
function isMissing(error: unknown): boolean {
  if (!(error instanceof UsageError)) return false;
  return (error.cause as NodeJS.ErrnoException | undefined)?.code === "ENOENT";
}

/** Modules that come with this package, and need not lie in the folder. */
const SHIPPED: readonly ModuleName[] = ["thermometer", "reporter"];

/**
 * Until Ctrl-C. What is wrong with one file does not end it: the next one may be better. Throws a BoardError if there is
 * nobody to flash when it begins.
 */
async function keepFlashing(job: FlashJob): Promise<void> {
  const { path, context, output, flags } = job;
  let flashed: string | undefined;
  let isFirst = true;
  while (!context.interrupt.aborted) {
    // Listening comes first, looking second: what is written while the board is busy counts as well.
    const change = nextChange(path, context.world, context.interrupt);
    change.catch(() => {}); // it is waited for below
    flashed = await flashIfNew(job, flashed, isFirst);
    isFirst = false;
    output.note(`Waiting for ${printable(path)} to change. Ctrl-C ends it.`);
    if (flags.monitor === true) await printConsole({ ...job, style: "text", until: change });
    else await change;
  }
}

/** Flashes the file if it is another one than before. Answers the SHA-256 of what was flashed last. */
async function flashIfNew(
  job: FlashJob,
  flashed: string | undefined,
  isFirst: boolean,
): Promise<string | undefined> {
  const { path, context, output } = job;
  try {
    const file = await readFile(path, context);
    if (file.inspection.sha256 !== flashed) await flashOnce(job, file);
    return file.inspection.sha256;
  } catch (error) {
    const isOfLine = error instanceof BoardError && NOBODY_THERE.has(error.failure);
    const isOfFile = error instanceof BoardError || error instanceof UsageError;
    if (!isOfFile || (isFirst && isOfLine)) throw error;
    const { problem, remedy } = explain(error);
    output.endProgress();
    output.error(problem, remedy);
    return flashed;
  }
}

/** A change of the file does not mend these. Later on, the cable may only be out for the moment. */
const NOBODY_THERE: ReadonlySet<BoardFailure> = new Set<BoardFailure>([
  "no-port",
  "busy",
  "not-permitted",
  "not-installed",
  "silent",
  "foreign",
]);

async function flashOnce(job: FlashJob, file: FlashFile): Promise<void> {
  const { line, context, output } = job;
  let isTrial = false;
  const see = ({ event }: FlashEvent) => {
    if (event === "starting") isTrial = true;
    if (event === "confirmed") isTrial = false;
  };
  const say = ({ text }: ConsoleLine) => {
    if (isTrial) output.note(`  board: ${plainText(text)}`);
  };
  try {
    await withBoard(line, context, (board) => flashBoard(job, file, board, see), say);
  } catch (error) {
    if (isTrial && context.interrupt.aborted) {
      output.warn(
        "The module is on trial: it stays with `wasmqtt slots --confirm`, and gives way with a reset.",
      );
    }
    throw error;
  }
}

async function flashBoard(
  { wishes, context, output, flags }: FlashJob,
  file: FlashFile,
  board: Board,
  see: (event: FlashEvent) => void,
): Promise<void> {
  const info = await board.info();
  output.note(`${boardText(info)}, at ${printable(board.path)}`);
  const state = { info, images: await board.images(), slots: await board.slots() };
  const plan = planFlash(file, { ...state, config: await board.config() }, wishes);
  introduce(file, plan, output);
  const result = await flashModule({
    board,
    plan,
    world: context.world,
    confirm: flags.confirm,
    signal: context.interrupt,
    tell: (event) => {
      see(event);
      tell(event, output);
    },
  });
  output.endProgress();
  const { image, step } = plan;
  const slot = result.info.module.slot;
  if (flags.json === true) {
    output.json({
      schema: "wasmqtt/flash.v1",
      file: file.name,
      device: board.path,
      board: result.info.board,
      sha256: image.moduleSha256,
      hash: Buffer.from(image.hash).toString("hex"),
      version: versionText(image.version),
      slot,
      wasThere: step === "nothing",
      isConfirmed: result.images.some(({ isActive, isConfirmed }) => isActive && isConfirmed),
    });
    return;
  }
  const name = printable(basename(file.name));
  const version = versionText(image.version);
  const what = step === "nothing" ? "runs there already" : "runs";
  const trial = flags.confirm || step === "nothing" ? "" : ", on trial until the next reset";
  output.result(`${output.colors.green("✓")} ${name} ${version} ${what} in slot ${slot}${trial}`);
  output.result(`  SHA-256 ${image.moduleSha256}`);
  const { note } = result.info.module;
  if (note !== undefined && note !== "") output.note(moduleText(result.info));
}

function introduce(file: FlashFile, { image, step }: FlashPlan, output: Output): void {
  const signed = image.signature === undefined ? "" : ", signed";
  const { byteLength, sha256 } = file.inspection;
  const name = printable(basename(file.name));
  output.note(
    `${name}: ${byteLength} bytes, version ${versionText(image.version)}${signed}, SHA-256 ${sha256.slice(0, 12)}…`,
  );
  if (step === "try") output.note("It lies on the board already.");
  if (step === "watch") output.note("It is started on the board already.");
}

function tell(event: FlashEvent, output: Output): void {
  switch (event.event) {
    case "uploading": {
      const { state, doneLength, length, reason } = event.progress;
      const bar = barLine("Sending", doneLength, length);
      if (state === "resumed") output.note(`The board has ${doneLength} bytes of it already.`);
      if (state === "interrupted") {
        output.note(`${printable(reason ?? "Interrupted")}; waiting for the board`);
      }
      output.progress([bar], bar);
      break;
    }
    case "uploaded":
      output.endProgress();
      output.note(`Sent and compared: slot ${event.slot}.`);
      break;
    case "starting":
      output.note("The board restarts with it.");
      break;
    case "watching":
      output.note(`It runs. If it does so for ${event.stayMs / 1000} s, it stays.`);
      break;
    case "confirmed":
      output.note("It stays.");
      break;
  }
}
