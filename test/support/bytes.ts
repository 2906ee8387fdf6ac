/** Bytes for tests: hexadecimal, UTF-8, strings and packets as MQTT frames them. */

/** "40 02 00 0a" */
export function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

/** The bytes of "40 02 00 0a"; anything else throws. */
export function unhex(digits: string): Uint8Array {
  const pairs = digits.split(/\s+/).filter((pair) => pair !== "");
  if (pairs.some((pair) => !/^[0-9a-f]{2}$/i.test(pair))) throw new Error(`no bytes: ${digits}`);
  return Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16));
}

export function concat(...pieces: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** The bytes of a text, or the bytes themselves. */
export function bytesOf(value: string | Uint8Array): Uint8Array {
  return typeof value === "string" ? new TextEncoder().encode(value) : value;
}

/** The text with every U+FEFF kept, or `x` and the bytes in hexadecimal if they are no UTF-8. */
export function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return `x ${hex(bytes)}`;
  }
}

/** A string as the wire has it: two bytes of length, then the text (1.5.3). */
export function lengthPrefixed(value: string | Uint8Array): Uint8Array {
  const bytes = bytesOf(value);
  return concat(Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes);
}

/** A packet of this first byte around its body (2.2). */
export function packet(firstByte: number, ...body: Uint8Array[]): Uint8Array {
  const whole = concat(...body);
  return concat(Uint8Array.of(firstByte), remainingLength(whole.length), whole);
}

/** The shortest form of a Remaining Length (2.2.3). */
function remainingLength(length: number): Uint8Array {
  const bytes: number[] = [];
  let rest = length;
  do {
    bytes.push((rest % 0x80) + (rest >= 0x80 ? 0x80 : 0));
    rest = Math.floor(rest / 0x80);
  } while (rest > 0);
  return Uint8Array.from(bytes);
}

/** Cuts a byte stream at the ends of its packets; a rest that is no whole packet comes last. */
export function splitPackets(stream: Uint8Array): Uint8Array[] {
  const packets: Uint8Array[] = [];
  let from = 0;
  while (from < stream.length) {
    const header = readRemainingLength(stream, from + 1);
    const end = header === undefined ? stream.length : header.bodyAt + header.length;
    packets.push(stream.slice(from, end));
    from = end;
  }
  return packets;
}

/** The Remaining Length at `at` and where the body begins; undefined if its bytes are not all there or too many. */
export function readRemainingLength(
  stream: Uint8Array,
  at: number,
): { length: number; bodyAt: number } | undefined {
  let length = 0;
  for (let index = 0; index < 4; index++) {
    const byte = stream[at + index];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return { length, bodyAt: at + index + 1 };
  }
  return undefined;
}
