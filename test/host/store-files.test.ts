import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ModuleKind, ScriptTarget, transpileModule } from "typescript";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { UsageError } from "../../host/src/errors.ts";
import { type FileStore, openFileStore } from "../../host/src/store/file-store.ts";
import { StoreError } from "../../host/src/store/store-errors.ts";
import { hex } from "../support/bytes.ts";
import { batchOf, checksumOf, imageOf } from "../support/journal.ts";

/** What the disk answers instead of writing, and from which write on; what was written where, and when it was synced. */
const disk = vi.hoisted(() => ({ failure: "", writesBefore: 0, log: [] as (number | "sync")[] }));

vi.mock("node:fs", async (importOriginal) => {
  const original = await importOriginal<typeof fs>();
  return {
    ...original,
    writeSync: (file: number, bytes: Uint8Array, offset: number, length: number, at: number) => {
      if (disk.failure !== "" && disk.writesBefore-- <= 0) {
        throw Object.assign(new Error(disk.failure), { code: disk.failure });
      }
      disk.log.push(at);
      // A short write, as a disk does that is about to be full.
      return original.writeSync(file, bytes, offset, Math.ceil(length / 2), at);
    },
    fdatasyncSync: (file: number) => {
      original.fdatasyncSync(file);
      disk.log.push("sync");
    },
  };
});

let parent: string;
let directory: string;
let endings: (() => void)[] = [];

beforeEach(() => {
  parent = fs.mkdtempSync(join(tmpdir(), "wasmqtt-store-"));
  directory = join(parent, "device");
  endings = [() => fs.rmSync(parent, { recursive: true, force: true })];
  disk.failure = "";
});

afterEach(() => {
  disk.failure = "";
  for (const end of endings.reverse()) end();
});

function open(blockLength = 1024): FileStore {
  const store = openFileStore(directory, { blockLength });
  endings.push(() => store.close());
  return store;
}

/** Stores a session of `count` batches in the directory. */
function writeSession(count = 3): string[] {
  const store = open();
  store.read();
  const batches = [imageOf("40 02 00 01", { generation: 1 })];
  store.replace(batches[0] as Uint8Array);
  while (batches.length < count) {
    const batch = batchOf(new Uint8Array(20).fill(7), checksumOf(batches.at(-1) as Uint8Array));
    expect(store.append(batch)).toBe(true);
    batches.push(batch);
  }
  store.close();
  return batches.map(hex);
}

function readSession(): string[] {
  const store = open();
  try {
    return store.read().map(hex);
  } finally {
    store.close();
  }
}

function refusal(attempt: () => unknown = readSession): StoreError | UsageError {
  try {
    attempt();
  } catch (error) {
    if (error instanceof StoreError || error instanceof UsageError) return error;
    throw error;
  }
  throw new Error("Nothing was refused");
}

/** Everything in the directory, to see that it was left alone. */
function contents(): Record<string, string> {
  const names = fs.readdirSync(directory).sort();
  return Object.fromEntries(
    names.map((name) => [name, fs.readFileSync(join(directory, name), "hex")]),
  );
}

