/** Messages that wait for a `for await`: a bounded queue that says when nothing more may come. */

import type { IncomingMessage } from "../core/session.ts";

/** What the owner of a queue is told. */
export interface MessageQueueHandlers {
  /** There was no room, and may be now. */
  taken(): void;
  /** The loop was left early, without these. */
  left(untaken: IncomingMessage[]): void;
}

/** While an answer is awaited, which comes behind the messages, so many times the usual number may wait. */
const CRAMMED_FACTOR = 64;

/** Full at `countMax`; then it holds its owner up until half of that was taken. */
export class MessageQueue implements AsyncIterableIterator<IncomingMessage> {
  readonly #countMax: number;
  readonly #handlers: MessageQueueHandlers;
  readonly #messages: IncomingMessage[] = [];
  /** Calls of `next` that wait for a message. Then there are no messages. */
  readonly #waiting: Waiting[] = [];
  #isHolding = false;
  #isEnded = false;
  /** Thrown once, behind the last message. */
  #failure: Error | undefined;

  constructor(countMax: number, handlers: MessageQueueHandlers) {
    this.#countMax = countMax;
    this.#handlers = handlers;
  }

  /** True if nothing should be pushed for now. */
  get isHolding(): boolean {
    return this.#isHolding;
  }

  /** True if nothing may be pushed for now, whatever waits behind it. */
  get isCrammed(): boolean {
    return this.#messages.length >= this.#countMax * CRAMMED_FACTOR;
  }

  push(message: IncomingMessage): void {
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      waiting.resolve({ value: message, done: false });
      return;
    }
    this.#messages.push(message);
    if (this.#messages.length >= this.#countMax) this.#isHolding = true;
  }

  /** Nothing more will come; with `failure` the iteration ends by throwing it. */
  end(failure: Error | undefined): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#failure = failure;
    for (const waiting of this.#waiting.splice(0))
      this.next().then(waiting.resolve, waiting.reject);
  }

  next(): Promise<IteratorResult<IncomingMessage, undefined>> {
    const value = this.#messages.shift();
    if (value !== undefined) {
      this.#release();
      return Promise.resolve({ value, done: false });
    }
    if (this.#isEnded) return this.#endOfIteration();
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Called by a `for await` that is left early. */
  return(): Promise<IteratorResult<IncomingMessage, undefined>> {
    const untaken = this.#messages.splice(0);
    this.end(undefined);
    this.#handlers.left(untaken);
    return this.#endOfIteration();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #release(): void {
    if (!this.#isHolding) return;
    if (this.#messages.length <= this.#countMax / 2) this.#isHolding = false;
    this.#handlers.taken();
  }

  #endOfIteration(): Promise<IteratorResult<IncomingMessage, undefined>> {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) return Promise.reject(failure);
    return Promise.resolve({ value: undefined, done: true });
  }
}

interface Waiting {
  resolve(result: IteratorResult<IncomingMessage, undefined>): void;
  reject(error: Error): void;
}
