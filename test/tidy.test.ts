/** Reads the source and checks the rules of the house that no linter knows. */

import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

const firmware = filesOf("firmware");
const host = filesOf("host");
const simulator = filesOf("simulator");
const product = [...firmware, ...host, ...simulator];
const everything = [
  ...product,
  ...filesOf("test"),
  ...filesOf("tools"),
  ...filesOf("bench"),
  ...filesOf("examples"),
];

describe("one file alone touches", () => {
  const rules: [what: string, pattern: RegExp, owner: string][] = [
    // `hrtime` is a clock, and the next rule's.
    [
      "the process",
      /\bprocess\s*\.|(?<!\{ hrtime \} )\bfrom "node:process"/u,
      "simulator/src/cli/main.ts",
    ],
    ["the clock", /\bDate\.now\b|\bperformance\.now\b|\bhrtime\b/u, "host/src/world.ts"],
    ["timers", /\bset(Timeout|Interval|Immediate)\(/u, "host/src/world.ts"],
    ["randomness", /\bMath\.random\b/u, "host/src/world.ts"],
    ["a module's memory", /\bmemory\.buffer\b/u, "host/src/core/linear-memory.ts"],
  ];
  test.each(rules)("%s", (_what, pattern, owner) => {
    const offenders = [...host, ...simulator].filter((file) => pattern.test(codeOf(file)));
    expect(offenders).toEqual([owner]);
  });
});

test("every file opens with one sentence that says what it is", () => {
  const offenders = product.filter(
    (file) => !/^(#!.*\n)?\/\*\*\s[\s\S]{10,}?\*\/\n/u.test(textOf(file)),
  );
  expect(offenders).toEqual([]);
});

test("imports go one way: firmware, host, simulator; nobody imports tests", () => {
  const offenders = product.filter((file) => {
    const imports = importsOf(file);
    if (imports.some((path) => path.startsWith("test/"))) return true;
    if (file.startsWith("firmware/core/"))
      return imports.some((path) => !path.startsWith("firmware/core/"));
    if (file.startsWith("firmware/")) return imports.some((path) => !path.startsWith("firmware/"));
    const fromFirmware = imports.filter((path) => path.startsWith("firmware/"));
    if (fromFirmware.some((path) => path !== "firmware/core/abi.ts")) return true;
    return file.startsWith("host/") && imports.some((path) => path.startsWith("simulator/"));
  });
  expect(offenders).toEqual([]);
});

test("transports know bytes, not MQTT", () => {
  const offenders = host
    .filter((file) => file.startsWith("host/src/transport/"))
    .filter((file) =>
      importsOf(file).some((path) => /^host\/src\/(core|client|broker)\//u.test(path)),
    );
  expect(offenders).toEqual([]);
});

test("what talks to a board knows frames, not MQTT; the bridge alone knows both", () => {
  const offenders = host
    .filter((file) => file.startsWith("host/src/board/"))
    .filter((file) =>
      importsOf(file).some((path) =>
        /^host\/src\/(core|client|broker|transport|bridge)\//u.test(path),
      ),
    );
  expect(offenders).toEqual([]);
});

test("every file of the board in C opens with one sentence that says what it is", () => {
  const files = ["runtime", "engine", "port", "tests"].flatMap((folder) =>
    readdirSync(join(ROOT, "firmware/board", folder), { recursive: true, encoding: "utf8" })
      .filter((path) => /\.[ch]$/u.test(path))
      .map((path) => join(ROOT, "firmware/board", folder, path)),
  );
  expect(files.length).toBeGreaterThan(50);
  const offenders = files.filter(
    (file) => !/^\/\*\s[\s\S]{10,}?\*\/\n/u.test(readFileSync(file, "utf8")),
  );
  expect(offenders.map((file) => relative(ROOT, file))).toEqual([]);
});

test("no decorator stands on a function of the firmware, and nothing is allocated", () => {
  const offenders = firmware.filter((file) => {
    const code = codeOf(file);
    return /^@\w+[^\n]*\n(export )?function/mu.test(code) || /\bnew [A-Z]/u.test(code);
  });
  expect(offenders).toEqual([]);
});

test("the core has one word of state outside of the records, and says why", () => {
  const variables = firmware.flatMap((file) =>
    [...codeOf(file).matchAll(/^(?:export )?let (\w+)/gmu)].map(([, name]) => `${file}: ${name}`),
  );
  expect(variables).toEqual(["firmware/core/memory.ts: toldByteLength"]);
});

test("no loop of the core is endless", () => {
  const offenders = firmware.filter((file) => /while \(true\)|for \(;;\)/u.test(codeOf(file)));
  expect(offenders).toEqual([]);
});

test("no file names a path of somebody's machine", () => {
  const offenders = everything.filter((file) =>
    /["'`( ]\/(home|root|work|Users)\//u.test(textOf(file)),
  );
  expect(offenders).toEqual([]);
});

test("the lock file names no registry", () => {
  expect(textOf("package-lock.json")).not.toContain('"resolved"');
});

/** Source files below a folder, as paths from the root with forward slashes. */
function filesOf(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|mjs)$/u.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
    .sort();
}

function textOf(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}

/** The text without comments, roughly: good enough to look for words. */
function codeOf(file: string): string {
  return textOf(file)
    .replace(/\/\*[\s\S]*?\*\//gu, "")
    .replace(/(^|[^:"])\/\/.*$/gmu, "$1");
}

/** What a file imports from this repository, as paths from the root. */
function importsOf(file: string): string[] {
  const paths = [...codeOf(file).matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/gu)];
  return paths.map(([, path = ""]) => {
    const resolved = join(file, "..", path).replaceAll("\\", "/");
    return /\.\w+$/u.test(resolved) ? resolved : `${resolved}.ts`;
  });
}
