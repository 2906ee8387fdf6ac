/** The calendar: a date and a time of day from the seconds since 1970, as ISO 8601 writes them, in UTC. */

const DAY_SECONDS: u32 = 86_400;

/** Days from the first of March of the year 0, where 400-year cycles begin, to 1970. */
const DAYS_TO_1970: u32 = 719_468;
const CYCLE_DAYS: u32 = 146_097;
const CENTURY_DAYS: u32 = 36_524;
const FOUR_YEARS_DAYS: u32 = 1_461;
const YEAR_DAYS: u32 = 365;

/** Months from March on have 153 days in each five. */
const FIVE_MONTHS_DAYS: u32 = 153;

const ZERO: u32 = 0x30;
const MINUS: u8 = 0x2d;
const COLON: u8 = 0x3a;
const T: u8 = 0x54;

/** Writes `2026-11-23T07:48:00`, 19 bytes; returns the address behind. */
export function writeDateTime(to: usize, unixSeconds: u32): usize {
  const days: u32 = unixSeconds / DAY_SECONDS + DAYS_TO_1970;
  const cycle: u32 = days / CYCLE_DAYS;
  const day: u32 = days % CYCLE_DAYS;
  // Takes the leap days before this one out, so that each year has 365.
  const leapless: u32 =
    day - day / (FOUR_YEARS_DAYS - 1) + day / CENTURY_DAYS - day / (CYCLE_DAYS - 1);
  const yearOfCycle: u32 = leapless / YEAR_DAYS;
  const dayOfYear: u32 = day - (YEAR_DAYS * yearOfCycle + yearOfCycle / 4 - yearOfCycle / 100);
  const monthFromMarch: u32 = (5 * dayOfYear + 2) / FIVE_MONTHS_DAYS;
  const dayOfMonth: u32 = dayOfYear - (FIVE_MONTHS_DAYS * monthFromMarch + 2) / 5 + 1;
  const isNextYear = monthFromMarch > 9;
  const month: u32 = isNextYear ? monthFromMarch - 9 : monthFromMarch + 3;
  const year: u32 = cycle * 400 + yearOfCycle + (isNextYear ? 1 : 0);

  let at = writeTwoDigits(writeTwoDigits(to, year / 100), year % 100);
  at = writeTwoDigits(put(at, MINUS), month);
  at = writeTwoDigits(put(at, MINUS), dayOfMonth);
  const time: u32 = unixSeconds % DAY_SECONDS;
  at = writeTwoDigits(put(at, T), time / 3600);
  at = writeTwoDigits(put(at, COLON), (time / 60) % 60);
  return writeTwoDigits(put(at, COLON), time % 60);
}

export function writeThreeDigits(to: usize, value: u32): usize {
  return writeTwoDigits(put(to, <u8>(ZERO + value / 100)), value % 100);
}

function writeTwoDigits(to: usize, value: u32): usize {
  store<u8>(to, <u8>(ZERO + value / 10));
  store<u8>(to, <u8>(ZERO + (value % 10)), 1);
  return to + 2;
}

function put(to: usize, byte: u8): usize {
  store<u8>(to, byte);
  return to + 1;
}
