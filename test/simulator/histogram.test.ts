import fc from "fast-check";
import { decodeFromCompressedBase64, type JsHistogram } from "hdr-histogram-js";
import { expect, test } from "vitest";
import { LatencyHistogram } from "../../simulator/src/histogram.ts";

function histogramOf(latenciesMs: readonly number[]): LatencyHistogram {
  const histogram = new LatencyHistogram();
  for (const latencyMs of latenciesMs) histogram.record(latencyMs);
  return histogram;
}

/** From 1 us to an hour, each decade as often. */
const anyLatencies = fc.array(
  fc.double({ min: -3, max: 6.5, noNaN: true }).map((exponent) => 10 ** exponent),
  { minLength: 1, maxLength: 200 },
);

test("an empty histogram has no summary", () => {
  expect(new LatencyHistogram().summary()).toBeUndefined();
});

test("the summary of 1 to 1000 ms is what anybody would count", () => {
  const summary = histogramOf(Array.from({ length: 1000 }, (_, index) => index + 1)).summary();
  const within = (valueMs: number | undefined, exactMs: number) =>
    expect(Math.abs((valueMs ?? 0) - exactMs)).toBeLessThanOrEqual(exactMs / 1000);
  expect(summary?.count).toBe(1000);
  within(summary?.minMs, 1);
  within(summary?.meanMs, 500.5);
  within(summary?.p50Ms, 500);
  within(summary?.p90Ms, 900);
  within(summary?.p99Ms, 990);
  within(summary?.p999Ms, 999);
  within(summary?.maxMs, 1000);
});

test("a microsecond is seen, an hour too, and what is outside counts as the nearest of them", () => {
  const smallest = histogramOf([0.001, 0, -5]).summary();
  expect(smallest).toMatchObject({ count: 3, minMs: 0.001, maxMs: 0.001 });
  const largest = histogramOf([3_600_000, 1e12, Number.POSITIVE_INFINITY]).summary();
  expect(largest?.count).toBe(3);
  expect(largest?.minMs).toBeGreaterThan(3_595_000);
  expect(largest?.maxMs).toBeLessThan(3_605_000);
});

test("what is no number is refused", () => {
  expect(() => new LatencyHistogram().record(Number.NaN)).toThrow(RangeError);
});

test("percentiles have three significant digits of the exact ones", () => {
  const latencies = fc.array(fc.double({ min: 0.001, max: 100_000, noNaN: true }), {
    minLength: 1,
    maxLength: 300,
  });
  fc.assert(
    fc.property(latencies, (latenciesMs) => {
      const sorted = latenciesMs.toSorted((a, b) => a - b);
      const summary = histogramOf(latenciesMs).summary();
      for (const [percent, valueMs] of [
        [50, summary?.p50Ms],
        [90, summary?.p90Ms],
        [99, summary?.p99Ms],
      ] as const) {
        const exactMs = sorted[Math.ceil((percent / 100) * sorted.length) - 1] ?? 0;
        expect(Math.abs((valueMs ?? 0) - exactMs)).toBeLessThanOrEqual(exactMs / 1000 + 0.001);
      }
    }),
    { numRuns: 50 },
  );
});

test("no percentile is above the largest value", () => {
  const summary = histogramOf([3010, 3110, 3210, 3310]).summary();
  expect(summary).toMatchObject({ p99Ms: 3310, p999Ms: 3310, maxMs: 3310 });
});

test("merging two histograms is the same as recording everything in one", () => {
  const slow = histogramOf([100, 200, 300_000]);
  const fast = histogramOf([0.5, 1, 2]);
  fast.merge(slow);
  expect(fast.encode()).toBe(histogramOf([0.5, 1, 2, 100, 200, 300_000]).encode());
});

test("a histogram survives its encoding, and can go on counting and merging after it", () => {
  const original = histogramOf([0.1, 5, 70]);
  const decoded = LatencyHistogram.decode(original.encode());
  expect(decoded.encode()).toBe(original.encode());
  decoded.record(3_000_000);
  decoded.merge(original);
  expect(decoded.summary()).toMatchObject({ count: 7, minMs: 0.1 });
  expect(decoded.summary()?.maxMs).toBeGreaterThan(2_990_000);
});

