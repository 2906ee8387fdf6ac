/** Brings a module onto a board: uploads it, tries it, and makes it stay if it runs; the module before returns if not. */

import type { World } from "../world.ts";
import type { Board, UploadProgress } from "./board.ts";
import { BoardError, isInterruption } from "./board-error.ts";
import type { BoardInfo } from "./board-info.ts";
import type { FlashPlan } from "./flash-plan.ts";
import { type ImageSlot, slotOf } from "./image-state.ts";
import type { ModuleImage } from "./module-image.ts";
import { wait } from "./waiting.ts";

export interface FlashOptions {
  readonly board: Board;
  readonly plan: FlashPlan;
  readonly world: World;
  /** False: the module runs on trial, and the one before returns with the next reset. */
  readonly confirm: boolean;
  /** Ends it between two steps, with the signal's reason. */
  readonly signal: AbortSignal;
  readonly tell: (event: FlashEvent) => void;
}

export type FlashEvent =
  | { readonly event: "uploading"; readonly progress: UploadProgress }
  /** All of it lies there: the board has compared its SHA-256. */
  | { readonly event: "uploaded"; readonly slot: number }
  /** The board restarts with it. */
  | { readonly event: "starting" }
  /** It runs; whether it stays will be seen. */
  | { readonly event: "watching"; readonly stayMs: number }
  | { readonly event: "confirmed" };

export interface FlashResult {
  readonly info: BoardInfo;
  readonly images: readonly ImageSlot[];
}

/** So long a module must run before it may stay. */
const STAY_MS = 5_000;

/** A module that falls is started again by the board, with pauses between; and the watchdog has its time. */
const TRIAL_MS = 60_000;

const POLL_MS = 500;

/** Throws a BoardError: what the board says, or "rolled-back" with the reason. */
export async function flashModule(options: FlashOptions): Promise<FlashResult> {
  const { board, plan, signal, tell, confirm } = options;
  const { image, step } = plan;
  if (step === "nothing") return result(board);
  if (step === "upload") await upload(options);
  if (step !== "watch") {
    signal.throwIfAborted();
    await board.test(image.hash);
    tell({ event: "starting" });
    await board.restart({ signal });
  }
  await watch(options);
  if (confirm) {
    await board.confirm(image.hash);
    checkConfirmed(await board.images(), image);
    tell({ event: "confirmed" });
  }
  return result(board);
}

async function result(board: Board): Promise<FlashResult> {
  return { info: await board.info(), images: await board.images() };
}

async function upload({ board, plan, signal, tell }: FlashOptions): Promise<void> {
  const { image } = plan;
  await board.upload(image.bytes, {
    signal,
    onProgress: (progress) => tell({ event: "uploading", progress }),
  });
  const slot = slotOf(await board.images(), image.hash);
  if (slot?.isBootable !== true) {
    throw new BoardError(
      "failed",
      "The module was sent, but what lies on the board is something else",
      "Erase the slot and try again: wasmqtt slots --erase; then the flash may be worn out",
    );
  }
  tell({ event: "uploaded", slot: slot.slot });
}

/** Resolves when the module has run for a while without a fall. */
async function watch({ board, plan, world, signal, tell }: FlashOptions): Promise<void> {
  const endAtMs = world.nowMs() + TRIAL_MS;
  let isTold = false;
  while (world.nowMs() < endAtMs) {
    const info = await state(board, signal);
    const { module } = info;
    const isOurs = module.sha256 === plan.image.moduleSha256;
    if (!isOurs || module.state === "refused" || module.state === "none")
      throw rolledBack(info, plan);
    if (module.state === "running" && module.fallCount === 0) {
      if (module.upMs >= STAY_MS) return;
      if (!isTold) tell({ event: "watching", stayMs: STAY_MS });
      isTold = true;
    }
    await wait(world, POLL_MS, signal);
  }
  // It neither runs well nor is given up: without a confirmation the next start is that of the module before.
  const { fallCount } = (await state(board, signal)).module;
  const after = await board.restart({ signal });
  throw rolledBack(after, plan, `it fell ${fallCount} times, and did not run for long`);
}

/** A board that does not answer is given the time that its watchdog takes. */
async function state(board: Board, signal: AbortSignal): Promise<BoardInfo> {
  try {
    return await board.info();
  } catch (error) {
    if (!isInterruption(error)) throw error;
    return board.reopen({ signal });
  }
}

function rolledBack(
  { module, resetReason }: BoardInfo,
  { image }: FlashPlan,
  reason?: string,
): BoardError {
  const watchdog = resetReason === "watchdog" ? "the watchdog had to restart the board" : undefined;
  const said =
    module.note === undefined ? undefined : `the board says ${JSON.stringify(module.note)}`;
  const why = reason ?? said ?? watchdog ?? "the board does not say why";
  const isOurs = module.sha256 === image.moduleSha256;
  let now = `The board runs the module before again (SHA-256 ${module.sha256?.slice(0, 12)}…)`;
  if (module.state === "none" || module.sha256 === undefined) now = "The board runs no module now";
  else if (isOurs) now = "The board has it, and does not run it";
  return new BoardError(
    "rolled-back",
    `The module did not stay: ${why}. ${now}`,
    "Run the same file in the simulator to see what it does: wasmqtt run --firmware FILE -c 1 --duration 10s",
  );
}

function checkConfirmed(images: readonly ImageSlot[], image: ModuleImage): void {
  if (slotOf(images, image.hash)?.isConfirmed === true) return;
  throw new BoardError(
    "failed",
    "The board was told to keep the module, and does not say that it will",
    "Look at it: wasmqtt slots; and tell it again: wasmqtt slots --confirm",
  );
}
