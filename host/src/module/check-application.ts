/** Tells whether a module can be the firmware of a simulated device: `docs/own-module.md` says what it needs. */

import { InvalidModuleError } from "./byte-reader.ts";
import { inspectModule } from "./inspect-module.ts";

/** What `docs/abi.md` asks of every module, and how many numbers each takes. */
const CORE_FUNCTIONS: Readonly<Record<string, number>> = {
  abiVersion: 0,
  memoryGrown: 1,
  clientSize: 5,
  clientInit: 6,
  setLimits: 3,
  setNextPacketId: 2,
  setClientId: 3,
  setWill: 6,
  clearWill: 1,
  setUserName: 3,
  setPassword: 3,
  clearCredentials: 1,
  connect: 5,
  connectionLost: 1,
  disconnect: 2,
  connectionState: 1,
  receiveAt: 1,
  receiveRoom: 1,
  received: 2,
  poll: 2,
  eventAt: 1,
  transmitAt: 1,
  transmitLength: 1,
  transmitted: 3,
  publish: 6,
  subscribe: 4,
  unsubscribe: 4,
  requeue: 1,
  storeLength: 1,
  storeAt: 1,
  stored: 2,
  note: 3,
  saveImage: 6,
  restore: 3,
  inflightCount: 1,
  transmitRoom: 1,
  counter: 2,
  tick: 2,
  nextDeadlineMs: 2,
};

/** What the fleet uses besides. */
const APPLICATION_FUNCTIONS: Readonly<Record<string, number>> = {
  configure: 4,
  setSequence: 2,
  setClock: 4,
  reading: 3,
  readingPublished: 1,
  sequence: 1,
  intervalMs: 1,
};

/** Rules of `wasmqtt inspect` that a board needs and a simulator can do without. */
const FOR_BOARDS_ONLY = ["only what every WebAssembly engine knows", "no mutable global"];

/**
 * What is wrong with a module as the firmware of a fleet, as sentences; none if it can run. It is instantiated when it
 * imports nothing and nothing runs at the start; then none of its code runs but an `abiVersion` without loops and calls.
 */
export function checkApplication(bytes: Uint8Array): string[] {
  try {
    const broken = brokenRules(bytes);
    return broken.length > 0 ? broken : functionProblems(bytes);
  } catch (error) {
    if (!(error instanceof InvalidModuleError)) throw error;
    return [`It is no WebAssembly module: ${error.message}`];
  }
}

function brokenRules(bytes: Uint8Array): string[] {
  return inspectModule(bytes)
    .rules.filter(({ rule, isKept }) => !isKept && !isForBoardsOnly(rule))
    .map(({ rule, found }) => `It breaks the rule "${rule}": ${found}`);
}

function isForBoardsOnly(rule: string): boolean {
  return FOR_BOARDS_ONLY.some((start) => rule.startsWith(start));
}

function functionProblems(bytes: Uint8Array): string[] {
  const exports = instantiate(bytes);
  return [
    ...problemsOf(exports, CORE_FUNCTIONS, "each module has it: re-export it from the core"),
    ...problemsOf(exports, APPLICATION_FUNCTIONS, "the simulator calls it on each device"),
  ];
}

function problemsOf(
  exports: WebAssembly.Exports,
  functions: Readonly<Record<string, number>>,
  why: string,
): string[] {
  return Object.entries(functions).flatMap(([name, parameterCount]) => {
    const found = exports[name];
    if (typeof found !== "function") return [`It does not export ${name}(): ${why}`];
    if (found.length === parameterCount) return [];
    return [`Its ${name}() takes ${found.length} numbers instead of ${parameterCount}`];
  });
}

function instantiate(bytes: Uint8Array): WebAssembly.Exports {
  try {
    return new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(bytes)), {}).exports;
  } catch (error) {
    const reason = (error as Error).message;
    throw new InvalidModuleError(`the engine cannot make an instance: ${reason}`, 0, {
      cause: error,
    });
  }
}
