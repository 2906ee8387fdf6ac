/** A mosquitto whose sessions survive its death, if it was allowed to save before. */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort, Mosquitto } from "./brokers.ts";

const HOST = "127.0.0.1";
const SAVE_LIMIT_MS = 10_000;

/** A mosquitto that listens. Stop it in a `finally` or an `afterEach`. */
export async function startPersistentMosquitto(): Promise<PersistentMosquitto> {
  const folder = mkdtempSync(join(tmpdir(), "wasmqtt-mosquitto-"));
  const port = await freePort();
  writeFileSync(join(folder, "mosquitto.conf"), configText(folder, port));
  const broker = new PersistentMosquitto(folder, port);
  try {
    await broker.start();
  } catch (error) {
    await broker.stop();
    throw error;
  }
  return broker;
}

export class PersistentMosquitto {
  readonly port: number;
  readonly #folder: string;
  readonly #process: Mosquitto;

  constructor(folder: string, port: number) {
    this.port = port;
    this.#folder = folder;
    this.#process = new Mosquitto(folder, join(folder, "mosquitto.conf"), port, undefined);
  }

  start(): Promise<void> {
    return this.#process.start();
  }

  /**
   * Saves all that it knows now, and answers when that is on the disk. Needed before `kill`: mosquitto acknowledges a
   * message, and saves it afterwards if at all, so a death between the two loses what it has promised to keep.
   */
  async save(): Promise<void> {
    const databasePath = join(this.#folder, "mosquitto.db");
    rmSync(databasePath, { force: true });
    process.kill(Number(readFileSync(join(this.#folder, "pid"), "utf8")), "SIGUSR1");
    const endAtMs = Date.now() + SAVE_LIMIT_MS;
    // It writes another file, and gives it this name when that is whole.
    while (!existsSync(databasePath)) {
      if (Date.now() > endAtMs) throw new Error(`mosquitto has not saved in ${SAVE_LIMIT_MS} ms`);
      await sleep(5);
    }
  }

  /** SIGKILL: it saves nothing. */
  kill(): Promise<void> {
    return this.#process.halt("SIGKILL");
  }

  /** Ends the process and removes its files. Harmless a second time. */
  async stop(): Promise<void> {
    await this.#process.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function configText(folder: string, port: number): string {
  const lines = [
    `user ${userInfo().username}`,
    "log_dest stderr",
    "log_type error",
    "log_type warning",
    `pid_file ${folder}/pid`,
    "persistence true",
    `persistence_location ${folder}/`,
    "autosave_interval 0", // only when `save` asks
    "max_queued_messages 0", // without a limit: whoever is away misses nothing
    // Beyond all that is ever under way: what is beyond the limit, mosquitto 2.0 takes for unsent after a restart, and
    // publishes it again though it has sent PUBREL for it. It exceeds a small limit itself, and 0, for none, counts as 0.
    "max_inflight_messages 20000",
    `listener ${port} ${HOST}`,
    "allow_anonymous true",
  ];
  return `${lines.join("\n")}\n`;
}
