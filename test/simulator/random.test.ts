import { expect, test } from "vitest";
import { RANDOM_USES, RandomStream, type RandomUse } from "../../simulator/src/random.ts";

const SAMPLE_COUNT = 20_000;

function sample(draw: () => number, count = SAMPLE_COUNT): number[] {
  return Array.from({ length: count }, draw);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function correlation(one: readonly number[], other: readonly number[]): number {
  const [meanOne, meanOther] = [mean(one), mean(other)];
  const deviations = (values: readonly number[], center: number) =>
    values.map((value) => value - center);
  const [left, right] = [deviations(one, meanOne), deviations(other, meanOther)];
  const product = (a: readonly number[], b: readonly number[]) =>
    mean(a.map((value, index) => value * (b[index] ?? 0)));
  return product(left, right) / Math.sqrt(product(left, left) * product(right, right));
}

/** 5 standard deviations of a correlation of independent samples: one failure in 1.7 million seeds. */
const CORRELATION_MAX = 5 / Math.sqrt(SAMPLE_COUNT);

/** sfc32 as its author describes it, in numbers without any limit; the opposite of clever. */
function* referenceWords(seed: number, index: number, use: number): Generator<number> {
  const word = (value: bigint) => value & 0xffffffffn;
  let [a, b, c, counter] = [BigInt(seed), BigInt(index), BigInt(use), 1n];
  for (let round = 0; ; round++) {
    const output = word(a + b + counter);
    counter = word(counter + 1n);
    a = b ^ (b >> 9n);
    b = word(c + (c << 3n));
    c = word(word((c << 21n) | (c >> 11n)) + output);
    if (round >= 15) yield Number(output);
  }
}

test("the generator is sfc32, seeded with three words and mixed for 15 rounds", () => {
  const cases: [number, number, RandomUse][] = [
    [1, 0, "temperature"],
    [0xffffffff, 99_999, "reconnect"],
    [0x9e3779b9, 0x80000000, "fault"],
  ];
  for (const [seed, index, use] of cases) {
    const stream = new RandomStream(seed, index, use);
    const reference = referenceWords(seed, index, RANDOM_USES[use]);
    for (let draw = 0; draw < 1000; draw++) {
      expect(stream.word(), `seed ${seed}, draw ${draw}`).toBe(reference.next().value);
    }
  }
});

test("the first words of seed 1 never change: old seeds repeat old runs", () => {
  const stream = new RandomStream(1, 0, "temperature");
  expect(sample(() => stream.word(), 4)).toEqual([3387734806, 1080862987, 3546521498, 2861869171]);
});

test("a device's stream does not depend on what other devices draw", () => {
  const alone = new RandomStream(7, 1, "schedule");
  const expected = sample(() => alone.word(), 100);

  const other = new RandomStream(7, 0, "schedule");
  const among = new RandomStream(7, 1, "schedule");
  const drawn = sample(() => {
    other.word();
    return among.word();
  }, 100);
  expect(drawn).toEqual(expected);
});

test("uniform numbers fill [0, 1) evenly", () => {
  const stream = new RandomStream(1, 1, "schedule");
  const values = sample(() => stream.uniform());
  expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...values)).toBeLessThan(1);

  const bucketCount = 64;
  const buckets = new Array<number>(bucketCount).fill(0);
  for (const value of values) {
    const bucket = Math.floor(value * bucketCount);
    buckets[bucket] = (buckets[bucket] ?? 0) + 1;
  }
  const expectedCount = SAMPLE_COUNT / bucketCount;
  const chiSquare = buckets.reduce(
    (sum, count) => sum + (count - expectedCount) ** 2 / expectedCount,
    0,
  );
  // 63 degrees of freedom: mean 63, standard deviation 11.2; both "too even" and "too uneven" are wrong.
  expect(chiSquare).toBeGreaterThan(25);
  expect(chiSquare).toBeLessThan(120);
});

test("normal numbers have mean 0, standard deviation 1 and the tails of a normal distribution", () => {
  const stream = new RandomStream(1, 1, "noise");
  const values = sample(() => stream.normal());
  expect(Math.abs(mean(values))).toBeLessThan(5 / Math.sqrt(SAMPLE_COUNT));
  const variance = mean(values.map((value) => value ** 2));
  expect(Math.abs(variance - 1)).toBeLessThan(5 * Math.sqrt(2 / SAMPLE_COUNT));
  const beyond = (limit: number) =>
    values.filter((value) => Math.abs(value) > limit).length / SAMPLE_COUNT;
  expect(beyond(1)).toBeCloseTo(0.3173, 1);
  expect(beyond(2)).toBeCloseTo(0.0455, 2);
  expect(beyond(6.7)).toBe(0);
});

test("whole numbers are each as likely, and both ends are among them", () => {
  const stream = new RandomStream(1, 1, "fault");
  const counts = new Map<number, number>();
  for (const value of sample(() => stream.integer(-2, 3), 6000)) {
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  expect([...counts.keys()].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2, 3]);
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
});

test("a range that does not divide 2^32 favours no part of it", () => {
  // Without drawing again, the lower half of this range would come twice as often as the upper.
  const stream = new RandomStream(1, 1, "fault");
  const limit = 3 * 2 ** 30;
  const values = sample(() => stream.integer(0, limit - 1));
  expect(mean(values) / limit).toBeCloseTo(0.5, 1);
  const low = values.filter((value) => value < 2 ** 30).length / SAMPLE_COUNT;
  expect(low).toBeCloseTo(1 / 3, 1);
  expect(stream.integer(5, 5)).toBe(5);
});

test("neighbouring devices, seeds and uses are not correlated", () => {
  const draw = (seed: number, index: number, use: RandomUse) => {
    const stream = new RandomStream(seed, index, use);
    return sample(() => stream.uniform());
  };
  const base = draw(1, 0, "temperature");
  for (const other of [
    draw(1, 1, "temperature"),
    draw(2, 0, "temperature"),
    draw(1, 0, "noise"),
    base.slice(1).concat(0),
  ]) {
    expect(Math.abs(correlation(base, other))).toBeLessThan(CORRELATION_MAX);
  }
});

test("the first numbers of neighbouring devices are not correlated either", () => {
  const first = sample(() => 0).map((_, index) => new RandomStream(1, index, "schedule").uniform());
  expect(Math.abs(mean(first) - 0.5)).toBeLessThan(5 / Math.sqrt(12 * SAMPLE_COUNT));
  expect(Math.abs(correlation(first, first.slice(1).concat(0.5)))).toBeLessThan(CORRELATION_MAX);
});

test("no two devices of a large fleet share their first words", () => {
  const starts = new Set<string>();
  for (let index = 0; index < SAMPLE_COUNT; index++) {
    const stream = new RandomStream(42, index, "schedule");
    starts.add(`${stream.word()} ${stream.word()}`);
  }
  expect(starts.size).toBe(SAMPLE_COUNT);
});
