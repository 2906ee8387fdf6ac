/** The files that outputs are written to: looked at before the run, replaced as a whole or written piece by piece. */

import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import * as nodeDisk from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UsageError } from "../../../host/src/errors.ts";

/** What outputs need of `node:fs/promises`. */
export type OutputDisk = Pick<
  typeof nodeDisk,
  "access" | "open" | "realpath" | "rename" | "stat" | "unlink"
>;

export const realDisk: OutputDisk = nodeDisk;

/** A file that may be written to. */
export interface FileTarget {
  /** As the person wrote it. */
  readonly name: string;
  /** Without symbolic links. */
  readonly path: string;
  /** False for a device or a pipe, which cannot be replaced and is written to as it is. */
  readonly isRegular: boolean;
  /** There was no such file. */
  readonly isNew: boolean;
}

/** Where `name` leads to. Throws a UsageError if that is a folder, lies in none, or may not be written. */
export async function findTarget(name: string, disk: OutputDisk): Promise<FileTarget> {
  try {
    const stats = await disk.stat(name).catch(undefinedIfMissing);
    if (stats === undefined) {
      const folder = await disk.realpath(dirname(name));
      return { name, path: join(folder, basename(name)), isRegular: true, isNew: true };
    }
    if (stats.isDirectory()) throw Object.assign(new Error("EISDIR"), { code: "EISDIR" });
    await disk.access(name, constants.W_OK);
    const path = await disk.realpath(name);
    return { name, path, isRegular: stats.isFile(), isNew: false };
  } catch (cause) {
    throw cannotBeWritten(name, cause);
  }
}

function undefinedIfMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

/** Throws a UsageError if `replaceFile` would fail now. Leaves nothing behind. */
export async function tryReplacing(target: FileTarget, disk: OutputDisk): Promise<void> {
  if (!target.isRegular) return;
  const besidePath = pathBeside(target);
  try {
    await (await disk.open(besidePath, "wx")).close();
    await disk.unlink(besidePath);
  } catch (cause) {
    throw cannotBeWritten(target.name, cause);
  }
}

/**
 * Puts `text` where `target` is. The old file stays until the new one is whole: it is written beside it and renamed.
 * Throws what node:fs throws.
 */
export async function replaceFile(
  target: FileTarget,
  text: string,
  disk: OutputDisk,
): Promise<void> {
  if (!target.isRegular) {
    const device = await disk.open(target.path, "w");
    await device.writeFile(text).finally(() => device.close());
    return;
  }
  const besidePath = pathBeside(target);
  try {
    const file = await disk.open(besidePath, "wx");
    try {
      await file.writeFile(text);
      await file.sync(); // some file systems find out only here that they are full
    } finally {
      await file.close();
    }
    await disk.rename(besidePath, target.path);
  } catch (error) {
    await disk.unlink(besidePath).catch(() => {});
    throw error;
  }
}

/** In the same folder, because a file cannot be renamed into another file system. */
function pathBeside({ path }: FileTarget): string {
  return join(dirname(path), `.wasmqtt-${randomUUID()}.tmp`);
}

export function cannotBeWritten(name: string, cause: unknown): UsageError {
  const { reason, remedy } = writeTrouble(cause);
  return new UsageError(`${JSON.stringify(name)} cannot be written: ${reason}`, remedy, { cause });
}

/** Why something could not be written, in words, and what helps. */
export function writeTrouble(error: unknown): { reason: string; remedy: string } {
  if (error instanceof UsageError) return { reason: error.message, remedy: error.remedy };
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const [reason, remedy] = TROUBLES.get(code) ?? [String(error), OTHER_PLACE];
  return { reason, remedy };
}

const OTHER_PLACE = "Write to another place";
const MAKE_ROOM = "Make room there, or write to another place";

const TROUBLES: ReadonlyMap<string, readonly [reason: string, remedy: string]> = new Map([
  ["ENOENT", ["there is no such folder", "Create the folder first (mkdir -p)"]],
  ["ENOTDIR", ["what should be its folder is a file", OTHER_PLACE]],
  ["EISDIR", ["it is a folder", "Give the name of a file in it"]],
  ["EACCES", ["this user may not write there", "Write to a place that this user may write to"]],
  ["EPERM", ["this user may not write there", "Write to a place that this user may write to"]],
  ["EROFS", ["the file system is read-only", OTHER_PLACE]],
  ["ENOSPC", ["no space is left on the device", MAKE_ROOM]],
  ["EDQUOT", ["the disk quota is used up", MAKE_ROOM]],
  ["EFBIG", ["the file has become too large for the file system", OTHER_PLACE]],
  ["EIO", ["the device reports an input or output error", "Check the device; write to another"]],
  ["EPIPE", ["nobody reads the pipe any more", "Let its reader run until the end"]],
]);
