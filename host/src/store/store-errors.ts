/** What can be wrong with the place where a durable session survives. */

export type StoreFailure =
  /** A part of the journal is not there. */
  | "missing"
  /** This user may not write there. */
  | "read-only"
  /** No room. */
  | "full"
  /** Another running device keeps its session there. */
  | "locked"
  /** What is there was changed since it was stored. */
  | "damaged"
  /** A newer version of this program wrote it. */
  | "newer"
  /** Something else lies there. */
  | "foreign"
  /** The disk or the flash did not do what it was asked to. */
  | "failed";

/** The store cannot be used; what it holds was left as it is. `remedy` says what to do. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly failure: StoreFailure;
  readonly remedy: string;

  constructor(failure: StoreFailure, problem: string, remedy: string, options?: ErrorOptions) {
    super(problem, options);
    this.failure = failure;
    this.remedy = remedy;
  }
}
