/** Runs the command line: the built one as a child process, or its source in this process with a context of its own. */

import { type ChildProcess, spawn } from "node:child_process";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { CliContext } from "../../host/src/cli/command.ts";
import { ExitCode } from "../../host/src/cli/exit-code.ts";
import { realWorld } from "../../host/src/world.ts";

/** The built command line. */
export const MAIN_PATH = fileURLToPath(
  new URL("../../dist/simulator/src/cli/main.js", import.meta.url),
);

/** A run that takes longer is killed and fails. */
const TIMEOUT_MS = 15_000;

export interface CliOptions {
  /** Instead of this process's variables, except PATH. */
  env?: Record<string, string>;
  /** Written to stdin, which is then closed. */
  input?: string;
  timeoutMs?: number;
  /** What the process may not exceed, as `ulimit` takes it: "-n 128" is 128 open files. */
  limit?: string;
}

export interface CliResult {
  /** Null if a signal ended it. */
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** Runs `wasmqtt` with `args` until it ends. */
export function runCli(args: string[], options: CliOptions = {}): Promise<CliResult> {
  return startCli(args, options).ended;
}

/** Starts `wasmqtt` with `args`. End it with `stop`, in a `finally` or an `afterEach`. */
export function startCli(args: string[], options: CliOptions = {}): CliRun {
  const { limit } = options;
  const words = [process.execPath, MAIN_PATH, ...args];
  const [program = "", ...rest] =
    limit === undefined ? words : ["sh", "-c", `ulimit ${limit} && exec "$@"`, "sh", ...words];
  const child = spawn(program, rest, {
    env: { PATH: process.env["PATH"] ?? "", ...options.env },
  });
  child.stdin.on("error", () => {}); // it may end before it has read everything
  child.stdin.end(options.input ?? "");
  return new CliRun(child, args, options.timeoutMs ?? TIMEOUT_MS);
}

export class CliRun {
  readonly #child: ChildProcess;
  readonly #args: string[];
  stdout = "";
  stderr = "";
  readonly ended: Promise<CliResult>;

  constructor(child: ChildProcess, args: string[], timeoutMs: number) {
    this.#child = child;
    this.#args = args;
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        child.kill("SIGKILL");
        reject(new Error(`no end after ${timeoutMs} ms: ${this.#describe()}`));
      }, timeoutMs);
      child.once("error", reject);
      child.once("close", (exitCode, signal) => {
        clearTimeout(timer);
        resolve({ exitCode, signal, stdout: this.stdout, stderr: this.stderr });
      });
    });
    this.ended.catch(() => {}); // whoever awaits it still sees the failure
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Closes our end of its stdout, as `head` does when it has enough. */
  closeStdout(): void {
    this.#child.stdout?.destroy();
  }

  /** Resolves with the match as soon as the output so far has one; fails when the process ends without it. */
  waitFor(stream: "stdout" | "stderr", pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(this[stream]);
        if (match !== null) resolve(match);
        return match !== null;
      };
      if (look()) return;
      this.#child[stream]?.on("data", look);
      const giveUp = () => {
        if (!look()) reject(new Error(`${pattern} never came on ${stream}: ${this.#describe()}`));
      };
      this.ended.then(giveUp, giveUp);
    });
  }

  /** Harmless after the end. */
  async stop(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended.catch(() => {});
  }

  #describe(): string {
    return `wasmqtt ${this.#args.join(" ")}\n${this.stdout}\n${this.stderr}`;
  }
}

/** A context that keeps what is written. Nothing is a terminal, no variable is set, no file is there. */
export class RecordingContext implements CliContext {
  readonly interruptController = new AbortController();
  readonly files = new Map<string, string | Uint8Array>();
  readonly env: Record<string, string | undefined> = {};
  readonly stdout = new RecordingStream();
  readonly stderr = new RecordingStream();
  /** What comes on stdin. */
  stdin: CliContext["stdin"] = Readable.from([]);
  world = realWorld;
  exitCode: ExitCode = ExitCode.Ok;
  system: CliContext["system"] = {
    version: "1.2.3",
    nodeVersion: "24.1.0",
    platform: "linux",
    cpuCount: 2,
    openFileCountMax: 65_536,
    cpuUs: () => 0,
    rssBytes: () => 0,
    readModule: () => Promise.reject(noSuchFile("module")),
  };

  get interrupt(): AbortSignal {
    return this.interruptController.signal;
  }

  readonly readFile = (path: string | URL): Buffer => {
    const content = this.files.get(`${path}`);
    if (content === undefined) throw noSuchFile(`${path}`);
    return Buffer.from(content);
  };
}

function noSuchFile(path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
}

export class RecordingStream {
  isTTY = false;
  text = "";

  write(text: string | Uint8Array): void {
    this.text += typeof text === "string" ? text : Buffer.from(text).toString();
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }
}
