/** The books of births, Wills and goodbyes: what is owed, what came, and what nobody can judge. */

import { expect, test } from "vitest";
import { type ExpectedWill, WillLedger } from "../../simulator/src/fleet/will-ledger.ts";

const GRACE_MS = 1000;
const RESET: ExpectedWill = { fault: "tcp-reset", atMs: 100, earliestMs: 100 };
const SILENT: ExpectedWill = { fault: "hang", atMs: 100, earliestMs: 3000 };

/** After everything. */
const END_MS = 100_000;

function newLedger(deviceCount = 1): WillLedger {
  return new WillLedger(deviceCount, GRACE_MS);
}

function total(ledger: WillLedger) {
  ledger.close(END_MS);
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
  unjudged: 0,
};

test("a Will within its window is delivered [MQTT-3.1.2-8]", () => {
  const ledger = newLedger();
  ledger.expectWill(0, RESET);
  ledger.offline(0, 150);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, delivered: 1 });
  expect(ledger.faults.get("tcp-reset")?.delivery.summary()?.maxMs).toBeCloseTo(50, 1);
});

test("a Will that never comes is missing", () => {
  const ledger = newLedger();
  ledger.expectWill(0, RESET);
  expect(ledger.pendingUntilMs).toBe(1100);
  expect(ledger.pendingWillCount).toBe(1);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, missing: 1 });
});

test("a Will whose window is still open when the books are closed is not judged", () => {
  const ledger = newLedger();
  ledger.expectWill(0, SILENT);
  ledger.close(3999);
  expect(ledger.total).toEqual({ ...NOTHING, unjudged: 1 });
});

test("a Will after its window is delivered, and late", () => {
  const ledger = newLedger();
  ledger.expectWill(0, RESET);
  ledger.offline(0, 1101);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, delivered: 1, late: 1 });
});

test("a Will of a silent device before 1.5 times the keep alive is early [MQTT-3.1.2-24]", () => {
  const ledger = newLedger();
  ledger.expectWill(0, SILENT);
  ledger.offline(0, 2000);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, delivered: 1, early: 1 });
});

test("a silent device that comes back sooner is announced when it does [MQTT-3.1.4-2]", () => {
  const ledger = newLedger();
  ledger.expectWill(0, SILENT);
  ledger.deviceReturns(0, 1500);
  ledger.offline(0, 1510);
  ledger.deviceReturned(0, 1520);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, delivered: 1 });
});

test("and late after the grace from there on", () => {
  const ledger = newLedger();
  ledger.expectWill(0, SILENT);
  ledger.deviceReturns(0, 1500);
  ledger.deviceReturned(0, 1520);
  ledger.offline(0, 2521);
  expect(total(ledger)).toMatchObject({ delivered: 1, late: 1 });
});

test("an attempt to come back that the broker never saw leaves it all its time", () => {
  const ledger = newLedger();
  ledger.expectWill(0, SILENT);
  ledger.deviceReturns(0, 1500);
  ledger.offline(0, 4000);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, delivered: 1 });
});

test("a Will that comes twice is doubled", () => {
  const ledger = newLedger();
  ledger.expectWill(0, RESET);
  ledger.offline(0, 150);
  ledger.offline(0, 160);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, delivered: 1, doubled: 1 });
});

test("a Will of a device that is there is unexpected", () => {
  const ledger = newLedger();
  ledger.expectWill(0, RESET);
  ledger.offline(0, 150);
  ledger.online(0);
  ledger.offline(0, 500);
  expect(total(ledger)).toMatchObject({ delivered: 1, doubled: 0, unexpected: 1 });
});

test("a second fault before the first Will keeps both apart", () => {
  const ledger = newLedger();
  ledger.expectWill(0, SILENT);
  ledger.expectWill(0, { ...RESET, atMs: 2000, earliestMs: 2000 });
  ledger.offline(0, 2010);
  ledger.offline(0, 3010);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 2, delivered: 2 });
});

test("a goodbye does not stand in for a Will whose time is over", () => {
  const ledger = newLedger();
  ledger.expectWill(0, RESET);
  ledger.online(0);
  ledger.expectGoodbye(0);
  ledger.offline(0, 5000);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, missing: 1 });
  expect(ledger.goodbyes).toBe(1);
});

test("a goodbye is no Will, and none may come behind it [MQTT-3.14.4-3]", () => {
  const ledger = newLedger();
  ledger.expectGoodbye(0, "clean");
  ledger.offline(0, 120);
  expect(ledger.goodbyes).toBe(1);
  expect(ledger.total).toEqual(NOTHING);
  ledger.offline(0, 130);
  expect(ledger.faults.get("clean")).toMatchObject({ injected: 1, wills: { unexpected: 1 } });
});

test("a goodbye is owed once the broker has acknowledged it, and then lost if nobody sees it", () => {
  const ledger = newLedger(2);
  for (const device of [0, 1]) ledger.expectGoodbye(device);
  expect(ledger.pendingStatusCount).toBe(0);
  ledger.goodbyeAcknowledged(0);
  expect(ledger.pendingStatusCount).toBe(1);
  expect(total(ledger)).toEqual(NOTHING);
  expect(ledger.statusMessages).toEqual({ online: 0, offline: 0, lost: 1 });
});

