import fc from "fast-check";
import { expect, test } from "vitest";
import { SequenceSet } from "../../simulator/src/fleet/sequence-set.ts";
import { TelemetryAudit } from "../../simulator/src/fleet/telemetry-audit.ts";

test("a set of sequence numbers is what a Set is", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 40 })),
      fc.array(fc.nat({ max: 40 })),
      (values, otherValues) => {
        const set = new SequenceSet();
        const other = new SequenceSet();
        const model = new Set<number>();
        for (const value of values) {
          expect(set.add(value)).toBe(!model.has(value));
          model.add(value);
        }
        for (const value of otherValues) other.add(value);
        expect(set.size).toBe(model.size);
        expect(set.largest).toBe(model.size === 0 ? undefined : Math.max(...model));
        for (let value = 0; value <= 41; value++) expect(set.has(value)).toBe(model.has(value));
        const common = [...model].filter((value) => otherValues.includes(value)).length;
        expect(set.countCommon(other)).toBe(common);
        expect(other.countCommon(set)).toBe(common);
      },
    ),
  );
});

function published(audit: TelemetryAudit, device: number, ...seqs: number[]): void {
  for (const seq of seqs) audit.accepted(device, seq);
}

test("what was acknowledged and not delivered is lost", () => {
  const audit = new TelemetryAudit([1]);
  published(audit, 0, 1, 2, 3);
  for (const seq of [1, 2, 3]) audit.acknowledged(0, seq);
  audit.delivered(0, 1);
  audit.delivered(0, 3);
  expect(audit.owedCount).toBe(1);
  expect(audit.result()).toMatchObject({ accepted: 3, acknowledged: 3, delivered: 2, lost: 1 });
});

test("what was not acknowledged is in doubt, delivered or not, and not lost", () => {
  const audit = new TelemetryAudit([1]);
  published(audit, 0, 1, 2);
  audit.delivered(0, 2);
  expect(audit.result()).toMatchObject({ acknowledged: 0, lost: 0, inDoubtDelivered: 1 });
});

test("a second copy is allowed at QoS 1 and counted as a fault at QoS 2 [MQTT-4.3.3-1]", () => {
  const audit = new TelemetryAudit([1, 2]);
  for (const device of [0, 1]) {
    published(audit, device, 1);
    audit.delivered(device, 1);
    audit.delivered(device, 1);
  }
  expect(audit.result()).toMatchObject({ delivered: 2, doubledAtQos1: 1, doubledAtQos2: 1 });
});

test("at QoS 0 nothing is lost and nothing in doubt: nothing was promised", () => {
  const audit = new TelemetryAudit([0]);
  published(audit, 0, 1, 2);
  audit.delivered(0, 2);
  expect(audit.result()).toMatchObject({
    accepted: 2,
    delivered: 1,
    lost: 0,
    inDoubtDelivered: 0,
  });
});

test("a first copy behind a later message is out of order, a repeated one is not [MQTT-4.6.0-6]", () => {
  const audit = new TelemetryAudit([1]);
  published(audit, 0, 1, 2, 3);
  for (const seq of [1, 3, 2, 1]) audit.delivered(0, seq);
  expect(audit.result()).toMatchObject({ outOfOrder: 1, doubledAtQos1: 1 });
});

test("a message that no device has sent is unknown", () => {
  const audit = new TelemetryAudit([1]);
  audit.delivered(0, 7);
  expect(audit.result()).toMatchObject({ unknown: 1, delivered: 0 });
});

test("what was accepted while the subscriber was away is not judged, what came later is", () => {
  const audit = new TelemetryAudit([1]);
  published(audit, 0, 1, 2, 3);
  audit.acknowledged(0, 1);
  audit.acknowledged(0, 2);
  audit.excuse();
  audit.acknowledged(0, 3);
  published(audit, 0, 4);
  audit.acknowledged(0, 4);
  expect(audit.result()).toMatchObject({ lost: 1, unjudged: 3 });
  audit.delivered(0, 2);
  audit.delivered(0, 4);
  expect(audit.result()).toMatchObject({ lost: 0, unjudged: 2 });
});

test("a message is owed from its acknowledgement to its delivery, whichever comes first", () => {
  const audit = new TelemetryAudit([1]);
  published(audit, 0, 1, 2);
  audit.delivered(0, 1);
  audit.acknowledged(0, 1);
  audit.acknowledged(0, 1);
  expect(audit.owedCount).toBe(0);
  audit.acknowledged(0, 2);
  expect(audit.owedCount).toBe(1);
  audit.delivered(0, 2);
  audit.delivered(0, 2);
  expect(audit.owedCount).toBe(0);
});
