/** Whether boards can be reached from this machine: the package that opens ports, the ports, the right to open them. */

import { BoardError } from "../board/board-error.ts";
import { PERMISSION_REMEDY } from "../board/serial-port.ts";
import { loadSerialPort } from "../board/serial-port-library.ts";
import type { SerialPortInfo } from "../board/serial-ports.ts";
import { likelyPorts } from "./device-options.ts";
import type { Check } from "./machine-checks.ts";

const NAME = "boards";

/** A machine without boards is well; what keeps a board away is a warning. */
export async function checkBoards(list: () => Promise<SerialPortInfo[]>): Promise<Check> {
  try {
    await loadSerialPort();
    return checkPorts(await list());
  } catch (error) {
    if (!(error instanceof BoardError)) throw error;
    return { name: NAME, verdict: "warning", found: error.message, fix: error.remedy };
  }
}

function checkPorts(all: SerialPortInfo[]): Check {
  const ports = likelyPorts(all);
  const forbidden = ports.filter(({ isPermitted }) => isPermitted === false);
  if (forbidden.length > 0) {
    return {
      name: NAME,
      verdict: "warning",
      found: `this user may not open ${pathsOf(forbidden)}`,
      fix: PERMISSION_REMEDY,
    };
  }
  if (ports.length > 0) return { name: NAME, verdict: "ok", found: pathsOf(ports), fix: "" };
  const found = "no USB serial port; an emulated one: wasmqtt board run";
  return { name: NAME, verdict: "ok", found, fix: "" };
}

function pathsOf(ports: readonly { path: string }[]): string {
  return ports.map(({ path }) => path).join(", ");
}
