/** What can happen to a message, a request or a client besides the errors of the connection. */

import { ConnectionError } from "../errors.ts";

/** Why a message was given up. */
export type PublishFailure =
  /** It was sent and not acknowledged, and it cannot be known any more whether it arrived. */
  | "in-doubt"
  /** A QoS 0 message that had to give way to a newer one: `whenFull` is "drop-oldest-qos0". */
  | "discarded"
  /** The outbox is full, and `waitingMax` messages wait for room already. */
  | "too-many-waiting";

/** A message was given up, or could not be taken. `remedy` says what to do. */
export class PublishError extends Error {
  override readonly name = "PublishError";
  readonly failure: PublishFailure;
  readonly topic: string;
  readonly remedy: string;

  constructor(failure: PublishFailure, topic: string) {
    const [problem, remedy] = explanations[failure];
    super(`The message on ${JSON.stringify(topic)} ${problem}`);
    this.failure = failure;
    this.topic = topic;
    this.remedy = remedy;
  }
}

const explanations: Record<PublishFailure, [problem: string, remedy: string]> = {
  "in-doubt": [
    "is in doubt: it was sent, but its acknowledgement will never come",
    "Ask the receivers, or publish it again if it may arrive twice",
  ],
  discarded: [
    "was discarded: the outbox was full and newer messages came",
    "Publish less, give the client a larger capacities.transmit, or set whenFull to refuse",
  ],
  "too-many-waiting": [
    "was refused: the outbox is full, and too many messages wait for room already",
    "Await publish() before the next one, or set a larger waitingMax",
  ],
};

/** The client was closed before, or while, this was under way. */
export class ClosedError extends Error {
  override readonly name = "ClosedError";

  constructor(problem: string, options?: ErrorOptions) {
    super(problem, options);
  }
}

/** Why a connection ended that nobody here wanted to end, and no error tells. */
export function brokerClosed(): ConnectionError {
  return new ConnectionError(
    "lost",
    "The broker closed the connection",
    "See the broker's log; another client with the same id takes the connection over",
  );
}
