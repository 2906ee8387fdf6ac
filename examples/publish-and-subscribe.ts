/**
 * Publishes a few messages and receives them. Start a broker first (`npx wasmqtt broker`), or give the URL of yours:
 *
 *   node examples/publish-and-subscribe.ts mqtt://localhost
 */

import { MqttClient } from "wasmqtt";

const client = new MqttClient({ url: process.argv[2] ?? "mqtt://localhost" });
await client.connect();

await client.subscribe("examples/greeting/#", { qos: 1 });
for (const name of ["Ada", "Grace", "Hedy"]) {
  await client.publish(`examples/greeting/${name}`, `Hello, ${name}!`, { qos: 1 });
}

let count = 0;
for await (const { topic, payload } of client.messages()) {
  process.stdout.write(`${topic}: ${new TextDecoder().decode(payload)}\n`);
  count++;
  if (count === 3) break;
}

await client.close();
