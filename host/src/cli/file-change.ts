/** Waits until a file is another one, as an editor or a compiler makes it. */

import { watch } from "node:fs";
import { basename, dirname } from "node:path";
import type { World } from "../world.ts";

/** A compiler writes more than once. */
const SETTLE_MS = 200;

/**
 * Resolves when the file was written, or put in place of another, and no more comes for a moment; and when `signal` is
 * aborted. It watches the folder, because a file that is replaced is a new one.
 */
export function nextChange(path: string, world: World, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const name = basename(path);
    const watcher = watch(dirname(path));
    let timer: { clear(): void } | undefined;
    const end = () => {
      signal.removeEventListener("abort", end);
      timer?.clear();
      watcher.close();
      resolve();
    };
    watcher.on("change", (_kind, changed) => {
      if (`${changed}` !== name) return;
      timer?.clear();
      timer = world.setTimer(SETTLE_MS, end);
    });
    watcher.on("error", reject);
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
}
