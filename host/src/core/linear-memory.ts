/** The only file that reads or writes a module's memory. */

const PAGE_LENGTH = 65_536;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true }); // U+FEFF is a character [MQTT-1.5.3-3]

/** The linear memory of one module instance. Addresses and lengths are in bytes. */
export class LinearMemory {
  readonly #memory: WebAssembly.Memory;
  #bytes: Uint8Array;
  #numbers: DataView;

  constructor(memory: WebAssembly.Memory) {
    this.#memory = memory;
    this.#bytes = new Uint8Array(memory.buffer);
    this.#numbers = new DataView(memory.buffer);
  }

  get byteLength(): number {
    return this.#memory.buffer.byteLength;
  }

  /** Makes the memory at least `byteLength` bytes large. Throws a RangeError where the engine refuses. */
  growTo(byteLength: number): void {
    const missing = byteLength - this.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE_LENGTH));
  }

  /** A view for one use. Do not keep it: growing the memory detaches every view. */
  view(at: number, length: number): Uint8Array {
    return this.#current().subarray(at, at + length);
  }

  /** A copy that may be kept, for what leaves this layer. */
  copy(at: number, length: number): Uint8Array {
    return this.#current().slice(at, at + length);
  }

  write(at: number, bytes: Uint8Array): void {
    this.#current().set(bytes, at);
  }

  /** Writes `text` as UTF-8, as much as fits into `capacity` bytes; returns how many bytes it took. */
  writeText(at: number, text: string, capacity: number): number {
    return encoder.encodeInto(text, this.view(at, capacity)).written;
  }

  text(at: number, length: number): string {
    return decoder.decode(this.view(at, length));
  }

  /** A u32, little endian. */
  u32(at: number): number {
    this.#current();
    return this.#numbers.getUint32(at, true);
  }

  /** All of the memory. Made anew after a growth, which detaches the old one. */
  #current(): Uint8Array {
    if (this.#bytes.byteLength === 0) {
      this.#bytes = new Uint8Array(this.#memory.buffer);
      this.#numbers = new DataView(this.#memory.buffer);
    }
    return this.#bytes;
  }
}