describe("a store in a directory", () => {
  test("keeps a session from one opening to the next", () => {
    const session = writeSession(5);
    expect(readSession()).toEqual(session);
    expect(readSession()).toEqual(session);
  });

  test("is two files of a block each, for this user alone, from the start", () => {
    open(4096).close();
    expect(fs.readdirSync(directory).sort()).toEqual(["journal-0", "journal-1"]);
    for (const name of ["journal-0", "journal-1"]) {
      const { mode, size } = fs.statSync(join(directory, name));
      expect([mode & 0o777, size]).toEqual([0o600, 4096]);
    }
    expect(fs.statSync(directory).mode & 0o777).toBe(0o700);
    expect(open(1 << 16).read()).toEqual([]); // an existing journal keeps its length
    expect(fs.statSync(join(directory, "journal-0")).size).toBe(4096);
  });

  test("goes on behind what it has read, across sectors and blocks", () => {
    let stored: Uint8Array[] = [];
    for (let life = 0; life < 12; life++) {
      const store = open();
      expect(store.read().map(hex)).toEqual(stored.map(hex));
      for (let index = 0; index < 9; index++) {
        const last = stored.at(-1);
        const batch = batchOf(new Uint8Array(60).fill(index), last ? checksumOf(last) : 0);
        if (store.append(batch)) stored = [...stored, batch];
        else {
          stored = [imageOf(new Uint8Array(700), { generation: store.nextGeneration })];
          store.replace(stored[0] as Uint8Array);
        }
      }
      store.close();
    }
  });

  test("syncs after each sector, in ascending order: the power may fail between any two", () => {
    const store = open(4096);
    store.read();
    const image = imageOf(new Uint8Array(470), { generation: 1 });
    store.replace(image);
    disk.log.length = 0;
    expect(store.append(batchOf(new Uint8Array(1200), checksumOf(image)))).toBe(true);
    const sectors = disk.log.map((at) => (at === "sync" ? at : Math.floor(at / 512)));
    const changes = sectors.filter((sector, index) => sector !== sectors[index - 1]);
    expect(changes).toEqual([0, "sync", 1, "sync", 2, "sync", 3, "sync"]);
  });

  test.each([0, 1023, 1024.5, Number.NaN, 1 << 30])("has no blocks of %d bytes", (blockLength) => {
    expect(() => open(blockLength)).toThrow(RangeError);
    expect(fs.existsSync(directory)).toBe(false);
  });

  test("does nothing more when it was closed", () => {
    const store = open();
    store.close();
    store.close();
    expect(() => store.read()).toThrow("closed");
    expect(() => store.replace(imageOf("", { generation: 1 }))).toThrow("closed");
  });

  test("begins where a start broke off", () => {
    open().close();
    fs.rmSync(join(directory, "journal-1"));
    fs.writeFileSync(join(directory, "journal-1.new"), "half");
    expect(readSession()).toEqual([]);
    expect(fs.readdirSync(directory).sort()).toEqual(["journal-0", "journal-1"]);
  });
});

describe("refused, and left as it is:", () => {
  test("a directory whose parent is missing", () => {
    directory = join(parent, "no", "device");
    const error = refusal();
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toContain(directory);
    expect(fs.existsSync(join(parent, "no"))).toBe(false);
  });

  test("a file in place of the directory, or of its parent", () => {
    fs.writeFileSync(directory, "x");
    expect(refusal()).toBeInstanceOf(UsageError);
    directory = join(directory, "device");
    expect(refusal()).toBeInstanceOf(UsageError);
  });

  test("a directory with other files and no journal", () => {
    fs.mkdirSync(directory);
    fs.writeFileSync(join(directory, "letter.txt"), "Dear");
    const before = contents();
    expect(refusal()).toMatchObject({ failure: "foreign" });
    expect(contents()).toEqual(before);
  });

  test.each(["journal-0", "journal-1"])("a session without %s", (name) => {
    writeSession();
    fs.rmSync(join(directory, name));
    const before = contents();
    const error = refusal();
    expect(error).toMatchObject({ failure: "missing" });
    expect(error.message).toContain(join(directory, name));
    expect(contents()).toEqual(before);
  });

  test("a file that was cut, or became longer", () => {
    writeSession();
    for (const length of [0, 100, 1023, 2000]) {
      fs.truncateSync(join(directory, "journal-1"), length);
      expect(refusal()).toMatchObject({ failure: "damaged" });
      fs.truncateSync(join(directory, "journal-1"), 1024);
      fs.truncateSync(join(directory, "journal-0"), length);
      expect(refusal()).toMatchObject({ failure: "damaged" });
      fs.truncateSync(join(directory, "journal-0"), 1024);
    }
  });

  test("a symbolic link in place of a file: what it points at is not touched", () => {
    writeSession();
    const target = join(parent, "target");
    for (const name of ["journal-0", "journal-1"]) {
      const path = join(directory, name);
      fs.renameSync(path, target);
      fs.symlinkSync(target, path);
      const before = fs.readFileSync(target, "hex");
      expect(refusal()).toMatchObject({ failure: "foreign" });
      expect(fs.readFileSync(target, "hex")).toBe(before);
      fs.renameSync(target, path);
    }
  });

  test("a link where a new file is made: what it points at is not touched", () => {
    fs.mkdirSync(directory);
    const target = join(parent, "target");
    fs.writeFileSync(target, "precious");
    fs.symlinkSync(target, join(directory, "journal-0.new"));
    expect(readSession()).toEqual([]);
    expect(fs.readFileSync(target, "utf8")).toBe("precious");
  });

  test("a directory in place of a file", () => {
    fs.mkdirSync(join(directory, "journal-0"), { recursive: true });
    expect(refusal()).toMatchObject({ failure: "foreign" });
  });

  test("damage, with file, byte and what to do", () => {
    writeSession();
    const path = join(directory, "journal-0");
    const bytes = fs.readFileSync(path);
    bytes[40] = (bytes[40] as number) ^ 4;
    fs.writeFileSync(path, bytes);
    const error = refusal();
    expect(error).toMatchObject({ failure: "damaged" });
    expect(error.message).toContain(`${path} is damaged at byte 26`);
    expect(error.remedy).toContain(`move ${directory} away`);
    expect(fs.readFileSync(path).equals(bytes)).toBe(true);
  });

  test("a journal of a newer version, with both versions", () => {
    open().close();
    const image = imageOf("", { version: 2, generation: 1 });
    const path = join(directory, "journal-0");
    fs.writeFileSync(path, Buffer.concat([image, Buffer.alloc(1024 - image.length, 0xff)]));
    const error = refusal();
    expect(error).toMatchObject({ failure: "newer" });
    expect(error.message).toMatch(/version 2 .* version 1$/u);
  });
});

