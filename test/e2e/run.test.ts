/** Every scenario that ships, through the command line, with the counts checked from outside. */

import { describe, expect, test } from "vitest";
import { type RunResult, resultSchema } from "../../simulator/src/run/result.ts";
import { type MosquittoSub, mosquittoSub, startMosquitto } from "../support/brokers.ts";
import { describeWith } from "../support/optional.ts";
import { runCli } from "../support/run-cli.ts";

const TIMEOUT_MS = 90_000;

/** Smaller than they ship, so that the suite stays quick; the phases and their times are the same. */
const SCENARIOS: [name: string, flags: string[]][] = [
  ["steady", ["-c", "50", "--duration", "4s", "--interval", "500ms"]],
  ["connect-storm", ["-c", "100"]],
  ["last-will-all-kinds", ["-c", "40"]],
  ["offline-messages", ["-c", "40"]],
  ["broker-restart", ["-c", "40"]],
  ["spike", ["-c", "60"]],
];

async function run(args: string[]): Promise<{ exitCode: number | null; result: RunResult }> {
  const { exitCode, stdout, stderr } = await runCli(["run", ...args, "--json"], {
    timeoutMs: TIMEOUT_MS,
  });
  if (stdout === "") throw new Error(`no result, exit code ${exitCode}:\n${stderr}`);
  return { exitCode, result: resultSchema.parse(JSON.parse(stdout)) };
}

/** What must hold in any run against a broker that keeps its promises. */
function expectKept(result: RunResult): void {
  const failed = result.expectations.filter(({ ok }) => !ok);
  expect(failed, JSON.stringify(result, undefined, 2)).toEqual([]);
  expect(result.devices.connected).toBe(result.devices.count);
  expect(result.audit?.delivered).toBeGreaterThan(result.devices.count);
  expect(result.audit?.unknown).toBe(0);
  expect(result.latencies.publishAck?.count).toBe(result.messages.acknowledged);
  expect(result.goodbyes).toBeGreaterThanOrEqual(result.devices.count);
}

/** What came in from outside, once no more is on its way. */
async function counted(outside: MosquittoSub, expected: { online: number; offline: number }) {
  const count = (text: string) =>
    outside.messages.filter(({ payload, retain }) => payload === text && !retain).length;
  const total = expected.online + expected.offline;
  await outside.waitFor(({ messages }) => messages.length >= total).catch(() => {});
  return { online: count("online"), offline: count("offline") };
}

// A run waits most of its time, so all of them run at once.
describe.concurrent("with the embedded broker", () => {
  test.each(SCENARIOS)("%s keeps every promise", { timeout: TIMEOUT_MS }, async (name, flags) => {
    const { exitCode, result } = await run([name, ...flags]);
    expectKept(result);
    expect(exitCode).toBe(0);
  });
});

describeWith(["mosquitto", "mosquitto_sub"], "with mosquitto", () => {
  test.concurrent.each(SCENARIOS)(
    "%s keeps every promise, and mosquitto_sub counts the same",
    { timeout: TIMEOUT_MS },
    async (name, flags) => {
      const mosquitto = await startMosquitto();
      const outside = await mosquittoSub(mosquitto.port, ["-q", "1", "-t", "motes/+/status"]);
      try {
        const port = String(mosquitto.port);
        const { exitCode, result } = await run([name, "-h", "127.0.0.1", "-p", port, ...flags]);
        expectKept(result);
        expect(exitCode).toBe(0);
        const seen = result.statusMessages ?? { online: 0, offline: 0 };
        expect(seen).toMatchObject(await counted(outside, seen));
        expect(seen.offline).toBe((result.wills?.delivered ?? 0) + result.goodbyes);
      } finally {
        await outside.stop();
        await mosquitto.stop();
      }
    },
  );
});

test("devices whose messages have no number are not said to have lost none", async () => {
  const flags = ["-c", "2", "--profile", "homie", "--interval", "200ms", "--duration", "1s"];
  const outcome = await runCli(["run", "steady", ...flags, "--json"]);
  expect(outcome.exitCode).toBe(0);
  const result = resultSchema.parse(JSON.parse(outcome.stdout));
  expect(result.messages.acknowledged).toBeGreaterThan(4);
  expect(result.audit).toBeNull();
  const names = result.expectations.map(({ name }) => name);
  expect(names).toContain("telemetry_unanswered");
  expect(names).not.toContain("telemetry_lost");
  expect(names).not.toContain("telemetry_out_of_order");
});
