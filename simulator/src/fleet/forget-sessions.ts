/** Leaves nothing at somebody else's broker: sessions of devices that will not come back are given up. */

import { MqttClient } from "../../../host/src/client/mqtt-client.ts";
import { type Core, loadCore, readModule } from "../../../host/src/core/core.ts";
import type { OpenTransport } from "../../../host/src/transport/transport.ts";
import type { World } from "../../../host/src/world.ts";
import type { Sensor } from "./sensor.ts";

export interface ForgetOptions {
  openTransport: OpenTransport;
  world: World;
  responseTimeoutMs: number;
}

/** So many connect at the same time. */
const CLIENT_COUNT = 50;

/** A client that only comes and goes needs little room. */
const CAPACITIES = { receive: 128, transmit: 128 };

/**
 * Connects once more as each of `sensors`, with a clean session, which ends the one that the broker keeps
 * [MQTT-3.1.2-6]. Returns how many sessions it could not end; when nobody is let in, it does not ask for the others.
 */
export async function forgetSessions(
  sensors: readonly Sensor[],
  options: ForgetOptions,
): Promise<number> {
  if (sensors.length === 0) return 0;
  const core = await loadCore(await readModule("core"));
  let failedCount = 0;
  for (let start = 0; start < sensors.length; start += CLIENT_COUNT) {
    const some = sensors.slice(start, start + CLIENT_COUNT);
    const outcomes = await Promise.allSettled(some.map((sensor) => forget(sensor, core, options)));
    const deniedCount = outcomes.filter(({ status }) => status === "rejected").length;
    if (deniedCount === some.length) return failedCount + sensors.length - start;
    failedCount += deniedCount;
  }
  return failedCount;
}

async function forget(sensor: Sensor, core: Core, options: ForgetOptions): Promise<void> {
  const { clientId, credentials } = sensor;
  const settings = { clientId, ...credentials, core, capacities: CAPACITIES, ...options };
  const client = new MqttClient({ ...settings, cleanSession: true, reconnect: false });
  try {
    await client.connect();
  } finally {
    await client.close();
  }
}
