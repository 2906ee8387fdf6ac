/**
 * The Homie convention, version 5 (homieiot.github.io). A property's value is a bare number, so a reading says neither its
 * `seq` nor its time: loss and order of Homie devices cannot be told.
 */

import { ProfileItem, ProfileWhen } from "../../../firmware/core/abi.ts";
import type { Convention, DeviceMessage } from "./convention.ts";
import { isText, levelBetween } from "./payload.ts";

const PREFIX = "homie/5/";
const STATE = "homie/5/<id>/$state";
const TEMPERATURE = "/thermometer/temperature";
const INTERVAL = "homie/5/<id>/thermometer/interval";

/** "Device Attributes", "Node Attributes", "Property Attributes", "Formats", "Units". */
const DESCRIPTION = {
  homie: "5.0",
  version: 1,
  name: "<id>",
  nodes: {
    thermometer: {
      properties: {
        temperature: { datatype: "float", unit: "°C" },
        interval: { datatype: "integer", unit: "ms", format: "100:86400000", settable: true },
      },
    },
  },
};

/** "Device Lifecycle": ready when all of the description, the values, and the subscriptions to /set are there. */
export const homie: Convention = {
  items: [
    {
      kind: ProfileItem.Telemetry,
      topic: `${PREFIX}<id>${TEMPERATURE}`,
      payload: "<celsius>",
      retain: true,
    },
    { kind: ProfileItem.Will, topic: STATE, payload: "lost", qos: 1, retain: true },
    { kind: ProfileItem.Goodbye, topic: STATE, payload: "disconnected", qos: 1, retain: true },
    atConnection(STATE, "init"),
    atConnection("homie/5/<id>/$description", JSON.stringify(DESCRIPTION)),
    {
      kind: ProfileItem.Subscribe,
      topic: `${INTERVAL}/set`,
      qos: 1,
      when: ProfileWhen.Subscribing,
    },
    { kind: ProfileItem.SetInterval, topic: `${INTERVAL}/set`, payload: "<intervalMs>" },
    // "Property command topic": the device must show what it has taken.
    atConnection(INTERVAL, "<intervalMs>", ProfileWhen.IntervalSet),
    atConnection(STATE, "ready", ProfileWhen.Birth | ProfileWhen.Measured),
  ],
  filters: { status: ["homie/5/+/$state"], telemetry: [`homie/5/+${TEMPERATURE}`] },
  commandTopic: `${INTERVAL}/set`,
  hasSequence: false,
  // "Topic IDs"
  clientIdProblem: (clientId) =>
    /^[a-z0-9-]+$/u.test(clientId)
      ? undefined
      : "has other characters than a-z, 0-9 and -, which are all that a Homie device id may have",
  read,
};

/** "QoS and retained messages": all is retained. QoS 1 will do if the whole network keeps to it ("QoS choices explained"). */
function atConnection(topic: string, payload: string, when = 0) {
  const at = ProfileWhen.Connected | when;
  return { kind: ProfileItem.Say, topic, payload, qos: 1, retain: true, when: at } as const;
}

function read(topic: string, payload: Uint8Array): DeviceMessage | undefined {
  const clientId = levelBetween(topic, PREFIX, TEMPERATURE);
  if (clientId === undefined) return readState(topic, payload);
  return { clientId, kind: "telemetry", seq: undefined, unixMs: undefined };
}

function readState(topic: string, payload: Uint8Array): DeviceMessage | undefined {
  const clientId = levelBetween(topic, PREFIX, "/$state");
  if (clientId === undefined) return undefined;
  if (isText(payload, "ready")) return { clientId, kind: "online" };
  const isGone = isText(payload, "lost") || isText(payload, "disconnected");
  return isGone ? { clientId, kind: "offline" } : undefined;
}
