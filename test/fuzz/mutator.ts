/** Small changes of a program, and making one smaller while it keeps what it is kept for. */

import type { RandomStream } from "../../simulator/src/random.ts";
import { anyArgument, anyCall, anyMove, type Grammar } from "./generator.ts";
import { mutateBytes, pick } from "./packet-grammar.ts";
import { type Program, plain, RECORD_COUNT, type Step } from "./program.ts";

/** Longer programs are cut: small inputs are quick to run and to read. */
const STEP_COUNT_MAX = 200;
const BYTES_MAX = 2000;

/** The program with a few changes; `other` is there to be grafted on. */
export function mutateProgram(
  random: RandomStream,
  original: Program,
  other: Program,
  grammar: Grammar,
): Program {
  let program = original;
  const changeCount = random.integer(1, 4);
  for (let count = 0; count < changeCount; count++) {
    program = changeOnce(random, program, other, grammar);
  }
  return program.slice(0, STEP_COUNT_MAX);
}

function changeOnce(
  random: RandomStream,
  program: Program,
  other: Program,
  grammar: Grammar,
): Program {
  const at = random.integer(0, program.length);
  const record = program[at]?.record ?? 0;
  const behind = program.slice(at + 1);
  switch (random.integer(0, 9)) {
    case 0:
      return [...program.slice(0, at), ...program.slice(at + random.integer(1, 3))];
    case 1:
      return [...program.slice(0, at), ...other.slice(random.integer(0, other.length))];
    case 2:
      return [...program.slice(0, at), anyCall(random, record, grammar), ...program.slice(at)];
    case 3:
      return [...program.slice(0, at + random.integer(1, 5)), ...program.slice(at)];
    case 4:
    case 5:
    case 6:
      return [...program.slice(0, at), ...anyMove(random, record, grammar), ...program.slice(at)];
    default: {
      const step = program[at];
      return step === undefined
        ? program
        : [...program.slice(0, at), changeStep(random, step), ...behind];
    }
  }
}

function changeStep(random: RandomStream, step: Step): Step {
  const isBytes = step.bytes.length > 0 && random.integer(0, 2) > 0;
  if (isBytes) return { ...step, bytes: mutateBytes(random, step.bytes).slice(0, BYTES_MAX) };
  if (step.args.length === 0) return { ...step, record: random.integer(0, RECORD_COUNT - 1) };
  const args = step.args.slice();
  const index = random.integer(0, args.length - 1);
  const old = args[index] ?? plain(0);
  const isNear = random.integer(0, 1) === 0;
  args[index] = isNear
    ? { ...old, offset: old.offset + pick(random, [-1, 1]) }
    : anyArgument(random);
  return { ...step, args };
}

/** The smallest program that `isGood` says yes to, by leaving out steps, then bytes. */
export function minimise(original: Program, isGood: (program: Program) => boolean): Program {
  const program = leaveOut(original, isGood);
  program.forEach((step, index) => {
    if (step.bytes.length === 0) return;
    const withBytes = (bytes: number[]) =>
      program.with(index, { ...step, bytes: Uint8Array.from(bytes) });
    const bytes = leaveOut([...step.bytes], (some) => isGood(withBytes(some)));
    program[index] = { ...step, bytes: Uint8Array.from(bytes) };
  });
  return program;
}

/** Leaves out runs of elements, long ones first, as long as `isGood` holds. */
function leaveOut<T>(original: T[], isGood: (elements: T[]) => boolean): T[] {
  let elements = original;
  for (let length = elements.length; length >= 1; length = Math.floor(length / 2)) {
    for (let from = 0; from < elements.length; ) {
      const fewer = [...elements.slice(0, from), ...elements.slice(from + length)];
      if (isGood(fewer)) elements = fewer;
      else from += length;
    }
  }
  return elements.slice();
}
