/** What a reporter has besides its client and its thermometer: the profile, and what of it is still to be said. */

import { Client } from "../../core/client";
import { clear } from "../../core/wire";
import { thermometerOf, thermometerSize } from "../thermometer/thermometer";

/**
 * Lies behind the thermometer:
 *
 *   ┌───────────────┬─────────────┬──────────┐
 *   │ client record │ thermometer │ reporter │
 *   └───────────────┴─────────────┴──────────┘
 */
@unmanaged
export class Reporter {
  /** The block, which belongs to the embedder; 0 bytes until there is one. */
  profileAt: usize;
  profileLength: u32;
  /** Bits of ProfileWhen: what is to be said, from this item on. 0 when all is said. */
  due: u32;
  dueOffset: u32;
  /** The Packet Identifier of the last birth, 0 if there was none. */
  birthPacketId: u32;
}

/** Bytes behind the thermometer; a multiple of 8. */
export function reporterSize(): u32 {
  return (<u32>offsetof<Reporter>() + 7) & ~7;
}

export function reporterOf(client: Client): Reporter {
  return changetype<Reporter>(changetype<usize>(thermometerOf(client)) + thermometerSize());
}

export function initReporter(client: Client): void {
  clear(changetype<usize>(reporterOf(client)), reporterSize());
}

/** From the first item on, what belongs to these bits of ProfileWhen is to be said. */
export function ask(reporter: Reporter, when: u32): void {
  reporter.due |= when;
  reporter.dueOffset = 0;
}
