/** What a sensor measures: a daily curve, a slow drift and noise, the same for the same seed. */

import { RandomStream, SEED_LIMIT } from "../random.ts";

/** In degrees Celsius and milliseconds, as in a scenario. */
export interface TemperatureSettings {
  mean: number;
  /** How far the daily curve goes above and below the mean. */
  amplitude: number;
  /** Length of a "day". */
  periodMs: number;
  /** How far a sensor wanders from the curve over several periods, at most. */
  drift: number;
  /** Standard deviation of one reading; no reading is further off than three of them. */
  noise: number;
}

/** Noise further out than this is cut off, so that a reading has bounds. */
const NOISE_DEVIATIONS_MAX = 3;

interface DriftWave {
  periods: number;
  share: number;
}

/** Two waves that meet again after so many periods that nobody sees the repetition. */
const DRIFT_WAVES: readonly DriftWave[] = [
  { periods: 3.7, share: 0.65 },
  { periods: 11.3, share: 0.35 },
];

/** What is drawn for each device: where in its day it starts, where in each wave of its drift, and its noise. */
const DRAWN_COUNT = 2 + DRIFT_WAVES.length;

/**
 * The temperatures at many devices, never further from the mean than amplitude + drift + 3 x noise. Each device starts
 * somewhere else in its day. A pure function of device and time: it keeps no state, so a late reading changes no other.
 */
export class Temperatures {
  readonly #drawn: Float64Array;

  /** `indexOf` gives the index in the whole fleet, which the seed is mixed with, of each of `deviceCount` devices. */
  constructor(seed: number, deviceCount: number, indexOf: (device: number) => number) {
    this.#drawn = new Float64Array(deviceCount * DRAWN_COUNT);
    for (let device = 0; device < deviceCount; device++) {
      const stream = new RandomStream(seed, indexOf(device), "temperature");
      const at = device * DRAWN_COUNT;
      for (let part = 0; part < DRAWN_COUNT - 1; part++) this.#drawn[at + part] = stream.uniform();
      this.#drawn[at + DRAWN_COUNT - 1] = stream.word();
    }
  }

  /** In thousandths of a degree Celsius; `atMs` counts from the start of the run and may be asked in any order. */
  milliCelsius(settings: TemperatureSettings, device: number, atMs: number): number {
    const at = device * DRAWN_COUNT;
    const periods = atMs / settings.periodMs;
    let celsius = settings.mean + settings.amplitude * wave(periods + this.#part(at));
    for (let index = 0; index < DRIFT_WAVES.length; index++) {
      const { periods: length, share } = DRIFT_WAVES[index] as DriftWave;
      celsius += settings.drift * share * wave(periods / length + this.#part(at + 1 + index));
    }
    const noiseSeed = this.#part(at + DRAWN_COUNT - 1);
    return Math.round(1000 * (celsius + settings.noise * noise(noiseSeed, atMs)));
  }

  #part(at: number): number {
    return this.#drawn[at] as number;
  }
}

/** A sine, from a table: three of them for each reading of ten thousand devices are a noticeable share of a load test. */
function wave(turns: number): number {
  const place = (turns - Math.floor(turns)) * WAVE_POINT_COUNT;
  const index = Math.floor(place);
  const from = WAVE[index] as number;
  return from + ((WAVE[index + 1] as number) - from) * (place - index);
}

const WAVE_POINT_COUNT = 1024;
const WAVE = Float64Array.from({ length: WAVE_POINT_COUNT + 2 }, (_, index) =>
  Math.sin((2 * Math.PI * index) / WAVE_POINT_COUNT),
);

/** For each device and millisecond its own: nearly normal, with mean 0 and standard deviation 1. */
function noise(noiseSeed: number, atMs: number): number {
  const word = mixed(noiseSeed ^ mixed(Math.floor(atMs) % SEED_LIMIT));
  const other = mixed(word + 1);
  // The sum of four even ones (Irwin and Hall, 1927) has a variance of 4 / 12.
  const sum = (word & 0xffff) + (word >>> 16) + (other & 0xffff) + (other >>> 16);
  const normal = (sum / 65_535 - 2) * Math.sqrt(3);
  return Math.max(-NOISE_DEVIATIONS_MAX, Math.min(NOISE_DEVIATIONS_MAX, normal));
}

/** A word whose every bit depends on every bit of `word`: the last step of MurmurHash3 (Appleby, public domain). */
function mixed(word: number): number {
  let bits = word | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
