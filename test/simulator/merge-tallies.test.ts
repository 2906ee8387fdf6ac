import fc from "fast-check";
import { expect, test } from "vitest";
import { LatencyHistogram } from "../../simulator/src/histogram.ts";
import { mergeLatencies, mergeTallies, type Tally } from "../../simulator/src/run/merge-tallies.ts";
import { latencyResult } from "../../simulator/src/run/result.ts";
import { FAULT_KINDS } from "../../simulator/src/scenario/scenario.ts";
import { sampleResult } from "./sample-result.ts";

const latencyMs = fc.double({ min: 0.001, max: 100_000, noNaN: true });

function recorded(latenciesMs: readonly number[]) {
  const histogram = new LatencyHistogram();
  for (const valueMs of latenciesMs) histogram.record(valueMs);
  return latencyResult(histogram);
}

const latency = fc.array(latencyMs, { maxLength: 5 }).map(recorded);
const count = fc.nat(1_000_000);

function counts<Key extends string>(...keys: Key[]): fc.Arbitrary<Record<Key, number>> {
  const shape = Object.fromEntries(keys.map((key) => [key, count])) as Record<
    Key,
    fc.Arbitrary<number>
  >;
  return fc.record<Record<Key, number>>(shape);
}

const someCounts = (...keys: string[]) => fc.dictionary(fc.constantFrom(...keys), count);
const orNull = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: null });

const wills = orNull(
  counts("expected", "delivered", "missing", "early", "late", "doubled", "unexpected", "unjudged"),
);

/** The same groups in every part, as shards of one scenario have them. */
const devices = fc.record({ count, connected: count, one: count, two: count }).map((numbers) => ({
  count: numbers.count,
  connected: numbers.connected,
  groups: [
    { name: "a", count: numbers.one, qos: 1 as const, cleanSession: true, intervalMs: 1000 },
    { name: "b", count: numbers.two, qos: 2 as const, cleanSession: false, intervalMs: 1000 },
  ],
}));

const tally: fc.Arbitrary<Tally> = fc.record({
  devices,
  connections: fc
    .tuple(
      counts("attempted", "connected", "reconnected", "lost"),
      someCounts("unreachable", "timeout"),
      someCounts("4", "5"),
    )
    .map(([sums, failed, refused]) => ({ ...sums, failed, refused })),
  messages: fc
    .tuple(
      counts(
        "published",
        "acknowledged",
        "inDoubt",
        "unanswered",
        "requeued",
        "discarded",
        "refusedFull",
      ),
      counts("qos0", "qos1", "qos2"),
    )
    .map(([sums, sent]) => ({ ...sums, sent })),
  latencies: fc.record({
    connect: latency,
    publishAck: latency,
    publishAckQos1: latency,
    publishAckQos2: latency,
    publishAckUncorrected: latency,
    endToEnd: latency,
    willDelivery: fc
      .dictionary(fc.constantFrom(...FAULT_KINDS.slice(0, 2)), latency, { maxKeys: 2 })
      .map((byFault) =>
        Object.fromEntries(Object.entries(byFault).filter(([, value]) => value !== null)),
      ) as fc.Arbitrary<Tally["latencies"]["willDelivery"]>,
  }),
  faults: fc.dictionary(
    fc.constantFrom(...FAULT_KINDS.slice(0, 2)),
    fc.record({ injected: count, wills }),
  ) as fc.Arbitrary<Tally["faults"]>,
  wills,
  goodbyes: count,
  statusMessages: orNull(counts("online", "offline", "lost")),
  observer: counts("lost", "awayMs"),
  audit: orNull(
    counts(
      "devices",
      "accepted",
      "acknowledged",
      "delivered",
      "lost",
      "unjudged",
      "doubledAtQos1",
      "doubledAtQos2",
      "outOfOrder",
      "unknown",
      "inDoubtDelivered",
    ),
  ),
  commands: orNull(counts("sent", "arrived", "lost", "doubled")),
  generator: fc.record({ scheduleLag: latency }),
});

