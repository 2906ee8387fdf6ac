/** The blocks of a journal as files in a directory. */

import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { ERASED } from "./batch.ts";
import { LOCK_FILE_NAME } from "./directory-lock.ts";
import { naming, syncDirectory } from "./file-system.ts";
import type { JournalMedium } from "./journal-medium.ts";
import { StoreError } from "./store-errors.ts";

const FILE_NAMES = ["journal-0", "journal-1"] as const;

/** What a file is called until all of it is on the disk. */
const UNFINISHED_SUFFIX = ".new";

/** What may lie in a directory in which a journal begins. */
const EXPECTED_NAMES: readonly string[] = [
  ...FILE_NAMES.map((name) => name + UNFINISHED_SUFFIX),
  LOCK_FILE_NAME,
  "lost+found",
];

/** A disk writes so many bytes, at a multiple of as many, all or not at all. */
const SECTOR_LENGTH = 512;

export const BLOCK_LENGTH_MIN = 1024;
export const BLOCK_LENGTH_MAX = 0x4000000;

/**
 * Two files, each as long as a block from its first moment on: it is written under another name and renamed when all
 * of it is on the disk. Later its bytes are overwritten in place, so neither its length nor its place on the disk changes,
 * and a disk that becomes full does not matter (except to file systems that copy on each write).
 *
 * What survives:
 * - `kill -9`: what was written, for the kernel has it. It may not be on the disk yet, so opening syncs before it reads.
 * - Loss of power: what `erase` and `program` did, for they sync before they return. A disk may write the sectors of
 *   one sync in any order; to have the bytes there in ascending order, `program` syncs after each sector.
 *
 * That a disk keeps what it has reported as written, and leaves the bytes beside it alone, is taken for granted.
 * All calls throw a StoreError that names the directory.
 */
export class JournalFiles implements JournalMedium {
  readonly blockCount: number = FILE_NAMES.length;
  readonly blockLength: number;
  readonly wordLength = 1;
  readonly #directory: string;
  /** Their descriptors; none after `close`. */
  readonly #files: number[] = [];

  /** Opens the files of `directory`, or makes them with blocks of `newBlockLength` bytes if there are none. */
  constructor(directory: string, newBlockLength: number) {
    this.#directory = directory;
    try {
      this.blockLength = naming(directory, () => this.#open(newBlockLength));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** As in "journal-0". */
  fileName(blockIndex: number): string {
    return FILE_NAMES[blockIndex] as string;
  }

  read(blockIndex: number): Uint8Array {
    return naming(this.#directory, () => {
      const bytes = new Uint8Array(this.blockLength);
      const length = readSync(this.#file(blockIndex), bytes, 0, bytes.length, 0);
      return bytes.subarray(0, length);
    });
  }

  erase(blockIndex: number): void {
    naming(this.#directory, () => {
      const file = this.#file(blockIndex);
      writeAll(file, erasedBytes(this.blockLength), 0);
      fdatasyncSync(file);
    });
  }

  program(blockIndex: number, offset: number, bytes: Uint8Array): void {
    naming(this.#directory, () => {
      const file = this.#file(blockIndex);
      let at = 0;
      while (at < bytes.length) {
        const room = SECTOR_LENGTH - ((offset + at) % SECTOR_LENGTH);
        const piece = bytes.subarray(at, at + room);
        writeAll(file, piece, offset + at);
        fdatasyncSync(file);
        at += piece.length;
      }
    });
  }

  close(): void {
    for (const file of this.#files.splice(0)) closeSync(file);
  }

  #file(blockIndex: number): number {
    const file = this.#files[blockIndex];
    if (file === undefined) throw new RangeError("The store was closed");
    return file;
  }

  /** Answers the length of a block. */
  #open(newBlockLength: number): number {
    const directory = this.#directory;
    const [firstPath, secondPath] = FILE_NAMES.map((name) => join(directory, name)) as Pair<string>;
    const names = readdirSync(directory);
    const [hasFirst, hasSecond] = FILE_NAMES.map((name) => names.includes(name)) as Pair<boolean>;
    if (!hasFirst) {
      if (hasSecond) throw missing(firstPath);
      refuseForeign(directory, names);
      createErased(firstPath, newBlockLength);
    }
    const first = this.#openFile(firstPath);
    const blockLength = fstatSync(first).size;
    if (blockLength < BLOCK_LENGTH_MIN || blockLength > BLOCK_LENGTH_MAX) {
      throw damagedLength(firstPath, blockLength);
    }

    if (!hasSecond) {
      // A start that broke off leaves the first alone, without a session.
      if (!isErased(first, blockLength)) throw missing(secondPath);
      createErased(secondPath, blockLength);
    }
    const secondLength = fstatSync(this.#openFile(secondPath)).size;
    if (secondLength !== blockLength) throw damagedLength(secondPath, secondLength);
    syncDirectory(directory);
    return blockLength;
  }

  #openFile(path: string): number {
    const file = openOwn(path);
    this.#files.push(file);
    if (!fstatSync(file).isFile()) throw notOurs(path, "it is no plain file");
    fsyncSync(file);
    return file;
  }
}

