/** Keep alive and time limits: deadlines, at any time of a clock that wraps (MQTT 3.1.1, 3.1.2.10; ABI: Time). */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NEVER_MS, Status } from "../../firmware/core/abi.ts";
import { Core, type CoreClient } from "../support/core-client.ts";
import { connack, pingresp, publish, suback } from "../support/server-packets.ts";

const PINGREQ = "c0 00";
const anyTime = fc.oneof(
  fc.nat({ max: 0xffffffff }),
  fc.integer({ min: 0xffff0000, max: 0xffffffff }),
);

function connectedAt(
  nowMs: number,
  options: { keepAliveSeconds?: number; responseTimeoutMs?: number } = {},
): CoreClient {
  const client = new Core().client();
  client.setClientId("t");
  client.nowMs = nowMs;
  client.establish(options);
  return client;
}

function at(client: CoreClient, nowMs: number): CoreClient {
  client.nowMs = nowMs >>> 0;
  return client;
}

describe("the deadline", () => {
  test("is 7/8 of the keep alive after the last packet sent, whatever the clock says [MQTT-3.1.2-23]", () => {
    fc.assert(
      fc.property(
        anyTime,
        fc.integer({ min: 1, max: 65535 }),
        fc.double({ min: 0, max: 0.9999, noNaN: true }),
        (startMs, keepAliveSeconds, part) => {
          const client = connectedAt(startMs, { keepAliveSeconds });
          const dueMs = keepAliveSeconds * 875;
          const idleMs = Math.floor(part * dueMs);
          expect(at(client, startMs + idleMs).nextDeadlineMs()).toBe(dueMs - idleMs);
          expect(client.wait(0)).toBeUndefined();
          expect(client.sent()).toEqual([]);
          expect(client.wait(dueMs - idleMs)).toBeUndefined();
          expect(client.sent()).toEqual([PINGREQ]);
        },
      ),
      { numRuns: 200 },
    );
  });

  test("stays 0 until the tick is given, however late it is, and one PINGREQ is sent [MQTT-3.1.2-23]", () => {
    fc.assert(
      fc.property(anyTime, fc.nat({ max: 1_000_000_000 }), (startMs, lateMs) => {
        const client = connectedAt(startMs, { keepAliveSeconds: 10 });
        expect(at(client, startMs + 8750 + lateMs).nextDeadlineMs()).toBe(0);
        client.wait(0);
        client.wait(0);
        expect(client.sent()).toEqual([PINGREQ]);
        expect(client.nextDeadlineMs()).toBe(8750);
      }),
    );
  });

  test("is put off by each packet that is sent, at the time at which it was sent [MQTT-3.1.2-23]", () => {
    const client = connectedAt(0xfffffff0, { keepAliveSeconds: 8 });
    client.wait(5000);
    client.publish("a", "1");
    client.wait(1000);
    client.drain();
    expect(client.nextDeadlineMs()).toBe(7000);
  });

  test("is not put off by what is received [MQTT-3.1.2-23]", () => {
    const client = connectedAt(0, { keepAliveSeconds: 8 });
    for (let second = 1; second < 7; second++) {
      client.wait(1000);
      client.exchange(publish({ topic: "a" }));
      expect(client.nextDeadlineMs()).toBe(7000 - second * 1000);
    }
    client.wait(1000);
    expect(client.sent()).toEqual([PINGREQ]);
  });

  test("is never where nothing can be due", () => {
    const client = new Core().client();
    client.setClientId("t");
    expect(client.nextDeadlineMs()).toBe(NEVER_MS);
    client.connect({ keepAliveSeconds: 0, responseTimeoutMs: 0 });
    client.drain();
    expect(client.nextDeadlineMs()).toBe(NEVER_MS);
    client.exchange(connack());
    expect(client.nextDeadlineMs()).toBe(NEVER_MS);
    client.disconnect();
    expect(client.nextDeadlineMs()).toBe(NEVER_MS);
    client.connectionLost();
    expect(client.nextDeadlineMs()).toBe(NEVER_MS);
  });

  test("of the longest keep alive fits 32 bits", () => {
    const client = connectedAt(0, { keepAliveSeconds: 65535 });
    expect(client.nextDeadlineMs()).toBe(57_343_125);
  });
});

