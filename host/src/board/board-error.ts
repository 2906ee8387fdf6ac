/** What can go wrong between this machine and a board. */

export type BoardFailure =
  /** There is no such port, or none at all, or something that is no port. */
  | "no-port"
  /** Another program has the port open. */
  | "busy"
  /** This user may not open the port. */
  | "not-permitted"
  /** A part of this program that boards need is not installed. */
  | "not-installed"
  /** The line ended: the cable was pulled, the emulator was ended. */
  | "lost"
  /** Nothing is answered. */
  | "silent"
  /** Something answers that is no board of ours. */
  | "foreign"
  /** What the board was asked for, it refuses. */
  | "refused"
  /** The module cannot run there: its ABI, its size, its memory, its version. */
  | "incompatible"
  /** The board went back to the module before. */
  | "rolled-back"
  /** The board or a tool failed at what it was asked for. */
  | "failed";

/** A board, or the line to it, did not do what was asked; `remedy` says what to do. */
export class BoardError extends Error {
  override readonly name = "BoardError";
  readonly failure: BoardFailure;
  readonly remedy: string;

  constructor(failure: BoardFailure, problem: string, remedy: string, options?: ErrorOptions) {
    super(problem, options);
    this.failure = failure;
    this.remedy = remedy;
  }
}

/** The board may be there again in a moment: it restarts, or its cable was pulled. */
export function isInterruption(error: unknown): error is BoardError {
  return error instanceof BoardError && (error.failure === "lost" || error.failure === "silent");
}
