/** A session store in a directory, for one running device at a time. */

import { mkdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { UsageError } from "../errors.ts";
import { type DirectoryLock, lockDirectory } from "./directory-lock.ts";
import { naming, syncDirectory } from "./file-system.ts";
import { JournalStore } from "./journal.ts";
import { BLOCK_LENGTH_MAX, BLOCK_LENGTH_MIN, beginAnew, JournalFiles } from "./journal-files.ts";

const BLOCK_LENGTH_DEFAULT = 0x10000;

export interface FileStoreOptions {
  /**
   * Bytes of each of the two files of a new journal, 1024 to 64 MiB; 64 KiB if left out. An existing journal keeps its
   * own. The whole session must fit in, and the more is left beside it, the rarer it is written as a whole.
   */
  readonly blockLength?: number;
}

/** A SessionStore in the files `journal-0` and `journal-1` of a directory. */
export class FileStore extends JournalStore {
  readonly #files: JournalFiles;
  readonly #lock: DirectoryLock;

  /** Use `openFileStore`. */
  constructor(directory: string, files: JournalFiles, lock: DirectoryLock) {
    super(files, {
      blockName: (blockIndex) => join(directory, files.fileName(blockIndex)),
      beginAnew: beginAnew(directory),
    });
    this.#files = files;
    this.#lock = lock;
  }

  /** Lets another device have the directory. Nothing needs to be written: what was stored is stored. */
  close(): void {
    this.#files.close();
    this.#lock.release();
  }
}

/**
 * Opens the store in `directory`, and makes the directory if only its last part is missing. A directory that has other
 * files but no journal is left alone. Throws a UsageError if there can be no such directory, a StoreError if
 * it cannot be used or another device uses it; nothing that is there is overwritten then.
 */
export function openFileStore(
  directory: string,
  { blockLength = BLOCK_LENGTH_DEFAULT }: FileStoreOptions = {},
): FileStore {
  const isPossible = blockLength >= BLOCK_LENGTH_MIN && blockLength <= BLOCK_LENGTH_MAX;
  if (!Number.isInteger(blockLength) || !isPossible) {
    throw new RangeError(`blockLength must be ${BLOCK_LENGTH_MIN} to ${BLOCK_LENGTH_MAX}`);
  }
  const lock = naming(directory, () => {
    makeDirectory(directory);
    return lockDirectory(directory);
  });
  try {
    return new FileStore(directory, new JournalFiles(directory, blockLength), lock);
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** For this user alone: messages may hold secrets. */
function makeDirectory(directory: string): void {
  const parent = dirname(directory);
  try {
    mkdirSync(directory, { mode: 0o700 });
    syncDirectory(parent);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "EEXIST" && isDirectory(directory)) return;
    const why = MISTAKES.get(code);
    if (why === undefined) throw cause;
    throw new UsageError(
      `${JSON.stringify(directory)} cannot be the directory of a store: ${why}`,
      "Correct the path, or make the directories above it first",
      { cause },
    );
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

const MISTAKES: ReadonlyMap<string | undefined, string> = new Map([
  ["EEXIST", "it is a file"],
  ["ENOENT", "the directory above it is missing"],
  ["ENOTDIR", "a part of the path is a file"],
]);
