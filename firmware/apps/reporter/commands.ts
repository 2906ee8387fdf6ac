/** What a reporter obeys: the messages that its profile names. */

import { Event, ProfileItem, ProfileWhen } from "../../core/abi";
import { Client } from "../../core/client";
import { isInterval, Thermometer } from "../thermometer/thermometer";
import {
  itemAt,
  itemLength,
  kindOf,
  payloadAt,
  payloadLengthOf,
  topicAt,
  topicLengthOf,
} from "./profile";
import { ask, Reporter } from "./reporter";
import { match, NO_MATCH } from "./template";

/**
 * Obeys the message of the last event. Returns CommandDone, CommandUnknown on the topic of a command, or Message if it
 * is on none.
 */
export function obey(client: Client, thermometer: Thermometer, reporter: Reporter): Event {
  let event = Event.Message;
  let offset: u32 = 0;
  let item = itemAt(reporter, 0);
  while (item !== 0) {
    const kind = kindOf(item);
    if (kind >= <u32>ProfileItem.SetInterval && isOnTopicOf(client, item)) {
      if (obeyItem(client, thermometer, reporter, item)) {
        return kind === ProfileItem.Announce ? Event.Message : Event.CommandDone;
      }
      if (kind !== ProfileItem.Announce) event = Event.CommandUnknown;
    }
    offset += itemLength(item);
    item = itemAt(reporter, offset);
  }
  return event;
}

function isOnTopicOf(client: Client, item: usize): bool {
  const topic = topicAt(item);
  return match(topic, topicLengthOf(item), client.topicAt, client.topicLength, client) === 0;
}

/** False if the payload says something else. */
function obeyItem(client: Client, thermometer: Thermometer, reporter: Reporter, item: usize): bool {
  const template = payloadAt(item);
  const length = payloadLengthOf(item);
  const value = match(template, length, client.payloadAt, client.payloadLength, client);
  if (value === NO_MATCH) return false;
  if (kindOf(item) !== ProfileItem.SetInterval) {
    thermometer.isReportDue = true;
    if (kindOf(item) === ProfileItem.Announce) ask(reporter, ProfileWhen.Announced);
    return true;
  }
  if (!isInterval(<u32>value)) return false;
  thermometer.intervalMs = <u32>value;
  thermometer.commandedIntervalMs = <u32>value;
  ask(reporter, ProfileWhen.IntervalSet);
  return true;
}