describe("a disk that does not write", () => {
  test.each([
    ["ENOSPC", "full"],
    ["EDQUOT", "full"],
    ["EIO", "failed"],
    ["EROFS", "read-only"],
  ])(
    "%s is a StoreError that names the directory, and what was stored is still there",
    (code, failure) => {
      for (let writesBefore = 0; writesBefore < 12; writesBefore++) {
        const session = writeSession();
        const store = open();
        const last = store.read().at(-1) as Uint8Array;
        disk.failure = code;
        disk.writesBefore = writesBefore;
        const image = imageOf(new Uint8Array(600), { generation: store.nextGeneration });
        const batch = batchOf(new Uint8Array(700), checksumOf(last));
        const error = refusal(() =>
          writesBefore % 2 === 0 ? store.append(batch) : store.replace(image),
        );
        expect(error).toMatchObject({ failure });
        expect(error.message).toContain(directory);
        disk.failure = "";
        store.close();
        expect(readSession()).toEqual(session);
        fs.rmSync(directory, { recursive: true });
      }
    },
  );

  test("at the first start leaves nothing that would be in the way of the next", () => {
    for (const writesBefore of [0, 3, 11, 5]) {
      disk.failure = "ENOSPC";
      disk.writesBefore = writesBefore;
      expect(refusal()).toMatchObject({ failure: "full" });
      disk.failure = "";
    }
    expect(readSession()).toEqual([]);
  });
});

// Who may not mount has the same failures above, injected.
if (canMount()) describe("on a file system of its own", onFileSystemOfItsOwn);

function onFileSystemOfItsOwn(): void {
  beforeEach(() => {
    fs.mkdirSync(directory);
    mount("-o", "size=64k");
    endings.push(() => spawnSync("umount", [directory]));
  });

  test("a full one is told at the start, and nothing is left there", () => {
    expect(refusal(() => open(1 << 16))).toMatchObject({ failure: "full" });
    expect(fs.readdirSync(directory)).not.toContain("journal-1.new");
  });

  test("one that becomes full later does not matter: the room was taken at the start", () => {
    const store = open(8192);
    store.read();
    expect(() => fs.writeFileSync(join(directory, "filler"), Buffer.alloc(1 << 16))).toThrow(
      "ENOSPC",
    );
    for (let generation = 1; generation < 6; generation++) {
      store.replace(imageOf(new Uint8Array(8000), { generation }));
    }
    store.close();
    expect(readSession()).toHaveLength(1);
  });

  test("a read-only one is refused", () => {
    const session = writeSession();
    mount("-o", "remount,ro");
    expect(refusal()).toMatchObject({ failure: "read-only" });
    mount("-o", "remount,rw");
    expect(readSession()).toEqual(session);
  });

  function mount(...options: string[]): void {
    const { status, stderr } = spawnSync("mount", ["-t", "tmpfs", ...options, "tmpfs", directory]);
    if (status !== 0) throw new Error(`${stderr}`);
  }
}

