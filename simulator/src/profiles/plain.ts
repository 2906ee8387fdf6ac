/**
 * Our own convention, which thermometer.wasm has built in. As items it is the standard that reporter.wasm is held
 * against, and what other conventions that leave topics open are made of.
 */

import { ProfileItem, ProfileWhen } from "../../../firmware/core/abi.ts";
import type { Convention, ConventionItem, DeviceMessage } from "./convention.ts";
import { isText, levelBetween, sequenceBehind, wholeNumberBehind } from "./payload.ts";

const STATUS = "motes/<id>/status";
const COMMAND = "motes/<id>/cmd";
const PREFIX = "motes/";

export const TELEMETRY: ConventionItem = {
  kind: ProfileItem.Telemetry,
  topic: "motes/<id>/telemetry",
  payload: '{"temperature":<celsius>,"seq":<seq>,"ts":<unixMs>}',
};

/** Will, birth, goodbye. */
export const STATUS_ITEMS: readonly ConventionItem[] = [
  { kind: ProfileItem.Will, topic: STATUS, payload: "offline", qos: 1, retain: true },
  { kind: ProfileItem.Goodbye, topic: STATUS, payload: "offline", qos: 1, retain: true },
  {
    kind: ProfileItem.Say,
    topic: STATUS,
    payload: "online",
    qos: 1,
    retain: true,
    when: ProfileWhen.Connected | ProfileWhen.Birth,
  },
];

export const COMMAND_ITEMS: readonly ConventionItem[] = [
  { kind: ProfileItem.Subscribe, topic: COMMAND, qos: 1, when: ProfileWhen.Subscribing },
  { kind: ProfileItem.SetInterval, topic: COMMAND, payload: "interval <intervalMs>" },
  { kind: ProfileItem.Report, topic: COMMAND, payload: "report" },
];

export const plain: Convention = {
  items: [TELEMETRY, ...STATUS_ITEMS, ...COMMAND_ITEMS],
  filters: { status: ["motes/+/status"], telemetry: ["motes/+/telemetry"] },
  commandTopic: COMMAND,
  hasSequence: true,
  clientIdProblem: () => undefined,
  read,
};

function read(topic: string, payload: Uint8Array): DeviceMessage | undefined {
  const clientId = levelBetween(topic, PREFIX, "/telemetry");
  if (clientId === undefined) return readStatus(topic, payload);
  const seq = sequenceBehind(payload, '"seq":');
  return { clientId, kind: "telemetry", seq, unixMs: wholeNumberBehind(payload, '"ts":') };
}

export function readStatus(topic: string, payload: Uint8Array): DeviceMessage | undefined {
  const clientId = levelBetween(topic, PREFIX, "/status");
  if (clientId === undefined) return undefined;
  if (isText(payload, "online")) return { clientId, kind: "online" };
  return isText(payload, "offline") ? { clientId, kind: "offline" } : undefined;
}
