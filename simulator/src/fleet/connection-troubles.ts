/** Why connections failed or were lost, each reason told once, however many devices it hits. */

import type { EndReason } from "../../../host/src/client/driver.ts";
import { ProtocolError } from "../../../host/src/errors.ts";

/** Reasons may name what differs from device to device. */
const SENTENCE_COUNT_MAX = 10;

export class ConnectionTroubles {
  readonly #tell: (sentence: string) => void;
  readonly #told = new Set<string>();

  constructor(tell: (sentence: string) => void) {
    this.#tell = tell;
  }

  /** A connection ended before it was accepted. */
  failed(reason: EndReason): void {
    this.#say(`Connections failed. ${reasonText(reason)}`);
  }

  /** A connection ended that nobody here wanted to end. */
  lost(reason: EndReason): void {
    this.#say(`Connections were lost. ${reasonText(reason)}`);
  }

  /** A device was about to leave, and its connection ended before the broker had taken its goodbye. */
  unheard(reason: EndReason): void {
    const why = reason === undefined ? "It did not acknowledge it in time." : reasonText(reason);
    this.#say(`Devices have left without a goodbye that the broker took. ${why}`);
  }

  #say(sentence: string): void {
    if (this.#told.has(sentence) || this.#told.size >= SENTENCE_COUNT_MAX) return;
    this.#told.add(sentence);
    this.#tell(sentence);
  }
}

function reasonText(reason: EndReason): string {
  if (reason === undefined)
    return "The broker closed them in order, but without a word. See the broker's log.";
  const remedy = reason instanceof ProtocolError ? "See the broker's log" : reason.remedy;
  return `${reason.message}. ${remedy}.`;
}
