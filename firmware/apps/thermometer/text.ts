/** Texts that the thermometer writes and reads, without strings: bytes and decimal numbers. */

const ZERO: u32 = 0x30;
const MINUS: u32 = 0x2d;
const POINT: u32 = 0x2e;

/** What `readDecimal` answers when the bytes are no number, or one above 2^31 - 1. */
export const NO_NUMBER: i32 = -1;

/** So many digits always fit an i32. */
const DIGITS_MAX: u32 = 9;

/** Writes a number below 10^18 without leading zeros; returns the address behind it. One division a digit: they are slow. */
export function writeDecimal(to: usize, value: u64): usize {
  let end = to + 1;
  for (let power: u64 = 10; power <= value; power *= 10) end++;
  let rest = value;
  for (let at = end; at > to; at--) {
    const tens = rest / 10;
    store<u8>(at - 1, <u8>(ZERO + <u32>(rest - tens * 10)));
    rest = tens;
  }
  return end;
}

/** Writes thousandths with two decimals, rounded half away from zero: 21475 becomes 21.48. */
export function writeHundredths(to: usize, thousandths: i32): usize {
  const magnitude: u32 = thousandths < 0 ? 0 - <u32>thousandths : <u32>thousandths;
  const hundredths: u32 = magnitude / 10 + (magnitude % 10 >= 5 ? 1 : 0);
  let at = to;
  if (thousandths < 0 && hundredths > 0) {
    store<u8>(at, <u8>MINUS);
    at++;
  }
  at = writeDecimal(at, hundredths / 100);
  const decimals: u32 = hundredths % 100;
  store<u8>(at, <u8>POINT);
  store<u8>(at, <u8>(ZERO + decimals / 10), 1);
  store<u8>(at, <u8>(ZERO + (decimals % 10)), 2);
  return at + 3;
}

/** The number that `length` decimal digits say, or NO_NUMBER. */
export function readDecimal(at: usize, length: u32): i32 {
  if (length === 0 || length > DIGITS_MAX) return NO_NUMBER;
  let value: u32 = 0;
  for (let index: u32 = 0; index < length; index++) {
    const digit: u32 = <u32>load<u8>(at + index) - ZERO;
    if (digit > 9) return NO_NUMBER;
    value = value * 10 + digit;
  }
  return <i32>value;
}

/** True if the bytes at `at` begin with those at `prefixAt`. */
export function startsWith(at: usize, length: u32, prefixAt: usize, prefixLength: u32): bool {
  if (length < prefixLength) return false;
  for (let index: u32 = 0; index < prefixLength; index++) {
    if (load<u8>(at + index) !== load<u8>(prefixAt + index)) return false;
  }
  return true;
}
