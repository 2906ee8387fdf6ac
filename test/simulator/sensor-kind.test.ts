/** The room that a sensor gets is enough for all that may wait in it, tried with the firmware itself. */

import { describe, expect, test } from "vitest";
import { Event, RETAIN_FLAG, Status } from "../../firmware/core/abi.ts";
import { loadCore, readModule, type ThermometerExports } from "../../host/src/core/core.ts";
import { Session } from "../../host/src/core/session.ts";
import { SensorKind } from "../../simulator/src/fleet/sensor-kind.ts";
import {
  PROFILE_NAMES,
  type ProfileName,
  profileOf,
} from "../../simulator/src/profiles/profile.ts";
import { readScenario } from "../../simulator/src/scenario/scenario-file.ts";
import { connack } from "../support/server-packets.ts";

interface Settings {
  qos: 0 | 1 | 2;
  outboxCount: number;
  id: string;
  username: string;
  password: string;
}

/** The longest payloads that a reading can have. */
const COLDEST_MILLI_CELSIUS = -(2 ** 31);
const LATEST_SEQ = 2 ** 32 - 1_000;
const UNIX_MS = 1_795_420_080_123;
/** Of as many bytes as any number of a device of a fleet. */
const DEVICE_NUMBER = 99_999;

async function deviceOf(profile: ProfileName, settings: Settings) {
  const { qos, outboxCount, id, username, password } = settings;
  const scenario = readScenario(
    `version: 1
broker: { url: "mqtt://memory.invalid", username: "${username}", password: "${password}" }
devices:
  - { profile: ${profile}, id: "${id}", publish: { qos: ${qos}, interval: 24h, retain: true, outbox: ${outboxCount} } }
`,
    "test.yaml",
  );
  const [group] = scenario.groups;
  if (group === undefined) throw new RangeError("no group");
  const core = await loadCore<ThermometerExports>(await readModule(profileOf(profile).module));
  const kind = new SensorKind(group, core, scenario, undefined);
  const clientId = kind.clientId(DEVICE_NUMBER);
  const credentials = kind.credentials(DEVICE_NUMBER, clientId);
  const session = new Session(core, kind.capacities(clientId, credentials));
  kind.setProfile(session.at);
  session.setClientId(clientId);
  session.setCredentials(credentials.username ?? "", credentials.password ?? "");
  const { configure, setSequence, setClock, reading } = core.exports;
  const statuses = [
    configure(session.at, group.publish.intervalMs, 0, qos | RETAIN_FLAG),
    setSequence(session.at, LATEST_SEQ),
    setClock(session.at, UNIX_MS / 1_000, UNIX_MS % 1_000, 0),
  ];
  expect(statuses).toEqual([Status.Ok, Status.Ok, Status.Ok]);
  return {
    kind,
    clientId,
    session,
    connect() {
      session.connect(kind.connectOptions, 0);
      send();
      session.receive(connack(false), 0);
      let event = session.poll(0);
      while (event !== Event.None) event = session.poll(0);
    },
    /** Takes readings until there is no room for another; says how many there were. */
    fill() {
      for (let count = 0; ; count++) {
        const answer = reading(session.at, COLDEST_MILLI_CELSIUS, 0);
        if (answer < 0) {
          expect(Status[answer]).toBe("BufferFull");
          return count;
        }
        send();
      }
    },
  };

  /** Whatever may go, goes; nothing is acknowledged. */
  function send(): void {
    const { length } = session.toTransmit();
    if (length > 0) session.transmitted(length, 0);
  }
}

const SHORT: Settings = { qos: 1, outboxCount: 1, id: "%i", username: "u", password: "p" };
const LONG: Settings = {
  qos: 2,
  outboxCount: 16,
  id: `${"x".repeat(50)}-%05i`,
  username: "%c@example.com",
  password: "%i-%c-and-more",
};

const CASES = PROFILE_NAMES.flatMap((profile) =>
  [SHORT, LONG].flatMap((settings) =>
    [1, 4, 40].map((outboxCount) => ({ profile, ...settings, outboxCount })),
  ),
);

describe.each(CASES)("$profile, $outboxCount readings, QoS $qos, id $id", (settings) => {
  test("all readings have room beside all births while nothing is acknowledged", async () => {
    const device = await deviceOf(settings.profile, settings);
    device.connect();
    expect(device.fill()).toBeGreaterThanOrEqual(settings.outboxCount);
  });

  test("all readings have room before the first connection", async () => {
    const device = await deviceOf(settings.profile, settings);
    expect(device.fill()).toBeGreaterThanOrEqual(settings.outboxCount);
  });
});

test("a device logs in with what the scenario's patterns say of it", async () => {
  const { kind, clientId } = await deviceOf("plain", LONG);
  expect(kind.credentials(DEVICE_NUMBER, clientId)).toEqual({
    username: `${clientId}@example.com`,
    password: `99999-${clientId}-and-more`,
  });
});
