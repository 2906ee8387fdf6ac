/** Keeps a durable session in a store: what the core wants stored is there before anything that depends on it goes. */

import { Status } from "../../../firmware/core/abi.ts";
import type { CoreExports } from "../core/core.ts";
import { CoreError, type Session } from "../core/session.ts";
import type { SessionStore } from "./session-store.ts";
import { StoreError } from "./store-errors.ts";

const NO_NOTE = new Uint8Array(0);

export class SessionKeeper<Exports extends CoreExports = CoreExports> {
  readonly #session: Session<Exports>;
  readonly #store: SessionStore;
  /** What an image must hold of the embedder's own. */
  #note: Uint8Array = NO_NOTE;

  constructor(session: Session<Exports>, store: SessionStore) {
    this.#session = session;
    this.#store = store;
  }

  /** The embedder's note as it was stored last, or given to `keepNote`; empty if there is none. */
  get note(): Uint8Array {
    return this.#note;
  }

  /**
   * Takes back what the store holds; true if there was a session. Call it once, when the client id is set, before the
   * first connection. Throws a StoreError if the store is damaged, or holds no session of this client; nothing in it has
   * changed then.
   */
  restore(): boolean {
    const batches = this.#store.read();
    for (const batch of batches) this.#note = this.#restoreBatch(batch) ?? this.#note;
    if (batches.length === 0) this.#saveImage();
    return batches.length > 0;
  }

  /** Puts the embedder's own state into the batch that is stored next. Throws a CoreError if it has no room. */
  keepNote(bytes: Uint8Array): void {
    this.#session.note(bytes);
    this.#note = bytes.slice();
  }

  /** Stores what is urgent; true if there was something. Throws a StoreError, and nothing more goes then. */
  keep(): boolean {
    const batch = this.#session.batch();
    if (batch.length === 0) return false;
    if (this.#store.append(batch)) this.#session.batchStored();
    else this.#saveImage();
    return true;
  }

  #restoreBatch(batch: Uint8Array): Uint8Array | undefined {
    try {
      return this.#session.restore(batch);
    } catch (error) {
      throw error instanceof CoreError ? refusalOf(error) : error;
    }
  }

  #saveImage(): void {
    this.#session.saveImage(this.#store.nextGeneration, this.#note, (image) =>
      this.#store.replace(image),
    );
  }
}

function refusalOf(error: CoreError): StoreError {
  switch (error.status) {
    case Status.ForeignImage:
      return new StoreError(
        "foreign",
        "The store holds the session of another client id",
        "Give this client a store of its own, or the client id that the store was made with",
        { cause: error },
      );
    case Status.TooLarge:
      return new StoreError(
        "failed",
        "The stored session does not fit this client's buffers",
        "Give it capacities as large as those it was stored with",
        { cause: error },
      );
    default:
      return new StoreError(
        "damaged",
        `The stored session cannot be taken back: ${error.message}`,
        "Move the store away to begin a new session; what was under way in the old one is lost then",
        { cause: error },
      );
  }
}
