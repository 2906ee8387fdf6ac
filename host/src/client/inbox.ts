/** Incoming messages on their way to whoever listens: loops, listeners, or nobody yet. */

import type { IncomingMessage } from "../core/session.ts";
import { MessageQueue } from "./message-queue.ts";

export interface InboxHandlers {
  /** True if a listener is there besides the loops. */
  hasListener(): boolean;
  /** Tells that listener. */
  message(message: IncomingMessage): void;
  /** A queue was full, and may have room now. */
  roomMade(): void;
}

/** So many messages wait while nobody listens; then the oldest is lost. */
const BACKLOG_COUNT_MAX = 64;

export class Inbox {
  readonly #handlers: InboxHandlers;
  readonly #queues = new Set<MessageQueue>();
  #backlog: IncomingMessage[] = [];
  #isEnded = false;

  constructor(handlers: InboxHandlers) {
    this.#handlers = handlers;
  }

  /** A loop's messages: what waits for somebody, and then all that come. */
  open(queueMax: number): MessageQueue {
    const queue: MessageQueue = new MessageQueue(queueMax, {
      taken: this.#handlers.roomMade,
      left: (untaken) => this.#close(queue, untaken),
    });
    for (const message of this.#backlog.splice(0)) queue.push(message);
    if (this.#isEnded) queue.end(undefined);
    else this.#queues.add(queue);
    return queue;
  }

  deliver(message: IncomingMessage): void {
    if (this.#queues.size === 0 && !this.#handlers.hasListener()) {
      this.#keep([message]);
      return;
    }
    this.deliverBacklog();
    for (const queue of this.#queues) queue.push(message);
    this.#handlers.message(message);
  }

  /** A listener has come. */
  deliverBacklog(): void {
    if (this.#backlog.length === 0 || !this.#handlers.hasListener()) return;
    for (const message of this.#backlog.splice(0)) this.#handlers.message(message);
  }

  /**
   * True if nothing more should come for now. If somebody awaits an answer, which comes behind the messages, to stop
   * early would be to wait for ever.
   */
  isFull(isAwaitingAnswer: boolean): boolean {
    for (const queue of this.#queues) {
      if (isAwaitingAnswer ? queue.isCrammed : queue.isHolding) return true;
    }
    return false;
  }

  /** No more messages; with `failure` the loops end by throwing it. */
  end(failure: Error | undefined): void {
    this.#isEnded = true;
    for (const queue of this.#queues) queue.end(failure);
    this.#queues.clear();
  }

  /** What the last loop has not taken waits for the next one. */
  #close(queue: MessageQueue, untaken: IncomingMessage[]): void {
    this.#queues.delete(queue);
    if (this.#queues.size === 0 && !this.#handlers.hasListener()) this.#keep(untaken);
    this.#handlers.roomMade();
  }

  #keep(messages: IncomingMessage[]): void {
    this.#backlog = [...this.#backlog, ...messages].slice(-BACKLOG_COUNT_MAX);
  }
}
