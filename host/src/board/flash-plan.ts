/** Decides, before anything is erased, whether a file can run on a board and what is left to do for that. */

import type { KeyObject } from "node:crypto";
import { ABI_VERSION } from "../../../firmware/core/abi.ts";
import { UsageError } from "../errors.ts";
import { InvalidModuleError } from "../module/byte-reader.ts";
import { checkApplication } from "../module/check-application.ts";
import { inspectModule, type ModuleInspection } from "../module/inspect-module.ts";
import type { BoardConfig } from "./board-config.ts";
import { BoardError } from "./board-error.ts";
import type { BoardInfo } from "./board-info.ts";
import { type ImageSlot, type SlotInfo, slotOf } from "./image-state.ts";
import {
  compareVersions,
  type ModuleImage,
  type ModuleVersion,
  parseVersion,
  readModuleFile,
  versionText,
  wrapModule,
} from "./module-image.ts";

/** A file that keeps the rules of a module; whether it suits a board is another question. */
export interface FlashFile {
  readonly name: string;
  readonly module: Uint8Array;
  /** Undefined for a bare .wasm file. */
  readonly image: ModuleImage | undefined;
  readonly inspection: ModuleInspection;
}

/** What the person wants of it. */
export interface FlashWishes {
  readonly version: ModuleVersion | undefined;
  readonly privateKey: KeyObject | undefined;
}

/** All that a board says before a module is sent. */
export interface BoardState {
  readonly info: BoardInfo;
  readonly images: readonly ImageSlot[];
  readonly slots: SlotInfo;
  readonly config: BoardConfig;
}

export interface FlashPlan {
  readonly image: ModuleImage;
  /** What comes next: `nothing` if it runs for good, `watch` if it runs on trial, `try` if it lies there, else `upload`. */
  readonly step: "nothing" | "watch" | "try" | "upload";
}

/** For a board that has none yet. */
const FIRST_VERSION: ModuleVersion = { major: 1, minor: 0, revision: 0, build: 0 };

/** Whose answer depends on the board, which is asked itself. */
const ABI_RULE = /^abiVersion\(\)/u;

/** `name` is for people. Throws a BoardError that says which rules of a module the file breaks. */
export function readFlashFile(name: string, bytes: Uint8Array): FlashFile {
  const { module, image } = readModuleFile(bytes);
  const inspection = inspected(name, module);
  const broken = inspection.rules.filter(({ rule, isKept }) => !isKept && !ABI_RULE.test(rule));
  if (broken.length > 0) {
    const list = broken.map(({ rule, found }) => `${rule} (${found})`).join("; ");
    throw new BoardError(
      "incompatible",
      `${name} cannot run on a board. It breaks ${broken.length === 1 ? "a rule" : "rules"}: ${list}`,
      `See all of them: wasmqtt inspect ${name}. docs/own-module.md says how modules are made`,
    );
  }
  const missing = exportProblems(module, inspection);
  if (missing.length > 0) {
    throw new BoardError(
      "incompatible",
      `${name} is a module, but none for a board: ${missing.slice(0, PROBLEM_COUNT_MAX).join("; ")}`,
      "Give an application module, as thermometer.wasm is one; docs/own-module.md says what it exports",
    );
  }
  return { name, module, image, inspection };
}

/** The first ones say enough. */
const PROBLEM_COUNT_MAX = 3;

/** What a board calls besides what the simulator does: docs/abi.md. */
const BOARD_FUNCTIONS = ["blockAt", "blockLength"];

/** Of a module with another ABI than this program's, nothing is known. */
function exportProblems(module: Uint8Array, { abiVersion, exports }: ModuleInspection): string[] {
  if (abiVersion !== ABI_VERSION) return [];
  const names = new Set(exports.map(({ name }) => name));
  const missing = BOARD_FUNCTIONS.filter((name) => !names.has(name));
  return [
    ...checkApplication(module),
    ...missing.map(
      (name) => `It does not export ${name}(): it says where a board may put its record`,
    ),
  ];
}

function inspected(name: string, module: Uint8Array): ModuleInspection {
  try {
    return inspectModule(module);
  } catch (cause) {
    if (!(cause instanceof InvalidModuleError)) throw cause;
    throw new BoardError(
      "incompatible",
      `${name} is no WebAssembly module: ${cause.message}`,
      "Give a .wasm file, as the AssemblyScript compiler writes it, or one that `wasmqtt sign` has wrapped",
      { cause },
    );
  }
}

