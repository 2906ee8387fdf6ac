/** A session store in memory, which outlives a client as a disk does. */

import { BatchField } from "../../firmware/core/abi.ts";
import type { SessionStore } from "../../host/src/store/session-store.ts";
import { hex } from "./bytes.ts";

export class ListStore implements SessionStore {
  batches: Uint8Array[] = [];
  nextGeneration = 1;
  /** What `append` throws from now on. */
  failure: Error | undefined;

  read(): Uint8Array[] {
    return [...this.batches];
  }

  append(batch: Uint8Array): boolean {
    if (this.failure !== undefined) throw this.failure;
    this.batches.push(batch.slice());
    return true;
  }

  replace(image: Uint8Array): void {
    if (this.failure !== undefined) throw this.failure;
    this.batches = [image.slice()];
    this.nextGeneration++;
  }

  /** The records of each batch but the image, in hexadecimal. */
  get records(): string[] {
    return this.batches.slice(1).map((batch) => hex(batch.subarray(BatchField.Records)));
  }
}
