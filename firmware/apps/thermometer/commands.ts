/** What can be sent to `motes/<id>/cmd`: `interval <milliseconds>` and `report`. */

import { Event } from "../../core/abi";
import { Client } from "../../core/client";
import {
  INTERVAL_COMMAND,
  INTERVAL_COMMAND_LENGTH,
  REPORT_COMMAND,
  REPORT_COMMAND_LENGTH,
} from "./memory-map";
import { readDecimal, startsWith } from "./text";
import { isInterval, Thermometer } from "./thermometer";

/** Obeys the message of the last event. Only `motes/<id>/cmd` is subscribed to, so its topic tells nothing. */
export function obey(client: Client, thermometer: Thermometer): Event {
  const at = client.payloadAt;
  const length = client.payloadLength;
  if (startsWith(at, length, REPORT_COMMAND, REPORT_COMMAND_LENGTH)) {
    if (length !== REPORT_COMMAND_LENGTH) return Event.CommandUnknown;
    thermometer.isReportDue = true;
    return Event.CommandDone;
  }
  if (!startsWith(at, length, INTERVAL_COMMAND, INTERVAL_COMMAND_LENGTH))
    return Event.CommandUnknown;
  const intervalMs = readDecimal(at + INTERVAL_COMMAND_LENGTH, length - INTERVAL_COMMAND_LENGTH);
  if (!isInterval(<u32>intervalMs)) return Event.CommandUnknown; // NO_NUMBER is none either
  thermometer.intervalMs = <u32>intervalMs;
  thermometer.commandedIntervalMs = <u32>intervalMs;
  return Event.CommandDone;
}
