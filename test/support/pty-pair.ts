/** Two pseudo-terminals joined by socat: what is written to one arrives at the other, as with a cable between two ports. */

import { type ChildProcess, spawn } from "node:child_process";

export interface PtyPair {
  /** For the program under test. */
  readonly hostPath: string;
  /** For who plays the board. */
  readonly boardPath: string;
  /** Pulls the cable: both ends are gone. */
  cut(): Promise<void>;
}

const OPEN_TIMEOUT_MS = 5_000;

/** Needs socat. Cut it in a `finally` or an `afterEach`. */
export async function openPtyPair(): Promise<PtyPair> {
  const socat = spawn("socat", ["-d", "-d", "pty,raw,echo=0", "pty,raw,echo=0"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = new Promise<void>((resolve) => socat.once("close", () => resolve()));
  try {
    const [hostPath = "", boardPath = ""] = await pathsOf(socat);
    return {
      hostPath,
      boardPath,
      cut: async () => {
        socat.kill("SIGKILL");
        await ended;
      },
    };
  } catch (error) {
    socat.kill("SIGKILL");
    throw error;
  }
}

function pathsOf(socat: ChildProcess): Promise<string[]> {
  return new Promise((resolve, reject) => {
    let said = "";
    const timer = setTimeout(
      () => reject(new Error(`socat made no pair: ${said}`)),
      OPEN_TIMEOUT_MS,
    );
    socat.once("error", reject);
    socat.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      const paths = [...said.matchAll(/PTY is (\S+)/gu)].map(([, path = ""]) => path);
      if (paths.length < 2) return;
      clearTimeout(timer);
      resolve(paths);
    });
  });
}