test("the order of the parts does not matter (commutative)", () => {
  fc.assert(
    fc.property(tally, tally, (one, other) => {
      expect(mergeTallies([one, other])).toEqual(mergeTallies([other, one]));
    }),
    { numRuns: 10 },
  );
});

test("parts may be merged beforehand (associative)", () => {
  fc.assert(
    fc.property(tally, tally, tally, (one, two, three) => {
      const whole = mergeTallies([one, two, three]);
      expect(mergeTallies([mergeTallies([one, two]), three])).toEqual(whole);
      expect(mergeTallies([one, mergeTallies([two, three])])).toEqual(whole);
    }),
    { numRuns: 8 },
  );
});

test("a part alone is the whole", () => {
  fc.assert(
    fc.property(tally, (only) => {
      expect(mergeTallies([only])).toEqual(only);
    }),
    { numRuns: 10 },
  );
});

test("latencies that were recorded in parts are those that were recorded in one", () => {
  const parts = fc.array(fc.array(latencyMs, { maxLength: 50 }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(parts, (latenciesMs) => {
      expect(mergeLatencies(latenciesMs.map(recorded))).toEqual(recorded(latenciesMs.flat()));
    }),
    { numRuns: 50 },
  );
});

test("twice the same run is twice of everything that is counted, and the same percentiles", () => {
  const { generator, ...result } = sampleResult();
  const part: Tally = { ...result, generator };
  const sum = mergeTallies([part, part]);
  expect(sum.connections).toEqual({
    attempted: 176,
    connected: 170,
    reconnected: 70,
    failed: { unreachable: 4 },
    refused: { 5: 2 },
    lost: 0,
  });
  expect(sum.messages).toMatchObject({ published: 2480, sent: { qos0: 0, qos1: 2476, qos2: 0 } });
  expect(sum.devices).toMatchObject({ count: 100, connected: 100, groups: [{ count: 100 }] });
  expect(sum.faults["power-loss"]).toMatchObject({
    injected: 10,
    wills: { expected: 10, delivered: 8, missing: 2, late: 2 },
  });
  expect(sum.latencies.connect).toMatchObject({
    count: 170,
    p50Ms: result.latencies.connect?.p50Ms,
    p999Ms: result.latencies.connect?.p999Ms,
  });
  expect(sum.latencies.endToEnd).toBeNull();
  expect(sum.latencies.willDelivery["power-loss"]?.count).toBe(8);
  expect(sum.generator.scheduleLag?.count).toBe(2480);
});

test("what only one part has counted is what it has counted", () => {
  const watched = sampleResult();
  const blind = { ...sampleResult(), wills: null, audit: null, statusMessages: null };
  const sum = mergeTallies([blind, watched, blind]);
  expect(sum.wills).toEqual(watched.wills);
  expect(sum.audit).toEqual(watched.audit);
  expect(mergeTallies([blind, blind])).toMatchObject({
    wills: null,
    audit: null,
    statusMessages: null,
  });
});

test("groups that differ in more than their count stay apart", () => {
  const one = sampleResult();
  const other = sampleResult();
  for (const group of other.devices.groups) group.qos = 2;
  expect(mergeTallies([one, other, one]).devices.groups).toEqual([
    { name: "sensors", count: 100, qos: 1, cleanSession: true, intervalMs: 1000 },
    { name: "sensors", count: 50, qos: 2, cleanSession: true, intervalMs: 1000 },
  ]);
});

test("no tally and no histogram are no sum", () => {
  expect(() => mergeTallies([])).toThrow(/no tally/);
  const broken = sampleResult();
  if (broken.latencies.connect !== null) broken.latencies.connect.histogram = "AAAA";
  expect(() => mergeTallies([broken, sampleResult()])).toThrow(RangeError);
});
