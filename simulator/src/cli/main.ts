#!/usr/bin/env node
/** The command line `wasmqtt`, joined to its process: the only file that touches `process`. */

import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { CliContext, SystemFacts } from "../../../host/src/cli/command.ts";
import { registerBoard } from "../../../host/src/cli/commands/board.ts";
import { registerBridge } from "../../../host/src/cli/commands/bridge.ts";
import { registerBroker } from "../../../host/src/cli/commands/broker.ts";
import { registerDevice } from "../../../host/src/cli/commands/device.ts";
import { registerDevices } from "../../../host/src/cli/commands/devices.ts";
import { registerDoctor } from "../../../host/src/cli/commands/doctor.ts";
import { registerFirmware } from "../../../host/src/cli/commands/firmware.ts";
import { registerFlash } from "../../../host/src/cli/commands/flash.ts";
import { registerInspect } from "../../../host/src/cli/commands/inspect.ts";
import { registerKeygen } from "../../../host/src/cli/commands/keygen.ts";
import { registerMonitor } from "../../../host/src/cli/commands/monitor.ts";
import { registerProbe } from "../../../host/src/cli/commands/probe.ts";
import { registerProvision } from "../../../host/src/cli/commands/provision.ts";
import { registerPub } from "../../../host/src/cli/commands/pub.ts";
import { registerReset } from "../../../host/src/cli/commands/reset.ts";
import { registerSign } from "../../../host/src/cli/commands/sign.ts";
import { registerSlots } from "../../../host/src/cli/commands/slots.ts";
import { registerSub } from "../../../host/src/cli/commands/sub.ts";
import { ExitCode } from "../../../host/src/cli/exit-code.ts";
import type { TextStream } from "../../../host/src/cli/output.ts";
import { failed, runCli } from "../../../host/src/cli/program.ts";
import { readModule } from "../../../host/src/core/core.ts";
import { UsageError } from "../../../host/src/errors.ts";
import { realWorld } from "../../../host/src/world.ts";
import { registerConfig } from "./commands/config.ts";
import { registerDemo } from "./commands/demo.ts";
import { registerReport } from "./commands/report.ts";
import { registerRun } from "./commands/run.ts";
import { registerScenario } from "./commands/scenario.ts";
import { registerSimulate } from "./commands/simulate.ts";

const COMMANDS = [
  registerDemo,
  registerRun,
  registerReport,
  registerScenario,
  registerSimulate,
  registerDevice,
  registerPub,
  registerSub,
  registerBroker,
  registerProbe,
  registerInspect,
  registerDevices,
  registerBoard,
  registerFirmware,
  registerFlash,
  registerMonitor,
  registerReset,
  registerSlots,
  registerConfig,
  registerSign,
  registerKeygen,
  registerProvision,
  registerBridge,
  registerDoctor,
];

/** From dist/simulator/src/cli/. */
const DIST = new URL("../../../", import.meta.url);

let lastResidentBytes = process.memoryUsage.rss();
/** What the command ends with, if it knows nothing worse, when its output could not be written. */
let stdoutExitCode: ExitCode = ExitCode.Ok;
const STDOUT_REMEDY = "Make room, or send the output elsewhere";
const interrupt = new AbortController();
const context: CliContext = {
  stdout: textStream(process.stdout, stdoutFailed),
  stderr: textStream(process.stderr, () => {}),
  get stdin() {
    return process.stdin;
  },
  env: process.env,
  world: realWorld,
  interrupt: interrupt.signal,
  system: systemFacts(),
  readFile: (path) => readFileSync(path),
  exitCode: ExitCode.Ok,
};

interruptOn("SIGINT", ExitCode.Interrupted);
interruptOn("SIGTERM", ExitCode.Terminated);
process.on("uncaughtException", (error) => process.exit(failed(error, context)));

const exitCode = await runCli(process.argv.slice(2), context, COMMANDS);
await flushed(process.stdout);
process.exit(exitCode || stdoutExitCode);

/** The first time it asks the command to end, the second time to hurry, and when there is nothing left to ask it ends the process. */
function interruptOn(signal: NodeJS.Signals, code: ExitCode): void {
  process.on(signal, () => {
    const { hurry } = context;
    if (!interrupt.signal.aborted) interrupt.abort(code);
    else if (hurry === undefined) process.exit(code);
    else {
      context.hurry = undefined;
      hurry();
    }
  });
}

/** After an error nothing more is written. */
function textStream(
  stream: NodeJS.WriteStream,
  onError: (error: NodeJS.ErrnoException) => void,
): TextStream {
  let isOpen = true;
  stream.on("error", (error: NodeJS.ErrnoException) => {
    isOpen = false;
    onError(error);
  });
  return {
    isTTY: stream.isTTY === true,
    write: (text) => {
      if (isOpen) stream.write(text);
    },
    drained: () =>
      new Promise((resolve) => {
        if (!isOpen || !stream.writableNeedDrain) return resolve();
        const done = () => {
          stream.off("drain", done).off("error", done);
          resolve();
        };
        stream.on("drain", done).on("error", done);
      }),
  };
}

/** Its reader may go away, as in `wasmqtt sub | head -1`: then the command ends without a word. */
function stdoutFailed(error: NodeJS.ErrnoException): void {
  const isUnread = error.code === "EPIPE";
  stdoutExitCode = isUnread ? ExitCode.Ok : ExitCode.Incomplete;
  if (!isUnread) {
    failed(
      new UsageError(`The result cannot be written: ${error.message}`, STDOUT_REMEDY),
      context,
    );
  }
  if (!interrupt.signal.aborted) interrupt.abort(stdoutExitCode);
}

/** Pipes are asynchronous on some systems, and `process.exit` waits for nothing. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed) resolve();
    else stream.write("", () => resolve());
  });
}

function systemFacts(): SystemFacts {
  const packageText = readFileSync(new URL("../package.json", DIST), "utf8");
  return {
    version: (JSON.parse(packageText) as { version: string }).version,
    nodeVersion: process.versions.node,
    platform: process.platform,
    cpuCount: availableParallelism(),
    openFileCountMax: openFileCountMax(),
    cpuUs: () => {
      const { user, system } = process.cpuUsage();
      return user + system;
    },
    rssBytes: residentBytes,
    readModule,
  };
}

/** Node opens a file for it, which a process without a descriptor to spare cannot: then it is what it was. */
function residentBytes(): number {
  try {
    lastResidentBytes = process.memoryUsage.rss();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EMFILE") throw error;
  }
  return lastResidentBytes;
}

/** Node raises its soft limit to the hard one when it starts; the report of this process knows both. */
function openFileCountMax(): number | undefined {
  const report = process.report.getReport() as unknown as {
    userLimits?: { open_files?: { soft: number | "unlimited" } };
  };
  const soft = report.userLimits?.open_files?.soft;
  return typeof soft === "number" ? soft : undefined;
}
