/** Outputs and the disk: what is checked before a run, what a full disk does to it, and that no half document is left. */

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { UsageError } from "../../host/src/errors.ts";
import { realDisk } from "../../simulator/src/outputs/file-target.ts";
import { type Outputs, openOutputs } from "../../simulator/src/outputs/outputs.ts";
import { resultSchema } from "../../simulator/src/run/result.ts";
import {
  diskError,
  failingDisk,
  RecordingOutputs,
  sampleAt,
  scratchFolder,
} from "./outputs-support.ts";
import { sampleResult } from "./sample-result.ts";

let folder: string;
let remove: () => void;
let opened: Outputs[];

beforeEach(() => {
  ({ folder, remove } = scratchFolder());
  opened = [];
});

afterEach(async () => {
  for (const outputs of opened) await outputs.close();
  remove();
});

const path = (name: string) => join(folder, name);

async function open(specs: string[], context = new RecordingOutputs()): Promise<Outputs> {
  const outputs = await openOutputs(specs, context);
  opened.push(outputs);
  return outputs;
}

/** The problem and the remedy of the UsageError that opening ends in. */
async function mistake(specs: string[], context = new RecordingOutputs()): Promise<string> {
  const error: unknown = await open(specs, context).then(
    () => undefined,
    (thrown) => thrown,
  );
  if (!(error instanceof UsageError)) throw new Error(`no UsageError: ${error}`);
  return `${error.message}\n${error.remedy}`;
}

describe("before the first device connects", () => {
  test.each(["json", "ndjson", "csv", "junit", "md", "html", "hgrm"])(
    "%s: a folder that is missing",
    async (kind) => {
      expect(await mistake([`${kind}=${path("missing/x")}`])).toMatch(
        /missing\/x.*" cannot be written: there is no such folder\nCreate the folder first/u,
      );
    },
  );

  test("a folder of percentile distributions that is missing", async () => {
    expect(await mistake([`hgrm=${path("missing/")}`])).toContain("there is no such folder");
  });

  test.each(["json", "csv"])("%s: a folder instead of a file", async (kind) => {
    expect(await mistake([`${kind}=${folder}`])).toContain(
      "it is a folder\nGive the name of a file",
    );
  });

  test("a file instead of a folder", async () => {
    writeFileSync(path("file"), "");
    expect(await mistake([`json=${path("file/x")}`])).toContain(
      "what should be its folder is a file",
    );
  });

  test.each([
    ["json", "EACCES", "this user may not write there"],
    ["csv", "EACCES", "this user may not write there"],
    ["json", "EROFS", "the file system is read-only"],
    ["ndjson", "EROFS", "the file system is read-only"],
  ])("%s: a place that refuses with %s", async (kind, code, said) => {
    const disk = { ...realDisk, open: () => Promise.reject(diskError(code)) };
    expect(await mistake([`${kind}=${path("x")}`], new RecordingOutputs(disk))).toContain(said);
    expect(readdirSync(folder)).toEqual([]);
  });

  test("a file that may not be changed, although its folder may", async () => {
    writeFileSync(path("x"), "old");
    const disk = { ...realDisk, access: () => Promise.reject(diskError("EACCES")) };
    expect(await mistake([`json=${path("x")}`], new RecordingOutputs(disk))).toContain(
      "this user may not write there",
    );
  });

  test("a stream whose device is full", async () => {
    const disk = failingDisk("ENOSPC", (name) => name.endsWith("x.csv"));
    expect(await mistake([`csv=${path("x.csv")}`], new RecordingOutputs(disk))).toMatch(
      /x\.csv" cannot be written: no space is left on the device\nMake room/u,
    );
    expect(readdirSync(folder)).toEqual([]);
  });

  test.runIf(existsSync("/dev/full"))("a stream to /dev/full", async () => {
    expect(await mistake(["ndjson=/dev/full"])).toContain("no space is left on the device");
    expect(statSync("/dev/full").isCharacterDevice()).toBe(true);
  });

  test.each([
    ["the same name", "a.txt", "a.txt"],
    ["a name with a detour", "a.txt", "./sub/../a.txt"],
    ["a link to it", "a.txt", "link.txt"],
  ])("two outputs to the same file: %s", async (_how, first, second) => {
    mkdirSync(path("sub"));
    writeFileSync(path("a.txt"), "old");
    symlinkSync(path("a.txt"), path("link.txt"));
    const said = await mistake([`ndjson=${path(first)}`, `json=${folder}/${second}`]);
    expect(said).toMatch(/--out ndjson and --out json would both write ".*a\.txt"\nGive each/u);
    expect(readFileSync(path("a.txt"), "utf8")).toBe("old");
  });

  test("two outputs to the same file that is not there yet, which is then not made", async () => {
    await mistake([`ndjson=${path("new")}`, `csv=${path("new")}`]);
    expect(readdirSync(folder)).toEqual([]);
  });

  test("a document with the name of one of several", async () => {
    const said = await mistake([`hgrm=${folder}`, `md=${path("end-to-end.hgrm")}`]);
    expect(said).toContain("would both write");
  });

  test("two outputs to stdout", async () => {
    const context = new RecordingOutputs();
    expect(await mistake(["json=-", "csv=-"], context)).toContain(
      "--out json and --out csv cannot all go to stdout\nGive files for all of them but one",
    );
    expect(context.printed).toEqual([]);
  });

  test("one mistake leaves the files of the others as they were", async () => {
    writeFileSync(path("old.csv"), "old");
    await mistake([`csv=${path("old.csv")}`, `ndjson=${path("new")}`, "jsn=x"]);
    await mistake([`csv=${path("old.csv")}`, `ndjson=${path("new")}`, `json=${path("no/x")}`]);
    expect(readdirSync(folder)).toEqual(["old.csv"]);
    expect(readFileSync(path("old.csv"), "utf8")).toBe("old");
  });
});

