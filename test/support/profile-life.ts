/** The life of one device of a profile, as lines that docs/profiles.md shows and that tests look into. */

import type { ProfileName } from "../../simulator/src/profiles/profile.ts";
import { ApplicationRig, loadApplication } from "./application-rig.ts";
import type { ClientPacket } from "./client-stream.ts";

/** What a device sent or got. */
export interface LifeEvent {
  what: "will" | "publish" | "subscribe" | "receive" | "disconnect";
  qos: number;
  retain: boolean;
  topic: string;
  payload: string;
}

export const LIFE_CLIENT_ID = "mote-00001";

/** 2026-11-23T07:48:00.123Z */
export const LIFE_UNIX_MS = 1_795_420_080_123;

const READINGS_MILLI_CELSIUS = [21_474, -52];

const INTERVAL_MS = 10_000;

/** What others say to the device, after its first reading. */
const COMMANDS: Readonly<
  Record<ProfileName, readonly (readonly [topic: string, payload: string])[]>
> = {
  plain: [["motes/mote-00001/cmd", "interval 30000"]],
  homeassistant: [["homeassistant/status", "online"]],
  zigbee2mqtt: [["zigbee2mqtt/mote-00001/get", '{"temperature":""}']],
  tasmota: [["cmnd/mote-00001/TelePeriod", "30"]],
  homie: [["homie/5/mote-00001/thermometer/interval/set", "30000"]],
  senml: [["motes/mote-00001/cmd", "report"]],
};

/** Connects, takes a reading, gets a command, takes another reading, says goodbye. */
export async function lifeOf(name: ProfileName): Promise<LifeEvent[]> {
  const rig = new ApplicationRig(await loadApplication(name), {
    clientId: LIFE_CLIENT_ID,
    intervalMs: INTERVAL_MS,
  }).setClock(LIFE_UNIX_MS);
  const [first = 0, second = 0] = READINGS_MILLI_CELSIUS;
  const events = rig.open().flatMap(eventsOf);
  rig.receive(Uint8Array.of(0x20, 2, 0, 0));
  events.push(...rig.answerAll().flatMap(eventsOf));
  rig.tick();
  rig.reading(first);
  events.push(...rig.answerAll().flatMap(eventsOf));
  rig.wait(INTERVAL_MS);
  for (const [topic, payload] of COMMANDS[name]) {
    events.push({ what: "receive", qos: 0, retain: false, topic, payload });
    rig.message({ topic, payload });
    events.push(...rig.answerAll().flatMap(eventsOf));
  }
  rig.reading(second);
  events.push(...rig.answerAll().flatMap(eventsOf));
  rig.session.disconnect(rig.nowMs);
  events.push(...rig.answerAll().flatMap(eventsOf));
  return events;
}

/** One line each, in columns. */
export function formatLife(events: readonly LifeEvent[]): string {
  return events
    .map(({ what, qos, retain, topic, payload }) => {
      if (what === "disconnect") return what;
      const how = `QoS ${qos}${retain ? " retained" : ""}`;
      const text = payload === "" ? "" : `  ${payload}`;
      return `${what.padEnd(9)}  ${how.padEnd(14)}  ${topic}${text}`;
    })
    .join("\n");
}

function eventsOf(packet: ClientPacket): LifeEvent[] {
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (packet.type === "CONNECT" && packet.will !== undefined) {
    const { topic, payload, qos, retain } = packet.will;
    return [{ what: "will", qos, retain, topic, payload: text(payload) }];
  }
  if (packet.type === "PUBLISH") {
    const { topic, payload, qos, retain } = packet;
    return [{ what: "publish", qos, retain, topic, payload: text(payload) }];
  }
  if (packet.type === "SUBSCRIBE") {
    return packet.filters.map(({ filter, qos }) => ({
      what: "subscribe",
      qos,
      retain: false,
      topic: filter,
      payload: "",
    }));
  }
  if (packet.type !== "DISCONNECT") return [];
  return [{ what: "disconnect", qos: 0, retain: false, topic: "", payload: "" }];
}
