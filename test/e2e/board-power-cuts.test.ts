/**
 * The power of an emulated board fails at random moments: while its flash is written, and during QoS 2 traffic. A few times
 * each; POWER_CUTS=200 (`npm run power-cuts`) tries so many. WASMQTT_TEST_SEED repeats the moments; how far the board is then, nobody decides.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type ModuleImage, wrapModule } from "../../host/src/board/module-image.ts";
import { Bridge } from "../../host/src/bridge/bridge.ts";
import { MqttClient, openTransport, parseBrokerUrl, realWorld } from "../../host/src/index.ts";
import { RandomStream } from "../../simulator/src/random.ts";
import { type Mosquitto, startMosquitto } from "../support/brokers.ts";
import { MODULES_FOLDER } from "../support/core-client.ts";
import { EMULATOR_PROGRAMS, EmulatedBoard } from "../support/emulated-board.ts";
import { SEED } from "../support/kill-rounds.ts";
import { describeWith } from "../support/optional.ts";

const CUT_COUNT = Number(process.env["POWER_CUTS"] ?? 4);
const TIMEOUT_MS = 60_000 + CUT_COUNT * 30_000;
const POLL = { timeout: 20_000, interval: 50 };

const random = new RandomStream(SEED, 0, "fault");
const modules = ["thermometer", "reporter"].map((name) =>
  readFileSync(join(MODULES_FOLDER, `${name}.wasm`)),
);

describeWith(
  [...EMULATOR_PROGRAMS, "mosquitto"],
  `a board whose power fails (seed ${SEED})`,
  () => {
    let board: EmulatedBoard;

    beforeEach(async () => {
      board = new EmulatedBoard();
      await board.start();
    });
    afterEach(() => board.end());

    /** What `wasmqtt flash` does. Rejects when the power fails meanwhile. */
    async function flash(image: ModuleImage): Promise<void> {
      const plugged = await board.plug();
      await plugged.upload(image.bytes, { patienceMs: 1_000 });
      await plugged.test(image.hash);
      await plugged.restart({ patienceMs: 5_000 });
      await plugged.confirm(image.hash);
    }

    async function runningModule(): Promise<string | undefined> {
      const { module } = await (await board.plug()).info();
      return module.state === "running" ? module.sha256 : module.note;
    }

    test(`while its flash is written, ${CUT_COUNT} times: it always starts, and always a whole module`, {
      timeout: TIMEOUT_MS,
    }, async () => {
      const images = Array.from({ length: CUT_COUNT + 1 }, (_, build) =>
        wrapModule(modules[build % 2] as Uint8Array, {
          version: { major: 1, minor: 0, revision: 0, build },
        }),
      );
      let present = images[0] as ModuleImage;
      const startedAtMs = realWorld.nowMs();
      await flash(present);
      const wholeMs = realWorld.nowMs() - startedAtMs;
      let confirmedCount = 0;
      for (const image of images.slice(1)) {
        let isConfirmed = false;
        const flashed = flash(image).then(
          () => {
            isConfirmed = true;
          },
          () => {}, // the power has failed
        );
        await Promise.race([flashed, sleep(random.uniform() * 1.1 * wholeMs)]);
        await board.cut();
        await flashed;
        await board.start();
        const shown = () => expect.poll(runningModule, POLL);
        if (isConfirmed) await shown().toBe(image.moduleSha256);
        else await shown().toBeOneOf([present.moduleSha256, image.moduleSha256]);
        if ((await runningModule()) === image.moduleSha256) {
          present = image;
          confirmedCount++;
        }
      }
      // A power that never failed too early, or always did, would prove little.
      if (CUT_COUNT >= 50) {
        expect(confirmedCount).toBeGreaterThan(0);
        expect(confirmedCount).toBeLessThan(CUT_COUNT);
      }
    });

    test(`during QoS 2 traffic, ${CUT_COUNT} times: nothing is lost, nothing comes twice [MQTT-4.3.3-1] [MQTT-4.3.3-2]`, {
      timeout: TIMEOUT_MS,
    }, async () => {
      const broker = await startMosquitto({ config: ["max_queued_messages 0"] });
      const bridge = bridgeTo(broker);
      const observer = new MqttClient({ url: `mqtt://127.0.0.1:${broker.port}` });
      const sequences: number[] = [];
      try {
        await observer.connect();
        observer.on("message", ({ payload }) => {
          sequences.push((JSON.parse(Buffer.from(payload).toString()) as { seq: number }).seq);
        });
        await observer.subscribe("motes/cut/telemetry", { qos: 2 });
        await (await board.plug()).configure({ clientId: "cut", intervalMs: 100, qos: 2 });
        await flash(wrapModule(modules[0] as Uint8Array, { version: VERSION }));
        await board.unplug();
        bridge.start();
        for (let cut = 0; cut < CUT_COUNT; cut++) {
          const { length } = sequences;
          await expect.poll(() => sequences.length, POLL).toBeGreaterThan(length);
          await sleep(random.uniform() * 1_000);
          await board.cut();
          await board.start();
        }
        const { length } = sequences;
        await expect.poll(() => sequences.length, POLL).toBeGreaterThan(length + 10);
        expect(sequences).toEqual(sequences.map((_, index) => index + 1));
      } finally {
        await bridge.stop();
        await observer.close();
        await broker.stop();
      }
    });

    /** It looks for the board again whenever that comes back. */
    function bridgeTo({ port }: Mosquitto): { start(): void; stop(): Promise<void> } {
      const url = parseBrokerUrl(`mqtt://127.0.0.1:${port}`);
      let bridge: Bridge | undefined;
      return {
        start() {
          bridge = new Bridge({
            world: realWorld,
            path: "the board",
            openLine: board.openLine,
            openTransport: openTransport(url, realWorld),
            tell: () => {},
          });
        },
        stop: async () => bridge?.stop(),
      };
    }
  },
);

const VERSION = { major: 1, minor: 0, revision: 0, build: 0 };
