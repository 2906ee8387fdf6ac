/** A promise that is settled from outside. */

export class Deferred<Value> {
  readonly promise: Promise<Value>;
  readonly resolve: (value: Value) => void;
  readonly #reject: (error: Error) => void;

  constructor() {
    let resolve: (value: Value) => void = () => {};
    let reject: (error: Error) => void = () => {};
    this.promise = new Promise((resolvePromise, rejectPromise) => {
      resolve = resolvePromise;
      reject = rejectPromise;
    });
    this.resolve = resolve;
    this.#reject = reject;
  }

  /** Rejects; a mistake of the caller, who should hear of it even without waiting. */
  reject(error: Error): void {
    this.#reject(error);
  }

  /** Rejects for a reason from outside: a promise that nobody waits for does not end the process. */
  fail(error: Error): void {
    this.promise.catch(() => {});
    this.#reject(error);
  }
}
