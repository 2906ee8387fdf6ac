/** When the power of a board fails: after so many calls of the module, or so many bytes of its flash. */

/** The power has failed in the middle of something. No error of anybody. */
export class PowerCut extends Error {
  override readonly name = "PowerCut";
}

export class Fuse {
  #callCount = Number.POSITIVE_INFINITY;
  #byteCount = Number.POSITIVE_INFINITY;

  /** Power fails before call number `callCount + 1` from now. */
  armCalls(callCount: number): void {
    this.#callCount = callCount;
  }

  /** Power fails while byte number `byteCount + 1` from now is written. */
  armBytes(byteCount: number): void {
    this.#byteCount = byteCount;
  }

  disarm(): void {
    this.#callCount = Number.POSITIVE_INFINITY;
    this.#byteCount = Number.POSITIVE_INFINITY;
  }

  /** Before each call of the module. */
  call(): void {
    if (this.#callCount-- <= 0) throw new PowerCut();
  }

  /** True if power fails while this byte is being written. */
  burnsAtByte(): boolean {
    return this.#byteCount-- <= 0;
  }
}
