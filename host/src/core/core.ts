/** Loads a module that speaks the core's ABI: core.wasm itself, or an application such as thermometer.wasm. */

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { ABI_VERSION } from "../../../firmware/core/abi.ts";
import { UsageError } from "../errors.ts";
import { Arena } from "./arena.ts";
import { Lending } from "./lending.ts";
import { LinearMemory } from "./linear-memory.ts";

/** The exports of core.wasm as docs/abi.md describes them: numbers in, numbers out. */
export interface CoreExports {
  memory: WebAssembly.Memory;
  __heap_base: WebAssembly.Global;
  abiVersion(): number;
  memoryGrown(byteLength: number): void;
  clientSize(
    receive: number,
    transmit: number,
    identity: number,
    incoming: number,
    journal: number,
  ): number;
  clientInit(
    at: number,
    receive: number,
    transmit: number,
    identity: number,
    incoming: number,
    journal: number,
  ): number;
  setLimits(at: number, inflightMax: number, whenFull: number): number;
  setNextPacketId(at: number, packetId: number): number;
  setClientId(at: number, textAt: number, length: number): number;
  setWill(
    at: number,
    topicAt: number,
    topicLength: number,
    payloadAt: number,
    payloadLength: number,
    flags: number,
  ): number;
  clearWill(at: number): number;
  setUserName(at: number, textAt: number, length: number): number;
  setPassword(at: number, bytesAt: number, length: number): number;
  clearCredentials(at: number): number;
  connect(
    at: number,
    cleanSession: number,
    keepAliveSeconds: number,
    responseTimeoutMs: number,
    nowMs: number,
  ): number;
  connectionLost(at: number): number;
  disconnect(at: number, nowMs: number): number;
  connectionState(at: number): number;
  receiveAt(at: number): number;
  receiveRoom(at: number): number;
  received(at: number, length: number): number;
  poll(at: number, nowMs: number): number;
  eventAt(at: number): number;
  transmitAt(at: number): number;
  transmitLength(at: number): number;
  transmitted(at: number, length: number, nowMs: number): number;
  publish(
    at: number,
    topicAt: number,
    topicLength: number,
    payloadAt: number,
    payloadLength: number,
    flags: number,
  ): number;
  subscribe(at: number, filtersAt: number, filtersLength: number, nowMs: number): number;
  unsubscribe(at: number, filtersAt: number, filtersLength: number, nowMs: number): number;
  requeue(at: number): number;
  storeLength(at: number): number;
  storeAt(at: number): number;
  stored(at: number, batchAt: number): number;
  note(at: number, bytesAt: number, length: number): number;
  saveImage(
    at: number,
    generation: number,
    toAt: number,
    capacity: number,
    noteAt: number,
    noteLength: number,
  ): number;
  restore(at: number, batchAt: number, length: number): number;
  inflightCount(at: number): number;
  transmitRoom(at: number): number;
  counter(at: number, which: number): number;
  tick(at: number, nowMs: number): number;
  nextDeadlineMs(at: number, nowMs: number): number;
}

/** What thermometer.wasm exports besides (docs/abi.md, "The thermometer"). */
export interface ThermometerExports extends CoreExports {
  configure(at: number, intervalMs: number, deadBandMilliCelsius: number, flags: number): number;
  setSequence(at: number, seq: number): number;
  setClock(at: number, unixSeconds: number, milliseconds: number, nowMs: number): number;
  reading(at: number, milliCelsius: number, nowMs: number): number;
  readingPublished(at: number): number;
  sequence(at: number): number;
  intervalMs(at: number): number;
  blockAt(): number;
  blockLength(): number;
}

/** What reporter.wasm exports besides (docs/profiles.md, "The profile block"). */
export interface ReporterExports extends ThermometerExports {
  setProfile(at: number, profileAt: number, length: number): number;
  birthPacketId(at: number): number;
}

/** One instance of a module, with its memory dealt out by an arena. Holds any number of clients. */
export interface Core<Exports extends CoreExports = CoreExports> {
  exports: Exports;
  memory: LinearMemory;
  arena: Arena;
  lending: Lending;
  /** Hexadecimal SHA-256 of the module's bytes: the same wherever it runs. */
  sha256: string;
  byteLength: number;
}

/** The modules of this package. */
export type ModuleName = "core" | "thermometer" | "reporter";

/** The bytes of a module that comes with this package. */
export function readModule(name: ModuleName): Promise<Uint8Array> {
  return readFile(modulePath(name));
}

/**
 * Makes an instance of a module. Throws a UsageError if `bytes` are no module, or one of another ABI version.
 */
export async function loadCore<Exports extends CoreExports = CoreExports>(
  bytes: Uint8Array,
): Promise<Core<Exports>> {
  const exports = (await instantiate(bytes)) as unknown as Exports;
  const version = typeof exports.abiVersion === "function" ? exports.abiVersion() : undefined;
  if (version !== ABI_VERSION) {
    throw new UsageError(
      version === undefined
        ? "The module does not speak wasmqtt's ABI: it has no abiVersion()"
        : `The module has ABI version ${version}, this host speaks ${ABI_VERSION}`,
      "Build it with the firmware of this release, or use the release it was built with",
    );
  }
  const memory = new LinearMemory(exports.memory);
  const arena = new Arena(memory, exports.__heap_base.value as number, exports.memoryGrown);
  return {
    exports,
    memory,
    arena,
    lending: new Lending(memory, arena),
    sha256: createHash("sha256").update(bytes).digest("hex"),
    byteLength: bytes.byteLength,
  };
}

async function instantiate(bytes: Uint8Array): Promise<WebAssembly.Exports> {
  try {
    const { instance } = await WebAssembly.instantiate(bytes, {});
    // A plain object: V8 looks up what a module exports in a dictionary, each time.
    return { ...instance.exports };
  } catch (error) {
    throw new UsageError(
      `This is no module that can run here: ${(error as Error).message}`,
      "Give a .wasm file that imports nothing; `wasmqtt inspect FILE` says more",
      { cause: error },
    );
  }
}

/** Modules lie in dist/, whether this file runs from there or from its source. */
function modulePath(name: ModuleName): string {
  const besideDist = new URL(`../../../${name}.wasm`, import.meta.url);
  const belowDist = new URL(`../../../dist/${name}.wasm`, import.meta.url);
  return fileURLToPath(existsSync(besideDist) ? besideDist : belowDist);
}
