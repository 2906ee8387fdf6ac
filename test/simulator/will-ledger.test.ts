import { expect, test } from "vitest";
import { type ExpectedWill, WillLedger } from "../../simulator/src/will-ledger.ts";

const RESET: ExpectedWill = { fault: "tcp-reset", atMs: 100, earliestMs: 100, latestMs: 1100 };
const SILENT: ExpectedWill = { fault: "hang", atMs: 100, earliestMs: 3000, latestMs: 4000 };

function total(ledger: WillLedger) {
  ledger.close();
  return ledger.total;
}

const NOTHING = {
  expected: 0,
  delivered: 0,
  missing: 0,
  early: 0,
  late: 0,
  doubled: 0,
  unexpected: 0,
};

test("a Will within its window is delivered [MQTT-3.1.2-8]", () => {
  const ledger = new WillLedger(1);
  ledger.expectWill(0, RESET);
  ledger.offline(0, 150);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, delivered: 1 });
  expect(ledger.faults.get("tcp-reset")?.delivery.summary()?.maxMs).toBeCloseTo(50, 1);
});

test("a Will that never comes is missing", () => {
  const ledger = new WillLedger(1);
  ledger.expectWill(0, RESET);
  expect(ledger.pendingUntilMs).toBe(1100);
  expect(ledger.pendingWillCount).toBe(1);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, missing: 1 });
});

test("a Will after its window is delivered, and late", () => {
  const ledger = new WillLedger(1);
  ledger.expectWill(0, RESET);
  ledger.offline(0, 1101);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, delivered: 1, late: 1 });
});

test("a Will of a silent device before 1.5 times the keep alive is early [MQTT-3.1.2-24]", () => {
  const ledger = new WillLedger(1);
  ledger.expectWill(0, SILENT);
  ledger.offline(0, 2000);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, delivered: 1, early: 1 });
});

test("a silent device that comes back sooner is announced when it does [MQTT-3.1.4-2]", () => {
  const ledger = new WillLedger(1);
  ledger.expectWill(0, SILENT);
  ledger.deviceReturned(0, 1500, 1000);
  ledger.offline(0, 1510);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, delivered: 1 });
});

test("and late after the grace from there on", () => {
  const ledger = new WillLedger(1);
  ledger.expectWill(0, SILENT);
  ledger.deviceReturned(0, 1500, 1000);
  ledger.offline(0, 2501);
  expect(total(ledger)).toMatchObject({ delivered: 1, late: 1 });
});

test("a Will that comes twice is doubled", () => {
  const ledger = new WillLedger(1);
  ledger.expectWill(0, RESET);
  ledger.offline(0, 150);
  ledger.offline(0, 160);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, delivered: 1, doubled: 1 });
});

test("a Will of a device that is there is unexpected", () => {
  const ledger = new WillLedger(1);
  ledger.expectWill(0, RESET);
  ledger.offline(0, 150);
  ledger.online(0);
  ledger.offline(0, 500);
  expect(total(ledger)).toMatchObject({ delivered: 1, doubled: 0, unexpected: 1 });
});

test("a goodbye is no Will, and a second one behind it must not come [MQTT-3.14.4-3]", () => {
  const ledger = new WillLedger(1);
  ledger.expectGoodbye(0, "clean");
  expect(ledger.pendingGoodbyeCount).toBe(1);
  ledger.offline(0, 120);
  expect(ledger.goodbyes).toBe(1);
  expect(ledger.total).toEqual(NOTHING);
  ledger.offline(0, 130);
  expect(ledger.faults.get("clean")).toMatchObject({ injected: 1, wills: { unexpected: 1 } });
});

test("a Will that nobody can foresee is tolerated for a while", () => {
  const ledger = new WillLedger(2);
  ledger.tolerateWill(0, 1000);
  ledger.tolerateWill(1, 1000);
  ledger.offline(0, 900);
  ledger.offline(1, 1100);
  expect(total(ledger)).toEqual({ ...NOTHING, unexpected: 1 });
});

test("a Will that is owed goes before one that is tolerated", () => {
  const ledger = new WillLedger(1);
  ledger.tolerateWill(0, 5000);
  ledger.expectWill(0, RESET);
  ledger.offline(0, 150);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, delivered: 1 });
});

test("a second fault before the first Will keeps both apart", () => {
  const ledger = new WillLedger(1);
  ledger.expectWill(0, SILENT);
  ledger.expectWill(0, { ...RESET, atMs: 2000, earliestMs: 2000, latestMs: 3000 });
  ledger.offline(0, 2010);
  ledger.offline(0, 3010);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 2, delivered: 2 });
});

test("births, Wills and goodbyes are counted as a subscriber of motes/+/status counts them", () => {
  const ledger = new WillLedger(2);
  ledger.online(0);
  ledger.online(1);
  ledger.expectWill(0, RESET);
  ledger.expectGoodbye(1);
  ledger.offline(0, 150);
  ledger.offline(1, 150);
  expect(ledger.statusMessages).toEqual({ online: 2, offline: 2 });
});
