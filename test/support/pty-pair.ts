/** Two pseudo-terminals joined by socat: what is written to one arrives at the other, as with a cable between two ports. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface PtyPair {
  /** For the program under test. */
  readonly hostPath: string;
  /** For who plays the board. */
  readonly boardPath: string;
  /** Pulls the cable: both ends are gone. */
  cut(): Promise<void>;
}

const OPEN_TIMEOUT_MS = 5_000;

/**
 * Needs socat. Cut it in a `finally` or an `afterEach`. The paths are links of their own: the system gives the number of a
 * pseudo-terminal that is gone to the next one, which may be another test's, and who waits for its port to come back would open it.
 */
export async function openPtyPair(): Promise<PtyPair> {
  const folder = mkdtempSync(join(tmpdir(), "wasmqtt-pty-"));
  const hostPath = join(folder, "host");
  const boardPath = join(folder, "board");
  const ends = [hostPath, boardPath].map((path) => `pty,raw,echo=0,link=${path}`);
  const socat = spawn("socat", ["-d", "-d", ...ends], { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise<void>((resolve) => socat.once("close", () => resolve()));
  const cut = async () => {
    rmSync(folder, { recursive: true, force: true });
    socat.kill("SIGKILL");
    await ended;
  };
  try {
    await made(socat);
    return { hostPath, boardPath, cut };
  } catch (error) {
    await cut();
    throw error;
  }
}

/** Resolves when there are both ends. */
function made(socat: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = "";
    const timer = setTimeout(
      () => reject(new Error(`socat made no pair: ${said}`)),
      OPEN_TIMEOUT_MS,
    );
    socat.once("error", reject);
    socat.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (!said.includes("starting data transfer loop")) return;
      clearTimeout(timer);
      resolve();
    });
  });
}
