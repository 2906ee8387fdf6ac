/**
 * Zigbee2MQTT (zigbee2mqtt.io, "MQTT Topics and Messages"), version 2. There one bridge speaks for all devices; here each
 * speaks for itself, on the topics that the bridge would use for it.
 */

import { ProfileItem, ProfileWhen } from "../../../firmware/core/abi.ts";
import type { Convention, DeviceMessage } from "./convention.ts";
import { isText, levelBetween, sequenceBehind, wholeNumberBehind } from "./payload.ts";

const PREFIX = "zigbee2mqtt/";

/** "Device-Availability": retained. Since version 2 always JSON; QoS 1 as in lib/extension/availability.ts. */
const AVAILABILITY = "zigbee2mqtt/<id>/availability";
const ONLINE = '{"state":"online"}';
const OFFLINE = '{"state":"offline"}';

/** "zigbee2mqtt/FRIENDLY_NAME/get": asks for a value with its key and an empty string. */
const GET = "zigbee2mqtt/<id>/get";

export const zigbee2mqtt: Convention = {
  items: [
    {
      // "zigbee2mqtt/FRIENDLY_NAME": always JSON. last_seen as with `advanced.last_seen: epoch`, in milliseconds.
      kind: ProfileItem.Telemetry,
      topic: "zigbee2mqtt/<id>",
      payload: '{"temperature":<celsius>,"seq":<seq>,"last_seen":<unixMs>}',
    },
    { kind: ProfileItem.Will, topic: AVAILABILITY, payload: OFFLINE, qos: 1, retain: true },
    { kind: ProfileItem.Goodbye, topic: AVAILABILITY, payload: OFFLINE, qos: 1, retain: true },
    {
      kind: ProfileItem.Say,
      topic: AVAILABILITY,
      payload: ONLINE,
      qos: 1,
      retain: true,
      when: ProfileWhen.Connected | ProfileWhen.Birth,
    },
    { kind: ProfileItem.Subscribe, topic: GET, qos: 1, when: ProfileWhen.Subscribing },
    { kind: ProfileItem.Report, topic: GET, payload: '{"temperature":""}' },
  ],
  filters: { status: ["zigbee2mqtt/+/availability"], telemetry: ["zigbee2mqtt/+"] },
  commandTopic: GET,
  hasSequence: true,
  clientIdProblem: (clientId) =>
    clientId === "bridge"
      ? 'is "bridge", but what Zigbee2MQTT says of itself is on zigbee2mqtt/bridge'
      : undefined,
  read,
};

function read(topic: string, payload: Uint8Array): DeviceMessage | undefined {
  const clientId = levelBetween(topic, PREFIX, "");
  if (clientId === undefined) return readAvailability(topic, payload);
  const seq = sequenceBehind(payload, '"seq":');
  return { clientId, kind: "telemetry", seq, unixMs: wholeNumberBehind(payload, '"last_seen":') };
}

function readAvailability(topic: string, payload: Uint8Array): DeviceMessage | undefined {
  const clientId = levelBetween(topic, PREFIX, "/availability");
  if (clientId === undefined) return undefined;
  if (isText(payload, ONLINE)) return { clientId, kind: "online" };
  return isText(payload, OFFLINE) ? { clientId, kind: "offline" } : undefined;
}
