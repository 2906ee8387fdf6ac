/** Which ports a machine has, which one is meant, and why one cannot be opened: on folders like those of the kernel, and with a port that fails. */

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { BoardError } from "../../host/src/board/board-error.ts";
import { PERMISSION_REMEDY, serialLineAt } from "../../host/src/board/serial-port.ts";
import { load } from "../../host/src/board/serial-port-library.ts";
import { listSerialPorts, type SerialPortInfo } from "../../host/src/board/serial-ports.ts";
import { checkBoards } from "../../host/src/cli/board-check.ts";
import { registerBridge } from "../../host/src/cli/commands/bridge.ts";
import { registerDevices } from "../../host/src/cli/commands/devices.ts";
import { devicePath } from "../../host/src/cli/device-options.ts";
import { ExitCode } from "../../host/src/cli/exit-code.ts";
import { runCli } from "../../host/src/cli/program.ts";
import { portAt } from "../support/port-at.ts";
import { RecordingContext } from "../support/run-cli.ts";

/** What node-serialport says next. */
let openError: string;

/** The ports of this machine; those that it really has if undefined. */
let ports: SerialPortInfo[] | undefined;

vi.mock(import("../../host/src/board/serial-ports.ts"), async (importOriginal) => {
  const original = await importOriginal();
  return {
    ...original,
    listSerialPorts: async (options) => ports ?? original.listSerialPorts(options),
  };
});

afterEach(() => {
  ports = undefined;
});

const onMainboard = portAt("/dev/ttyS0");
const onUsb = portAt("/dev/ttyUSB0", { vendorId: "10c4", productId: "ea60" });
const alsoOnUsb = portAt("/dev/ttyACM1", { vendorId: "303a", productId: "1001" });

vi.mock("serialport", () => ({
  SerialPort: class {
    static list = () =>
      Promise.resolve([
        { path: "COM10" },
        { path: "COM3", vendorId: "10C4", productId: "EA60", manufacturer: "Silicon Labs" },
      ]);
    on() {}
    open(callback: (error: Error) => void) {
      callback(new Error(openError));
    }
  },
}));

describe("on Linux", () => {
  let root: string;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "wasmqtt-ports-"));
  });
  afterEach(() => {
    rmSync(root, { recursive: true });
  });

  function file(path: string, text = ""): void {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }

  /** A name of the class tty, with the device behind it. */
  function tty(name: string, device: string | undefined): void {
    mkdirSync(join(root, "sys/class/tty", name), { recursive: true });
    file(`dev/${name}`);
    if (device === undefined) return;
    mkdirSync(join(root, device), { recursive: true });
    symlinkSync(join(root, device), join(root, "sys/class/tty", name, "device"));
  }

  function usb(path: string, facts: Record<string, string>): void {
    for (const [name, text] of Object.entries(facts)) file(`${path}/${name}`, `${text}\n`);
  }

  const list = () => listSerialPorts({ platform: "linux", root });

  test("an adapter and a chip with USB of its own are found with their names, in the order of their numbers", async () => {
    usb("sys/devices/usb1/1-2", {
      idVendor: "10c4",
      idProduct: "ea60",
      product: "CP2102N",
      serial: "0001",
    });
    usb("sys/devices/usb1/1-3", { idVendor: "303a", idProduct: "1001", manufacturer: "Espressif" });
    tty("ttyUSB10", "sys/devices/usb1/1-2/1-2:1.0/ttyUSB10");
    tty("ttyACM0", "sys/devices/usb1/1-3/1-3:1.0");
    tty("ttyUSB2", "sys/devices/usb1/1-2/1-2:1.1/ttyUSB2");
    mkdirSync(join(root, "dev/serial/by-id"), { recursive: true });
    symlinkSync(join(root, "dev/ttyACM0"), join(root, "dev/serial/by-id/usb-Espressif"));
    const ports = await list();
    expect(ports.map(({ path }) => path)).toEqual(
      ["ttyACM0", "ttyUSB2", "ttyUSB10"].map((name) => join(root, "dev", name)),
    );
    expect(ports[0]).toEqual({
      path: join(root, "dev/ttyACM0"),
      vendorId: "303a",
      productId: "1001",
      manufacturer: "Espressif",
      product: undefined,
      serialNumber: undefined,
      stablePath: join(root, "dev/serial/by-id/usb-Espressif"),
      isPermitted: true,
    });
    expect(ports[1]).toMatchObject({ product: "CP2102N", serialNumber: "0001", vendorId: "10c4" });
  });

  test("consoles, places without a UART, and ports that a container does not have, are none", async () => {
    tty("tty0", undefined);
    tty("ttyS1", "sys/devices/platform/serial8250");
    file("sys/class/tty/ttyS1/type", "0\n");
    tty("ttyS0", "sys/devices/pnp0/00:04");
    file("sys/class/tty/ttyS0/type", "4\n");
    tty("ttyUSB0", "sys/devices/usb1/1-1/1-1:1.0/ttyUSB0");
    rmSync(join(root, "dev/ttyUSB0"));
    const ports = await list();
    expect(ports.map(({ path }) => path)).toEqual([join(root, "dev/ttyS0")]);
    expect(ports[0]?.vendorId).toBeUndefined();
  });

  test("a machine without any has none", async () => {
    expect(await list()).toEqual([]);
  });
});

