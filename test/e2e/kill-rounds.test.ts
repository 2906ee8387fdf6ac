/** A device with a file store and mosquitto with persistence survive kill -9: nothing is lost, nothing comes twice. */

import { afterEach, expect, test } from "vitest";
import { mosquittoSub } from "../support/brokers.ts";
import { COUNTING_DEVICE } from "../support/durable-device.ts";
import {
  faultsOf,
  killRounds,
  NO_FAULTS,
  planOf,
  type Scene,
  SEED,
  startScene,
} from "../support/kill-rounds.ts";
import { KillTraffic } from "../support/kill-traffic.ts";
import { describeWith } from "../support/optional.ts";
import { startPersistentMosquitto } from "../support/persistent-mosquitto.ts";
import { scriptedServer } from "../support/scripted-server.ts";
import { connack, publish, pubrel, suback } from "../support/server-packets.ts";

/** 200 times kill -9, and cut connections in between. */
const COUNTS = { device: 100, broker: 50, both: 50, cut: 40 };

/** A session that the broker keeps. */
const COUNTER_ARGS = ["-q", "2", "-c"];

const ROUNDS_LIMIT_MS = 300_000;
const SETTLING_LIMIT_MS = 30_000;
const LENGTH_MAX = 12_000;
const COUNT_MIN = 300;

describeWith(
  ["mosquitto", "mosquitto_sub", "stdbuf"],
  `mosquitto (WASMQTT_TEST_SEED=${SEED})`,
  () => {
    let endings: (() => Promise<void>)[] = [];

    afterEach(async () => {
      for (const end of endings.reverse()) await end();
      endings = [];
    });

    /** Everybody is there but the device, which has not started. `faults` are given to it. */
    async function begin(...faults: string[]): Promise<{ scene: Scene; traffic: KillTraffic }> {
      const broker = await startPersistentMosquitto();
      endings.push(() => broker.stop());
      const scene = await startScene({
        brokerPort: broker.port,
        broker,
        lengthMax: LENGTH_MAX,
        deviceArgs: (port, folder) => [
          COUNTING_DEVICE,
          `mqtt://127.0.0.1:${port}`,
          folder,
          "2",
          ...faults,
        ],
      });
      endings.push(() => scene.stop());
      const traffic = await KillTraffic.start(scene.otherSide.port, scene.device, COUNTER_ARGS);
      endings.push(() => traffic.stop());
      return { scene, traffic };
    }

    test(
      "200 deaths of either side under QoS 2 traffic in both directions lose and double nothing",
      async () => {
        const { scene, traffic } = await begin();
        scene.device.start();
        await killRounds(planOf(COUNTS, scene), scene);
        const account = await traffic.settle(SETTLING_LIMIT_MS);

        const { upCount, downCount } = account;
        expect(scene.device).toMatchObject({ stderr: "", surprises: [] });
        expect(account, JSON.stringify(COUNTS)).toMatchObject({
          up: NO_FAULTS,
          down: { takenNumber: downCount, missedNumbers: [], doubledNumbers: [], lateCount: 0 },
          droppedCount: 0,
        });
        expect(Math.min(upCount, downCount)).toBeGreaterThan(COUNT_MIN);
      },
      ROUNDS_LIMIT_MS,
    );

    test("the count has once what the broker has once and mosquitto_sub says twice", async () => {
      const message = { topic: "kill/up", payload: "1 ", qos: 2, packetId: 7 };
      const server = await scriptedServer(async (talk) => {
        await talk.expect("CONNECT");
        talk.send(connack(talk.index > 0));
        talk.send(suback((await talk.expect("SUBSCRIBE")).packetId, 2));
        if (talk.index < 2) {
          talk.send(publish({ ...message, dup: talk.index > 0 }));
          await talk.expect("PUBREC");
        }
        if (talk.index > 0) {
          talk.send(pubrel(message.packetId));
          await talk.expect("PUBCOMP");
        }
        if (talk.index < 2) talk.end();
        else talk.send(publish({ ...message, packetId: 8 }), pubrel(8));
      });
      endings.push(() => server.close());
      const args = ["-i", "counter", "-t", "kill/up", ...COUNTER_ARGS];
      const subscriber = await mosquittoSub(server.port, args);
      endings.push(() => subscriber.stop());

      await subscriber.waitFor(({ messages }) => messages.length === 3);
      expect(subscriber.exchangedMessages).toHaveLength(2);
    });

    test("the count finds out a device whose store forgets", async () => {
      const { scene, traffic } = await begin("forgets");
      scene.device.start();
      await killRounds(planOf({ device: 15 }, scene), scene);
      const { upNumbers } = traffic;
      expect(faultsOf(upNumbers, Math.max(...upNumbers)).doubled).not.toEqual([]);
    }, 60_000);
  },
);
