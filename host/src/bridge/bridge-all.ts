/** Bridges all boards of this machine: those that are there, and those that are plugged in later. */

import type { OpenLine } from "../board/serial-line.ts";
import type { OpenTransport } from "../transport/transport.ts";
import type { Timer, World } from "../world.ts";
import { Bridge, type BridgeCounts, type BridgeEvent } from "./bridge.ts";

export interface BridgeAllOptions {
  readonly world: World;
  /** The paths of the ports that boards may be at. What it rejects with is told, and it is asked again. */
  readonly list: () => Promise<readonly string[]>;
  readonly openLineTo: (path: string) => OpenLine;
  readonly openTransport: OpenTransport;
  readonly tell: (event: BridgeEvent | BridgeAllEvent) => void;
}

export type BridgeAllEvent =
  | { readonly event: "port-found"; readonly path: string }
  /** Its port is gone. */
  | { readonly event: "port-gone"; readonly path: string }
  | { readonly event: "list-failed"; readonly error: Error };

const LIST_INTERVAL_MS = 2_000;

export class BridgeAll {
  readonly #options: BridgeAllOptions;
  readonly #bridges = new Map<string, Bridge>();
  /** Of bridges that are over. */
  readonly #past = new Map<string, BridgeCounts>();
  #looking: Promise<void>;
  #timer: Timer | undefined;
  #isStopped = false;

  /** Begins at once. */
  constructor(options: BridgeAllOptions) {
    this.#options = options;
    this.#looking = this.#look();
  }

  /** Of the boards that are or were there, by their paths. */
  get counts(): ReadonlyMap<string, BridgeCounts> {
    const counts = new Map(this.#past);
    for (const [path, bridge] of this.#bridges) add(counts, path, bridge.counts);
    return counts;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.clear();
    await this.#looking;
    await Promise.all([...this.#bridges.values()].map((bridge) => bridge.stop()));
  }

  async #look(): Promise<void> {
    const { list, world, tell } = this.#options;
    try {
      const paths = await list();
      if (!this.#isStopped) await this.#follow(paths);
    } catch (error) {
      tell({ event: "list-failed", error: error as Error });
    }
    if (this.#isStopped) return;
    this.#timer = world.setTimer(LIST_INTERVAL_MS, () => {
      this.#looking = this.#look();
    });
  }

  async #follow(paths: readonly string[]): Promise<void> {
    const { world, openLineTo, openTransport, tell } = this.#options;
    for (const path of paths) {
      if (this.#bridges.has(path)) continue;
      tell({ event: "port-found", path });
      const openLine = openLineTo(path);
      this.#bridges.set(path, new Bridge({ world, path, openLine, openTransport, tell }));
    }
    for (const [path, bridge] of this.#bridges) {
      if (paths.includes(path)) continue;
      tell({ event: "port-gone", path });
      await bridge.stop();
      this.#bridges.delete(path);
      add(this.#past, path, bridge.counts);
    }
  }
}

function add(to: Map<string, BridgeCounts>, path: string, more: BridgeCounts): void {
  const counts = to.get(path);
  if (counts === undefined) {
    to.set(path, more);
    return;
  }
  to.set(path, {
    lineCount: counts.lineCount + more.lineCount,
    connectionCount: counts.connectionCount + more.connectionCount,
    refusedCount: counts.refusedCount + more.refusedCount,
    toBrokerLength: counts.toBrokerLength + more.toBrokerLength,
    toBoardLength: counts.toBoardLength + more.toBoardLength,
    ignoredFrameCount: counts.ignoredFrameCount + more.ignoredFrameCount,
  });
}
