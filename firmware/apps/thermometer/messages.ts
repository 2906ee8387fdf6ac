/** The thermometer's topics and payloads. `<id>` is its client id. */

import { RETAIN_FLAG, Status } from "../../core/abi";
import { Client } from "../../core/client";
import { setWill } from "../../core/identity";
import { FirstByte } from "../../core/packet-type";
import { publish } from "../../core/publish";
import { request } from "../../core/subscribe";
import { copy, loadU16, storeField } from "../../core/wire";
import {
  COMMAND,
  COMMAND_LENGTH,
  OFFLINE,
  OFFLINE_LENGTH,
  ONLINE,
  ONLINE_LENGTH,
  PAYLOAD_SCRATCH,
  SEQ_KEY,
  SEQ_KEY_LENGTH,
  STATUS,
  STATUS_LENGTH,
  TELEMETRY,
  TELEMETRY_LENGTH,
  TEMPERATURE_KEY,
  TEMPERATURE_KEY_LENGTH,
  TOPIC_PREFIX,
  TOPIC_PREFIX_LENGTH,
  TOPIC_SCRATCH,
  TS_KEY,
  TS_KEY_LENGTH,
} from "./memory-map";
import { startsWith, writeDecimal, writeHundredths } from "./text";
import { Thermometer, unixMsAt } from "./thermometer";

/** Longer client ids would not fit the place where topics are composed. */
const CLIENT_ID_LENGTH_MAX: u32 = 64;

/** Birth, farewell and Will: retained, QoS 1. */
const STATUS_FLAGS: u32 = 1 | RETAIN_FLAG;

const COMMAND_QOS: u8 = 1;

const CLOSING_BRACE: u8 = 0x7d;
const SLASH: u32 = 0x2f;
const PLUS: u32 = 0x2b;
const HASH: u32 = 0x23;

/** The Will: `offline` on `motes/<id>/status`. */
export function setOfflineWill(client: Client): Status {
  const topicLength = composeTopic(client, STATUS, STATUS_LENGTH);
  return setWill(client, TOPIC_SCRATCH, topicLength, OFFLINE, OFFLINE_LENGTH, STATUS_FLAGS);
}

/** The birth, in the Will's place. */
export function publishOnline(client: Client): i32 {
  return publishStatus(client, ONLINE, ONLINE_LENGTH);
}

/** The farewell: DISCONNECT suppresses the Will, so the device says itself what it would have said. */
export function publishOffline(client: Client): i32 {
  return publishStatus(client, OFFLINE, OFFLINE_LENGTH);
}

/** `{"temperature":21.47,"seq":17,"ts":1795388880123}` on `motes/<id>/telemetry`. */
export function publishTelemetry(
  client: Client,
  thermometer: Thermometer,
  milliCelsius: i32,
  nowMs: u32,
): i32 {
  const topicLength = composeTopic(client, TELEMETRY, TELEMETRY_LENGTH);
  let end = copy(PAYLOAD_SCRATCH, TEMPERATURE_KEY, TEMPERATURE_KEY_LENGTH);
  end = writeHundredths(end, milliCelsius);
  end = copy(end, SEQ_KEY, SEQ_KEY_LENGTH);
  end = writeDecimal(end, thermometer.sequence);
  end = copy(end, TS_KEY, TS_KEY_LENGTH);
  end = writeDecimal(end, unixMsAt(thermometer, nowMs));
  store<u8>(end, CLOSING_BRACE);
  const payloadLength: u32 = <u32>(end + 1 - PAYLOAD_SCRATCH);
  return publish(
    client,
    TOPIC_SCRATCH,
    topicLength,
    PAYLOAD_SCRATCH,
    payloadLength,
    thermometer.flags,
  );
}

export function subscribeToCommands(client: Client, nowMs: u32): i32 {
  const topicLength = composeTopic(client, COMMAND, COMMAND_LENGTH);
  const end = storeField(PAYLOAD_SCRATCH, TOPIC_SCRATCH, topicLength);
  store<u8>(end, COMMAND_QOS);
  return request(client, FirstByte.Subscribe, PAYLOAD_SCRATCH, 3 + topicLength, nowMs);
}

/** True if the last event's message is on this client's own topic with this suffix. */
export function isOwnTopic(client: Client, suffixAt: usize, suffixLength: u32): bool {
  const length = composeTopic(client, suffixAt, suffixLength);
  return client.topicLength === length && startsWith(client.topicAt, length, TOPIC_SCRATCH, length);
}

/** True if `motes/<id>/…` can be made of it: one topic level that is not too long. */
export function isClientId(at: usize, length: u32): bool {
  if (length === 0 || length > CLIENT_ID_LENGTH_MAX) return false;
  for (let index: u32 = 0; index < length; index++) {
    const byte: u32 = load<u8>(at + index);
    if (byte === SLASH || byte === PLUS || byte === HASH) return false;
  }
  return true;
}

/** Bytes of a Will's topic and payload in CONNECT, for a client id of this length. */
export function willFieldsLength(idLength: u32): u32 {
  return 2 + TOPIC_PREFIX_LENGTH + idLength + STATUS_LENGTH + 2 + OFFLINE_LENGTH;
}

function publishStatus(client: Client, textAt: usize, textLength: u32): i32 {
  const topicLength = composeTopic(client, STATUS, STATUS_LENGTH);
  return publish(client, TOPIC_SCRATCH, topicLength, textAt, textLength, STATUS_FLAGS);
}

/** Writes `motes/<id>` and a suffix to TOPIC_SCRATCH; returns the length. */
function composeTopic(client: Client, suffixAt: usize, suffixLength: u32): u32 {
  const idLength = loadU16(client.identityAt);
  assert(idLength <= CLIENT_ID_LENGTH_MAX);
  let end = copy(TOPIC_SCRATCH, TOPIC_PREFIX, TOPIC_PREFIX_LENGTH);
  end = copy(end, client.identityAt + 2, idLength);
  end = copy(end, suffixAt, suffixLength);
  return <u32>(end - TOPIC_SCRATCH);
}
