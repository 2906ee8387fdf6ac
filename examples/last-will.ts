/**
 * A client that vanishes, and one that hears of it: the broker publishes the Last Will of whoever leaves without a
 * goodbye. Start a broker first (`npx wasmqtt broker`), or give the URL of yours:
 *
 *   node examples/last-will.ts mqtt://localhost
 */

import { MqttClient } from "wasmqtt";

const url = process.argv[2] ?? "mqtt://localhost";
const topic = "examples/lighthouse";

const lighthouse = new MqttClient({
  url,
  will: { topic, payload: "dark", qos: 1, retain: true },
});
await lighthouse.connect();
await lighthouse.publish(topic, "lit", { qos: 1, retain: true });

const ship = new MqttClient({ url });
await ship.connect();
await ship.subscribe(topic, { qos: 1 });

for await (const { payload } of ship.messages()) {
  const state = new TextDecoder().decode(payload);
  process.stdout.write(`The lighthouse is ${state}.\n`);
  if (state === "dark") break;
  lighthouse.abort(); // no DISCONNECT: as if its power had failed
}

await ship.publish(topic, "", { qos: 1, retain: true }); // leaves nothing behind
await ship.close();
