/** `wasmqtt device --store`: a device that goes on where it was, and stores that it refuses. */

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BatchField } from "../../firmware/core/abi.ts";
import { type EmbeddedBroker, startEmbeddedBroker } from "../../host/src/broker/embedded-broker.ts";
import { registerDevice } from "../../host/src/cli/commands/device.ts";
import { ExitCode } from "../../host/src/cli/exit-code.ts";
import { runCli } from "../../host/src/cli/program.ts";
import { readModule } from "../../host/src/core/core.ts";
import { StoreError } from "../../host/src/store/store-errors.ts";
import { realWorld } from "../../host/src/world.ts";
import { batchOf } from "../support/journal.ts";
import { ListStore } from "../support/list-store.ts";
import { RecordingContext } from "../support/run-cli.ts";
import { makeThermometer } from "../support/thermometer.ts";

let broker: EmbeddedBroker;
let parent: string;
let directory: string;

beforeEach(async () => {
  broker = await startEmbeddedBroker({ world: realWorld, bind: "127.0.0.1", port: 0 });
  parent = mkdtempSync(join(tmpdir(), "wasmqtt-device-"));
  directory = join(parent, "session");
});
afterEach(async () => {
  await broker.stop();
  rmSync(parent, { recursive: true });
});

/** A device that was started; `stop` ends it as Ctrl-C does. */
function start(...args: string[]) {
  const context = new RecordingContext();
  context.system = { ...context.system, readModule };
  const place = ["-h", "127.0.0.1", "-p", `${broker.port}`];
  const ended = runCli(["device", ...place, ...args], context, [registerDevice]);
  const stop = (): Promise<number> => {
    context.interruptController.abort(ExitCode.Interrupted);
    return ended;
  };
  const says = (text: string) => expect.poll(() => context.stdout.text).toContain(text);
  return { context, ended, stop, says };
}

const durable = () => ["-i", "kitchen", "-q", "2", "--interval", "0.1", "--store", directory];

test("goes on with the next seq and the kept session", async () => {
  const first = start(...durable());
  await first.says("seq 3  acknowledged");
  await first.stop();
  const [lastSeq] =
    first.context.stdout.text.match(/(?<=seq )\d+(?= {2}published)/g)?.slice(-1) ?? [];

  const second = start(...durable());
  const nextSeq = Number(lastSeq) + 1;
  await second.says(`seq ${nextSeq}  acknowledged`);
  await second.stop();
  expect(second.context.stderr.text).toContain(
    `Session restored from ${directory}: it goes on with seq ${nextSeq}.`,
  );
  expect(second.context.stderr.text).toContain("Connected (the session was kept).");
  expect(second.context.stdout.text).not.toContain("seq 1 ");
});

describe("refuses", () => {
  /** Runs a device that must refuse its store; what lies there must not change. */
  async function refusal(exitCode: number, ...args: string[]): Promise<string> {
    const before = contents();
    const { context, ended } = start(...args);
    expect(await ended).toBe(exitCode);
    expect(context.stderr.text).toMatch(/^error: .+\n {2}.+\n$/);
    expect(contents()).toEqual(before);
    return context.stderr.text;
  }

  function contents(): Record<string, string> {
    const names = readdirSync(parent, { recursive: true, withFileTypes: true });
    const files = names.filter((entry) => entry.isFile()).map(({ name }) => name);
    return Object.fromEntries(
      files.map((name) => [name, readFileSync(join(directory, name)).toString("hex")]),
    );
  }

  async function withSession(): Promise<void> {
    const device = start(...durable());
    await device.says("acknowledged");
    await device.stop();
  }

  function overwrite(change: (image: Buffer) => void): void {
    const path = join(directory, "journal-0");
    const file = readFileSync(path);
    change(file);
    writeFileSync(path, file);
  }

  test("a store without a fixed client id", async () => {
    expect(await refusal(2, "--store", directory)).toContain("Give -i");
  });

  test("a directory in a directory that does not exist", async () => {
    expect(await refusal(2, "-i", "a", "--store", join(directory, "deep"))).toContain(
      "the directory above it is missing",
    );
  });

  test("a directory with other things in it", async () => {
    mkdirSync(directory);
    writeFileSync(join(directory, "diary.txt"), "dear diary");
    expect(await refusal(4, "-i", "a", "--store", directory)).toContain("diary.txt");
  });

  test("the store of a device that runs", async () => {
    const running = start(...durable());
    await running.says("published");
    const { context, ended } = start(...durable());
    expect(await ended).toBe(4);
    expect(context.stderr.text).toContain("is in use by another running device");
    await running.says("acknowledged");
    await running.stop();
  });

  test("the session of another client id", async () => {
    await withSession();
    expect(await refusal(4, "-i", "cellar", "--store", directory)).toContain("another client id");
  });

  test("an image of a newer version, naming both", async () => {
    await withSession();
    overwrite((image) => {
      image[BatchField.Version] = 2;
      const length = image.readUInt32LE(BatchField.Length);
      image.set(batchOf(image.subarray(BatchField.Records, BatchField.Records + length)));
    });
    const told = await refusal(4, ...durable());
    expect(told).toContain("has version 2 of the journal's format; this program knows version 1");
  });

  test("a damaged journal", async () => {
    await withSession();
    overwrite((image) => {
      image[BatchField.Generation] = (image[BatchField.Generation] ?? 0) ^ 1;
    });
    expect(await refusal(4, ...durable())).toContain("is damaged at byte");
  });
});

test("a store that fails ends the device, and nothing goes that was not stored", async () => {
  const store = new ListStore();
  const failures: Error[] = [];
  const full = new StoreError("full", "There is no room", "Make some");
  const { thermometer } = await makeThermometer(`mqtt://127.0.0.1:${broker.port}`, {
    connect: { cleanSession: false, keepAliveSeconds: 60, responseTimeoutMs: 2_000 },
    intervalMs: 100,
    flags: 2,
    tell: ({ event }) => {
      if (event === "acknowledged") store.failure = full;
    },
    store,
    storeFailed: (error) => failures.push(error),
  });
  await thermometer.connect();
  await expect.poll(() => failures).toEqual([full]);
  expect(thermometer.counts.acknowledged).toBe(1);
  const before = thermometer.counts.published;
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(thermometer.counts.published).toBe(before);
  await thermometer.stop();
});
