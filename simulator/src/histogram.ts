/** Latencies in milliseconds, kept as an HdrHistogram: 1 us to 1 h with three significant digits. */

import {
  decodeFromCompressedBase64,
  encodeIntoCompressedBase64,
  Int32Histogram,
  type JsHistogram,
} from "hdr-histogram-js";

/** What a table shows of a histogram. */
export interface LatencySummary {
  count: number;
  minMs: number;
  meanMs: number;
  p50Ms: number;
  p90Ms: number;
  p99Ms: number;
  p999Ms: number;
  maxMs: number;
}

/** A point of the percentile curve: one in `oneIn` took `valueMs` or longer. */
export interface CurvePoint {
  oneIn: number;
  valueMs: number;
}

/** So many points of the curve from one percentile to the one that half as many exceed. */
const CURVE_STEPS = 5;

/** The format counts in microseconds. */
const UNITS_PER_MS = 1000;
const VALUE_MAX = 3_600_000 * UNITS_PER_MS;
const SIGNIFICANT_DIGITS = 3;
/** Values of so many bits (2 x 10^3 and above) are counted exactly; of larger ones, so many leading bits. VALUE_MAX has 32. */
const EXACT_BITS = 11;

/** Counts latencies in about 90 KiB. */
export class LatencyHistogram {
  readonly #histogram = empty();

  /** Values below 1 us count as 1 us, values above 1 h as 1 h. */
  record(latencyMs: number): void {
    if (Number.isNaN(latencyMs)) throw new RangeError("A latency must be a number");
    const value = Math.round(latencyMs * UNITS_PER_MS);
    this.#histogram.recordValue(Math.min(Math.max(value, 1), VALUE_MAX));
  }

  merge(other: LatencyHistogram): void {
    if (other.#histogram.totalCount > 0) this.#histogram.add(other.#histogram);
  }

  /** Forgets everything. */
  reset(): void {
    this.#histogram.reset();
  }

  /** How many latencies were recorded. */
  get count(): number {
    return this.#histogram.totalCount;
  }

  /** Undefined as long as nothing was recorded. */
  summary(): LatencySummary | undefined {
    const histogram = this.#histogram;
    if (histogram.totalCount === 0) return undefined;
    return {
      count: histogram.totalCount,
      minMs: toMs(histogram.minNonZeroValue),
      meanMs: toMs(this.#sum() / histogram.totalCount),
      p50Ms: this.percentileMs(50),
      p90Ms: this.percentileMs(90),
      p99Ms: this.percentileMs(99),
      p999Ms: this.percentileMs(99.9),
      maxMs: toMs(histogram.maxValue),
    };
  }

  /** What `percentile` percent (0 to 100) of the latencies do not exceed; 0 if nothing was recorded. */
  percentileMs(percentile: number): number {
    // The upper end of its bucket may lie above the largest value.
    const value = this.#histogram.getValueAtPercentile(percentile);
    return toMs(Math.min(value, this.#histogram.maxValue));
  }

  /**
   * The percentiles, closer together towards the longest: from 1 (all took so long or longer) to `count` (one did), evenly
   * on a logarithmic axis. Empty as long as nothing was recorded.
   */
  curve(): CurvePoint[] {
    const { totalCount, maxValue } = this.#histogram;
    if (totalCount === 0) return [];
    const stepCount = Math.ceil(CURVE_STEPS * Math.log2(totalCount));
    const points = Array.from({ length: stepCount }, (_, step) => {
      const oneIn = 2 ** (step / CURVE_STEPS);
      return { oneIn, valueMs: this.percentileMs(100 - 100 / oneIn) };
    });
    return [...points, { oneIn: totalCount, valueMs: toMs(maxValue) }];
  }

  /** How many latencies each of `boundsMs`, in ascending order, is not exceeded by; and the sum of all. */
  countsUpTo(boundsMs: readonly number[]): { counts: number[]; sumMs: number } {
    const histogram = this.#histogram;
    let index = 0;
    let count = 0;
    const counts = boundsMs.map((boundMs) => {
      const bound = Math.min(Math.round(boundMs * UNITS_PER_MS), VALUE_MAX);
      const last = histogram.countsArrayIndex(bound);
      for (; index <= last; index++) count += histogram.getCountAtIndex(index);
      return count;
    });
    return { counts, sumMs: this.#sum() / UNITS_PER_MS };
  }

  /** In the histogram's unit. The library's own mean takes some milliseconds, which would delay what is measured. */
  #sum(): number {
    let sum = 0;
    for (const [value, count] of this.#buckets()) {
      sum += count * this.#histogram.medianEquivalentValue(value);
    }
    return sum;
  }

  /** The smallest value and the count of each bucket that is not empty. */
  *#buckets(): Generator<[value: number, count: number]> {
    const histogram = this.#histogram;
    const last = histogram.countsArrayIndex(histogram.maxValue);
    for (let index = 0; index <= last; index++) {
      const count = histogram.getCountAtIndex(index);
      if (count > 0) yield [histogram.valueFromIndex(index), count];
    }
  }

  /** All of it for another thread, which `add`s it: a value in the histogram's unit and its count, by turns. */
  counts(): Float64Array {
    if (this.count === 0) return new Float64Array(0);
    const { minNonZeroValue, maxValue } = this.#histogram;
    const counts: number[] = [];
    for (const [value, count] of this.#buckets()) {
      counts.push(Math.max(value, minNonZeroValue), count);
    }
    return Float64Array.from([...counts, maxValue, 0]); // it counts nothing, but the largest value is known exactly
  }

  /** Adds what `counts` of another has given. */
  add(counts: Float64Array): void {
    for (let at = 0; at < counts.length; at += 2) {
      this.#histogram.recordValueWithCount(counts[at] as number, counts[at + 1] as number);
    }
  }

  /** HdrHistogram V2, compressed, in base64; the unit is the microsecond. */
  encode(): string {
    return encodeIntoCompressedBase64(this.#histogram);
  }

  /** The opposite of `encode`; throws a RangeError if `text` is no such histogram. */
  static decode(text: string): LatencyHistogram {
    const latencies = new LatencyHistogram();
    try {
      latencies.#histogram.add(decodeFromCompressedBase64(text) as JsHistogram);
    } catch (cause) {
      throw new RangeError("This is no compressed HdrHistogram (V2, base64)", { cause });
    }
    return latencies;
  }
}

/** All have the same form, whatever was recorded: so they can be merged and decoded without loss. */
function empty(): Int32Histogram {
  const histogram = new WordHistogram(1, VALUE_MAX, SIGNIFICANT_DIGITS);
  histogram.autoResize = false;
  return histogram;
}

/** Finds a value's place with words: the library's powers and logarithms take longer than the rest of a recording. */
class WordHistogram extends Int32Histogram {
  override countsArrayIndex(value: number): number {
    const bucketIndex = Math.max(32 - EXACT_BITS - Math.clz32(value), 0);
    return (bucketIndex << (EXACT_BITS - 1)) + (value >>> bucketIndex);
  }
}

function toMs(value: number): number {
  return Math.round(value) / UNITS_PER_MS;
}
