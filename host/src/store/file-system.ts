/** The file system as a store sees it: what it refuses is a StoreError. */

import { closeSync, fsyncSync, openSync } from "node:fs";
import { platform } from "node:os";
import { StoreError, type StoreFailure } from "./store-errors.ts";

/** Does `work`; what the file system refuses becomes a StoreError that names the directory. */
export function naming<T>(directory: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === undefined) throw cause;
    const [failure, problem, remedy] = REFUSALS.get(code) ?? [
      "failed",
      `failed (${message})`,
      "See whether the disk is in order, and start again: what was stored is still there",
    ];
    throw new StoreError(failure, `The store in ${directory} ${problem}`, remedy, { cause });
  }
}

type Refusal = [failure: StoreFailure, problem: string, remedy: string];

const NO_ROOM: Refusal = [
  "full",
  "has no room",
  "Make room on its disk, or give a directory on another: what was stored is still there",
];
const NO_PERMISSION: Refusal = [
  "read-only",
  "cannot be written",
  "Give a directory that this user may read and write",
];
const REFUSALS: ReadonlyMap<string, Refusal> = new Map([
  ["ENOSPC", NO_ROOM],
  ["EDQUOT", NO_ROOM],
  ["EFBIG", NO_ROOM],
  ["EROFS", NO_PERMISSION],
  ["EACCES", NO_PERMISSION],
  ["EPERM", NO_PERMISSION],
]);

/** Makes names survive that were given in a directory. */
export function syncDirectory(directory: string): void {
  if (platform() === "win32") return; // there it cannot be done, and need not
  const descriptor = openSync(directory, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
