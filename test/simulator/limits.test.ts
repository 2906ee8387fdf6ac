/** What `wasmqtt run` says before the first device connects, of fleets that this machine cannot hold. */

import { beforeEach, expect, test } from "vitest";
import { limitWarnings } from "../../simulator/src/cli/limits.ts";
import { readScenario } from "../../simulator/src/scenario/scenario-file.ts";
import { RecordingContext } from "../support/run-cli.ts";

let context: RecordingContext;

beforeEach(() => {
  context = new RecordingContext();
  context.files.set("/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n");
});

/** The warnings for a fleet in two groups; `broker` as in a scenario. */
function warnings(broker: string, count: number): string[] {
  const text = `version: 1
broker: { ${broker} }
devices: [{ group: a, id: "a-%i", count: ${count - 1} }, { group: b, id: "b-%i", count: 1 }]
`;
  return limitWarnings(readScenario(text, "test.yaml", {}), context);
}

const REMOTE = 'url: "mqtt://broker.example"';

test("a fleet that fits is not worth a word", () => {
  context.system = { ...context.system, openFileCountMax: 10_064 };
  expect(warnings(REMOTE, 10_000)).toEqual([]);
  expect(warnings("", 5_000)).toEqual([]);
});

test("too few open files are one sentence with the remedy; the broker of the run takes its half", () => {
  context.system = { ...context.system, openFileCountMax: 10_064 };
  expect(warnings(REMOTE, 10_001)).toEqual([
    "Not all devices will fit (open files): this process may open 10064, and 10001 devices need 10065. Raise the hard limit, then start again from the same shell: sudo prlimit --pid $$ --nofile=65536:65536.",
  ]);
  expect(warnings("", 5_001)).toHaveLength(1);
});

test("too few ports are one sentence, unless there are addresses enough", () => {
  expect(warnings(REMOTE, 30_000)).toEqual([
    expect.stringMatching(/^Not all .*\(ports .*--ifaddr/u),
  ]);
  const addresses = 'localAddresses: ["192.0.2.1", "192.0.2.2"]';
  expect(warnings(`${REMOTE}, ${addresses}`, 30_000)).toEqual([]);
});
