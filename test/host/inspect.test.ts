/** `wasmqtt inspect`: its text, its JSON and its exit codes. */

import { readFileSync } from "node:fs";
import { beforeEach, expect, test } from "vitest";
import { registerInspect } from "../../host/src/cli/commands/inspect.ts";
import { runCli } from "../../host/src/cli/program.ts";
import { RecordingContext } from "../support/run-cli.ts";

/** Has one export, whose name would clear a terminal, and breaks most rules. */
const RUDE_MODULE = Uint8Array.from([
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[5, 4, 1, 1, 1, 2], // a memory of one page, at most two
  ...[7, 8, 1, 4, 0x1b, 0x5b, 0x32, 0x4a, 2, 0],
]);

let context: RecordingContext;

beforeEach(() => {
  context = new RecordingContext();
  context.files.set("rude.wasm", RUDE_MODULE);
  context.files.set("core.wasm", readFileSync(new URL("../../dist/core.wasm", import.meta.url)));
  context.files.set("empty", "");
});

function inspect(...args: string[]): Promise<number> {
  return runCli(["inspect", ...args], context, [registerInspect]);
}

test("a module that keeps the rules is exit code 0, with every fact and rule", async () => {
  expect(await inspect("core.wasm")).toBe(0);
  const { text } = context.stdout;
  expect(text).toMatch(/^core\.wasm\n {2}SHA-256 {4}[0-9a-f]{64}\n {2}size {7}\d+ bytes\n/);
  expect(text).toMatch(/\n {2}memory {5}1 × 64 KiB, no maximum\n/);
  expect(text).toMatch(/\n {2}imports {4}none\n/);
  expect(text).toMatch(/\n {2}exports {4}.*\bclientInit\b.*\n/);
  expect(text.match(/^ {2}✓ /gm)).toHaveLength(8);
});

test("a module that breaks a rule is exit code 99, and its names cannot reach the terminal", async () => {
  expect(await inspect("rude.wasm")).toBe(99);
  const { text } = context.stdout;
  expect(text).toContain("  ✗ one memory, exported as memory, without a maximum: not exported\n");
  expect(text).toContain("exports    \\u{1b}[2J\n");
  expect(text).toContain("heap base  not exported\n");
  expect(context.stderr.text).toBe("");
});

test("--json is one document with the same verdict", async () => {
  expect(await inspect("rude.wasm", "--json")).toBe(99);
  const document = JSON.parse(context.stdout.text);
  expect(document).toMatchObject({
    schema: "wasmqtt/inspect.v1",
    file: "rude.wasm",
    byteLength: RUDE_MODULE.length,
    memories: [{ initialPageCount: 1, maximumPageCount: 2 }],
    isKept: false,
  });
  expect(document.rules).toHaveLength(8);
});

test.each([
  ["empty", /"empty" is no WebAssembly module: it is empty/],
  ["missing.wasm", /"missing.wasm" cannot be read: there is no such file/],
])("%s is exit code 2", async (path, problem) => {
  expect(await inspect(path)).toBe(2);
  expect(context.stderr.text).toMatch(problem);
  expect(context.stdout.text).toBe("");
});
