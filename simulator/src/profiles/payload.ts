/** Quick looks into payloads of which nothing is known: no JSON is parsed, and nothing is trusted. */

const ZERO = 0x30;
const NINE = 0x39;
const POINT = 0x2e;

/** A payload that is longer than this is read no further. */
const READ_LENGTH_MAX = 1024;

/** So many digits are an exact number. */
const DIGIT_COUNT_MAX = 15;

const SEQUENCE_MAX = 0xffff_ffff;

/** True if the payload is this ASCII text. */
export function isText(payload: Uint8Array, text: string): boolean {
  return payload.length === text.length && startsWithAt(payload, 0, text);
}

/** Where the text behind `key`, which is ASCII, begins; -1 if it is not there. */
export function indexBehind(payload: Uint8Array, key: string): number {
  const last = Math.min(payload.length, READ_LENGTH_MAX) - key.length;
  const first = key.charCodeAt(0);
  for (let at = 0; at <= last; at++) {
    if (payload[at] === first && startsWithAt(payload, at, key)) return at + key.length;
  }
  return -1;
}

/** The `seq` behind `key`. */
export function sequenceBehind(payload: Uint8Array, key: string): number | undefined {
  const seq = wholeNumberBehind(payload, key);
  return seq !== undefined && seq <= SEQUENCE_MAX ? seq : undefined;
}

/** The digits behind `key` as a number. */
export function wholeNumberBehind(payload: Uint8Array, key: string): number | undefined {
  const at = indexBehind(payload, key);
  if (at < 0) return undefined;
  const count = digitCountAt(payload, at);
  return count === 0 || count > DIGIT_COUNT_MAX ? undefined : digitsAt(payload, at, count);
}

/** The seconds behind `key`, with exactly three decimals, as milliseconds. */
export function millisecondsBehind(payload: Uint8Array, key: string): number | undefined {
  const at = indexBehind(payload, key);
  if (at < 0) return undefined;
  const count = digitCountAt(payload, at);
  const pointAt = at + count;
  if (count === 0 || count > DIGIT_COUNT_MAX - 3 || payload[pointAt] !== POINT) return undefined;
  if (digitCountAt(payload, pointAt + 1) !== 3) return undefined;
  return 1000 * Number(digitsAt(payload, at, count)) + Number(digitsAt(payload, pointAt + 1, 3));
}

/** Exactly `count` digits as a number; undefined if one of them is none. */
export function digitsAt(payload: Uint8Array, at: number, count: number): number | undefined {
  let value = 0;
  for (let index = at; index < at + count; index++) {
    const byte = payload[index] ?? 0;
    if (byte < ZERO || byte > NINE) return undefined;
    value = 10 * value + byte - ZERO;
  }
  return value;
}

/** The level between `prefix` and `suffix`; undefined if the topic is not like that. */
export function levelBetween(topic: string, prefix: string, suffix: string): string | undefined {
  if (!topic.startsWith(prefix) || !topic.endsWith(suffix)) return undefined;
  const level = topic.slice(prefix.length, topic.length - suffix.length);
  return level === "" || level.includes("/") ? undefined : level;
}

function startsWithAt(payload: Uint8Array, at: number, text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    if (payload[at + index] !== text.charCodeAt(index)) return false;
  }
  return true;
}

/** At most one more than can be an exact number. */
function digitCountAt(payload: Uint8Array, at: number): number {
  let count = 0;
  while (count <= DIGIT_COUNT_MAX && digitsAt(payload, at + count, 1) !== undefined) count++;
  return count;
}
