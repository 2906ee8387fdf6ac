/** One device of each profile against a broker: what an observer with the profile's filters sees of its life. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Event, Status } from "../../firmware/core/abi.ts";
import type { EmbeddedBroker } from "../../host/src/broker/embedded-broker.ts";
import { Driver } from "../../host/src/client/driver.ts";
import { MqttClient } from "../../host/src/client/mqtt-client.ts";
import { Session } from "../../host/src/core/session.ts";
import { parseBrokerUrl } from "../../host/src/transport/broker-url.ts";
import { openTransport } from "../../host/src/transport/open-transport.ts";
import { realWorld } from "../../host/src/world.ts";
import { PROFILE_NAMES, profileOf } from "../../simulator/src/profiles/profile.ts";
import { until } from "../../simulator/src/waiting.ts";
import { loadApplication } from "../support/application-rig.ts";
import { startAedes } from "../support/brokers.ts";

const WAIT_MS = 10_000;

let broker: EmbeddedBroker;
let url: string;

beforeAll(async () => {
  broker = await startAedes();
  url = `mqtt://127.0.0.1:${broker.port}`;
});

afterAll(() => broker.stop());

describe.each(PROFILE_NAMES)("%s", (name) => {
  const profile = profileOf(name);

  test("birth, readings, the Will of a lost connection, and a goodbye without a Will are seen", async () => {
    const clientId = `${name}-1`;
    const { core, blockAt } = await loadApplication(name);
    const length = clientId.length;
    const session = new Session(core, {
      receive: 256,
      transmit: profile.birthsLength(length) + 4 * profile.readingLength(length) + 16,
      identity: profile.identityLength(length),
      incomingCount: 4,
    });
    session.setClientId(clientId);
    if (profile.block !== undefined) {
      const status = core.exports.setProfile(session.at, blockAt, profile.block.length);
      expect(status).toBe(Status.Ok);
    }
    core.exports.configure(session.at, 60_000, 0, 1);
    const { signal } = new AbortController();
    const seen: string[] = [];
    const observer = new MqttClient({ url });
    const isOver = () => !driver.isOpen;
    const driver = new Driver(session, realWorld, {
      event: (event) => {
        if (event !== Event.ReadingDue) return;
        core.exports.reading(session.at, 21_474, realWorld.nowMs());
        driver.flush();
      },
      ended: () => undefined,
    });
    const open = () =>
      driver.open(openTransport(parseBrokerUrl(url), realWorld), {
        cleanSession: true,
        keepAliveSeconds: 60,
        responseTimeoutMs: WAIT_MS,
      });
    const sees = (count: number) => until(() => seen.length >= count, realWorld, WAIT_MS, signal);
    try {
      await observer.connect();
      const filters = [...profile.filters.status, ...profile.filters.telemetry];
      await observer.subscribe(filters.map((topicFilter) => ({ topicFilter, qos: 1 })));
      observer.on("message", ({ topic, payload, retain }) => {
        const message = retain ? undefined : profile.read(topic, payload);
        if (message?.clientId === clientId) seen.push(message.kind);
      });

      open();
      await sees(2);
      expect(seen.splice(0).sort()).toEqual(["online", "telemetry"]);
      driver.abort("reset");
      await sees(1);
      expect(seen.splice(0)).toEqual(["offline"]);
      await until(isOver, realWorld, WAIT_MS, signal);

      open();
      await sees(1);
      expect(seen.splice(0)).toEqual(["online"]);
      driver.disconnect();
      await until(isOver, realWorld, WAIT_MS, signal);
      await sees(1);
      expect(seen).toEqual(["offline"]);
    } finally {
      driver.detach()?.reset();
      driver.stop();
      await observer.close();
    }
  });
});