describe("a document", () => {
  test("is not there, or the old one is, until it is whole", async () => {
    writeFileSync(path("x.json"), "old");
    const outputs = await open([`json=${path("x.json")}`, `md=${path("x.md")}`]);
    outputs.sample(sampleAt(0));
    expect(readdirSync(folder)).toEqual(["x.json"]);
    expect(readFileSync(path("x.json"), "utf8")).toBe("old");
    expect(await outputs.finish(sampleResult())).toEqual([]);
    expect(readdirSync(folder)).toEqual(["x.json", "x.md"]);
    expect(resultSchema.parse(JSON.parse(readFileSync(path("x.json"), "utf8")))).toEqual(
      sampleResult(),
    );
  });

  test.each(["ENOSPC", "EIO"])(
    "that fails with %s in the middle leaves the old one, and the others are written",
    async (code) => {
      writeFileSync(path("x.json"), "old");
      // The first file that is written when the run is over is the one beside x.json.
      let isOver = false;
      let failureCount = 0;
      const disk = failingDisk(code, () => isOver && failureCount++ === 0);
      const context = new RecordingOutputs(disk);
      const specs = [`json=${path("x.json")}`, `md=${path("x.md")}`, `junit=${path("x.xml")}`];
      const outputs = await open(specs, context);
      isOver = true;
      const problems = await outputs.finish(sampleResult());
      expect(problems).toHaveLength(1);
      expect(problems[0]?.problem).toMatch(
        /x\.json" is not written: (no space|the device reports)/u,
      );
      expect(problems[0]?.remedy).not.toBe("");
      expect(readdirSync(folder)).toEqual(["x.json", "x.md", "x.xml"]);
      expect(readFileSync(path("x.json"), "utf8")).toBe("old");
      expect(readFileSync(path("x.md"), "utf8")).toMatch(/<\/sub>\n$/u);
    },
  );

  test("whose folder goes away during the run is missed with a reason", async () => {
    mkdirSync(path("gone"));
    const outputs = await open([`json=${path("gone/x.json")}`]);
    remove();
    expect(await outputs.finish(sampleResult())).toEqual([
      {
        problem: `"${path("gone/x.json")}" is not written: there is no such folder`,
        remedy: "Create the folder first (mkdir -p)",
      },
    ]);
  });

  test("behind a link replaces the file, not the link", async () => {
    mkdirSync(path("real"));
    writeFileSync(path("real/x.md"), "old");
    symlinkSync(path("real/x.md"), path("link.md"));
    const outputs = await open([`md=${path("link.md")}`]);
    await outputs.finish(sampleResult());
    expect(readFileSync(path("real/x.md"), "utf8")).toContain("wasmqtt");
    expect(readdirSync(folder)).toEqual(["link.md", "real"]);
    expect(readFileSync(path("link.md"), "utf8")).toBe(readFileSync(path("real/x.md"), "utf8"));
  });

  test.runIf(existsSync("/dev/full"))(
    "to a full device is missed with a reason, and the device stays one",
    async () => {
      const outputs = await open(["json=/dev/full", `md=${path("x.md")}`]);
      const problems = await outputs.finish(sampleResult());
      expect(problems.map(({ problem }) => problem)).toEqual([
        '"/dev/full" is not written: no space is left on the device',
      ]);
      expect(statSync("/dev/full").isCharacterDevice()).toBe(true);
      expect(readdirSync(folder)).toEqual(["x.md"]);
    },
  );

  test("of a run without a result is not written", async () => {
    const outputs = await open([`json=${path("x.json")}`]);
    outputs.sample(sampleAt(0));
    await outputs.close();
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("a stream", () => {
  const lines = (name: string) => readFileSync(path(name), "utf8").split("\n").slice(0, -1);

  test.each(["ndjson", "csv"])("%s replaces what was in its file", async (kind) => {
    writeFileSync(path("x"), "before\n".repeat(10_000));
    const outputs = await open([`${kind}=${path("x")}`]);
    expect(await outputs.finish(sampleResult())).toEqual([]);
    expect(readFileSync(path("x"), "utf8")).not.toContain("before");
  });

  test.each([
    ["ndjson", 2],
    ["csv", 2],
  ])("%s can be followed while the run goes on", async (kind, lineCount) => {
    const outputs = await open([`${kind}=${path("x")}`]);
    outputs.sample(sampleAt(0));
    await expect.poll(() => lines("x").length).toBe(lineCount);
    outputs.sample(sampleAt(1));
    await expect.poll(() => lines("x").length).toBe(lineCount + 1);
  });

  test.each(["ENOSPC", "EIO"])(
    "that fails with %s says so once and at once, ends with a whole line, and the others go on",
    async (code) => {
      let isBroken = false;
      const disk = failingDisk(code, (name) => isBroken && name.endsWith("x.csv"));
      const context = new RecordingOutputs(disk);
      const outputs = await open([`csv=${path("x.csv")}`, `ndjson=${path("x.ndjson")}`], context);
      outputs.sample(sampleAt(0));
      await expect.poll(() => lines("x.csv").length).toBe(2);
      isBroken = true;
      outputs.sample(sampleAt(1));
      await expect.poll(() => context.warnings.length).toBe(1);
      expect(context.warnings[0]).toMatch(
        /x\.csv" cannot be written any more: .*\. The run goes on without it\.$/u,
      );
      isBroken = false;
      outputs.sample(sampleAt(2));
      const problems = await outputs.finish(sampleResult());
      expect(problems.map(({ problem }) => problem)).toEqual([
        expect.stringMatching(/x\.csv" is incomplete: /u),
      ]);
      expect(context.warnings).toHaveLength(1);
      expect(lines("x.csv")).toHaveLength(2);
      expect(readFileSync(path("x.csv"), "utf8")).toMatch(/\r\n$/u);
      expect(lines("x.ndjson")).toHaveLength(5);
    },
  );

  test("that fails with its last line is told in the end", async () => {
    let isBroken = false;
    const context = new RecordingOutputs(failingDisk("ENOSPC", () => isBroken));
    const outputs = await open([`ndjson=${path("x")}`], context);
    isBroken = true;
    const problems = await outputs.finish(sampleResult());
    expect(problems).toEqual([
      {
        problem: `"${path("x")}" is incomplete: no space is left on the device`,
        remedy: "Make room there, or write to another place",
      },
    ]);
    expect(context.warnings).toEqual([]);
    expect(lines("x")).toHaveLength(1);
  });

  test("to a device that takes nothing does not pile up in memory", async () => {
    let release = () => {};
    const stalled = new Promise<void>((resolve) => {
      release = resolve;
    });
    let isStalled = false;
    const disk: typeof realDisk = {
      ...realDisk,
      open: async (...args) => {
        const file = await realDisk.open(...args);
        const { writeFile } = file;
        file.writeFile = async (data) => {
          if (isStalled) await stalled;
          return writeFile.call(file, data);
        };
        return file;
      },
    };
    const context = new RecordingOutputs(disk);
    const outputs = await open([`ndjson=${path("x")}`], context);
    isStalled = true;
    const long = sampleAt(0, { phaseName: "x".repeat(1024 * 1024) });
    for (let count = 0; count < 20; count++) outputs.sample(long);
    expect(context.warnings).toEqual([
      `"${path("x")}" cannot be written any more: it takes up what is written too slowly. The run goes on without it.`,
    ]);
    release();
    const problems = await outputs.finish(sampleResult());
    expect(problems[0]?.problem).toContain("too slowly");
    for (const line of lines("x")) JSON.parse(line);
  });

  test("of a run without a result has no last line", async () => {
    const outputs = await open([`ndjson=${path("x")}`]);
    outputs.sample(sampleAt(0));
    await outputs.close();
    await outputs.close();
    const types = lines("x").map((line) => (JSON.parse(line) as { type: string }).type);
    expect(types).toEqual(["header", "sample"]);
  });
});

test("as stdout, one output is printed, and nothing else may be", async () => {
  const context = new RecordingOutputs();
  const outputs = await open(["csv=-", `md=${path("x.md")}`], context);
  expect(outputs.usesStdout).toBe(true);
  outputs.sample(sampleAt(0));
  await outputs.finish(sampleResult());
  expect(context.printed).toHaveLength(2);
  expect(context.printed[0]).toMatch(/^at_ms,.*\r$/u);

  expect((await open([`csv=${path("x.csv")}`])).usesStdout).toBe(false);
});
