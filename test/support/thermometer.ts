/** A thermometer for tests in this process: all that it needs but what the test is about. */

import {
  Thermometer,
  type ThermometerEvent,
  type ThermometerOptions,
} from "../../host/src/client/thermometer.ts";
import { loadCore, readModule, type ThermometerExports } from "../../host/src/core/core.ts";
import { parseBrokerUrl } from "../../host/src/transport/broker-url.ts";
import { openTransport } from "../../host/src/transport/open-transport.ts";
import { realWorld } from "../../host/src/world.ts";

/** Not connected yet. `events` is what it tells, unless `options` have a `tell`. Stop it in the end. */
export async function makeThermometer(
  url: string,
  options: Partial<ThermometerOptions> = {},
): Promise<{ thermometer: Thermometer; events: ThermometerEvent[] }> {
  const events: ThermometerEvent[] = [];
  const thermometer = new Thermometer({
    core: await loadCore<ThermometerExports>(await readModule("thermometer")),
    world: realWorld,
    openTransport: openTransport(parseBrokerUrl(url), realWorld),
    clientId: "attic",
    username: undefined,
    password: undefined,
    connect: { cleanSession: true, keepAliveSeconds: 60, responseTimeoutMs: 2_000 },
    reconnect: { baseMs: 1, maxMs: 1, stableMs: 1 },
    intervalMs: 60_000,
    deadBandMilliCelsius: 0,
    flags: 1,
    measure: () => 21_475,
    tell: (event) => events.push(event),
    ...options,
  });
  return { thermometer, events };
}
