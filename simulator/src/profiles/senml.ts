/**
 * SenML in JSON (RFC 8428, 5). The RFC says what a payload is and nothing of MQTT: topics, status and commands are those of
 * `plain`, but telemetry has a topic of its own.
 */

import { ProfileItem } from "../../../firmware/core/abi.ts";
import type { Convention, DeviceMessage } from "./convention.ts";
import { levelBetween, millisecondsBehind, sequenceBehind } from "./payload.ts";
import { COMMAND_ITEMS, plain, readStatus, STATUS_ITEMS } from "./plain.ts";

/**
 * A Pack of two Records: base name and base time (4.1) hold for both. The unit of degrees Celsius is `Cel`, that of a counter
 * `count` (12.1). A time of 2^28 or more is absolute (4.5.3).
 */
const TELEMETRY =
  '[{"bn":"<id>:","bt":<unixSeconds>.<milliseconds>,"n":"temperature","u":"Cel","v":<celsius>},' +
  '{"n":"seq","u":"count","v":<seq>}]';

/** 4.5.1: the characters of a name, and what it may start with. */
const CLIENT_ID = /^[A-Za-z0-9][A-Za-z0-9:._-]*$/u;

export const senml: Convention = {
  ...plain,
  items: [
    { kind: ProfileItem.Telemetry, topic: "motes/<id>/senml", payload: TELEMETRY },
    ...STATUS_ITEMS,
    ...COMMAND_ITEMS,
  ],
  filters: { status: plain.filters.status, telemetry: ["motes/+/senml"] },
  clientIdProblem: (clientId) =>
    CLIENT_ID.test(clientId)
      ? undefined
      : "has other characters than a-z, A-Z, 0-9, :, ., _ and -, or begins with one of the last four: RFC 8428 (4.5.1) does not take it in a name",
  read,
};

function read(topic: string, payload: Uint8Array): DeviceMessage | undefined {
  const clientId = levelBetween(topic, "motes/", "/senml");
  if (clientId === undefined) return readStatus(topic, payload);
  const seq = sequenceBehind(payload, '"n":"seq","u":"count","v":');
  return { clientId, kind: "telemetry", seq, unixMs: millisecondsBehind(payload, '"bt":') };
}
