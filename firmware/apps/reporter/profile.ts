/** The profile block: a run of items, each a message to send or to obey. docs/profiles.md has the format. */

import { PROFILE_LENGTH_MAX, ProfileField, ProfileItem, ProfileWhen } from "../../core/abi";
import { Client } from "../../core/client";
import { isInMemory } from "../../core/memory";
import { isMessageFlags } from "../../core/packet-type";
import { isText, isTopicFilter } from "../../core/text";
import { BLOCK, TOPIC_LENGTH_MAX } from "./memory-map";
import { Reporter, reporterOf, reporterSize } from "./reporter";
import { isTemplate } from "./template";

const HEADER_LENGTH: u32 = ProfileField.Topic;

const WHEN_ALL: u32 = 0x3f;

/** True if `length` bytes at `at` are a profile that a client may use: nothing writes them during a call. */
export function isProfile(client: Client, at: usize, length: u32): bool {
  if (length > <u32>PROFILE_LENGTH_MAX || !isInMemory(at, length) || at < BLOCK) return false;
  const recordEnd = changetype<usize>(reporterOf(client)) + reporterSize();
  if (at < recordEnd && at + length > changetype<usize>(client)) return false;
  const end = at + length;
  let hasTelemetry = false;
  for (let item = at; item < end; item += itemLength(item)) {
    if (!isItem(item, <u32>(end - item))) return false;
    if (kindOf(item) === ProfileItem.Telemetry) hasTelemetry = true;
  }
  return hasTelemetry;
}

function isItem(item: usize, available: u32): bool {
  if (!isWhole(item, available)) return false;
  const kind = kindOf(item);
  const topicLength = topicLengthOf(item);
  if (kind < <u32>ProfileItem.Will || kind > <u32>ProfileItem.Announce) return false;
  if (!isMessageFlags(flagsOf(item)) || whenOf(item) > WHEN_ALL) return false;
  if (load<u8>(item, ProfileField.Reserved) !== 0) return false;
  if (kind === ProfileItem.Subscribe) {
    if ((whenOf(item) & ProfileWhen.Subscribing) === 0) return false;
    if (!isTopicFilter(topicAt(item), topicLength)) return false;
  } else if (topicLength === 0 || !isText(topicAt(item), topicLength, false)) return false;
  if (topicLength > TOPIC_LENGTH_MAX) return false;
  return (
    isTemplate(topicAt(item), topicLength) && isTemplate(payloadAt(item), payloadLengthOf(item))
  );
}

/**
 * The item at `offset` in the block, or 0 behind the last one. It is looked at each time: the block is the embedder's,
 * and may have changed.
 */
export function itemAt(reporter: Reporter, offset: u32): usize {
  const length = reporter.profileLength;
  const item = reporter.profileAt + offset;
  return offset < length && isWhole(item, length - offset) ? item : 0;
}

/** The first item of this kind, or 0. */
export function findItem(reporter: Reporter, kind: ProfileItem): usize {
  let offset: u32 = 0;
  let item = itemAt(reporter, 0);
  while (item !== 0 && kindOf(item) !== kind) {
    offset += itemLength(item);
    item = itemAt(reporter, offset);
  }
  return item;
}

function isWhole(item: usize, available: u32): bool {
  return available >= HEADER_LENGTH && itemLength(item) <= available;
}

export function itemLength(item: usize): u32 {
  return HEADER_LENGTH + topicLengthOf(item) + payloadLengthOf(item);
}

export function kindOf(item: usize): u32 {
  return load<u8>(item, ProfileField.Kind);
}

export function flagsOf(item: usize): u32 {
  return load<u8>(item, ProfileField.Flags);
}

export function whenOf(item: usize): u32 {
  return load<u8>(item, ProfileField.When);
}

export function topicLengthOf(item: usize): u32 {
  return load<u16>(item, ProfileField.TopicLength);
}

export function payloadLengthOf(item: usize): u32 {
  return load<u16>(item, ProfileField.PayloadLength);
}

export function topicAt(item: usize): usize {
  return item + HEADER_LENGTH;
}

export function payloadAt(item: usize): usize {
  return item + HEADER_LENGTH + topicLengthOf(item);
}