test("a histogram survives going to another thread as numbers", () => {
  fc.assert(
    fc.property(fc.option(anyLatencies, { nil: [] }), anyLatencies, (latenciesMs, others) => {
      const copy = histogramOf(others);
      copy.add(histogramOf(latenciesMs).counts());
      const whole = histogramOf([...others, ...latenciesMs]);
      expect(copy.encode()).toBe(whole.encode());
      expect(copy.summary()).toEqual(whole.summary());
    }),
    { numRuns: 50 },
  );
});

test("the encoding is HdrHistogram V2, compressed: other tools read it", () => {
  // The first four bytes are the cookie of the compressed V2 format, 0x1c849314.
  expect(Buffer.from(histogramOf([1]).encode(), "base64").readUInt32BE(0)).toBe(0x1c849314);
});

test.each(["", "abc", "no histogram", "SElTVA==", "HISTFAAAADB4nJNpmSzMwMD8loGBgZGBgYGZAQJA"])(
  "%j is no histogram, and the error says so",
  (text) => {
    expect(() => LatencyHistogram.decode(text)).toThrow(/no compressed HdrHistogram/);
  },
);

test("the curve goes from all to the one longest, and agrees with the percentiles", () => {
  const histogram = histogramOf(Array.from({ length: 1000 }, (_, index) => index + 1));
  const curve = histogram.curve();
  expect(curve[0]?.oneIn).toBe(1);
  expect(curve.at(-1)).toEqual({ oneIn: 1000, valueMs: histogram.summary()?.maxMs });
  const { valueMs } = curve.find(({ oneIn }) => oneIn === 32) ?? {};
  expect(valueMs).toBe(histogram.percentileMs(100 - 100 / 32));
  for (const [index, point] of curve.entries()) {
    const before = curve[index - 1] ?? { oneIn: 0, valueMs: 0 };
    expect(point.oneIn).toBeGreaterThan(before.oneIn);
    expect(point.valueMs).toBeGreaterThanOrEqual(before.valueMs);
  }
  expect(new LatencyHistogram().curve()).toEqual([]);
  expect(histogramOf([5]).curve()).toHaveLength(1);
});

test("the mean is the one that the library takes so long for", () => {
  fc.assert(
    fc.property(anyLatencies, (latenciesMs) => {
      const histogram = histogramOf(latenciesMs);
      const library = decodeFromCompressedBase64(histogram.encode()) as JsHistogram;
      const meanUs = 1_000 * (histogram.summary()?.meanMs ?? 0);
      // A mean is given in whole microseconds.
      expect(Math.abs(meanUs - library.mean)).toBeLessThanOrEqual(0.5 + 1e-9 * library.mean);
      const { sumMs } = histogram.countsUpTo([]);
      expect(1_000 * sumMs).toBeCloseTo(library.mean * latenciesMs.length, 3);
    }),
    { numRuns: 50 },
  );
});

test("the counts up to some bounds are those of the library's own buckets", () => {
  const anyBounds = anyLatencies.map((bounds) => bounds.toSorted((one, other) => one - other));
  fc.assert(
    fc.property(anyLatencies, anyBounds, (latenciesMs, boundsMs) => {
      const histogram = histogramOf(latenciesMs);
      const library = decodeFromCompressedBase64(histogram.encode()) as JsHistogram;
      const toUs = (ms: number) => Math.max(1, Math.round(1_000 * ms));
      const countUpTo = (boundMs: number) => {
        const endUs = library.highestEquivalentValue(toUs(boundMs));
        return latenciesMs.filter((latencyMs) => toUs(latencyMs) <= endUs).length;
      };
      expect(histogram.countsUpTo(boundsMs).counts).toEqual(boundsMs.map(countUpTo));
    }),
    { numRuns: 50 },
  );
});

test("no latency exceeds the longest bound, and none is below the shortest", () => {
  const histogram = histogramOf([0.001, 1, 3_600_000]);
  expect(histogram.countsUpTo([0, 0.001, 1, 3_600_000, 1e9]).counts).toEqual([0, 1, 2, 3, 3]);
  expect(new LatencyHistogram().countsUpTo([1, 2])).toEqual({ counts: [0, 0], sumMs: 0 });
});
