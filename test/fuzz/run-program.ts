/** Runs a program on a machine, step by step; every step is checked. */

import { Status } from "../../firmware/core/abi.ts";
import {
  Finding,
  GUARD_LENGTH,
  type Machine,
  PAGE_LENGTH,
  SCRATCH_LENGTH,
  SLOT_LENGTH,
  type Slot,
} from "./machine.ts";
import { PLAYS } from "./plays.ts";
import type { Argument, Program, Step } from "./program.ts";

/** Calls by which the medium no longer holds what an embedder's would. */
const FORGING = new Set(["stored", "saveImage", "restore"]);

/** The exports that tell what an argument counts from. */
const SOURCES = { j: "storeAt", in: "receiveRoom", out: "transmitLength" };

/** Runs a program in a fresh memory. Throws Finding when a promise is broken. */
export function runProgram(machine: Machine, program: Program): void {
  machine.reset();
  program.forEach((step, index) => {
    try {
      runStep(machine, step);
    } catch (error) {
      const problem = machine.explain(error);
      throw new Finding(`step ${index + 1}, ${step.name}: ${problem}`, { cause: error });
    }
  });
  machine.checkAll();
}

function runStep(machine: Machine, step: Step): void {
  const slot = machine.slots[step.record];
  if (slot === undefined) throw new Error(`there is no record ${step.record}`);
  machine.stepCount++;
  const play = PLAYS[step.name];
  if (play !== undefined) play(machine, slot, step);
  else if (machine.functionNames.includes(step.name)) callAny(machine, slot, step);
  machine.check(slot);
}

/** Any export with any arguments. */
function callAny(machine: Machine, slot: Slot, { name, args, bytes }: Step): void {
  if (bytes.length > 0) machine.put(machine.scratchAt, bytes.subarray(0, SCRATCH_LENGTH));
  const numbers = args.map((arg) => resolve(machine, slot, arg));
  if (FORGING.has(name)) slot.isMediumForged = true;
  if (name === "setClientId") slot.isRenamed = true;
  if (name === "saveImage") saveAny(machine, slot, numbers);
  else if (name === "transmitted") machine.transmit(slot, numbers[0] ?? 0);
  else if (name === "connect") machine.connect(slot, numbers);
  else callPlainly(machine, slot, name, numbers);
}

function callPlainly(machine: Machine, slot: Slot, name: string, numbers: number[]): void {
  const answer = machine.call(name, slot, ...numbers);
  if (!Number.isInteger(answer)) throw new Finding(`answered ${answer}`);
  if (name === "poll") machine.checkEvent(slot, answer);
  if (name === "setLimits" && answer === Status.Ok) slot.inflightMax = numbers[0] ?? 0;
}

/** The embedder must not let an image be written over a record: inside the memory it goes to the scratch area. */
function saveAny(machine: Machine, slot: Slot, numbers: number[]): void {
  const [generation = 0, toAt = 0, capacity = 0, ...note] = numbers;
  const isOutside = toAt >>> 0 > PAGE_LENGTH;
  const at = isOutside ? toAt : machine.scratchAt;
  const length = Math.min(capacity >>> 0, SCRATCH_LENGTH);
  const answer = machine.call("saveImage", slot, generation, at, length, ...note);
  if (isOutside && length > 0 && answer >= 0) throw new Finding("an image outside of the memory");
  if (answer > length) throw new Finding(`an image of ${answer} bytes in ${length}`);
  if (answer > 0) machine.accept(at, length);
}

function resolve(machine: Machine, slot: Slot, { base, offset }: Argument): number {
  switch (base) {
    case "":
      return offset;
    case "s":
      return machine.scratchAt + offset;
    case "r":
      return slot.at + offset;
    case "n":
      return slot.at + SLOT_LENGTH + GUARD_LENGTH + offset;
    case "m":
      return PAGE_LENGTH + offset;
    case "now":
      return machine.nowMs + offset;
    default:
      return (machine.exports[SOURCES[base]]?.(slot.at) ?? 0) + offset;
  }
}
