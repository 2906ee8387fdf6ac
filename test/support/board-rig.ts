/** A module on a board whose network, clock, flash and power are the test's; a ModelServer or the test itself is the server. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { answerOf, BoardDriver, bytesIn } from "./board-driver.ts";
import { concat } from "./bytes.ts";
import { type ClientPacket, ClientStream } from "./client-stream.ts";
import type { ModelServer } from "./model-server.ts";

export interface BoardSettings {
  id?: string;
  user?: string;
  pass?: string;
  profile?: Uint8Array;
  intervalMs?: number;
  qos?: number;
}

export interface BoardReport {
  state: string;
  isConnected: boolean;
  published: number;
  /** Infinity: nothing is due. */
  deadlineMs: number;
  operations: number;
  unread: number;
  why: string;
}

/** What is on the line ends here; the bytes of what nobody sends. */
const NEVER_MS = 0xffffffff;

/** A round is two directions; a conversation that does not end is a fault. */
const ROUND_COUNT_MAX = 100;

export class BoardRig {
  readonly board = new BoardDriver();
  readonly #folder = mkdtempSync(join(tmpdir(), "wasmqtt-board-"));
  #stream = new ClientStream();
  #server: ModelServer | undefined;
  /** False: the network takes no connection. */
  isReachable = true;

  end(): void {
    this.board.end();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Erases the flash and sets everything back; two sectors of 2 KiB, words of 4, unless told otherwise. */
  async format(sectorLength = 2048, wordLength = 4, sectorCount = 2): Promise<void> {
    this.#server = undefined;
    this.isReachable = true;
    this.board.said.length = 0;
    await this.board.tell("stop");
    await this.board.tell(`flash ${sectorCount * sectorLength} ${sectorLength} ${wordLength}`);
    await this.board.tell("window -");
    await this.board.tell("time 1795388880123");
    await this.board.tell("seed 1");
  }

  /** From now on this server is on the other side. */
  serve(server: ModelServer): void {
    this.#server = server;
  }

  async load(module: Uint8Array, memoryLength = 4096): Promise<void> {
    const path = join(this.#folder, "module.wasm");
    writeFileSync(path, module);
    await this.board.tell(`load ${memoryLength} ${path}`);
  }

  async set(settings: BoardSettings): Promise<void> {
    const { id = "t1", user = "", pass = "", profile, intervalMs = 1000, qos = 1 } = settings;
    await this.board.tell(`set id ${digits(id)}`);
    await this.board.tell(`set user ${digits(user)}`);
    await this.board.tell(`set pass ${digits(pass)}`);
    await this.board.tell(`set profile ${Buffer.from(profile ?? []).toString("hex")}`);
    await this.board.tell(`interval ${intervalMs}`);
    await this.board.tell(`qos ${qos}`);
  }

  /** Starts the module, as after a loss of power. */
  async start(): Promise<void> {
    await this.board.tell("start");
  }

  /** Lets the time pass; what the module has sent then. With a server, it answers until both have nothing to say. */
  async run(elapsedMs = 0): Promise<ClientPacket[]> {
    const packets: ClientPacket[] = [];
    let passMs = elapsedMs;
    for (let round = 0; round < ROUND_COUNT_MAX && !this.board.isCut; round++) {
      const lines = await this.board.tell(`run ${passMs}`);
      passMs = 0;
      const answers = await this.#takeLines(lines, packets);
      if (!answers) return packets;
    }
    if (this.board.isCut) return packets;
    throw new Error("The conversation does not end");
  }

  /** Bytes of the server arrive; what the module has sent then. */
  async receive(...packets: Uint8Array[]): Promise<ClientPacket[]> {
    await this.board.tell(`in ${digits(concat(...packets))}`);
    return this.run();
  }

  /** The Network Connection breaks. */
  async lose(reason = "the cable was pulled"): Promise<void> {
    this.#server?.close();
    await this.board.tell(`down ${reason}`);
  }

  /** Runs until the module has made a new connection. */
  async reconnect(): Promise<ClientPacket[]> {
    for (let count = 0; count < 100; count++) {
      const packets = await this.run(1000);
      if (packets.length > 0) return packets;
    }
    throw new Error("The module does not connect");
  }

  async report(): Promise<BoardReport> {
    const line = answerOf(await this.board.tell("report"), "state") ?? "";
    const found =
      /^(\w+) connected (\d) published (\d+) deadline (\d+) operations (\d+) unread (\d+) heap \d+ why (.*)$/.exec(
        line,
      );
    if (found === null) throw new Error(`no report: ${line}`);
    const [state = "", connected, published, deadline, operations, unread, why = ""] =
      found.slice(1);
    return {
      state,
      isConnected: connected === "1",
      published: Number(published),
      deadlineMs: Number(deadline) === NEVER_MS ? Number.POSITIVE_INFINITY : Number(deadline),
      operations: Number(operations),
      unread: Number(unread),
      why,
    };
  }

  /** True if there is something that the module has to look at. */
  async #takeLines(lines: string[], packets: ClientPacket[]): Promise<boolean> {
    if (lines.includes("restless")) throw new Error("The module has always something due");
    if (lines.includes("open") && this.isReachable) {
      this.#stream = new ClientStream();
      this.#server?.open();
      await this.board.tell("up");
      return true;
    }
    const sent = concat(...bytesIn(lines, "out"));
    packets.push(...this.#stream.read(sent));
    if (lines.some((line) => line.startsWith("close"))) this.#server?.close();
    else this.#server?.read(sent);
    const replies = this.#server?.takeReplies() ?? new Uint8Array(0);
    if (replies.length === 0) return false;
    await this.board.tell(`in ${digits(replies)}`);
    return true;
  }
}

function digits(value: string | Uint8Array): string {
  return Buffer.from(value).toString("hex");
}
