/** The generators of the load bench still run, and send what they say: the bench itself measures, which no test may. */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Mosquitto, startMosquitto } from "../support/brokers.ts";
import { describeWith } from "../support/optional.ts";

const BENCH = fileURLToPath(new URL("../../bench/load/", import.meta.url));
const run = promisify(execFile);

/** Debian: libmosquitto-dev. Without it that program is left out, unless it is demanded. */
const hasLibrary =
  existsSync("/usr/include/mosquitto.h") || process.env["WASMQTT_TEST_DEMAND"] === "1";

const DEVICE_COUNT = 10;
const WINDOW_SECONDS = 0.3;
const PAYLOAD_LENGTH = 100;

interface Measured {
  messages: number;
  acknowledged: number;
  cpuUs: number;
  rssBytes: number;
  connectCpuUs: number;
}

describeWith(["mosquitto", "gcc"], "the load bench", () => {
  let folder: string;
  let mosquitto: Mosquitto;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "wasmqtt-bench-"));
    mosquitto = await startMosquitto();
  });

  afterAll(async () => {
    await mosquitto.stop();
    await rm(folder, { recursive: true });
  });

  async function measure(command: string[], rate: number, qos: number): Promise<Measured> {
    const [file = "", ...first] = command;
    const settings = [mosquitto.port, DEVICE_COUNT, rate, WINDOW_SECONDS, qos, PAYLOAD_LENGTH];
    const { stdout } = await run(file, [...first, ...settings.map(String)]);
    return JSON.parse(stdout) as Measured;
  }

  function expectWork({ messages, acknowledged, cpuUs, rssBytes }: Measured, qos: number) {
    expect(messages).toBeGreaterThan(0);
    // At QoS 0 nothing but a device's birth is acknowledged.
    expect(acknowledged).toBeGreaterThan(qos === 1 ? DEVICE_COUNT : -1);
    expect(cpuUs).toBeGreaterThan(0);
    expect(rssBytes).toBeGreaterThan(0);
  }

  test.each(["node-floor", "record", "driver", "fleet"])(
    "%s sends, paced and unpaced",
    async (name) => {
      const command = [process.execPath, "--expose-gc", join(BENCH, `${name}.mjs`)];
      for (const rate of [100, 0]) {
        for (const qos of [0, 1]) expectWork(await measure(command, rate, qos), qos);
      }
    },
  );

  const programs: [name: string, libraries: string[]][] = [["floor", []]];
  if (hasLibrary) programs.push(["libmosquitto", ["-lmosquitto"]]);

  test.each(programs)("%s compiles without a warning, and sends", async (name, libraries) => {
    const program = join(folder, name);
    const source = join(BENCH, `${name}.c`);
    const flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-o", program];
    await run("gcc", [...flags, source, ...libraries]);
    for (const qos of [0, 1]) expectWork(await measure([program], 100, qos), qos);
  });
});
