/** Takes bytes, LEB128 numbers and names out of a WebAssembly binary, never past its end (WebAssembly 1.0, 5.2). */

/** The bytes are no WebAssembly module, or a damaged one; `offset` is where that shows. */
export class InvalidModuleError extends Error {
  override readonly name = "InvalidModuleError";
  readonly offset: number;

  constructor(problem: string, offset: number, options?: ErrorOptions) {
    super(`${problem} (at byte ${offset})`, options);
    this.offset = offset;
  }
}

/** A cursor over one part of a module. Each method moves it and throws `InvalidModuleError` where bytes are missing. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  /** Offset of the next byte in the whole module. */
  at: number;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#end = end;
    this.at = at;
  }

  get isDone(): boolean {
    return this.at === this.#end;
  }

  byte(): number {
    const value = this.#bytes[this.#advance(1)];
    return value as number;
  }

  take(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** A reader of the next `length` bytes, which this one skips. */
  part(length: number): ByteReader {
    const start = this.#advance(length);
    return new ByteReader(this.#bytes, start, start + length);
  }

  /** An unsigned number of at most 32 bits. */
  u32(): number {
    const start = this.at;
    const value = BigInt.asUintN(64, this.#leb128(32).value);
    if (value > 0xffffffffn) throw new InvalidModuleError("a number has more than 32 bits", start);
    return Number(value);
  }

  /** A signed number of at most `bits` bits. */
  signed(bits: 32 | 33 | 64): bigint {
    const { value, bitCount } = this.#leb128(bits);
    return BigInt.asIntN(Math.min(bitCount, 64), value);
  }

  /** Length and UTF-8 text. */
  name(): string {
    const start = this.at;
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
        this.take(this.u32()),
      );
    } catch (error) {
      if (error instanceof InvalidModuleError) throw error;
      throw new InvalidModuleError("a name is not UTF-8", start, { cause: error });
    }
  }

  /** LEB128 has 7 bits in a byte, so `bits` bits come in at most `bits / 7` bytes, rounded up (5.2.2). */
  #leb128(bits: number): { value: bigint; bitCount: number } {
    const start = this.at;
    let value = 0n;
    const byteCountMax = Math.ceil(bits / 7);
    for (let index = 0; index < byteCountMax; index++) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << BigInt(7 * index);
      if (byte < 0x80) return { value, bitCount: 7 * (index + 1) };
    }
    throw new InvalidModuleError(`a number has more than ${byteCountMax} bytes`, start);
  }

  /** Returns the offset before the move. */
  #advance(length: number): number {
    const start = this.at;
    if (length > this.#end - start) {
      throw new InvalidModuleError(
        `${length} bytes should follow and only ${this.#end - start} do`,
        start,
      );
    }
    this.at = start + length;
    return start;
  }
}
