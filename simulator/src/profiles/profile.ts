/** The payload profiles: which firmware a device runs, what it is given to say, and how an observer understands it. */

import type { ModuleName } from "../../../host/src/core/core.ts";
import { birthsLength, encodeItems, identityLength, readingLength } from "./block.ts";
import type { Convention, DeviceMessage } from "./convention.ts";
import { homeAssistant } from "./home-assistant.ts";
import { homie } from "./homie.ts";
import { plain } from "./plain.ts";
import { senml } from "./senml.ts";
import { tasmota } from "./tasmota.ts";
import { zigbee2mqtt } from "./zigbee2mqtt.ts";

export const PROFILE_NAMES = [
  "plain",
  "homeassistant",
  "zigbee2mqtt",
  "tasmota",
  "homie",
  "senml",
] as const;

export type ProfileName = (typeof PROFILE_NAMES)[number];

export interface Profile {
  name: ProfileName;
  module: ModuleName;
  /** For `setProfile`; undefined if the module needs none. One for all devices of an instance, up to its end. */
  block: Uint8Array | undefined;
  /** What an observer subscribes to: one filter for all devices each. */
  filters: { status: string[]; telemetry: string[] };
  /** False: readings say no `seq`, so that neither loss nor order can be told, nor when one was measured. */
  hasSequence: boolean;
  /** Where this device takes commands. */
  commandTopic(clientId: string): string;
  /** What is wrong with a client id; the rest of a sentence that begins with it. */
  clientIdProblem(clientId: string): string | undefined;
  /** Undefined if it is nothing that a device says. Quick, and safe whatever comes. Retained deliveries are the caller's. */
  read(topic: string, payload: Uint8Array): DeviceMessage | undefined;
  /** Bytes of the record's identity that client id and Will take, for a client id of so many bytes. */
  identityLength(clientIdLength: number): number;
  /**
   * Bytes of the outbox that all that is said at a connection takes, SUBSCRIBE included, and the firmware's margin: with
   * `birthsLength + n × readingLength + CONTROL_RESERVE_LENGTH` bytes it holds them and n readings at the same time.
   */
  birthsLength(clientIdLength: number): number;
  /** Bytes of the outbox that one reading takes, at most. */
  readingLength(clientIdLength: number): number;
}

const CONVENTIONS: Readonly<Record<ProfileName, Convention>> = {
  plain,
  homeassistant: homeAssistant,
  zigbee2mqtt,
  tasmota,
  homie,
  senml,
};

/** What reporter.wasm does not take: the client id lies in JSON between quotation marks. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const NOT_IN_JSON = /["\\\u0000-\u001f]/u;

export function profileOf(name: ProfileName): Profile {
  const { items, filters, hasSequence, commandTopic, clientIdProblem, read } = CONVENTIONS[name];
  const isBuiltIn = name === "plain";
  return {
    name,
    module: isBuiltIn ? "thermometer" : "reporter",
    block: isBuiltIn ? undefined : encodeItems(items),
    filters,
    hasSequence,
    commandTopic: (clientId) => commandTopic.replace("<id>", () => clientId),
    clientIdProblem: (clientId) =>
      !isBuiltIn && NOT_IN_JSON.test(clientId)
        ? "has a quotation mark, a backslash or a control character in it, but it becomes a part of JSON texts"
        : clientIdProblem(clientId),
    read,
    identityLength: (clientIdLength) => identityLength(items, clientIdLength),
    birthsLength: (clientIdLength) => birthsLength(items, clientIdLength),
    readingLength: (clientIdLength) => readingLength(items, clientIdLength),
  };
}
