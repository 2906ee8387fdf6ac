/** The one loop between a session, a transport and the clock, each of them in the hands of the test. */

import { beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { ConnectionState, Event, Status } from "../../firmware/core/abi.ts";
import { Driver, type EndReason } from "../../host/src/client/driver.ts";
import { type Core, loadCore, readModule } from "../../host/src/core/core.ts";
import { CoreError, Session } from "../../host/src/core/session.ts";
import { ConnectionError } from "../../host/src/errors.ts";
import type { Transport, TransportHandlers } from "../../host/src/transport/transport.ts";
import { concat, hex, splitPackets } from "../support/bytes.ts";
import { connack, pingresp, puback, publish } from "../support/server-packets.ts";
import { VirtualWorld } from "../support/virtual-world.ts";

/** A connection of which the test is the other end. */
class FakeTransport implements Transport {
  readonly handlers: TransportHandlers;
  readonly written: Uint8Array[] = [];
  readonly calls: string[] = [];
  /** What `write` answers. */
  takesMore = true;

  constructor(handlers: TransportHandlers) {
    this.handlers = handlers;
  }

  write(bytes: Uint8Array): boolean {
    this.written.push(bytes.slice());
    return this.takesMore;
  }

  pause(): void {
    this.calls.push("pause");
  }

  resume(): void {
    this.calls.push("resume");
  }

  close(): void {
    this.calls.push("close");
  }

  reset(): void {
    this.calls.push("reset");
  }

  /** All packets that were written, in hexadecimal, and forgets them. */
  packets(): string[] {
    return splitPackets(concat(...this.written.splice(0))).map(hex);
  }
}

const CAPACITIES = { receive: 64, transmit: 128, identity: 64, incomingCount: 4 };
const OPTIONS = { cleanSession: true, keepAliveSeconds: 80, responseTimeoutMs: 5_000 };

let core: Core;
let world: VirtualWorld;
let session: Session;
let driver: Driver;
let transport: FakeTransport;
let log: string[];
let endings: EndReason[];

beforeAll(async () => {
  core = await loadCore(await readModule("core"));
});

beforeEach(() => {
  world = new VirtualWorld();
  session = new Session(core, CAPACITIES);
  session.setClientId("driven");
  log = [];
  endings = [];
  driver = new Driver(session, world, {
    event: (event) => log.push(event === Event.Message ? session.topic() : (Event[event] ?? "?")),
    ended: (reason) => endings.push(reason),
  });
});

function open(): void {
  driver.open((handlers) => {
    transport = new FakeTransport(handlers);
    return transport;
  }, OPTIONS);
}

/** Connected, with nothing left to read in the log and on the wire. */
function connect(): void {
  open();
  transport.handlers.opened();
  transport.handlers.received(connack());
  log.length = 0;
  transport.packets();
}

describe("a connection", () => {
  test("CONNECT is sent when the transport has opened, not before [MQTT-3.1.0-1]", () => {
    open();
    driver.flush();
    expect(transport.packets()).toEqual([]);
    transport.handlers.opened();
    expect(transport.packets()).toEqual([
      "10 12 00 04 4d 51 54 54 04 02 00 50 00 06 64 72 69 76 65 6e",
    ]);
    transport.handlers.received(connack());
    expect(log).toEqual(["Connected"]);
  });

  test("a second one at once is a mistake of the caller", () => {
    open();
    expect(open).toThrow("has a connection already");
  });

  test("the end is told once, and another may be opened from there", () => {
    const reasons: EndReason[] = [];
    driver = new Driver(session, world, {
      event: () => {},
      ended: (reason) => {
        reasons.push(reason);
        if (reasons.length === 1) open();
      },
    });
    open();
    const first = transport;
    const reason = new ConnectionError("lost", "gone", "come back");
    first.handlers.closed(reason);
    expect(reasons).toEqual([reason]);
    expect(transport).not.toBe(first);
    first.handlers.received(connack());
    expect(session.state).toBe(ConnectionState.Disconnected);
  });

  test("disconnect() sends DISCONNECT behind what is queued, and closes [MQTT-3.14.4-1]", () => {
    connect();
    session.publish({ topic: "a", payload: "1" });
    driver.disconnect();
    expect(transport.packets()).toEqual(["30 04 00 01 61 31", "e0 00"]);
    expect(transport.calls).toEqual(["close"]);
  });

  test("disconnect() without a connection is refused", () => {
    expect(() => driver.disconnect()).toThrow(CoreError);
  });

  test("detach() hands the transport over, and hears no more of it", () => {
    connect();
    expect(driver.detach()).toBe(transport);
    expect(driver.isOpen).toBe(false);
    transport.handlers.received(publish({ topic: "late" }));
    transport.handlers.closed(undefined);
    expect(log).toEqual([]);
    expect(endings).toEqual([]);
    expect(transport.calls).toEqual([]);
  });

  test("abort() closes in order or resets", () => {
    connect();
    driver.abort("close");
    driver.abort("reset");
    expect(transport.calls).toEqual(["close", "reset"]);
  });

  test("bytes that are no MQTT close it, and the reason is told", () => {
    connect();
    transport.handlers.received(Uint8Array.of(0x60, 2, 0, 1));
    expect(transport.calls).toEqual(["close"]);
    transport.handlers.closed(undefined);
    expect(endings).toMatchObject([{ name: "ProtocolError", status: Status.ProtocolViolation }]);
  });

  test("a refusal closes it, and the return code is told", () => {
    open();
    transport.handlers.opened();
    transport.handlers.received(connack(false, 5));
    transport.handlers.closed(undefined);
    expect(log).toEqual(["Refused"]);
    expect(endings).toMatchObject([{ name: "RefusedError", returnCode: 5 }]);
  });
});

describe("time", () => {
  test("PINGREQ goes at 7/8 of the keep alive, and its answer keeps the connection", async () => {
    connect();
    await world.advance(69_999);
    expect(transport.packets()).toEqual([]);
    await world.advance(1);
    expect(transport.packets()).toEqual(["c0 00"]);
    transport.handlers.received(pingresp());
    await world.advance(60_000);
    expect(transport.calls).toEqual([]);
  });

  test("without PINGRESP the connection is closed after the response time", async () => {
    connect();
    await world.advance(70_000 + 4_999);
    expect(transport.calls).toEqual([]);
    await world.advance(1);
    expect(transport.calls).toContain("reset"); // a server that does not answer would not answer a FIN either
    transport.handlers.closed(undefined);
    expect(endings).toMatchObject([{ status: Status.ResponseTimeout }]);
  });

  test("there is one timer at most, and none after stop()", () => {
    connect();
    for (let count = 0; count < 10; count++) {
      session.publish({ topic: "a", payload: "" });
      driver.flush();
    }
    expect(world.timerCount).toBe(1);
    driver.stop();
    expect(world.timerCount).toBe(0);
  });
});

describe("bytes out", () => {
  test("nothing is written between a write that answers false and drained()", () => {
    connect();
    transport.takesMore = false;
    session.publish({ topic: "a", payload: "1" });
    driver.flush();
    session.publish({ topic: "a", payload: "2" });
    driver.flush();
    expect(transport.packets()).toEqual(["30 04 00 01 61 31"]);
    transport.takesMore = true;
    transport.handlers.drained();
    expect(transport.packets()).toEqual(["30 04 00 01 61 32"]);
  });

  test("DISCONNECT waits for drained(), and so does the end", () => {
    connect();
    transport.takesMore = false;
    session.publish({ topic: "a", payload: "1" });
    driver.flush();
    driver.disconnect();
    expect(transport.calls).toEqual([]);
    transport.handlers.drained();
    expect(transport.packets().at(-1)).toBe("e0 00");
    expect(transport.calls).toEqual(["close"]);
  });

  test("transmitted() is told after each write, and may publish", () => {
    let count = 0;
    driver = new Driver(session, world, {
      event: () => {},
      ended: () => {},
      transmitted: () => {
        if (++count === 2) session.publish({ topic: "more", payload: "" });
      },
    });
    connect();
    session.publish({ topic: "a", payload: "" });
    driver.flush();
    driver.flush();
    expect(count).toBe(3); // CONNECT and the two messages
    expect(transport.packets()).toEqual(["30 03 00 01 61", "30 06 00 04 6d 6f 72 65"]);
  });
});

describe("bytes in", () => {
  test("a chunk larger than the receive buffer is taken in pieces", () => {
    connect();
    const topics = Array.from({ length: 40 }, (_, number) => `topic/${number}`);
    transport.handlers.received(concat(...topics.map((topic) => publish({ topic }))));
    expect(log).toEqual(topics);
    expect(transport.calls).toEqual([]);
  });

  test("what waits for room to acknowledge pauses the transport until drained()", () => {
    connect();
    transport.takesMore = false;
    session.publish({ topic: "a", payload: "x".repeat(100) });
    driver.flush();
    session.publish({ topic: "a", payload: "y".repeat(100) });
    const ids = Array.from({ length: 40 }, (_, index) => index + 1);
    transport.handlers.received(
      concat(...ids.map((packetId) => publish({ topic: "t", qos: 1, packetId }))),
    );
    expect(log.length).toBeLessThan(40);
    expect(transport.calls).toEqual(["pause"]);
    transport.packets();

    transport.takesMore = true;
    transport.handlers.drained();
    expect(log).toHaveLength(40);
    expect(transport.calls).toEqual(["pause", "resume"]);
    expect(transport.packets().filter((packet) => packet.startsWith("40 02"))).toEqual(
      ids.map((packetId) => hex(puback(packetId))),
    );
  });
});

describe("pause()", () => {
  const three = concat(...["one", "two", "three"].map((topic) => publish({ topic })));

  /** Pauses with the first message, as one does whose queue is full. */
  function pauseAtOne(): void {
    driver = new Driver(session, world, {
      event: () => {
        log.push(session.topic());
        if (session.topic() === "one") driver.pause();
      },
      ended: (reason) => endings.push(reason),
    });
    connect();
  }

  test("stops right behind the event, and resume() goes on with the next", () => {
    pauseAtOne();
    transport.handlers.received(three);
    expect(log).toEqual(["one"]);
    driver.resume();
    expect(log).toEqual(["one", "two", "three"]);
  });

  test("keeps what still comes, until resume()", () => {
    pauseAtOne();
    transport.handlers.received(publish({ topic: "one" }));
    transport.handlers.received(concat(three, three));
    expect(log).toEqual(["one"]);
    expect(transport.calls).toEqual(["pause"]);
    driver.resume();
    expect(log).toEqual(["one", "one"]);
    driver.resume();
    expect(log).toEqual(["one", "one", "two", "three", "one"]);
    driver.resume();
    expect(log).toHaveLength(7);
    expect(transport.calls.at(-1)).toBe("resume");
  });

  test("does not keep PINGREQ and messages from going out", async () => {
    pauseAtOne();
    transport.handlers.received(publish({ topic: "one" }));
    await world.advance(70_000);
    session.publish({ topic: "a", payload: "" });
    driver.flush();
    expect(transport.packets()).toEqual(["c0 00", "30 03 00 01 61"]);
  });

  test("lets the CONNACK of the next connection through, and no message behind it", () => {
    connect();
    driver.pause();
    transport.handlers.closed(undefined);
    open();
    transport.handlers.opened();
    transport.handlers.received(concat(connack(), publish({ topic: "held" })));
    expect(log).toEqual(["Connected"]);
    driver.resume();
    expect(log).toEqual(["Connected", "held"]);
  });

  test("is over with the connection: what came before the end is taken, and then the end is told", () => {
    pauseAtOne();
    transport.handlers.received(publish({ topic: "one" }));
    transport.handlers.received(three);
    expect(log).toEqual(["one"]);
    transport.handlers.closed(undefined);
    expect(log).toEqual(["one", "one", "two", "three"]);
    expect(endings).toEqual([undefined]);
  });

  test("resume() without pause() does nothing", () => {
    connect();
    driver.resume();
    expect(transport.calls).toEqual([]);
  });
});

describe("an owner of many drivers", () => {
  let wakesAtMs: number[];

  beforeEach(() => {
    wakesAtMs = [];
    driver = new Driver(session, world, {
      event: (event) => log.push(Event[event] ?? "?"),
      ended: (reason) => endings.push(reason),
      wakeAt: (atMs) => wakesAtMs.push(atMs),
    });
  });

  /** Until PINGREQ is due, with 80 s of keep alive. */
  async function untilPing(): Promise<void> {
    connect();
    await world.advance(70_000);
    wakesAtMs.length = 0;
  }

  test("lets it do what is due, and send that later", async () => {
    await untilPing();
    driver.doDue(world.nowMs());
    expect(transport.packets()).toEqual([]);
    driver.sendDue(world.nowMs());
    expect(transport.packets()).toEqual(["c0 00"]);
    expect(wakesAtMs).toEqual([75_000]); // PINGRESP has 5 s
  });

  test("asks twice and gets it once, as from wake", async () => {
    await untilPing();
    driver.sendDue(world.nowMs());
    expect([transport.packets(), wakesAtMs]).toEqual([[], []]);
    driver.wake(world.nowMs());
    driver.sendDue(world.nowMs());
    expect(transport.packets()).toEqual(["c0 00"]);
    expect(wakesAtMs).toEqual([75_000]);
  });

  test("wakes it with a time from before the last flush: the clock of the session does not go back", async () => {
    await untilPing();
    const beforeMs = world.nowMs();
    await world.advance(1);
    session.publish({ topic: "a", payload: "" });
    driver.flush();
    transport.packets();
    driver.doDue(beforeMs);
    driver.sendDue(world.nowMs());
    expect(transport.packets()).toEqual([]); // PINGREQ would not be due for another 70 s
  });

  test("sends what is due again and again: the session is asked each eighth time what else there is", () => {
    connect();
    const poll = vi.spyOn(session, "poll");
    const askedAt: number[] = [];
    for (let wake = 1; wake <= 24; wake++) {
      driver.wake(world.nowMs());
      if (poll.mock.calls.length > 0) askedAt.push(wake);
      poll.mockClear();
    }
    expect(askedAt).toEqual([8, 16, 24]);
  });

  test("wakes it often without a connection: it is asked as soon as there is one", () => {
    for (let wake = 0; wake < 20; wake++) driver.wake(world.nowMs());
    connect();
    const poll = vi.spyOn(session, "poll");
    for (let wake = 0; wake < 8; wake++) driver.wake(world.nowMs());
    expect(poll).toHaveBeenCalledTimes(1);
  });

  test("stops it in between: it neither sends nor wants to be woken", async () => {
    await untilPing();
    driver.doDue(world.nowMs());
    driver.stop();
    wakesAtMs.length = 0;
    driver.sendDue(world.nowMs());
    expect([transport.packets(), wakesAtMs]).toEqual([[], []]);
  });

  test("loses the connection in between: nothing goes out on the next one before CONNECT", async () => {
    await untilPing();
    driver.doDue(world.nowMs());
    transport.handlers.closed(undefined);
    open();
    driver.sendDue(world.nowMs());
    expect(transport.packets()).toEqual([]);
    transport.handlers.opened();
    expect(transport.packets()[0]?.slice(0, 2)).toBe("10");
  });
});
