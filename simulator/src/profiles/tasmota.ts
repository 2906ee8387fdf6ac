/**
 * Tasmota (tasmota.github.io/docs, "MQTT"): `<id>` is its %topic%, in the default FullTopic %prefix%/%topic%/. What the
 * documentation leaves open is as in xdrv_02_9_mqtt.ino: Will at QoS 1, retained, and `Online` behind CONNACK.
 */

import { ProfileItem, ProfileWhen } from "../../../firmware/core/abi.ts";
import type { Convention, DeviceMessage } from "./convention.ts";
import { digitsAt, indexBehind, isText, levelBetween, sequenceBehind } from "./payload.ts";

const PREFIX = "tele/";
const LWT = "tele/<id>/LWT";

/** "Commands over MQTT": cmnd/%topic%/<command>, answered on stat/%topic%/RESULT. */
const TELE_PERIOD = "cmnd/<id>/TelePeriod";

export const tasmota: Convention = {
  items: [
    {
      // "Telemetry data": the sensor's keys are in an object with its name. Time as with the command `Time 4`, in UTC.
      kind: ProfileItem.Telemetry,
      topic: "tele/<id>/SENSOR",
      payload:
        '{"Time":"<dateTime>.<milliseconds>","DS18B20":{"Temperature":<celsius>},"Seq":<seq>,"TempUnit":"C"}',
    },
    { kind: ProfileItem.Will, topic: LWT, payload: "Offline", qos: 1, retain: true },
    { kind: ProfileItem.Goodbye, topic: LWT, payload: "Offline", qos: 1, retain: true },
    {
      kind: ProfileItem.Say,
      topic: LWT,
      payload: "Online",
      qos: 1,
      retain: true,
      when: ProfileWhen.Connected | ProfileWhen.Birth,
    },
    { kind: ProfileItem.Subscribe, topic: "cmnd/<id>/#", qos: 1, when: ProfileWhen.Subscribing },
    { kind: ProfileItem.SetInterval, topic: TELE_PERIOD, payload: "<intervalSeconds>" },
    {
      kind: ProfileItem.Say,
      topic: "stat/<id>/RESULT",
      payload: '{"TelePeriod":<intervalSeconds>}',
      qos: 1,
      when: ProfileWhen.IntervalSet,
    },
  ],
  filters: { status: ["tele/+/LWT"], telemetry: ["tele/+/SENSOR"] },
  commandTopic: TELE_PERIOD,
  hasSequence: true,
  clientIdProblem: () => undefined,
  read,
};

function read(topic: string, payload: Uint8Array): DeviceMessage | undefined {
  const clientId = levelBetween(topic, PREFIX, "/SENSOR");
  if (clientId === undefined) return readLwt(topic, payload);
  const seq = sequenceBehind(payload, '"Seq":');
  return { clientId, kind: "telemetry", seq, unixMs: timeOf(payload) };
}

function readLwt(topic: string, payload: Uint8Array): DeviceMessage | undefined {
  const clientId = levelBetween(topic, PREFIX, "/LWT");
  if (clientId === undefined) return undefined;
  if (isText(payload, "Online")) return { clientId, kind: "online" };
  return isText(payload, "Offline") ? { clientId, kind: "offline" } : undefined;
}

/** Where year, month, day, hour, minute, second and millisecond stand in 2026-11-23T07:48:00.123. */
const TIME_PARTS = [
  [0, 4],
  [5, 2],
  [8, 2],
  [11, 2],
  [14, 2],
  [17, 2],
  [20, 3],
] as const;

function timeOf(payload: Uint8Array): number | undefined {
  const at = indexBehind(payload, '"Time":"');
  if (at < 0) return undefined;
  const parts: number[] = [];
  for (const [offset, count] of TIME_PARTS) {
    const part = digitsAt(payload, at + offset, count);
    if (part === undefined) return undefined;
    parts.push(part);
  }
  const [year = 0, month = 0, ...rest] = parts;
  return Date.UTC(year, month - 1, ...rest);
}
