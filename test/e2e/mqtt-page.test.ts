/** docs/mqtt.md tells newcomers what they will see: each of its examples, typed as it stands there. */

import { readFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { EmbeddedBroker } from "../../host/src/broker/embedded-broker.ts";
import { startAedes } from "../support/brokers.ts";
import { type CliRun, runCli, startCli } from "../support/run-cli.ts";

const page = readFileSync(new URL("../../docs/mqtt.md", import.meta.url), "utf8");

let broker: EmbeddedBroker;
let runs: CliRun[];
let subscribedCount: number;

beforeEach(async () => {
  subscribedCount = 0;
  broker = await startAedes({
    onEvent: ({ kind }) => {
      if (kind === "subscribed") subscribedCount++;
    },
  });
  runs = [];
});

afterEach(async () => {
  for (const run of runs) await run.stop();
  await broker.stop();
});

/** The words of a command that stands on the page, and the place of the broker. */
function typed(command: string) {
  expect(page).toContain(`npx wasmqtt ${command}`);
  const words = [...command.matchAll(/'([^']*)'|(\S+)/gu)].map(
    ([, quoted, bare]) => quoted ?? bare ?? "",
  );
  return { words, env: { WASMQTT_PORT: String(broker.port), WASMQTT_HOST: "127.0.0.1" } };
}

async function done(command: string) {
  const { words, env } = typed(command);
  const result = await runCli(words, { env });
  expect(result).toMatchObject({ exitCode: 0 });
  return result;
}

/** Starts a command that goes on, and waits until the broker knows of its subscriptions. */
async function listening(command: string): Promise<CliRun> {
  const { words, env } = typed(command);
  const run = startCli(words, { env });
  runs.push(run);
  const expectedCount = subscribedCount + words.filter((word) => word === "-t").length;
  await expect.poll(() => subscribedCount, { timeout: 10_000 }).toBe(expectedCount);
  return run;
}

function seen(run: CliRun, line: string): Promise<unknown> {
  return run.waitFor("stdout", new RegExp(`^${line}$`, "mu"));
}

test("who has subscribed sees what is published, and wildcards stand for levels", async () => {
  const one = await listening("sub -v -t home/kitchen/temperature");
  const all = await listening("sub -v -t 'home/+/temperature' -t 'garden/#'");
  await done("pub -t home/kitchen/temperature -m 21.5");
  await seen(one, "home/kitchen/temperature 21.5");
  await seen(all, "home/kitchen/temperature 21.5");
});

test("the phone that comes later still sees the score, until it is deleted", async () => {
  const first = await listening("sub -v -t scores/final");
  await done("pub -t scores/final -m 3:1 -r");
  await seen(first, "scores/final 3:1");
  const second = await listening("sub -v -t scores/final");
  await seen(second, "scores/final 3:1");

  await done("pub -t scores/final -n -r");
  await seen(second, "scores/final ");
  const third = await listening("sub -v -t scores/final");
  await done("pub -t scores/final -m 3:1 -r");
  await seen(third, "scores/final 3:1");
  expect(third.stdout.trim().split("\n")).toHaveLength(1);
});

test("a message at QoS 2 is taken over before the command ends", async () => {
  await done("pub -t bank/transfer -m '100 EUR' -q 2");
});

test("what came for a client that was away was waiting", async () => {
  const shop = await listening("sub -v -t orders/# -q 1 -c -i shop");
  shop.signal("SIGINT");
  expect((await shop.ended).exitCode).toBe(130);
  await done("pub -t orders/17 -m 'one pizza' -q 1");
  const again = await listening("sub -v -t orders/# -q 1 -c -i shop");
  await seen(again, "orders/17 one pizza");
});

test("a device says goodbye by itself, or the broker does when it is killed; and it obeys", async () => {
  const status = await listening("sub -v -t 'motes/+/status'");
  const { words, env } = typed("device -i kitchen");
  const device = startCli(words, { env });
  runs.push(device);
  await seen(status, "motes/kitchen/status online");
  await done("pub -t motes/kitchen/cmd -m 'interval 1000'");
  await device.waitFor("stdout", /interval 1000|1000 ms|every 1 ?s/iu);
  expect(page).toContain("npx wasmqtt pub -t motes/kitchen/cmd -m report ");
  device.signal("SIGINT");
  expect((await device.ended).exitCode).toBe(130);
  await seen(status, "motes/kitchen/status offline");

  const other = startCli(words, { env });
  runs.push(other);
  await status.waitFor("stdout", /offline\n[\s\S]*online\n/u);
  other.signal("SIGKILL");
  await status.waitFor("stdout", /offline\n[\s\S]*online\n[\s\S]*offline\n/u);
});