test("elsewhere node-serialport lists them, USB first", async () => {
  const ports = await listSerialPorts({ platform: "win32" });
  expect(ports.map(({ path }) => path)).toEqual(["COM3", "COM10"]);
  expect(ports[0]).toMatchObject({ vendorId: "10c4", productId: "ea60", isPermitted: undefined });
});

describe("without a name", () => {
  const chosen = (env = {}) => devicePath({}, { env, system: new RecordingContext().system });

  test("the only USB port is meant, whatever the mainboard has", async () => {
    ports = [onUsb, onMainboard];
    expect(await chosen()).toBe("/dev/ttyUSB0");
  });

  test("a port of the mainboard is never meant: the error lists it and says how to name it", async () => {
    ports = [onMainboard];
    const { remedy } = (await chosen().catch((error: unknown) => error)) as BoardError;
    expect(remedy).toContain("name it with --device");
    expect(remedy).toContain("/dev/ttyS0");
    expect(await chosen({ WASMQTT_DEVICE: "/dev/ttyS0" })).toBe("/dev/ttyS0");
    expect(await devicePath({ device: "/dev/ttyS0" }, new RecordingContext())).toBe("/dev/ttyS0");
  });

  test("one of several USB ports must be named", async () => {
    ports = [alsoOnUsb, onUsb, onMainboard];
    await expect(chosen()).rejects.toMatchObject({
      message: "Which board? There are several USB ports",
      remedy: expect.stringContaining("/dev/ttyACM1, /dev/ttyUSB0"),
    });
  });

  test("bridge --all leaves the ports of the mainboard alone", async () => {
    const looked = async (there: SerialPortInfo[]) => {
      ports = there;
      openError = "No such file";
      const context = new RecordingContext();
      const ended = runCli(["bridge", "--all", "--json"], context, [registerBridge]);
      await expect.poll(() => context.stderr.text).toContain("Looking for boards");
      context.interruptController.abort(ExitCode.Interrupted);
      await ended;
      return context.stderr.text;
    };
    expect(await looked([onMainboard])).not.toContain("/dev/ttyS0");
    expect(await looked([onMainboard, onUsb])).toContain("/dev/ttyUSB0: 0 connections");
  });
});

describe("a port that cannot be opened", () => {
  async function failureOf(text: string, platform = "linux", path = "/dev/null") {
    openError = text;
    const opened = serialLineAt(path, { platform })({ received: () => {}, closed: () => {} });
    const error = await opened.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(BoardError);
    return error as BoardError;
  }

  test("because of its rights names the group dialout", async () => {
    const error = await failureOf("Error: Permission denied, cannot open /dev/null");
    expect(error.failure).toBe("not-permitted");
    expect(error.remedy).toBe(PERMISSION_REMEDY);
    expect(error.remedy).toContain("dialout (uucp on Arch)");
    expect(error.remedy).toContain("sudo usermod -aG dialout $USER");
    expect(error.remedy).toContain("log out and in again");
    const forbidden = { ...onUsb, isPermitted: false };
    expect((await checkBoards(async () => [forbidden])).fix).toBe(PERMISSION_REMEDY);
    ports = [forbidden];
    const context = new RecordingContext();
    await runCli(["devices"], context, [registerDevices]);
    expect(context.stderr.text).toContain(PERMISSION_REMEDY);
    expect((await failureOf("Permission denied", "darwin")).remedy).not.toContain("dialout");
  });

  test.each([
    ["Error Resource temporarily unavailable Cannot lock port", "linux", "/dev/null"],
    ["Error: Device or resource busy, cannot open /dev/null", "linux", "/dev/null"],
    ["Opening COM3: Access denied", "win32", "COM3"],
  ])("because another program has it: %s", async (text, platform, path) => {
    expect((await failureOf(text, platform, path)).failure).toBe("busy");
  });

  test.each([
    ["Opening COM9: File not found", "win32", "COM9", "no-port"],
    [
      "Error: Inappropriate ioctl for device setting custom baud rate",
      "linux",
      "/dev/null",
      "no-port",
    ],
    ["Error: Input/output error, cannot open /dev/null", "linux", "/dev/null", "failed"],
  ])("for another reason: %s", async (text, platform, path, failure) => {
    expect((await failureOf(text, platform, path)).failure).toBe(failure);
  });
});

test("a package that is not installed is named with what to type", async () => {
  const missing = load("serialport", () => Promise.reject(new Error("Cannot find package")));
  await expect(missing).rejects.toMatchObject({
    name: "BoardError",
    failure: "not-installed",
    remedy: expect.stringContaining("npm install serialport"),
  });
});
