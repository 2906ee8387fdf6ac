/** The long run: programs by grammar, one after the other on the module as it ships, until enough bytes were received. */

import { RandomStream } from "../../simulator/src/random.ts";
import { grammarOf } from "./explore.ts";
import { anyProgram } from "./generator.ts";
import { Finding, Machine, type MachineOptions } from "./machine.ts";
import { mutateProgram } from "./mutator.ts";
import { pick } from "./packet-grammar.ts";
import type { Program } from "./program.ts";
import { runProgram } from "./run-program.ts";
import { tellFinding } from "./tell-finding.ts";

export interface SoakOptions {
  module: WebAssembly.Module;
  seed: number;
  /** Bytes to be received on open connections. */
  byteCount: number;
  /** Known programs, of which some are changed and run. */
  corpus: Program[];
  newServer?: NonNullable<MachineOptions["newServer"]>;
  /** For reporter.wasm. */
  profile?: Uint8Array;
  /** Hears how many bytes were received so far, now and then. */
  onProgress?: (fedLength: number) => void;
}

export interface SoakResult {
  fedLength: number;
  programCount: number;
  stepCount: number;
  eventCount: number;
}

const PACKET_COUNT_MAX = 40;
const FEED_PART = 0.7;
const CHANGED_PART = 0.1;
const PROGRESS_LENGTH = 5_000_000;
/** A run that receives nothing must end, too. */
const IDLE_PROGRAMS_MAX = 1000;

/** Throws Finding with the program and how to run it again. */
export function soak(options: SoakOptions): SoakResult {
  const { module, seed, byteCount, newServer } = options;
  const machine = new Machine(module, {
    ...(newServer === undefined ? {} : { newServer }),
    ...(options.profile === undefined ? {} : { profile: options.profile }),
  });
  const grammar = grammarOf(machine, { packetCountMax: PACKET_COUNT_MAX, feedPart: FEED_PART });
  let programCount = 0;
  let progressLength = 0;
  let idleCount = 0;
  while (machine.fedLength < byteCount) {
    const before = machine.fedLength;
    const random = new RandomStream(seed, programCount, "fault");
    const isChanged = options.corpus.length > 0 && random.uniform() < CHANGED_PART;
    const program = isChanged
      ? mutateProgram(random, pick(random, options.corpus), pick(random, options.corpus), grammar)
      : anyProgram(random, grammar);
    try {
      runProgram(machine, program);
    } catch {
      throw tellFinding(machine, `seed ${seed}, program ${programCount}`, program);
    }
    programCount++;
    idleCount = machine.fedLength === before ? idleCount + 1 : 0;
    if (idleCount > IDLE_PROGRAMS_MAX) throw new Finding("nothing is received any more");
    if (machine.fedLength - progressLength >= PROGRESS_LENGTH) {
      progressLength = machine.fedLength;
      options.onProgress?.(progressLength);
    }
  }
  const { fedLength, stepCount, eventCount } = machine;
  return { fedLength, programCount, stepCount, eventCount };
}
