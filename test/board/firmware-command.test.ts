/** `wasmqtt firmware`: the runtime gets onto a chip, which a fake ROM plays on a pseudo-terminal. */

import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { registerFirmware } from "../../host/src/cli/commands/firmware.ts";
import { ExitCode } from "../../host/src/cli/exit-code.ts";
import { runCli } from "../../host/src/cli/program.ts";
import { type FakeEspRom, fakeEspRom } from "../support/fake-esp-rom.ts";
import { describeWith } from "../support/optional.ts";
import { openPtyPair, type PtyPair } from "../support/pty-pair.ts";
import { RecordingContext } from "../support/run-cli.ts";

let context: RecordingContext;

beforeEach(() => {
  context = new RecordingContext();
});

function run(...args: string[]): Promise<ExitCode> {
  return runCli(["firmware", ...args], context, [registerFirmware]);
}

/** Bytes that do not compress well, with all values. */
function binary(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[index] = state >>> 16;
  }
  return bytes;
}

describeWith(["socat"], "over a pseudo-terminal", () => {
  let pair: PtyPair;
  let rom: FakeEspRom;

  beforeEach(async () => {
    pair = await openPtyPair();
    rom = await fakeEspRom(pair.boardPath);
  });
  afterEach(async () => {
    await rom.close();
    await pair.cut();
  });

  test("install syncs, uploads the stub, writes compressed, and compares checksums", async () => {
    const boot = binary(5_000, 1);
    const app = binary(70_000, 2);
    context.files.set("boot.bin", boot);
    context.files.set("app.bin", app);

    const exitCode = await run(
      ...["install", "0x1000", "boot.bin", "0x10000", "app.bin", "-d", pair.hostPath],
    );

    expect(context.stderr.text).toContain("ESP32-D0WD");
    expect(exitCode).toBe(ExitCode.Ok);
    expect(rom.stubLength).toBeGreaterThan(1_000);
    expect(rom.badChecksumCount).toBe(0);
    expect(rom.flash.subarray(0x1000, 0x1000 + boot.length).equals(boot)).toBe(true);
    expect(rom.flash.subarray(0x10000, 0x10000 + app.length).equals(app)).toBe(true);
    expect(context.stdout.text).toBe(
      "0x1000  5000 bytes  boot.bin  written, verified\n" +
        "0x10000  70000 bytes  app.bin  written, verified\n",
    );
  });

  test("install takes the build folder of ESP-IDF, which says which file goes where", async () => {
    const files = { "0x10000": "app.bin", "0x8000": "partition-table.bin" };
    context.files.set(join("build", "flasher_args.json"), JSON.stringify({ flash_files: files }));
    context.files.set(join("build", "app.bin"), "the runtime");
    context.files.set(join("build", "partition-table.bin"), "the table");
    expect(await run("install", "build", "-d", pair.hostPath)).toBe(ExitCode.Ok);
    expect(rom.flash.subarray(0x8000, 0x8009).toString()).toBe("the table");
    expect(rom.flash.subarray(0x10000, 0x1000b).toString()).toBe("the runtime");
  });

  test("a flash that does not keep what was written is found out", async () => {
    rom.isFlashBroken = true;
    context.files.set("merged.bin", binary(3_000, 3));
    expect(await run("install", "merged.bin", "-d", pair.hostPath)).toBe(ExitCode.Device);
    expect(context.stderr.text).toMatch(/MD5.*does not match/u);
    expect(context.stderr.text).toContain("--baud 115200");
  });

  test("a binary that is too large for the flash is refused before anything is written", async () => {
    context.files.set("app.bin", binary(8_192, 4));
    expect(await run("install", "0x3ff000", "app.bin", "0x0", "app.bin", "-d", pair.hostPath)).toBe(
      ExitCode.Usage,
    );
    expect(context.stderr.text).toContain("ends at 0x401000, and the flash has 4MB");
    expect(rom.flash.every((byte) => byte === 0xff)).toBe(true);
  });

  test("info tells chip, MAC and flash, also as JSON", async () => {
    expect(await run("info", "--json", "-d", pair.hostPath)).toBe(ExitCode.Ok);
    expect(JSON.parse(context.stdout.text)).toEqual({
      schema: "wasmqtt/chip.v1",
      chip: expect.stringContaining("ESP32-D0WD"),
      features: expect.stringContaining("Dual Core"),
      macAddress: "11:22:33:44:55:66",
      crystalMhz: 40,
      flashSize: "4MB",
    });
  });

  test("erase makes the flash empty", async () => {
    rom.flash.fill(0);
    expect(await run("erase", "-d", pair.hostPath)).toBe(ExitCode.Ok);
    expect(rom.flash.every((byte) => byte === 0xff)).toBe(true);
  });

  test("a line where nothing answers is exit code 4, with what to press", async () => {
    await rom.close();
    expect(await run("info", "-d", pair.hostPath)).toBe(ExitCode.Device);
    expect(context.stderr.text).toContain("No chip of Espressif's answers");
    expect(context.stderr.text).toContain("BOOT");
  });
});

test("a build folder that does not say which file goes where is exit code 2", async () => {
  context.files.set(join("build", "flasher_args.json"), "{}");
  expect(await run("install", "build", "-d", "/dev/null")).toBe(ExitCode.Usage);
  expect(context.stderr.text).toContain("does not say which file goes where");
});

test.each([
  [["install", "0x1000", "a.bin", "0x10000"], "no pairs of an offset and a file"],
  [["install", "0x1001", "a.bin"], "is no offset in a flash"],
  [["install", "0x0", "a.bin", "0x1000", "b.bin"], "a.bin reaches into b.bin"],
  [["install", "missing.bin"], "there is no such file"],
])("%j is exit code 2", async (args, text) => {
  context.files.set("a.bin", Buffer.alloc(5_000));
  context.files.set("b.bin", Buffer.alloc(5_000));
  expect(await run(...args, "-d", "/dev/null")).toBe(ExitCode.Usage);
  expect(context.stderr.text).toContain(text);
});
