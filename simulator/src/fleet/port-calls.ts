/** Calls from one thread to another and their answers, over a port of node:worker_threads. */

/** The part of a MessagePort, a Worker or a parent's port that is used. */
export interface CallPort {
  postMessage(message: unknown, transfer?: ArrayBuffer[]): void;
  on(event: "message", listener: (message: unknown) => void): unknown;
}

/** What the other thread may call. Arguments and answers are what a structured clone can copy. */
export type CallHandlers = Readonly<Record<string, (...args: never[]) => unknown>>;

interface Message {
  /** Undefined: nobody waits for an answer. */
  id: number | undefined;
  /** A call; without it the message is an answer. */
  method?: string;
  args?: unknown[];
  answer?: unknown;
  error?: unknown;
  /** A copy of an Error of another class than the language's own has lost it. */
  errorName?: string | undefined;
}

interface Waiting {
  resolve: (answer: unknown) => void;
  reject: (error: unknown) => void;
}

export class PortCalls {
  readonly #port: CallPort;
  readonly #handlers: CallHandlers;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 0;
  #failure: Error | undefined;

  constructor(port: CallPort, handlers: CallHandlers) {
    this.#port = port;
    this.#handlers = handlers;
    port.on("message", (message) => this.#onMessage(message as Message));
  }

  /** Rejects with what the other thread threw, or when it is gone. */
  call(method: string, ...args: unknown[]): Promise<unknown> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#port.postMessage({ id, method, args } satisfies Message);
    });
  }

  /** Wants no answer. Whoever gives `transfer` has it no longer. */
  tell(method: string, args: unknown[], transfer: ArrayBuffer[] = []): void {
    this.#port.postMessage({ id: undefined, method, args } satisfies Message, transfer);
  }

  /** The other thread is gone: nothing will be answered any more. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  #onMessage(message: Message): void {
    if (message.method === undefined) this.#onAnswer(message);
    else void this.#onCall(message.method, message);
  }

  #onAnswer({ id, answer, error, errorName }: Message): void {
    const waiting = this.#waiting.get(id ?? -1);
    this.#waiting.delete(id ?? -1);
    if (error === undefined) waiting?.resolve(answer);
    else waiting?.reject(named(error, errorName));
  }

  async #onCall(method: string, { id, args = [] }: Message): Promise<void> {
    const handler = this.#handlers[method];
    if (handler === undefined) throw new TypeError(`There is no call ${method}`);
    if (id === undefined) {
      handler(...(args as never[]));
      return;
    }
    try {
      this.#port.postMessage({ id, answer: await handler(...(args as never[])) });
    } catch (error) {
      const errorName = error instanceof Error ? error.name : undefined;
      this.#port.postMessage({ id, error, errorName } satisfies Message);
    }
  }
}

function named(error: unknown, name: string | undefined): unknown {
  if (error instanceof Error && name !== undefined) error.name = name;
  return error;
}
