/** What a board says about itself (docs/wire.md, group 64, command 0). */

import { z } from "zod";
import type { SmpClient, SmpPatience } from "./smp-client.ts";
import { SmpGroup } from "./smp-error.ts";

const count = z.int().min(0);

const infoAnswer = z
  .object({
    abi: count,
    board: z.string(),
    runtime: z.string(),
    engine: z.string(),
    uptime: count,
    reset: z.enum(["power", "request", "watchdog"]),
    wire: count,
    ram: z.object({ heap: count, heapMax: count, stack: count, stackMax: count }),
    link: z.enum(["serial", "net"]),
    module: z.object({
      slot: count.optional(),
      sha: z.instanceof(Uint8Array).optional(),
      size: count.optional(),
      state: z.enum(["none", "running", "waiting", "refused"]),
      connected: z.boolean().optional(),
      up: count.optional(),
      starts: count.optional(),
      falls: count.optional(),
      published: count.optional(),
      note: z.string().optional(),
    }),
  })
  .transform(({ abi, board, runtime, engine, uptime, reset, wire, ram, link, module }) => ({
    /** The version of docs/abi.md that its modules must have. */
    abiVersion: abi,
    /** The kind of board, as in "virt-rv32". */
    board,
    /** Name and version of the runtime. */
    runtime,
    /** As in "wasm3 0.5.0". */
    engine,
    uptimeMs: uptime,
    resetReason: reset,
    wireVersion: wire,
    ram: {
      heapLength: ram.heap,
      heapCapacity: ram.heapMax,
      /** The most that was ever used. */
      stackLength: ram.stack,
      stackCapacity: ram.stackMax,
    },
    /** How it reaches the broker: through a bridge on the serial line, or by a network of its own. */
    link,
    module: {
      state: module.state,
      slot: module.slot,
      /** SHA-256 of the module file in hexadecimal: the number that reports show. */
      sha256: module.sha === undefined ? undefined : Buffer.from(module.sha).toString("hex"),
      length: module.size,
      isConnected: module.connected ?? false,
      /** Since its start. */
      upMs: module.up ?? 0,
      startCount: module.starts ?? 0,
      fallCount: module.falls ?? 0,
      publishedCount: module.published ?? 0,
      /** Why it is not running, or why the one before returned. */
      note: module.note,
    },
  }));

export type BoardInfo = z.output<typeof infoAnswer>;

export function readInfo(smp: SmpClient, patience?: SmpPatience): Promise<BoardInfo> {
  return smp.request({
    what: "tell its state",
    operation: "read",
    group: SmpGroup.Wasmqtt,
    command: 0,
    answer: infoAnswer,
    patience,
  });
}
