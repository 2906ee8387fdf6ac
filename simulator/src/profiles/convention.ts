/** What a convention of payloads is: the messages of one device, and how others read them. */

import type { ProfileItem } from "../../../firmware/core/abi.ts";
import type { Qos } from "../../../host/src/core/session.ts";

/** One convention. Texts have places such as `<id>`: see `PLACES` in block.ts. */
export interface Convention {
  /** In the order in which they are said. */
  items: readonly ConventionItem[];
  /** What an observer subscribes to: one filter for all devices each. */
  filters: { status: string[]; telemetry: string[] };
  /** Where a device takes commands. */
  commandTopic: string;
  /** A reading says its `seq`, so that loss, repetition and order can be told. */
  hasSequence: boolean;
  /** What is wrong with a client id; the rest of a sentence that begins with it. */
  clientIdProblem(clientId: string): string | undefined;
  /** Undefined if it is nothing that a device of this convention says. Anything may come. */
  read(topic: string, payload: Uint8Array): DeviceMessage | undefined;
}

/** A message to send, to subscribe to, or to obey. */
export interface ConventionItem {
  kind: ProfileItem;
  topic: string;
  payload?: string;
  /** 0 if it is not given. */
  qos?: Qos;
  retain?: boolean;
  /** Bits of ProfileWhen. */
  when?: number;
}

/** What a device has said. */
export type DeviceMessage = StatusMessage | TelemetryMessage;

interface StatusMessage {
  clientId: string;
  kind: "online" | "offline";
}

interface TelemetryMessage {
  clientId: string;
  kind: "telemetry";
  /** 0 to 2^32 - 1; undefined if the message does not say. */
  seq: number | undefined;
  /** When it was measured, in milliseconds since 1970. */
  unixMs: number | undefined;
}
