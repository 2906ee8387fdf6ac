/** What `doctor` says of boards. */

import { expect, test } from "vitest";
import { BoardError } from "../../host/src/board/board-error.ts";
import type { SerialPortInfo } from "../../host/src/board/serial-ports.ts";
import { checkBoards } from "../../host/src/cli/board-check.ts";
import { portAt } from "../support/port-at.ts";

const onUsb = (path: string, facts: Partial<SerialPortInfo> = {}) =>
  portAt(path, { vendorId: "303a", productId: "1001", ...facts });

const builtIn = portAt("/dev/ttyS0", { isPermitted: false });

test("a machine without boards is told of the emulated one", async () => {
  const check = await checkBoards(async () => [builtIn]);
  expect(check).toMatchObject({ verdict: "ok", fix: "" });
  expect(check.found).toContain("wasmqtt board run");
});

test("the ports of boards are named", async () => {
  const check = await checkBoards(async () => [
    onUsb("/dev/ttyACM0"),
    onUsb("/dev/ttyUSB1"),
    builtIn,
  ]);
  expect(check).toMatchObject({ verdict: "ok", found: "/dev/ttyACM0, /dev/ttyUSB1" });
});

test("a port that may not be opened is a warning, and the group is named", async () => {
  const forbidden = onUsb("/dev/ttyUSB1", { isPermitted: false });
  const check = await checkBoards(async () => [onUsb("/dev/ttyACM0"), forbidden]);
  expect(check).toMatchObject({
    verdict: "warning",
    found: "this user may not open /dev/ttyUSB1",
    fix: expect.stringContaining("dialout"),
  });
});

test("a package that is missing is a warning with what to type", async () => {
  const check = await checkBoards(() => {
    throw new BoardError("not-installed", "The package serialport cannot be loaded", "Install it");
  });
  expect(check).toMatchObject({ verdict: "warning", fix: "Install it" });
});
