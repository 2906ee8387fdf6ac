/** What a check found: the simulated world is not as the standard, or this project, promises. */

/** The checks, and what each watches over. */
export const CHECKS = {
  conversation: "what a device sends follows the standard",
  "at-most-once": "a message at QoS 0 arrives once or not at all, and not behind a later one",
  "at-least-once": "a message at QoS 1 arrives, and not behind a later one of its topic",
  "exactly-once": "a message at QoS 2 arrives once, and in the order of its topic",
  acknowledged: "what a device was told has arrived did arrive",
  will: "a Will is published exactly when the standard says so",
  "write-ahead": "nothing is sent that depends on what is not in flash yet",
  memory: "a device writes into its own record only, and stays within its buffers",
  flash: "a word of flash is programmed once between two erasures",
  deadline: "a device does in time what is due",
  starvation: "when the faults are over, all that is owed is delivered",
  restore: "a journal that only lost power is whole",
  trap: "the module neither traps nor refuses what is allowed",
} as const;

export type CheckName = keyof typeof CHECKS;

/** What each QoS promises (4.3). */
export const PROMISES: readonly CheckName[] = ["at-most-once", "at-least-once", "exactly-once"];

/** Ends a simulation. */
export class SimulationFailure extends Error {
  override readonly name = "SimulationFailure";
  readonly check: CheckName;
  /** Of the device concerned; undefined if it is none's in particular. */
  readonly deviceIndex: number | undefined;

  constructor(check: CheckName, deviceIndex: number | undefined, problem: string) {
    super(problem);
    this.check = check;
    this.deviceIndex = deviceIndex;
  }
}
