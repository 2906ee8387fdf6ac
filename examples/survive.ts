/**
 * A counter that is right whatever happens: it adds up what arrives at QoS 2, and keeps the sum together with the
 * session. End it with `kill -9` at any moment and start it again. Start a broker first (`npx wasmqtt broker`):
 *
 *   node examples/survive.ts mqtt://localhost ./counter-session
 *   npx wasmqtt pub -t examples/coins -q 2 -m 5
 */

import { MqttClient, openFileStore } from "wasmqtt";

const [url = "mqtt://localhost", directory = "counter-session"] = process.argv.slice(2);
const store = openFileStore(directory);
const client = new MqttClient({ url, clientId: "counter", cleanSession: false, store });
let sum = 0;

client.on("restored", ({ note }) => {
  sum = Number(new TextDecoder().decode(note));
  process.stdout.write(`There were ${sum} already.\n`);
});
client.on("message", ({ payload }) => {
  sum += Number(new TextDecoder().decode(payload));
  client.keepNote(new TextEncoder().encode(String(sum))); // survives together with the message, or not at all
  process.stdout.write(`Now there are ${sum}.\n`);
});

await client.connect();
await client.subscribe("examples/coins", { qos: 2 });
process.stdout.write("Ready.\n");
