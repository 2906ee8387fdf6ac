/** Payload profiles: what one device of each says, held against the documents of the conventions. */

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { CONTROL_RESERVE_LENGTH, Status } from "../../firmware/core/abi.ts";
import {
  PROFILE_NAMES,
  type ProfileName,
  profileOf,
} from "../../simulator/src/profiles/profile.ts";
import { ApplicationRig, loadApplication } from "../support/application-rig.ts";
import {
  formatLife,
  LIFE_CLIENT_ID,
  LIFE_UNIX_MS,
  type LifeEvent,
  lifeOf,
} from "../support/profile-life.ts";

const document = readFileSync(new URL("../../docs/profiles.md", import.meta.url), "utf8");
const REPORTED = PROFILE_NAMES.filter((name) => name !== "plain");

const lives = new Map<ProfileName, LifeEvent[]>();

beforeAll(async () => {
  for (const name of PROFILE_NAMES) lives.set(name, await lifeOf(name));
});

function lifeIn(name: ProfileName): LifeEvent[] {
  return lives.get(name) ?? [];
}

function published(name: ProfileName): LifeEvent[] {
  return lifeIn(name).filter(({ what }) => what === "publish");
}

/** What a device published on a topic, in order. */
function on(name: ProfileName, topic: string): string[] {
  return published(name)
    .filter((event) => event.topic === topic)
    .map(({ payload }) => payload);
}

function willOf(name: ProfileName): LifeEvent | undefined {
  return lifeIn(name).find(({ what }) => what === "will");
}

const bytesOf = (text: string) => new TextEncoder().encode(text);

