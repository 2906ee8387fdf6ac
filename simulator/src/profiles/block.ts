/** The profile block of reporter.wasm: a convention as bytes, and how long its messages become. docs/profiles.md has the format. */

import {
  Placeholder,
  PROFILE_LENGTH_MAX,
  ProfileField,
  ProfileItem,
  ProfileWhen,
  RETAIN_FLAG,
} from "../../../firmware/core/abi.ts";
import type { ConventionItem } from "./convention.ts";

/** What may stand in a template: the byte that stands for it in the block, and the longest that it becomes. */
const PLACES: Readonly<Record<string, { placeholder: Placeholder; lengthMax: number }>> = {
  "<id>": { placeholder: Placeholder.ClientId, lengthMax: 64 },
  "<celsius>": { placeholder: Placeholder.Temperature, lengthMax: 11 },
  "<seq>": { placeholder: Placeholder.Sequence, lengthMax: 10 },
  "<unixMs>": { placeholder: Placeholder.UnixMs, lengthMax: 13 },
  "<unixSeconds>": { placeholder: Placeholder.UnixSeconds, lengthMax: 10 },
  "<milliseconds>": { placeholder: Placeholder.Milliseconds, lengthMax: 3 },
  "<dateTime>": { placeholder: Placeholder.DateTime, lengthMax: 19 },
  "<intervalSeconds>": { placeholder: Placeholder.IntervalSeconds, lengthMax: 5 },
  "<intervalMs>": { placeholder: Placeholder.IntervalMs, lengthMax: 8 },
};

const PLACE = /<\w+>/gu;

/** What the firmware counts for a place that is not the client id when it asks for room: 20 digits. */
const COUNTED_LENGTH = 20;

/** Of a PUBLISH, besides topic and payload: what it takes below 16 KiB, and what the firmware counts. */
const PUBLISH_HEADER_LENGTH = 7;
const COUNTED_HEADER_LENGTH = 9;

/** Of a SUBSCRIBE with one filter: two bytes of fixed header, identifier, length, QoS. */
const SUBSCRIBE_HEADER_LENGTH = 7;

/** Throws a RangeError for a convention that no device could hold. */
export function encodeItems(items: readonly ConventionItem[]): Uint8Array {
  const block = Buffer.concat(items.map(encodeItem));
  if (block.length > PROFILE_LENGTH_MAX) {
    throw new RangeError(`A profile of ${block.length} bytes, more than ${PROFILE_LENGTH_MAX}`);
  }
  return new Uint8Array(block);
}

function encodeItem(item: ConventionItem): Uint8Array {
  const { kind, topic, payload = "", qos = 0, retain = false, when = 0 } = item;
  const topicBytes = encodeTemplate(topic);
  const payloadBytes = encodeTemplate(payload);
  const header = Buffer.alloc(ProfileField.Topic);
  header.writeUInt8(kind, ProfileField.Kind);
  header.writeUInt8(qos | (retain ? RETAIN_FLAG : 0), ProfileField.Flags);
  header.writeUInt8(when, ProfileField.When);
  header.writeUInt16LE(topicBytes.length, ProfileField.TopicLength);
  header.writeUInt16LE(payloadBytes.length, ProfileField.PayloadLength);
  return Buffer.concat([header, topicBytes, payloadBytes]);
}

function encodeTemplate(text: string): Uint8Array {
  const template = text.replace(PLACE, (place) => String.fromCharCode(placeholderOf(place)));
  return Buffer.from(template);
}

function placeholderOf(place: string): Placeholder {
  const known = PLACES[place];
  if (known === undefined) throw new RangeError(`${place} is no place of a template`);
  return known.placeholder;
}

/** Bytes in CONNECT of client id and Will, with their lengths. */
export function identityLength(items: readonly ConventionItem[], clientIdLength: number): number {
  const will = items.find(({ kind }) => kind === ProfileItem.Will);
  const own = 2 + clientIdLength;
  if (will === undefined) return own;
  const { topic, payload = "" } = will;
  return own + 4 + lengthAtMost(topic, clientIdLength) + lengthAtMost(payload, clientIdLength);
}

/**
 * Bytes in the outbox of all that is said at a connection, and what the firmware wants to be free for a reading besides
 * its own length.
 */
export function birthsLength(items: readonly ConventionItem[], clientIdLength: number): number {
  const atConnection = ProfileWhen.Connected | ProfileWhen.Subscribing;
  const births = items.filter(({ when = 0 }) => (when & atConnection) !== 0);
  const margin = Math.max(0, ...items.map(marginOf));
  return births.reduce((sum, item) => sum + packetLength(item, clientIdLength), margin);
}

/** Bytes in the outbox of one reading, at most. */
export function readingLength(items: readonly ConventionItem[], clientIdLength: number): number {
  const telemetry = items.find(({ kind }) => kind === ProfileItem.Telemetry);
  return telemetry === undefined ? 0 : packetLength(telemetry, clientIdLength);
}

function packetLength({ kind, topic, payload = "" }: ConventionItem, idLength: number): number {
  const topicLength = lengthAtMost(topic, idLength);
  if (kind === ProfileItem.Subscribe) return SUBSCRIBE_HEADER_LENGTH + topicLength;
  return PUBLISH_HEADER_LENGTH + topicLength + lengthAtMost(payload, idLength);
}

/** By so much the firmware counts more than a message can take. */
function marginOf({ topic, payload = "" }: ConventionItem): number {
  const values = [...`${topic}${payload}`.matchAll(PLACE)].filter(([place]) => place !== "<id>");
  const margins = values.map(([place]) => COUNTED_LENGTH - (PLACES[place]?.lengthMax ?? 0));
  return margins.reduce(
    (sum, margin) => sum + margin,
    COUNTED_HEADER_LENGTH - PUBLISH_HEADER_LENGTH,
  );
}

function lengthAtMost(template: string, idLength: number): number {
  let length = Buffer.byteLength(template.replace(PLACE, ""));
  for (const [place] of template.matchAll(PLACE)) {
    length += place === "<id>" ? idLength : (PLACES[place]?.lengthMax ?? 0);
  }
  return length;
}
