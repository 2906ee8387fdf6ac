/** Templates: texts with places in them, to be filled in, or to be compared with what came. */

import { Placeholder } from "../../core/abi";
import { Client } from "../../core/client";
import { copy, loadU16 } from "../../core/wire";
import {
  NO_NUMBER,
  readDecimal,
  startsWith,
  writeDecimal,
  writeHundredths,
} from "../thermometer/text";
import { Thermometer } from "../thermometer/thermometer";
import { writeDateTime, writeThreeDigits } from "./date-time";

/** What `match` answers when it does not. */
export const NO_MATCH: i32 = NO_NUMBER;

/** Bytes below this stand for something else. */
const LITERAL_MIN: u32 = 0x20;

/** The longest that a place other than the client id becomes: 20 digits. */
const VALUE_LENGTH_MAX: u32 = 20;

const INTERVAL_SECONDS_MAX: i32 = 86_400;

const ZERO: u32 = 0x30;

/** True if each byte stands for itself or for something known. */
export function isTemplate(at: usize, length: u32): bool {
  for (let index: u32 = 0; index < length; index++) {
    const byte: u32 = load<u8>(at + index);
    if (byte === 0 || (byte > <u32>Placeholder.IntervalMs && byte < LITERAL_MIN)) return false;
  }
  return true;
}

/** The template becomes no longer than this, with a client id of this length. */
export function lengthAtMost(at: usize, length: u32, idLength: u32): u32 {
  let total: u32 = 0;
  for (let index: u32 = 0; index < length; index++) {
    const byte: u32 = load<u8>(at + index);
    total += byte >= LITERAL_MIN ? 1 : byte === Placeholder.ClientId ? idLength : VALUE_LENGTH_MAX;
  }
  return total;
}

/** Writes a template with its places filled in; returns the address behind. There is room for `lengthAtMost`. */
export function compose(
  to: usize,
  templateAt: usize,
  length: u32,
  client: Client,
  thermometer: Thermometer,
  milliCelsius: i32,
): usize {
  let at = to;
  for (let index: u32 = 0; index < length; index++) {
    const byte: u32 = load<u8>(templateAt + index);
    if (byte >= LITERAL_MIN) store<u8>(at++, <u8>byte);
    else at = fillIn(at, byte, client, thermometer, milliCelsius);
  }
  return at;
}

function fillIn(
  to: usize,
  placeholder: u32,
  client: Client,
  thermometer: Thermometer,
  milliCelsius: i32,
): usize {
  const unixMs = thermometer.unixMs;
  switch (placeholder) {
    case Placeholder.ClientId:
      return copy(to, client.identityAt + 2, loadU16(client.identityAt));
    case Placeholder.Temperature:
      return writeHundredths(to, milliCelsius);
    case Placeholder.Sequence:
      return writeDecimal(to, thermometer.sequence);
    case Placeholder.UnixMs:
      return writeDecimal(to, unixMs);
    case Placeholder.UnixSeconds:
      return writeDecimal(to, unixMs / 1000);
    case Placeholder.Milliseconds:
      return writeThreeDigits(to, <u32>(unixMs % 1000));
    case Placeholder.DateTime:
      return writeDateTime(to, <u32>(unixMs / 1000));
    case Placeholder.IntervalSeconds:
      return writeDecimal(to, thermometer.intervalMs / 1000);
    case Placeholder.IntervalMs:
      return writeDecimal(to, thermometer.intervalMs);
    default:
      return to;
  }
}

/**
 * Compares a text with a template that has no places but the client id and an interval. Returns the interval in
 * milliseconds, 0 if there is none in it, or NO_MATCH.
 */
export function match(
  templateAt: usize,
  templateLength: u32,
  at: usize,
  length: u32,
  client: Client,
): i32 {
  let done: u32 = 0;
  let intervalMs: i32 = 0;
  for (let index: u32 = 0; index < templateLength; index++) {
    const byte: u32 = load<u8>(templateAt + index);
    const taken = lengthTaken(byte, at + done, length - done, client);
    if (taken === NO_MATCH) return NO_MATCH;
    if (isInterval(byte)) intervalMs = readInterval(byte, at + done, taken);
    done += <u32>taken;
  }
  return done === length ? intervalMs : NO_MATCH;
}

/** How many bytes of a text this byte of a template stands for, or NO_MATCH. */
function lengthTaken(byte: u32, at: usize, available: u32, client: Client): i32 {
  if (isInterval(byte)) return <i32>countDigits(at, available);
  if (byte !== Placeholder.ClientId) {
    return available > 0 && load<u8>(at) === <u8>byte ? 1 : NO_MATCH;
  }
  const idLength = loadU16(client.identityAt);
  return startsWith(at, available, client.identityAt + 2, idLength) ? <i32>idLength : NO_MATCH;
}

function isInterval(byte: u32): bool {
  return byte === Placeholder.IntervalMs || byte === Placeholder.IntervalSeconds;
}

/** Milliseconds, or NO_MATCH. */
function readInterval(byte: u32, at: usize, digitCount: u32): i32 {
  const number = readDecimal(at, digitCount);
  if (number === NO_NUMBER || byte === Placeholder.IntervalMs) return number;
  return number <= INTERVAL_SECONDS_MAX ? number * 1000 : NO_MATCH;
}

function countDigits(at: usize, available: u32): u32 {
  let count: u32 = 0;
  while (count < available && <u32>load<u8>(at + count) - ZERO <= 9) count++;
  return count;
}