/** Throws a BoardError for a module that the board would not take, a UsageError for wishes that cannot be. */
export function planFlash(file: FlashFile, board: BoardState, wishes: FlashWishes): FlashPlan {
  checkAbi(file, board.info);
  checkMemory(file, board.info);
  const confirmed = board.images.find(({ isConfirmed }) => isConfirmed);
  const image = imageOf(file, wishes, confirmed);
  checkVersion(file, image, confirmed);
  checkSignature(file, image, board.config);
  checkLength(file, image, board.slots);
  return { image, step: stepFor(image, board) };
}

function imageOf(file: FlashFile, wishes: FlashWishes, confirmed?: ImageSlot): ModuleImage {
  const { version, privateKey } = wishes;
  if (file.image !== undefined && privateKey === undefined) {
    const has = file.image.version;
    if (version === undefined || compareVersions(version, has) === 0) return file.image;
    if (file.image.signature !== undefined) throw signatureLost(file.name, has);
  }
  const given = version ?? file.image?.version ?? versionOf(confirmed) ?? FIRST_VERSION;
  return wrapModule(file.module, { version: given, privateKey });
}

function signatureLost(name: string, version: ModuleVersion): UsageError {
  return new UsageError(
    `${name} is signed as version ${versionText(version)}: another version needs another signature`,
    "Leave out --image-version, or give the key with --key",
  );
}

function checkAbi({ name, inspection }: FlashFile, info: BoardInfo): void {
  if (inspection.abiVersion === info.abiVersion) return;
  const has =
    inspection.abiVersion === undefined ? "none that can be asked" : `${inspection.abiVersion}`;
  throw new BoardError(
    "incompatible",
    `${name} has another ABI than the board: ${has}, and the board (${info.runtime}) has ${info.abiVersion}`,
    "Build the module with the firmware of the board's version, or bring the board's runtime up to date: wasmqtt firmware install",
  );
}

/** The least that it can need: its linear memory. The interpreter's own part only the board knows. */
function checkMemory({ name, inspection }: FlashFile, { ram }: BoardInfo): void {
  const { heapBase = 0 } = inspection;
  if (heapBase <= ram.heapCapacity) return;
  throw new BoardError(
    "incompatible",
    `${name} needs ${heapBase} bytes of memory at least, and the board has ${ram.heapCapacity} for modules`,
    "Build it with less static data: __heap_base is what it needs (wasmqtt inspect)",
  );
}

function checkVersion(file: FlashFile, image: ModuleImage, confirmed?: ImageSlot): void {
  const newest = versionOf(confirmed);
  if (newest === undefined || compareVersions(image.version, newest) >= 0) return;
  throw new BoardError(
    "incompatible",
    `${file.name} has version ${versionText(image.version)}, and the board has confirmed ${versionText(newest)}: it takes nothing older`,
    `Give it that version or a higher one: --image-version ${versionText(newest)}`,
  );
}

function checkSignature(file: FlashFile, image: ModuleImage, { keyHash }: BoardConfig): void {
  if (keyHash === undefined) return;
  if (image.keyHash !== undefined && Buffer.from(image.keyHash).equals(keyHash)) return;
  const has = image.keyHash === undefined ? "not signed" : "signed with another key";
  throw new BoardError(
    "incompatible",
    `${file.name} is ${has}, and the board takes only modules that are signed with its own`,
    "Sign it on the way: --key FILE, the key that `wasmqtt keygen` made and the board was given",
  );
}

function checkLength(file: FlashFile, image: ModuleImage, { imageLengthMax }: SlotInfo): void {
  if (image.bytes.length <= imageLengthMax) return;
  throw new BoardError(
    "incompatible",
    `${file.name} is too large: ${image.bytes.length} bytes with its header, and a slot of the board takes ${imageLengthMax}`,
    "Build it smaller: release options, no debug information",
  );
}

function stepFor(image: ModuleImage, { info, images }: BoardState): FlashPlan["step"] {
  const same = slotOf(images, image.hash);
  if (same === undefined || !same.isBootable) return "upload";
  if (!same.isActive) return "try";
  return same.isConfirmed && info.module.state === "running" ? "nothing" : "watch";
}

/** Undefined without a module, or where its version is none. */
function versionOf(slot: ImageSlot | undefined): ModuleVersion | undefined {
  if (slot === undefined) return undefined;
  try {
    return parseVersion(slot.version);
  } catch (error) {
    if (error instanceof UsageError) return undefined;
    throw error;
  }
}
