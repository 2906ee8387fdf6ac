/** What a sensor measures: a daily curve, a slow drift and noise, the same for the same seed. */

import { RandomStream, SEED_LIMIT } from "./random.ts";

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

/** Milli-degrees Celsius at a time, in milliseconds since the start of the run. May be asked in any order. */
export type Temperature = (atMs: number) => number;

/** Noise further out than this is cut off, so that a reading has bounds. */
const NOISE_DEVIATIONS_MAX = 3;

/** Two waves that meet again after so many periods that nobody sees the repetition. */
const DRIFT_WAVES = [
  { periods: 3.7, share: 0.65 },
  { periods: 11.3, share: 0.35 },
];

/**
 * The temperature at one device, never further from the mean than amplitude + drift + 3 x noise. Each device starts
 * somewhere else in its day. A pure function of the time: it keeps no state, so a late reading changes no other.
 */
export function deviceTemperature(
  settings: TemperatureSettings,
  seed: number,
  deviceIndex: number,
): Temperature {
  const stream = new RandomStream(seed, deviceIndex, "temperature");
  const dayPhase = stream.uniform();
  const driftPhases = DRIFT_WAVES.map(() => stream.uniform());
  const noiseSeed = stream.word();

  return (atMs) => {
    const periods = atMs / settings.periodMs;
    let celsius = settings.mean + settings.amplitude * wave(periods + dayPhase);
    for (const [index, { periods: length, share }] of DRIFT_WAVES.entries()) {
      celsius += settings.drift * share * wave(periods / length + (driftPhases[index] ?? 0));
    }
    return Math.round(1000 * (celsius + settings.noise * noise(noiseSeed, atMs)));
  };
}

function wave(turns: number): number {
  return Math.sin(2 * Math.PI * turns);
}

/** One stream per device and millisecond. */
function noise(noiseSeed: number, atMs: number): number {
  const normal = new RandomStream(noiseSeed, Math.floor(atMs) % SEED_LIMIT, "noise").normal();
  return Math.max(-NOISE_DEVIATIONS_MAX, Math.min(NOISE_DEVIATIONS_MAX, normal));
}
