/** Where the batches of a durable session survive. docs/journal.md says what a batch is. */

/** Keeps batches in their order. What a call did survives a loss of power as soon as it has returned. */
export interface SessionStore {
  /**
   * The batches of the session as they were stored, an image first; none if there was no session. Call it once, before
   * anything else. Throws a StoreError if the journal is damaged.
   */
  read(): Uint8Array[];
  /** Stores a batch behind the others. False, and nothing stored, if there is no room: then give `replace` an image. */
  append(batch: Uint8Array): boolean;
  /** The generation that the next image must carry. */
  readonly nextGeneration: number;
  /** Begins anew with an image, in place of all that was stored before. */
  replace(image: Uint8Array): void;
}