test("a goodbye that has not come before the next connection's birth is lost [MQTT-4.6.0-6]", () => {
  const ledger = newLedger();
  ledger.expectGoodbye(0);
  ledger.goodbyeAcknowledged(0);
  ledger.online(0); // a second copy of the birth before
  expect(ledger.statusMessages.lost).toBe(1);
  expect(ledger.pendingStatusCount).toBe(1);
  ledger.deviceReturns(0, 90);
  ledger.online(0);
  expect(ledger.pendingStatusCount).toBe(0);
  ledger.expectWill(0, RESET);
  ledger.offline(0, 150);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, delivered: 1 });
  expect(ledger.statusMessages.lost).toBe(1);
});

test("a birth is owed once the broker has acknowledged it, in whichever order the news come", () => {
  const ledger = newLedger(3);
  ledger.online(0);
  ledger.birthAcknowledged(0);
  ledger.birthAcknowledged(1);
  ledger.birthAcknowledged(2);
  expect(ledger.pendingStatusCount).toBe(2);
  ledger.online(1);
  expect(ledger.statusMessages).toEqual({ online: 2, offline: 0, lost: 1 });
});

test("a birth that was seen but never acknowledged does not pay for the next one", () => {
  const ledger = newLedger();
  ledger.online(0);
  ledger.deviceReturns(0, 1000);
  ledger.birthAcknowledged(0);
  expect(ledger.statusMessages.lost).toBe(1);
});

test("after a lost connection a Will may come or not, for a while", () => {
  const ledger = newLedger(3);
  for (const device of [0, 1, 2]) ledger.connectionLost(device, 500, 2000);
  ledger.offline(0, 1900);
  ledger.offline(1, 2100);
  expect(total(ledger)).toEqual({ ...NOTHING, unexpected: 1 });
});

test("and no longer than the grace after the device is back", () => {
  const ledger = newLedger();
  ledger.connectionLost(0, 500, 20_000);
  ledger.deviceReturned(0, 600);
  ledger.offline(0, 1601);
  expect(total(ledger)).toEqual({ ...NOTHING, unexpected: 1 });
});

test("a Will that comes before the device has noticed its loss is explained afterwards", () => {
  const ledger = newLedger(2);
  for (const device of [0, 1]) ledger.offline(device, 500);
  expect(ledger.total.unexpected).toBe(2);
  ledger.connectionLost(0, 510, 2000);
  ledger.online(1);
  ledger.connectionLost(1, 510, 2000); // that is another one
  expect(total(ledger)).toEqual({ ...NOTHING, unexpected: 1 });
});

test("a Will that comes just before a fault, because the broker was faster, is the one of the fault", () => {
  const ledger = newLedger();
  ledger.offline(0, 99);
  ledger.expectWill(0, RESET);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, delivered: 1 });
});

test("a goodbye whose connection was lost is not owed, and a Will may come behind it", () => {
  const ledger = newLedger();
  ledger.expectGoodbye(0);
  ledger.connectionLost(0, 500, 2000);
  ledger.offline(0, 600);
  ledger.offline(0, 610);
  expect(total(ledger)).toEqual(NOTHING);
  expect(ledger.statusMessages.lost).toBe(0);
});

test("a Will that is owed goes before one that is tolerated", () => {
  const ledger = newLedger();
  ledger.connectionLost(0, 50, 5000);
  ledger.expectWill(0, RESET);
  ledger.offline(0, 150);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, delivered: 1 });
});

test("what was due while nobody could see it is excused, and may still come", () => {
  const ledger = newLedger(4);
  ledger.expectWill(0, RESET);
  ledger.expectWill(1, RESET);
  ledger.expectWill(2, SILENT);
  ledger.expectGoodbye(3);
  ledger.goodbyeAcknowledged(3);
  ledger.birthAcknowledged(0);
  ledger.excuse(2000, 3000);
  ledger.offline(0, 2500);
  ledger.offline(2, 3100);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, delivered: 1, unjudged: 2 });
  expect(ledger.statusMessages.lost).toBe(0);
});

test("births, Wills and goodbyes are counted as a subscriber of motes/+/status counts them", () => {
  const ledger = newLedger(2);
  ledger.online(0);
  ledger.online(1);
  ledger.expectWill(0, RESET);
  ledger.expectGoodbye(1);
  ledger.offline(0, 150);
  ledger.offline(1, 150);
  expect(ledger.statusMessages).toEqual({ online: 2, offline: 2, lost: 0 });
});

test("a Will of a connection that was lost before its CONNACK came is not the fault's a second time, told before or after", () => {
  for (const isToldBefore of [true, false]) {
    const ledger = newLedger();
    ledger.expectWill(0, RESET);
    ledger.offline(0, 150);
    ledger.deviceReturns(0, 500);
    if (isToldBefore) ledger.connectionLost(0, 510, 5000);
    ledger.offline(0, 511);
    if (!isToldBefore) ledger.connectionLost(0, 512, 5000);
    expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, delivered: 1 });
  }
});

test("a Will that comes twice is doubled, whatever happens later", () => {
  const ledger = newLedger();
  ledger.expectWill(0, RESET);
  ledger.offline(0, 150);
  ledger.offline(0, 160);
  ledger.connectionLost(0, 5000, 9000);
  expect(total(ledger)).toEqual({ ...NOTHING, expected: 1, delivered: 1, doubled: 1 });
});
