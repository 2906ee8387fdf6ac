/**
 * Home Assistant's MQTT discovery: a sensor appears there by itself. Home Assistant leaves the topics of a device open, so
 * they are those of `plain`; what it wants is to be told of them (home-assistant.io, "MQTT": Discovery messages).
 */

import { ProfileItem, ProfileWhen } from "../../../firmware/core/abi.ts";
import type { Convention, ConventionItem } from "./convention.ts";
import { COMMAND_ITEMS, plain, STATUS_ITEMS, TELEMETRY } from "./plain.ts";

/**
 * Of one component, with abbreviated names ("Supported abbreviations in MQTT discovery messages"); `~` is the base topic.
 * `value_template` is as in "Sensors" of the examples. No `expire_after`: a dead band may keep a sensor silent.
 */
const CONFIG = {
  "~": "motes/<id>",
  uniq_id: "<id>_temperature",
  stat_t: "~/telemetry",
  val_tpl: "{{ value_json.temperature }}",
  avty_t: "~/status",
  dev_cla: "temperature",
  unit_of_meas: "°C",
  stat_cla: "measurement",
  qos: 1,
  dev: { ids: "<id>", name: "<id>", mf: "wasmqtt", mdl: "virtual thermometer" },
  o: { name: "wasmqtt" },
};

/** "Discovery topic": best practice is the unique_id as object_id, without a node_id. */
const CONFIG_ITEM: ConventionItem = {
  kind: ProfileItem.Say,
  topic: "homeassistant/sensor/<id>_temperature/config",
  payload: JSON.stringify(CONFIG),
  qos: 1,
  when: ProfileWhen.Connected | ProfileWhen.Announced,
};

/**
 * "Use the Birth and Will messages to trigger discovery": Home Assistant says `online` when it starts, and then wants the
 * configuration and a new state. That is why the configuration is not retained: a fleet that is gone leaves no ghosts.
 */
const BIRTH_OF_HOME_ASSISTANT: readonly ConventionItem[] = [
  {
    kind: ProfileItem.Subscribe,
    topic: "homeassistant/status",
    qos: 1,
    when: ProfileWhen.Subscribing,
  },
  { kind: ProfileItem.Announce, topic: "homeassistant/status", payload: "online" },
];

/** "Discovery topic": the character class of an object_id. */
const CLIENT_ID = /^[a-zA-Z0-9_-]+$/u;

export const homeAssistant: Convention = {
  ...plain,
  items: [TELEMETRY, CONFIG_ITEM, ...STATUS_ITEMS, ...COMMAND_ITEMS, ...BIRTH_OF_HOME_ASSISTANT],
  clientIdProblem: (clientId) =>
    CLIENT_ID.test(clientId)
      ? undefined
      : "has other characters than a-z, A-Z, 0-9, _ and -, which are all that Home Assistant takes in a discovery topic",
};
