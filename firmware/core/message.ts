/** What a message and a Will have in common: topic, payload, flags. */

import { Status } from "./abi";
import { isInMemory } from "./memory";
import { isMessageFlags } from "./packet-type";
import { isTopicName } from "./text";

/** Ok if the embedder may publish this, whatever room there is. */
export function checkMessage(
  topicAt: usize,
  topicLength: u32,
  payloadAt: usize,
  payloadLength: u32,
  flags: u32,
): Status {
  const isPossible =
    isMessageFlags(flags) &&
    isInMemory(topicAt, topicLength) &&
    isInMemory(payloadAt, payloadLength);
  if (!isPossible) return Status.InvalidArgument;
  return isTopicName(topicAt, topicLength) ? Status.Ok : Status.InvalidText;
}
