/** A device with a file store survives kill -9 next to aedes, as far as aedes keeps what it has promised. */

import { afterEach, expect, test } from "vitest";
import { startAedes } from "../support/brokers.ts";
import { COUNTING_DEVICE } from "../support/durable-device.ts";
import { killRounds, NO_FAULTS, planOf, SEED, startScene } from "../support/kill-rounds.ts";
import { KillTraffic } from "../support/kill-traffic.ts";
import { describeWith } from "../support/optional.ts";

const COUNTS = { device: 40, cut: 20 };

/**
 * aedes 1.2 keeps what it takes at QoS 2. What waited for a session it gives out of order, and at QoS 2 sometimes twice, even
 * with its PUBRELs kept apart (embedded-broker.ts). At QoS 1 it gives them out of order, and about one run in ten lacks a few of them;
 * kill-rounds.test.ts has mosquitto, which must lose nothing in either direction.
 */
const DOWN_QOS = "1";
const COUNTER_ARGS = ["-q", "2"];

const ROUNDS_LIMIT_MS = 120_000;
const SETTLING_LIMIT_MS = 20_000;
const LENGTH_MAX = 12_000;
const COUNT_MIN = 100;
/** Of what goes to the device; seen: 1 of 1,900, and 11 of 970. */
const MISSED_SHARE_MAX = 0.05;

describeWith(["mosquitto_sub", "stdbuf"], `aedes (WASMQTT_TEST_SEED=${SEED})`, () => {
  let endings: (() => Promise<void>)[] = [];

  afterEach(async () => {
    for (const end of endings.reverse()) await end();
    endings = [];
  });

  test(
    "60 deaths and cuts lose nothing, and double nothing, that the device sends at QoS 2",
    async () => {
      const broker = await startAedes();
      endings.push(() => broker.stop());
      const scene = await startScene({
        brokerPort: broker.port,
        lengthMax: LENGTH_MAX,
        deviceArgs: (port, folder) => [
          COUNTING_DEVICE,
          `mqtt://127.0.0.1:${port}`,
          folder,
          DOWN_QOS,
        ],
      });
      endings.push(() => scene.stop());
      const traffic = await KillTraffic.start(scene.otherSide.port, scene.device, COUNTER_ARGS);
      endings.push(() => traffic.stop());

      scene.device.start();
      await killRounds(planOf(COUNTS, scene), scene);
      const account = await traffic.settle(SETTLING_LIMIT_MS);

      const { upCount, downCount } = account;
      expect(scene.device).toMatchObject({ stderr: "", surprises: [] });
      expect(account).toMatchObject({
        up: NO_FAULTS,
        down: { takenNumber: downCount },
        droppedCount: 0,
      });
      expect(account.down.missedNumbers.length).toBeLessThan(MISSED_SHARE_MAX * downCount);
      expect(Math.min(upCount, downCount)).toBeGreaterThan(COUNT_MIN);
    },
    ROUNDS_LIMIT_MS,
  );
});