describe.each(PROFILE_NAMES)("%s", (name) => {
  const profile = profileOf(name);

  test("says what docs/profiles.md shows, byte for byte", () => {
    const [, section = ""] = document.split(`\n## ${name}\n`);
    const [, shown] = /^```text\n([\s\S]*?)\n```$/mu.exec(section) ?? [];
    expect(formatLife(lifeIn(name))).toBe(shown);
  });

  test("is understood: birth, readings, goodbye, in this order", () => {
    const messages = published(name).flatMap(({ topic, payload }) => {
      const message = profile.read(topic, bytesOf(payload));
      return message === undefined ? [] : [message];
    });
    const clientId = LIFE_CLIENT_ID;
    const reading = (seq: number) =>
      profile.hasSequence
        ? { clientId, kind: "telemetry", seq, unixMs: LIFE_UNIX_MS + (seq - 1) * 10_000 }
        : { clientId, kind: "telemetry", seq: undefined, unixMs: undefined };
    const online = { clientId, kind: "online" };
    // Homie is ready when its first value is there ("Device Lifecycle").
    const start = name === "homie" ? [reading(1), online] : [online, reading(1)];
    expect(messages).toEqual([...start, reading(2), { clientId, kind: "offline" }]);
  });

  test("its Will means what the goodbye means, on the same topic, at QoS 1, retained [MQTT-3.14.4-3]", () => {
    const will = willOf(name);
    const goodbye = published(name).at(-1);
    expect(will).toMatchObject({ qos: 1, retain: true, topic: goodbye?.topic });
    expect(goodbye).toMatchObject({ qos: 1, retain: true });
    for (const event of [will, goodbye]) {
      const message = profile.read(event?.topic ?? "", bytesOf(event?.payload ?? ""));
      expect(message).toEqual({ clientId: LIFE_CLIENT_ID, kind: "offline" });
    }
    expect(lifeIn(name).at(-1)?.what).toBe("disconnect");
  });

  test("its filters see all that is understood, and its commands go where it listens", () => {
    const { status, telemetry } = profile.filters;
    for (const { topic, payload } of published(name)) {
      const kind = profile.read(topic, bytesOf(payload))?.kind;
      if (kind === undefined) continue;
      const filters = kind === "telemetry" ? telemetry : status;
      expect(filters.filter((filter) => matches(filter, topic))).toHaveLength(1);
    }
    const subscribed = lifeIn(name).filter(({ what }) => what === "subscribe");
    const commandTopic = profile.commandTopic(LIFE_CLIENT_ID);
    expect(subscribed.some(({ topic }) => matches(topic, commandTopic))).toBe(true);
  });

  test("anything else is not understood, and does no harm", () => {
    const topics = published(name).map(({ topic }) => topic);
    const payloads = published(name).map(({ payload }) => payload);
    const anyTopic = fc.oneof(
      fc.constantFrom(...topics),
      fc.string({ unit: "binary" }),
      fc
        .constantFrom(...topics)
        .chain((topic) => fc.nat(topic.length).map((at) => topic.slice(0, at))),
    );
    const anyPayload = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.tuple(fc.constantFrom(...payloads), fc.nat(300), fc.nat(255)).map(([text, at, byte]) => {
        const bytes = bytesOf(text);
        if (at < bytes.length) bytes[at] = byte;
        return bytes.subarray(0, at % 2 === 0 ? bytes.length : at);
      }),
    );
    fc.assert(
      fc.property(anyTopic, anyPayload, (topic, payload) => {
        const message = profile.read(topic, payload);
        if (message?.kind !== "telemetry") return;
        const { seq = 0, unixMs = 0 } = message;
        expect(Number.isInteger(seq) && seq >= 0 && seq < 2 ** 32).toBe(true);
        expect(Number.isSafeInteger(unixMs)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test("a payload of megabytes is read no further than the place where ours has its numbers", () => {
    const { topic } = published(name).find(
      ({ topic: found }) => profile.read(found, bytesOf(""))?.kind === "telemetry",
    ) ?? { topic: "" };
    const huge = new Uint8Array(4_000_000).fill(0x22);
    huge.set(bytesOf('"seq":1,"Seq":1,'), huge.length - 16);
    expect(profile.read(topic, huge)).toMatchObject({ kind: "telemetry", seq: undefined });
  });
});

describe.each(REPORTED)("the room that %s needs", (name) => {
  const profile = profileOf(name);
  const clientId = "x".repeat(64);

  test("client id and Will fit exactly", async () => {
    const application = await loadApplication(name);
    const identity = profile.identityLength(clientId.length);
    const rig = new ApplicationRig(application, { clientId, capacities: { identity } });
    expect(rig.open()).toMatchObject([{ clientId, will: { qos: 1 } }]);
    const { session } = new ApplicationRig(application, {
      clientId: "a",
      capacities: { identity: identity - 1 },
    });
    expect(() => session.setClientId(clientId)).toThrow(
      expect.objectContaining({ status: Status.TooLarge }),
    );
  });

  test("all births and as many readings as are counted on fit the outbox at once", async () => {
    const length = clientId.length;
    const transmit =
      profile.birthsLength(length) + 4 * profile.readingLength(length) + CONTROL_RESERVE_LENGTH;
    const application = await loadApplication(name);
    const rig = new ApplicationRig(application, {
      clientId,
      intervalMs: 86_400_000,
      flags: 2,
      capacities: { transmit },
    });
    rig.setClock(LIFE_UNIX_MS);
    rig.exports.setSequence(rig.at, 2 ** 32 - 4);
    rig.connect();
    const coldest = () => rig.reading(-(2 ** 31));
    expect(Math.min(coldest(), coldest(), coldest(), coldest())).toBeGreaterThan(0);
    const life = lifeIn(name);
    const birthCount = life.findIndex(({ what }) => what === "receive") - 2; // without Will and reading
    expect(rig.sent()).toHaveLength(birthCount + 4);
  });
});

describe("Home Assistant finds the sensor by itself (home-assistant.io, integration MQTT)", () => {
  /** "Supported abbreviations in MQTT discovery messages". */
  const ABBREVIATIONS: Readonly<Record<string, string>> = {
    uniq_id: "unique_id",
    stat_t: "state_topic",
    val_tpl: "value_template",
    avty_t: "availability_topic",
    dev_cla: "device_class",
    unit_of_meas: "unit_of_measurement",
    stat_cla: "state_class",
    dev: "device",
    o: "origin",
  };

  interface Discovered {
    component: string;
    objectId: string;
    config: Record<string, unknown>;
  }

  /** "Discovery topic", "Discovery payload", "Supported abbreviations": what Home Assistant makes of a message. */
  function discover({ topic, payload }: LifeEvent): Discovered | undefined {
    const found = /^homeassistant\/(\w+)\/(?:[a-zA-Z0-9_-]+\/)?([a-zA-Z0-9_-]+)\/config$/u.exec(
      topic,
    );
    if (found === null) return undefined;
    const [, component = "", objectId = ""] = found;
    const { "~": base, ...entries } = JSON.parse(payload) as Record<string, unknown>;
    const config = Object.fromEntries(
      Object.entries(entries).map(([key, value]) => {
        const name = ABBREVIATIONS[key] ?? key;
        const isTopic = name.endsWith("_topic") && typeof value === "string";
        return [name, isTopic ? value.replace(/^~|~$/u, String(base)) : value];
      }),
    );
    return { component, objectId, config };
  }

  /** A template that is nothing but a path into the JSON. */
  function render(template: unknown, payload: string): unknown {
    const [, path = ""] = /^\{\{ ?value_json\.([\w.]+) ?\}\}$/u.exec(String(template)) ?? [];
    let value: unknown = JSON.parse(payload);
    for (const key of path.split(".")) value = (value as Record<string, unknown>)[key];
    return value;
  }

  function first(): Discovered {
    for (const event of published("homeassistant")) {
      const discovered = discover(event);
      if (discovered !== undefined) return discovered;
    }
    throw new Error("nothing to discover");
  }

  test("with all that a sensor must have, and a unique_id that is the object_id", () => {
    const { component, objectId, config } = first();
    expect(component).toBe("sensor");
    expect(config).toMatchObject({
      unique_id: objectId,
      device_class: "temperature",
      unit_of_measurement: "°C",
      state_class: "measurement",
      device: { ids: LIFE_CLIENT_ID },
      origin: { name: "wasmqtt" },
    });
  });

  test("its state is what was measured, where the configuration says", () => {
    const { config } = first();
    const states = on("homeassistant", String(config["state_topic"]));
    expect(states.map((state) => render(config["value_template"], state))).toEqual([21.47, -0.05]);
  });

  test("it is available from the birth to the Will, with the default payloads", () => {
    const { config } = first();
    const topic = String(config["availability_topic"]);
    expect(on("homeassistant", topic)).toEqual(["online", "offline"]);
    expect(willOf("homeassistant")).toMatchObject({ topic, payload: "offline", retain: true });
  });

  test("a Home Assistant that starts is told again, and gets a new state; nothing is retained for it", () => {
    const life = lifeIn("homeassistant");
    const after = life.slice(life.findIndex(({ what }) => what === "receive") + 1);
    const [config, state] = after;
    expect(config).toMatchObject({ retain: false });
    expect(config === undefined ? undefined : discover(config)).toEqual(first());
    expect(state).toMatchObject({ topic: first().config["state_topic"] });
  });

  test("what Home Assistant says when it stops is no reason to say anything", async () => {
    const rig = new ApplicationRig(await loadApplication("homeassistant"));
    rig.connect();
    rig.answerAll();
    rig.tick();
    rig.reading(20_000);
    rig.answerAll();
    expect(rig.message({ topic: "homeassistant/status", payload: "offline" })).toEqual(["Message"]);
    expect(rig.answerAll()).toEqual([]);
    expect(rig.tick()).toBe("None");
    expect(rig.message({ topic: "homeassistant/status", payload: "online" })).toEqual(["Message"]);
    expect(rig.tick()).toBe("ReadingDue");
  });
});

describe("Zigbee2MQTT (zigbee2mqtt.io, MQTT Topics and Messages)", () => {
  const TOPIC = `zigbee2mqtt/${LIFE_CLIENT_ID}`;

  test("everything is JSON; availability is a state, retained", () => {
    for (const { payload } of published("zigbee2mqtt")) {
      expect(() => JSON.parse(payload)).not.toThrow();
    }
    const states = on("zigbee2mqtt", `${TOPIC}/availability`).map((payload) => JSON.parse(payload));
    expect(states).toEqual([{ state: "online" }, { state: "offline" }]);
    const availability = published("zigbee2mqtt").filter(({ topic }) => topic !== TOPIC);
    expect(availability.every(({ retain }) => retain)).toBe(true);
  });

  test("a reading has the temperature as a number, and when it was last seen in milliseconds", () => {
    const [reading] = on("zigbee2mqtt", TOPIC).map((payload) => JSON.parse(payload));
    expect(reading).toEqual({ temperature: 21.47, seq: 1, last_seen: LIFE_UNIX_MS });
  });

  test("…/get with the key and an empty string takes a reading at once", async () => {
    const rig = new ApplicationRig(await loadApplication("zigbee2mqtt"), { clientId: "k" });
    rig.connect();
    rig.answerAll();
    rig.tick();
    expect(rig.tick()).toBe("None");
    const topic = "zigbee2mqtt/k/get";
    expect(rig.message({ topic, payload: '{"temperature":""}' })).toEqual(["CommandDone"]);
    expect(rig.tick()).toBe("ReadingDue");
    expect(rig.message({ topic, payload: '{"humidity":""}' })).toEqual(["CommandUnknown"]);
  });
});

describe("Tasmota (tasmota.github.io/docs, MQTT)", () => {
  test("a sensor's keys are in an object with its name, beside Time and TempUnit", () => {
    const [reading] = on("tasmota", `tele/${LIFE_CLIENT_ID}/SENSOR`).map((payload) =>
      JSON.parse(payload),
    );
    expect(reading).toEqual({
      Time: new Date(LIFE_UNIX_MS).toISOString().slice(0, 23),
      DS18B20: { Temperature: 21.47 },
      Seq: 1,
      TempUnit: "C",
    });
  });

  test("the LWT is Online and Offline, retained", () => {
    const topic = `tele/${LIFE_CLIENT_ID}/LWT`;
    expect(on("tasmota", topic)).toEqual(["Online", "Offline"]);
    expect(willOf("tasmota")).toMatchObject({ topic, payload: "Offline", retain: true, qos: 1 });
  });

  test.each([
    ["1", 1_000],
    ["300", 300_000],
    ["86400", 86_400_000],
  ])("TelePeriod %s is obeyed and answered on RESULT", async (payload, intervalMs) => {
    const rig = new ApplicationRig(await loadApplication("tasmota"), { clientId: "k" });
    rig.connect();
    rig.answerAll();
    expect(rig.message({ topic: "cmnd/k/TelePeriod", payload })).toEqual(["CommandDone"]);
    expect(rig.exports.intervalMs(rig.at)).toBe(intervalMs);
    const [answer] = rig.answerAll();
    expect(answer).toMatchObject({ topic: "stat/k/RESULT", retain: false });
    const text = answer?.type === "PUBLISH" ? new TextDecoder().decode(answer.payload) : "";
    expect(JSON.parse(text)).toEqual({ TelePeriod: intervalMs / 1000 });
  });

  test.each(["0", "", "86401", "999999999", "9999999999999999999", "-5", "1.5", "5 ", "x"])(
    "TelePeriod %j is not, and changes nothing",
    async (payload) => {
      const rig = new ApplicationRig(await loadApplication("tasmota"), { clientId: "k" });
      rig.connect();
      rig.answerAll();
      expect(rig.message({ topic: "cmnd/k/TelePeriod", payload })).toEqual(["CommandUnknown"]);
      expect(rig.exports.intervalMs(rig.at)).toBe(10_000);
      expect(rig.answerAll()).toEqual([]);
    },
  );

  test("other commands of its own reach it, and it knows nothing of them", async () => {
    const rig = new ApplicationRig(await loadApplication("tasmota"), { clientId: "k" });
    rig.connect();
    rig.answerAll();
    expect(rig.message({ topic: "cmnd/k/POWER", payload: "ON" })).toEqual(["Message"]);
    expect(rig.message({ topic: "cmnd/kk/TelePeriod", payload: "30" })).toEqual(["Message"]);
  });
});

describe("Homie 5 (homieiot.github.io)", () => {
  const BASE = `homie/5/${LIFE_CLIENT_ID}`;

  interface Property {
    datatype: string;
    format?: string;
    settable?: boolean;
  }

  function description() {
    const [text = ""] = on("homie", `${BASE}/$description`);
    return JSON.parse(text) as {
      homie: string;
      version: number;
      nodes: Record<string, { properties: Record<string, Property> }>;
    };
  }

  test("topic levels are ids or attributes (Topic IDs)", () => {
    for (const { topic } of published("homie")) {
      const [, version, ...levels] = topic.split("/");
      expect(version).toBe("5");
      for (const level of levels) expect(level).toMatch(/^(\$[a-z]+|[a-z0-9-]+)$/u);
    }
  });

  test("everything is retained (QoS and retained messages)", () => {
    expect(published("homie").every(({ retain, qos }) => retain && qos === 1)).toBe(true);
  });

  test("the state goes from init over ready to disconnected, and the Will says lost (Device Lifecycle)", () => {
    expect(on("homie", `${BASE}/$state`)).toEqual(["init", "ready", "disconnected"]);
    expect(willOf("homie")).toMatchObject({ topic: `${BASE}/$state`, payload: "lost" });
  });

  test("the description has what it must have, for each property a value of its type before ready (Device Attributes)", () => {
    const { homie, version, nodes } = description();
    expect(homie).toMatch(/^5\.\d+$/u);
    expect(Number.isInteger(version)).toBe(true);
    const life = lifeIn("homie");
    const readyAt = life.findIndex(({ payload }) => payload === "ready");
    const before = life.slice(0, readyAt);
    for (const [nodeId, node] of Object.entries(nodes)) {
      for (const [propertyId, { datatype, settable }] of Object.entries(node.properties)) {
        const topic = `${BASE}/${nodeId}/${propertyId}`;
        const value = before.find((event) => event.topic === topic)?.payload;
        expect(value).toMatch(datatype === "integer" ? /^-?\d+$/u : /^-?\d+(\.\d+)?$/u);
        const isSubscribed = before.some((event) => event.topic === `${topic}/set`);
        expect(isSubscribed).toBe(settable === true);
      }
    }
  });

  test("a value that is set is shown (Property command topic), and is within the format", () => {
    const values = on("homie", `${BASE}/thermometer/interval`);
    expect(values).toEqual(["10000", "30000"]);
    const { format = "" } = description().nodes["thermometer"]?.properties["interval"] ?? {};
    expect(format).toBe("100:86400000");
  });

  test("a value out of the format is not taken", async () => {
    const rig = new ApplicationRig(await loadApplication("homie"), { clientId: "k" });
    rig.connect();
    rig.answerAll();
    const topic = "homie/5/k/thermometer/interval/set";
    for (const payload of ["99", "86400001", "-1", "", "1e3", "500ms"]) {
      expect(rig.message({ topic, payload })).toEqual(["CommandUnknown"]);
    }
    expect(rig.answerAll()).toEqual([]);
  });

  test("on a second connection the values are there already: ready comes at once", async () => {
    const rig = new ApplicationRig(await loadApplication("homie"), { clientId: "k" });
    const states = () =>
      rig
        .answerAll()
        .flatMap((packet) => (packet.type === "PUBLISH" ? [packet] : []))
        .filter(({ topic }) => topic.endsWith("$state"))
        .map(({ payload }) => new TextDecoder().decode(payload));
    rig.connect();
    expect(states()).toEqual(["init"]);
    rig.reading(20_000);
    expect(states()).toEqual(["ready"]);
    rig.session.connectionLost();
    rig.connect();
    expect(states()).toEqual(["init", "ready"]);
  });
});

describe("SenML (RFC 8428)", () => {
  interface SenmlRecord {
    bn?: string;
    bt?: number;
    n?: string;
    u?: string;
    v?: number;
    t?: number;
  }

  /** 4.6: Resolved Records. */
  function resolve(pack: SenmlRecord[]) {
    let baseName = "";
    let baseTime = 0;
    return pack.map(({ bn, bt, n = "", u, v, t = 0 }) => {
      baseName = bn ?? baseName;
      baseTime = bt ?? baseTime;
      return { n: baseName + n, u, v, t: baseTime + t };
    });
  }

  test("resolves to the temperature in Cel and the seq as a count, at the time of the reading", () => {
    const packs = on("senml", `motes/${LIFE_CLIENT_ID}/senml`).map((text) =>
      resolve(JSON.parse(text)),
    );
    const t = LIFE_UNIX_MS / 1000;
    expect(packs).toEqual([
      [
        { n: `${LIFE_CLIENT_ID}:temperature`, u: "Cel", v: 21.47, t },
        { n: `${LIFE_CLIENT_ID}:seq`, u: "count", v: 1, t },
      ],
      [
        { n: `${LIFE_CLIENT_ID}:temperature`, u: "Cel", v: -0.05, t: t + 10 },
        { n: `${LIFE_CLIENT_ID}:seq`, u: "count", v: 2, t: t + 10 },
      ],
    ]);
    for (const { n, t: time } of packs.flat()) {
      expect(n).toMatch(/^[A-Za-z0-9][A-Za-z0-9:./_-]*$/u); // 4.5.1
      expect(time).toBeGreaterThanOrEqual(2 ** 28); // 4.5.3: absolute
    }
  });

  test("a time without a clock is read as what it says", () => {
    const { read } = profileOf("senml");
    const payload = bytesOf(
      '[{"bn":"a:","bt":12.005,"n":"temperature"},{"n":"seq","u":"count","v":7}]',
    );
    expect(read("motes/a/senml", payload)).toMatchObject({ seq: 7, unixMs: 12_005 });
    expect(read("motes/a/senml", bytesOf('[{"bt":12.05}]'))).toMatchObject({ unixMs: undefined });
  });
});

/** [4.7] */
function matches(filter: string, topic: string): boolean {
  const levels = topic.split("/");
  const wanted = filter.split("/");
  if (wanted.at(-1) === "#") {
    return wanted.slice(0, -1).every((level, index) => level === levels[index]);
  }
  return (
    wanted.length === levels.length &&
    wanted.every((level, index) => level === "+" || level === levels[index])
  );
}