test("a client that is ticked at each deadline never lets the keep alive pass between two packets [MQTT-3.1.2-23]", () => {
  fc.assert(
    fc.property(
      anyTime,
      fc.integer({ min: 1, max: 3600 }),
      fc.array(fc.double({ min: 0.01, max: 1, noNaN: true }), { minLength: 5, maxLength: 40 }),
      (startMs, keepAliveSeconds, parts) => {
        const client = connectedAt(startMs, { keepAliveSeconds });
        let sinceMs = 0;
        for (const part of parts) {
          const stepMs = Math.max(1, Math.floor(client.nextDeadlineMs() * part));
          expect(client.wait(stepMs)).toBeUndefined();
          sinceMs += stepMs;
          expect(sinceMs).toBeLessThanOrEqual(keepAliveSeconds * 1000);
          const sent = client.sent();
          if (sent.length > 0) {
            expect(sent).toEqual([PINGREQ]);
            expect(sinceMs).toBeGreaterThanOrEqual(keepAliveSeconds * 875);
            sinceMs = 0;
            client.exchange(pingresp());
          }
        }
      },
    ),
  );
});

test("a tick too many is harmless in every state", () => {
  const client = new Core().client();
  client.setClientId("t");
  const before = client.snapshot();
  for (let count = 0; count < 10; count++) expect(client.wait(10_000)).toBeUndefined();
  expect(client.snapshot()).toEqual(before);
});

