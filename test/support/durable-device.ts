/** A device in a process of its own that is killed and started again, with the same arguments and the same store. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** The device that counts: its arguments are said in the program. */
export const COUNTING_DEVICE = fileURLToPath(new URL("durable-device.mjs", import.meta.url));

/** `wasmqtt`. */
export const WASMQTT = fileURLToPath(
  new URL("../../dist/simulator/src/cli/main.js", import.meta.url),
);

export interface DurableDeviceOptions {
  /** With this exit code it is started again: it found no broker, say. */
  restartExitCode?: number;
}

/** Stop it in a `finally` or an `afterEach`. */
export class DurableDevice {
  readonly #args: string[];
  readonly #restartExitCode: number | undefined;
  #child: ChildProcess | undefined;
  /** What it wrote in all its lives. */
  stdout = "";
  stderr = "";
  /** How it ended without being asked to. */
  readonly surprises: string[] = [];

  /** Node runs `args`: a program and its arguments. */
  constructor(args: string[], { restartExitCode }: DurableDeviceOptions = {}) {
    this.#args = args;
    this.#restartExitCode = restartExitCode;
  }

  start(): void {
    const child = spawn(process.execPath, this.#args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    for (const stream of ["stdout", "stderr"] as const) {
      child[stream].setEncoding("utf8").on("data", (text: string) => {
        this[stream] += text;
      });
    }
    child.once("close", (exitCode, signal) => {
      if (this.#child !== child) return;
      if (exitCode === this.#restartExitCode) this.start();
      else this.surprises.push(`it ended with ${exitCode ?? signal}`);
    });
  }

  /** Ends it as a loss of power does. Harmless if it does not run. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Asks it to end in order; answers with its exit code. */
  end(): Promise<number | null | undefined> {
    return this.#end("SIGTERM");
  }

  async #end(signal: NodeJS.Signals): Promise<number | null | undefined> {
    const child = this.#child;
    this.#child = undefined;
    const isRunning = child?.exitCode === null && child.signalCode === null;
    if (isRunning) {
      const closed = once(child, "close");
      child.kill(signal);
      await closed;
    }
    return child?.exitCode;
  }
}
