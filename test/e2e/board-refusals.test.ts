/** Modules that an emulated board must not keep: each is refused or rolled back, with a reason on its console and in the tool. */

import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { wrapModule } from "../../host/src/board/module-image.ts";
import { MODULES_FOLDER } from "../support/core-client.ts";
import { EMULATOR_PROGRAMS, EmulatedBoard } from "../support/emulated-board.ts";
import { lyingModule, SPIN, TRAP } from "../support/lying-module.ts";
import { describeWith } from "../support/optional.ts";
import { type CliResult, runCli } from "../support/run-cli.ts";
import { smallModule } from "../support/small-module.ts";

const GOOD = join(MODULES_FOLDER, "thermometer.wasm");
const good = readFileSync(GOOD);
const goodSha256 = createHash("sha256").update(good).digest("hex");
const TIMEOUT_MS = 90_000;

describeWith(EMULATOR_PROGRAMS, "an emulated board with a good module", () => {
  const folder = mkdtempSync(join(tmpdir(), "wasmqtt-refusals-"));
  let board: EmulatedBoard;

  beforeAll(async () => {
    board = new EmulatedBoard();
    await board.start();
    expect(await flash(GOOD, "--image-version", "2.0.0")).toMatchObject({ exitCode: 0 });
  }, TIMEOUT_MS);
  afterAll(async () => {
    await board.end();
    rmSync(folder, { recursive: true });
  });

  afterEach(async () => {
    await board.unplug();
    const { stdout } = await onBoard("slots", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ module: { state: "running", sha256: goodSha256 } });
  }, TIMEOUT_MS);

  function onBoard(...args: string[]): Promise<CliResult> {
    return runCli([...args, "-d", board.devicePath], { timeoutMs: TIMEOUT_MS });
  }

  function flash(path: string, ...flags: string[]): Promise<CliResult> {
    return onBoard("flash", path, ...flags);
  }

  function fileWith(name: string, bytes: Uint8Array): string {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    return path;
  }

  /** What the board itself answers to who does not look first. */
  async function refusal(bytes: Uint8Array): Promise<string> {
    const plugged = await board.plug();
    return plugged.upload(bytes).then(
      () => "taken",
      (error: Error) => error.message,
    );
  }

  test("a module that traps is rolled back", { timeout: TIMEOUT_MS }, async () => {
    const path = fileWith("trap.wasm", lyingModule(good, "nextDeadlineMs", TRAP));
    const { exitCode, stderr } = await flash(path);
    expect(exitCode).toBe(4);
    expect(stderr).toMatch(/board: module fell: .*unreachable/u);
    expect(stderr).toMatch(/error: The module did not stay: .*unreachable/u);
  });

  test("a module that spins is ended by the watchdog, and rolled back", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const path = fileWith("spin.wasm", lyingModule(good, "nextDeadlineMs", SPIN));
    const { exitCode, stderr } = await flash(path);
    expect(exitCode).toBe(4);
    expect(stderr).toMatch(/board: the module did not return in time, and the watchdog/u);
    expect(stderr).toMatch(/error: The module did not stay: .*watchdog/u);
  });

  test("a module that asks for too much memory is refused before anything is erased", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const greedy = smallModule({ heapBase: 65_536, functions: NEEDED });
    const { exitCode, stderr } = await flash(fileWith("greedy.wasm", greedy));
    expect(exitCode).toBe(4);
    expect(stderr).toMatch(/error: .*memory/u);
    expect(stderr).not.toContain("Sending");
    const image = wrapModule(greedy, { version: { major: 3, minor: 0, revision: 0, build: 0 } });
    expect(await refusal(image.bytes)).toMatch(/memory/u);
  });

  test("an older version is refused", { timeout: TIMEOUT_MS }, async () => {
    const reporter = join(MODULES_FOLDER, "reporter.wasm");
    const { exitCode, stderr } = await flash(reporter, "--image-version", "1.9.9");
    expect(exitCode).toBe(4);
    expect(stderr).toMatch(/error: .*1\.9\.9.*2\.0\.0/u);
    const version = { major: 1, minor: 9, revision: 9, build: 0 };
    const image = wrapModule(readFileSync(reporter), { version });
    expect(await refusal(image.bytes)).toMatch(/older/u);
  });

  test("a file that ends too early, and an upload that does, are refused", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const { exitCode, stderr } = await flash(fileWith("cut.wasm", good.subarray(0, -100)));
    expect(exitCode).toBe(4);
    expect(stderr).toMatch(/error: .*cut\.wasm/u);
    const version = { major: 3, minor: 0, revision: 0, build: 0 };
    const image = wrapModule(readFileSync(GOOD), { version });
    expect(await refusal(image.bytes.subarray(0, -100))).not.toBe("taken");
  });

  test("a wrong signature is refused, and a missing one", { timeout: TIMEOUT_MS }, async () => {
    const [right, wrong] = ["right.pem", "wrong.pem"].map((name) => join(folder, name));
    for (const key of [right, wrong]) await runCli(["keygen", key as string]);
    const provision = ["provision", right as string, "--yes"];
    const early = await onBoard(...provision);
    expect(early.exitCode).toBe(4);
    expect(early.stderr).toMatch(/the module that runs is not signed with this key/u);
    const signed = await flash(GOOD, "--key", right as string, "--image-version", "2.0.1");
    expect(signed).toMatchObject({ exitCode: 0 });
    expect(await onBoard(...provision)).toMatchObject({ exitCode: 0 });
    const reporter = join(MODULES_FOLDER, "reporter.wasm");
    for (const flags of [["--key", wrong as string], []]) {
      const { exitCode, stderr } = await flash(reporter, ...flags);
      expect(exitCode).toBe(4);
      expect(stderr).toMatch(/error: .*signed/u);
      expect(stderr).not.toContain("Sending");
    }
    const key = await flash(GOOD, "--key", right as string, "--image-version", "2.0.2");
    expect(key).toMatchObject({ exitCode: 0 });
  });
});

/** What an application exports, with the number of its arguments. */
const NEEDED = Object.fromEntries(
  Object.entries(new WebAssembly.Instance(new WebAssembly.Module(good)).exports).flatMap(
    ([name, value]) =>
      typeof value === "function" && name !== "abiVersion" ? [[name, value.length]] : [],
  ),
);