describe("the time limit", () => {
  const limits = fc.tuple(anyTime, fc.integer({ min: 1, max: 0x7fffffff }));

  test("of CONNACK runs from connect [sec-3.2]", () => {
    fc.assert(
      fc.property(limits, ([startMs, responseTimeoutMs]) => {
        const client = new Core().client();
        client.setClientId("t");
        client.nowMs = startMs;
        client.connect({ responseTimeoutMs });
        client.drain();
        expect(client.nextDeadlineMs()).toBe(responseTimeoutMs);
        expect(client.wait(responseTimeoutMs - 1)).toBeUndefined();
        expect(client.nextDeadlineMs()).toBe(1);
        expect(client.wait(1)).toEqual({ kind: "Failed", status: "ResponseTimeout" });
        expect(client.state).toBe("Closed");
        expect(client.poll()).toEqual({ kind: "Failed", status: "ResponseTimeout" });
      }),
    );
  });

  test("of CONNACK ends with CONNACK", () => {
    const client = connectedAt(0, { keepAliveSeconds: 0, responseTimeoutMs: 1000 });
    expect(client.nextDeadlineMs()).toBe(NEVER_MS);
    expect(client.wait(100_000)).toBeUndefined();
  });

  test("of PINGRESP runs from PINGREQ [sec-3.12.4] [MQTT-3.12.4-1]", () => {
    fc.assert(
      fc.property(anyTime, (startMs) => {
        const client = connectedAt(startMs, { keepAliveSeconds: 8, responseTimeoutMs: 3000 });
        client.wait(7000);
        expect(client.sent()).toEqual([PINGREQ]);
        expect(client.nextDeadlineMs()).toBe(3000);
        expect(client.wait(2999)).toBeUndefined();
        expect(client.wait(1)).toEqual({ kind: "Failed", status: "ResponseTimeout" });
      }),
    );
  });

  test("of PINGRESP ends with PINGRESP and with nothing else [sec-3.12.4]", () => {
    const client = connectedAt(0, { keepAliveSeconds: 8, responseTimeoutMs: 3000 });
    client.wait(7000);
    client.drain();
    client.exchange(publish({ topic: "a" }));
    expect(client.nextDeadlineMs()).toBe(3000);
    client.exchange(pingresp());
    expect(client.nextDeadlineMs()).toBe(7000);
  });

  test("of PINGRESP is not lengthened by further PINGREQs [sec-3.12.4]", () => {
    const client = connectedAt(0, { keepAliveSeconds: 8, responseTimeoutMs: 10_000 });
    client.wait(7000);
    expect(client.sent()).toEqual([PINGREQ]);
    client.wait(7000);
    expect(client.sent()).toEqual([PINGREQ]);
    expect(client.nextDeadlineMs()).toBe(3000);
    expect(client.wait(3000)).toEqual({ kind: "Failed", status: "ResponseTimeout" });
  });

  test("of SUBACK and UNSUBACK runs from the request and ends with its answer", () => {
    for (const request of ["subscribe", "unsubscribe"] as const) {
      const client = connectedAt(0xffffff00, { keepAliveSeconds: 0, responseTimeoutMs: 1000 });
      client.wait(5000);
      if (request === "subscribe") client.subscribe(["a", 0]);
      else client.unsubscribe("a");
      client.drain();
      expect(client.nextDeadlineMs()).toBe(1000);
      expect(client.wait(999)).toBeUndefined();
      expect(client.wait(1)).toEqual({ kind: "Failed", status: "ResponseTimeout" });
    }
  });

  test("of two requests is over when both are answered, not before", () => {
    const client = connectedAt(0, { keepAliveSeconds: 0, responseTimeoutMs: 1000 });
    client.subscribe(["a", 0]);
    client.subscribe(["b", 0]);
    client.drain();
    client.exchange(suback(2, 0));
    expect(client.nextDeadlineMs()).toBe(1000);
    client.exchange(suback(1, 0));
    expect(client.nextDeadlineMs()).toBe(NEVER_MS);
  });

  test("does not outlive its connection", () => {
    const subscribing = connectedAt(0, { keepAliveSeconds: 60, responseTimeoutMs: 1000 });
    subscribing.subscribe(["a", 0]);
    const pinging = connectedAt(0, { keepAliveSeconds: 8, responseTimeoutMs: 1000 });
    pinging.wait(7000);
    for (const client of [subscribing, pinging]) {
      client.drain();
      client.connectionLost();
      expect(client.nextDeadlineMs()).toBe(NEVER_MS);
      client.establish({ keepAliveSeconds: 0, responseTimeoutMs: 1000 });
      expect(client.nextDeadlineMs()).toBe(NEVER_MS);
      expect(client.wait(5000)).toBeUndefined();
      expect(client.state).toBe("Connected");
    }
  });

  test("runs for a transport that takes nothing more: a PINGREQ behind it would not help [MQTT-3.1.2-23]", () => {
    const client = connectedAt(0, { keepAliveSeconds: 8, responseTimeoutMs: 1000 });
    client.publish("a", "1");
    let elapsedMs = 0;
    for (let count = 0; count < 10 && client.state === "Connected"; count++) {
      const stepMs = client.nextDeadlineMs();
      expect(stepMs).toBeGreaterThan(0);
      expect(stepMs).not.toBe(NEVER_MS);
      client.wait(stepMs);
      elapsedMs += stepMs;
    }
    expect(client.state).toBe("Closed");
    expect(elapsedMs).toBeLessThanOrEqual(9000);
  });
});

test("a time limit whose sum with the keep alive could wrap is refused, the longest possible one is not", () => {
  const client = new Core().client();
  client.setClientId("t");
  expect(client.call("connect", 1, 65_535, 0x80000000, 0)).toBe(Status.InvalidArgument);
  expect(client.call("connect", 1, 65_536, 0, 0)).toBe(Status.InvalidArgument);
  expect(client.call("connect", 1, 65_535, 0x7fffffff, 0)).toBe(Status.Ok);
});