type Pair<T> = [T, T];

/** How to begin with a new session in place of the one in `directory`. */
export function beginAnew(directory: string): string {
  return (
    `To begin with a new session, move ${directory} away. ` +
    "The broker knows nothing of that: messages that were under way may be lost or come twice"
  );
}

/** Like a new flash block. The file has its name only when all of it is on the disk. */
function createErased(path: string, length: number): void {
  const unfinishedPath = path + UNFINISHED_SUFFIX;
  rmSync(unfinishedPath, { force: true });
  try {
    const file = openSync(unfinishedPath, O_RDWR | O_CREAT | O_EXCL | NO_LINKS, 0o600);
    try {
      writeAll(file, erasedBytes(length), 0);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(unfinishedPath, path);
  } catch (error) {
    rmSync(unfinishedPath, { force: true });
    throw error;
  }
}

const { O_RDWR, O_CREAT, O_EXCL } = constants;

/** Somebody may have put a symbolic link in place of a file. Windows does not know this flag. */
const NO_LINKS: number = constants.O_NOFOLLOW ?? 0;

function openOwn(path: string): number {
  try {
    return openSync(path, O_RDWR | NO_LINKS);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ELOOP" || code === "EMLINK") throw notOurs(path, "it is a symbolic link");
    if (code === "EISDIR") throw notOurs(path, "it is a directory");
    throw error;
  }
}

function writeAll(file: number, bytes: Uint8Array, position: number): void {
  let written = 0;
  while (written < bytes.length) {
    written += writeSync(file, bytes, written, bytes.length - written, position + written);
  }
}

function erasedBytes(length: number): Uint8Array {
  return new Uint8Array(length).fill(ERASED);
}

function isErased(file: number, length: number): boolean {
  const bytes = new Uint8Array(length);
  readSync(file, bytes, 0, length, 0);
  return bytes.every((byte) => byte === ERASED);
}

function refuseForeign(directory: string, names: readonly string[]): void {
  const foreign = names.find((name) => !EXPECTED_NAMES.includes(name));
  if (foreign === undefined) return;
  throw new StoreError(
    "foreign",
    `${directory} holds no session, but other files, such as ${JSON.stringify(foreign)}`,
    "Give an empty directory, or one that does not exist yet",
  );
}

function notOurs(path: string, why: string): StoreError {
  return new StoreError(
    "foreign",
    `${path} cannot be the journal of a session: ${why}`,
    "Give the directory of a session, an empty one, or one that does not exist yet",
  );
}

function missing(path: string): StoreError {
  return new StoreError(
    "missing",
    `${path} is missing, and the journal is not whole without it`,
    `Put it back. ${beginAnew(dirname(path))}`,
  );
}

function damagedLength(path: string, length: number): StoreError {
  return new StoreError(
    "damaged",
    `${path} has ${length} bytes, which cannot be: both files of a journal are equally long`,
    beginAnew(dirname(path)),
  );
}
