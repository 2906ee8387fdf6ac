/** Latencies in milliseconds, kept as an HdrHistogram: 1 us to 1 h with three significant digits. */

import {
  build,
  decodeFromCompressedBase64,
  encodeIntoCompressedBase64,
  type Histogram,
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

/** The format counts in microseconds. */
const UNITS_PER_MS = 1000;
const VALUE_MAX = 3_600_000 * UNITS_PER_MS;
const SIGNIFICANT_DIGITS = 3;

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
    this.#histogram.add(other.#histogram);
  }

  /** Undefined as long as nothing was recorded. */
  summary(): LatencySummary | undefined {
    const histogram = this.#histogram;
    if (histogram.totalCount === 0) return undefined;
    // A percentile is the upper end of its bucket, which may lie above the largest value.
    const percentileMs = (percentile: number) =>
      toMs(Math.min(histogram.getValueAtPercentile(percentile), histogram.maxValue));
    return {
      count: histogram.totalCount,
      minMs: toMs(histogram.minNonZeroValue),
      meanMs: toMs(histogram.mean),
      p50Ms: percentileMs(50),
      p90Ms: percentileMs(90),
      p99Ms: percentileMs(99),
      p999Ms: percentileMs(99.9),
      maxMs: toMs(histogram.maxValue),
    };
  }

  /** HdrHistogram V2, compressed, in base64; the unit is the microsecond. */
  encode(): string {
    return encodeIntoCompressedBase64(this.#histogram);
  }

  /** The opposite of `encode`; throws a RangeError if `text` is no such histogram. */
  static decode(text: string): LatencyHistogram {
    const latencies = new LatencyHistogram();
    try {
      latencies.#histogram.add(decodeFromCompressedBase64(text));
    } catch (cause) {
      throw new RangeError("This is no compressed HdrHistogram (V2, base64)", { cause });
    }
    return latencies;
  }
}

/** All have the same form, whatever was recorded: so they can be merged and decoded without loss. */
function empty(): Histogram {
  return build({
    bitBucketSize: 32,
    lowestDiscernibleValue: 1,
    highestTrackableValue: VALUE_MAX,
    numberOfSignificantValueDigits: SIGNIFICANT_DIGITS,
  });
}

function toMs(value: number): number {
  return Math.round(value) / UNITS_PER_MS;
}
