/** MQTT.js in a loop. Taken from wherever it can be resolved: this package, or the folder that MQTTJS_AT names. */

import { createRequire } from "node:module";
import { join } from "node:path";
import {
  clientIdOf,
  counts,
  generate,
  INFLIGHT_COUNT_MAX,
  isOver,
  SKIPPED,
  settings,
  topicOf,
} from "./generator.mjs";

/** Messages at QoS 0 that an unpaced device has handed over and that have not left. */
const UNSENT_COUNT_MAX = 100;

const mqtt = loadMqtt();
const payload = Buffer.alloc(settings.payloadLength, "x");

await generate({ connect, publish, begin });

function loadMqtt() {
  const folder = process.env.MQTTJS_AT;
  const from = folder === undefined ? import.meta.url : join(folder, "package.json");
  try {
    return createRequire(from)("mqtt");
  } catch {
    process.stderr.write(
      "mqtt (MQTT.js) is not installed; MQTTJS_AT may name a folder that has it\n",
    );
    return process.exit(SKIPPED);
  }
}

function connect(number) {
  const client = mqtt.connect({
    host: "127.0.0.1",
    port: settings.port,
    protocol: "mqtt",
    clientId: clientIdOf(number),
    keepalive: 60,
    reconnectPeriod: 0,
  });
  client.once("connect", () => counts.connected++);
  return { client, topic: topicOf(number), pending: 0 };
}

function publish({ client, topic }) {
  const { qos } = settings;
  counts.messages++;
  client.publish(topic, payload, { qos }, qos === 0 ? undefined : acknowledged);
}

function acknowledged(error) {
  if (!error) counts.acknowledged++;
}

function begin(device) {
  const { qos } = settings;
  const pendingMax = qos === 0 ? UNSENT_COUNT_MAX : INFLIGHT_COUNT_MAX;
  const done = () => {
    device.pending--;
    if (qos > 0) counts.acknowledged++;
    if (!isOver()) fill();
  };
  const fill = () => {
    while (device.pending < pendingMax) {
      device.pending++;
      counts.messages++;
      device.client.publish(device.topic, payload, { qos }, done);
    }
  };
  fill();
}
