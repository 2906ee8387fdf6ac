/** `wasmqtt device --store` next to mosquitto with persistence: kill -9 of either side leaves no gap in its telemetry. */

import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { MqttClient } from "../../host/src/client/mqtt-client.ts";
import { type MosquittoSub, mosquittoSub } from "../support/brokers.ts";
import { WASMQTT } from "../support/durable-device.ts";
import {
  faultsOf,
  killRounds,
  NO_FAULTS,
  planOf,
  type Scene,
  SEED,
  startScene,
} from "../support/kill-rounds.ts";
import { describeWith } from "../support/optional.ts";
import { startPersistentMosquitto } from "../support/persistent-mosquitto.ts";

/** Without "broker" and "cut": the device waits for longer and longer then, unless it is killed as well. */
const COUNTS = { device: 20, both: 10 };

const COMMAND_TOPIC = "motes/mortal/cmd";
const REPORT_MS = 200;

/** Lines of --json: both commands were obeyed, and this is the seq that came of it. */
const LAST_REPORT =
  /"command":"interval 86400000".*"command":"report".*?"event":"published","seq":(\d+)/su;

/** It found no broker when it started. */
const UNREACHABLE_EXIT_CODE = 3;

const TEST_LIMIT_MS = 120_000;
const SETTLING_LIMIT_MS = 30_000;
const LENGTH_MAX = 3_000;
const COUNT_MIN = 10;

describeWith(["mosquitto", "mosquitto_sub", "stdbuf"], `device (WASMQTT_TEST_SEED=${SEED})`, () => {
  let endings: (() => Promise<void> | void)[] = [];

  afterEach(async () => {
    for (const end of endings.reverse()) await end();
    endings = [];
  });

  async function begin(): Promise<{ scene: Scene; subscriber: MosquittoSub; client: MqttClient }> {
    const broker = await startPersistentMosquitto();
    endings.push(() => broker.stop());
    const scene = await startScene({
      brokerPort: broker.port,
      broker,
      lengthMax: LENGTH_MAX,
      deviceArgs: (port, folder) => [
        ...[WASMQTT, "device", "-h", "127.0.0.1", "-p", `${port}`, "-i", "mortal", "--json"],
        ...["--store", folder, "-q", "2", "--interval", "0.1"],
      ],
      deviceOptions: { restartExitCode: UNREACHABLE_EXIT_CODE },
    });
    endings.push(() => scene.stop());
    const { port } = scene.otherSide;
    const topicArgs = ["-t", "motes/mortal/telemetry"];
    const subscriber = await mosquittoSub(port, ["-q", "2", "-c", "-i", "counter", ...topicArgs]);
    endings.push(() => subscriber.stop());
    const client = new MqttClient({
      url: `mqtt://127.0.0.1:${port}`,
      clientId: "commander",
      cleanSession: false,
      reconnect: { baseMs: 40, maxMs: 40 },
    });
    endings.push(() => client.abort());
    await client.connect();
    return { scene, subscriber, client };
  }

  /** The seq of what the device has published last, after the last two commands. */
  async function quietSequence({ device }: Scene): Promise<number> {
    const endAtMs = Date.now() + SETTLING_LIMIT_MS;
    while (Date.now() < endAtMs) {
      const match = LAST_REPORT.exec(device.stdout);
      if (match !== null) return Number(match[1]);
      await sleep(20);
    }
    throw new Error(`the device has not reported:\n${device.stdout.slice(-1_000)}`);
  }

  function sequencesOf({ exchangedMessages }: MosquittoSub): number[] {
    return exchangedMessages.map(({ payload }) => JSON.parse(payload).seq);
  }

  test(
    "30 deaths of wasmqtt device, ten of them with its broker, leave its telemetry numbered without gap or repetition",
    async () => {
      const { scene, subscriber, client } = await begin();
      scene.device.start();
      const commands = setInterval(
        () => client.tryPublish(COMMAND_TOPIC, "report", { qos: 1 }),
        REPORT_MS,
      );
      endings.push(() => clearInterval(commands));
      await killRounds(planOf(COUNTS, scene), scene);
      clearInterval(commands);

      // In its last life it reports once more, when nothing else makes it.
      await client.publish(COMMAND_TOPIC, "interval 86400000", { qos: 1 });
      await client.publish(COMMAND_TOPIC, "report", { qos: 1 });
      const lastSequence = await quietSequence(scene);
      await subscriber.waitFor(
        () => sequencesOf(subscriber).includes(lastSequence),
        SETTLING_LIMIT_MS,
      );
      expect(scene.device.surprises).toEqual([]);
      await scene.device.end();
      expect(faultsOf(sequencesOf(subscriber), lastSequence)).toEqual(NO_FAULTS);
      expect(lastSequence).toBeGreaterThan(COUNT_MIN);
    },
    TEST_LIMIT_MS,
  );
});