function canMount(): boolean {
  const place = fs.mkdtempSync(join(tmpdir(), "wasmqtt-mount-"));
  const isMounted = spawnSync("mount", ["-t", "tmpfs", "tmpfs", place]).status === 0;
  if (isMounted) spawnSync("umount", [place]);
  fs.rmdirSync(place);
  return isMounted;
}

describe("two devices", () => {
  const ROOT = fileURLToPath(new URL("../../", import.meta.url));
  let built: string;

  beforeAll(() => {
    built = fs.mkdtempSync(join(tmpdir(), "wasmqtt-built-"));
    fs.writeFileSync(join(built, "package.json"), '{ "type": "module" }');
    const store = fs
      .readdirSync(join(ROOT, "host/src/store"))
      .map((name) => `host/src/store/${name}`);
    for (const file of [...store, "host/src/errors.ts", "firmware/core/abi.ts"]) {
      const { outputText } = transpileModule(fs.readFileSync(join(ROOT, file), "utf8"), {
        compilerOptions: {
          module: ModuleKind.ESNext,
          target: ScriptTarget.ES2022,
          rewriteRelativeImportExtensions: true,
        },
      });
      const path = join(built, file.replace(/\.ts$/u, ".js"));
      fs.mkdirSync(join(path, ".."), { recursive: true });
      fs.writeFileSync(path, outputText);
    }
  });

  afterAll(() => fs.rmSync(built, { recursive: true }));

  /** Opens the store, says how that went, and stays. */
  const DEVICE = `
    import { openFileStore } from "./host/src/store/file-store.js";
    try {
      const store = openFileStore(process.argv[2], { blockLength: 1024 });
      store.read();
      console.log("opened");
      setInterval(() => store, 1000);
    } catch (error) {
      console.log(error.failure ?? error);
    }`;

  function start(path: string): ChildProcess {
    const script = join(built, "device.js");
    fs.writeFileSync(script, DEVICE);
    const child = spawn(process.execPath, [script, path]);
    endings.push(() => child.kill("SIGKILL"));
    return child;
  }

  function firstLine(child: ChildProcess): Promise<string> {
    return new Promise((resolve, reject) => {
      child.stdout?.once("data", (line) => resolve(`${line}`.trim()));
      child.stderr?.once("data", (text) => reject(new Error(`${text}`)));
    });
  }

  test("do not share a directory, by whatever path, until the first is closed", () => {
    const store = open();
    fs.symlinkSync(directory, join(parent, "alias"));
    for (const path of [directory, `${directory}/`, join(parent, "alias")]) {
      const error = refusal(() => openFileStore(path));
      expect(error).toMatchObject({ failure: "locked" });
      expect(error.message).toContain(path);
    }
    store.close();
    expect(open().read()).toEqual([]);
  });

  test("that use different directories are not in each other's way", () => {
    open();
    directory = join(parent, "other");
    expect(open().read()).toEqual([]);
  });

  test("started at the same moment: one gets the directory; kill -9 frees it at once", async () => {
    for (let round = 0; round < 3; round++) {
      const devices = [start(directory), start(directory), start(directory)];
      const lines = await Promise.all(devices.map(firstLine));
      expect(lines.toSorted()).toEqual(["locked", "locked", "opened"]);

      const winner = devices[lines.indexOf("opened")] as ChildProcess;
      expect(refusal()).toMatchObject({ failure: "locked" });
      const ended = new Promise((resolve) => winner.once("exit", resolve));
      winner.kill("SIGKILL");
      await ended;
      expect(readSession()).toEqual([]);
    }
  });
});
