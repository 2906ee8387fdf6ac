/**
 * The host's Driver and TCP transport with thermometer.wasm, one for each device, and nothing of the fleet: no timers but the
 * driver's own, no histograms, no audit. What lies between this row and the fleet's is the simulator's.
 */

import { importFromDist, readFromDist } from "./dist.mjs";
import {
  clientIdOf,
  counts,
  generate,
  INFLIGHT_COUNT_MAX,
  isOver,
  settings,
} from "./generator.mjs";

const { loadCore } = await importFromDist("host/src/core/core.js");
const { openTransport } = await importFromDist("host/src/transport/open-transport.js");
const { parseBrokerUrl } = await importFromDist("host/src/transport/broker-url.js");
const { realWorld: world } = await importFromDist("host/src/world.js");
const { Driver } = await importFromDist("host/src/client/driver.js");
const { Session } = await importFromDist("host/src/core/session.js");
const { Event } = await importFromDist("firmware/core/abi.js");

const CONNECT = { cleanSession: true, keepAliveSeconds: 60, responseTimeoutMs: 10_000 };

/** As the fleet's: see simulator/src/fleet/sensor.ts. */
const CAPACITIES = { receive: 512, transmit: 2048, incomingCount: 16, identity: 64 };

/** The module's own clock never runs: readings are taken when the pace says so. */
const INTERVAL_MS = 86_400_000;

const open = openTransport(parseBrokerUrl(`mqtt://127.0.0.1:${settings.port}`), world);
const core = await loadCore(readFromDist("thermometer.wasm"));

class Device {
  #isFilling = false;
  #hasBegun = false;
  #driver;
  #session;

  constructor(number) {
    this.#session = new Session(core, CAPACITIES);
    this.#session.setClientId(clientIdOf(number));
    this.#session.setLimits(INFLIGHT_COUNT_MAX);
    core.exports.configure(this.#session.at, INTERVAL_MS, 0, settings.qos);
    this.#driver = new Driver(this.#session, world, {
      event: (event) => this.#onEvent(event),
      ended: (reason) => {
        throw reason ?? new Error("the broker closed the connection");
      },
      transmitted: () => this.#fillSoon(),
    });
    this.#driver.open(open, CONNECT);
  }

  publish() {
    counts.messages += this.#read() ? 1 : 0;
    this.#driver.flush();
  }

  /** Takes readings until the outbox is full, and again when there is room. */
  fill() {
    this.#hasBegun = true;
    this.#isFilling = false;
    if (isOver()) return;
    let count = 0;
    while (this.#read()) count++;
    counts.messages += count;
    if (count > 0) this.#driver.flush();
  }

  #read() {
    return core.exports.reading(this.#session.at, 21_000, world.nowMs()) >= 0;
  }

  /** After the call that told us: the driver is not to be called from within. */
  #fillSoon() {
    if (!this.#hasBegun || this.#isFilling) return;
    this.#isFilling = true;
    queueMicrotask(() => this.fill());
  }

  #onEvent(event) {
    if (event === Event.Connected) counts.connected++;
    if (event !== Event.Published) return;
    counts.acknowledged++;
    this.#fillSoon();
  }
}

await generate({
  connect: (number) => new Device(number),
  publish: (device) => device.publish(),
  begin: (device) => device.fill(),
});
