/**
 * The firmware in this process: thermometer.wasm with a broker of its own, a client that gives it a command, and five
 * readings. Nothing else is needed:
 *
 *   node examples/thermometer-in-node.ts
 */

import {
  loadCore,
  MqttClient,
  openTransport,
  parseBrokerUrl,
  RECONNECT_POLICY,
  readModule,
  realWorld,
  startEmbeddedBroker,
  Thermometer,
  type ThermometerExports,
} from "wasmqtt";

const world = realWorld;
const broker = await startEmbeddedBroker({ world, bind: "127.0.0.1", port: 0 });
const url = `mqtt://127.0.0.1:${broker.port}`;

const client = new MqttClient({ url });
await client.connect();
await client.subscribe("motes/cellar/telemetry", { qos: 1 });

const thermometer = new Thermometer({
  core: await loadCore<ThermometerExports>(await readModule("thermometer")),
  world,
  openTransport: openTransport(parseBrokerUrl(url), world),
  clientId: "cellar",
  username: undefined,
  password: undefined,
  connect: { cleanSession: true, keepAliveSeconds: 60, responseTimeoutMs: 10_000 },
  reconnect: RECONNECT_POLICY,
  intervalMs: 60_000,
  deadBandMilliCelsius: 0,
  flags: 1,
  measure: () => Math.round(12_000 + 500 * world.random()),
  tell: (event) => process.stdout.write(`${event.event}\n`),
});
await thermometer.connect();
await client.publish("motes/cellar/cmd", "interval 100", { qos: 1 });

let count = 0;
for await (const { payload } of client.messages()) {
  process.stdout.write(`${new TextDecoder().decode(payload)}\n`);
  count++;
  if (count === 5) break;
}

await thermometer.stop();
await client.close();
await broker.stop();
