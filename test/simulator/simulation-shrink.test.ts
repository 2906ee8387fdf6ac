/** A failure becomes small enough to be read, and its command repeats it. */

import { beforeAll, expect, test } from "vitest";
import { ExitCode } from "../../host/src/cli/exit-code.ts";
import { runCli } from "../../host/src/cli/program.ts";
import { registerSimulate } from "../../simulator/src/cli/commands/simulate.ts";
import type {
  BrokerMessage,
  BrokerSession,
} from "../../simulator/src/simulation/broker-session.ts";
import { flagsOf, investigate } from "../../simulator/src/simulation/investigate.ts";
import { ModelBroker } from "../../simulator/src/simulation/model-broker.ts";
import { failureText, simulationText } from "../../simulator/src/simulation/report-text.ts";
import { shrink } from "../../simulator/src/simulation/shrink.ts";
import {
  type FirmwareBytes,
  type ReportedFailure,
  type SimulationReport,
  simulate,
} from "../../simulator/src/simulation/simulate.ts";
import { REAL_PARTS, type SimulationOptions } from "../../simulator/src/simulation/simulation.ts";
import { RecordingContext } from "../support/run-cli.ts";
import { builtFirmware } from "../support/simulated.ts";

let firmware: FirmwareBytes;
beforeAll(async () => {
  firmware = await builtFirmware();
});

/** Delivers QoS 2 messages twice after its first restart. */
class ConfusedBroker extends ModelBroker {
  #isConfused = false;

  override restart(keepsState: boolean): void {
    super.restart(keepsState);
    this.#isConfused = true;
  }

  override deliver(session: BrokerSession, message: BrokerMessage, qos: number): void {
    super.deliver(session, message, qos);
    if (this.#isConfused && qos === 2) super.deliver(session, message, qos);
  }
}

const confused = {
  parts: {
    ...REAL_PARTS,
    makeBroker: (...made: ConstructorParameters<typeof ModelBroker>) => new ConfusedBroker(...made),
  },
};

test("a failure shrinks to one device, one fault and one kind of traffic", async () => {
  const options: SimulationOptions = { seed: 3, hours: 3, deviceCount: 8, kinds: ["durable"] };
  const { report, simulation } = await simulate(options, firmware, confused);
  expect(report.failure?.check).toBe("exactly-once");
  const failure = report.failure as ReportedFailure;

  const found = await investigate(simulation, failure, firmware, confused);
  expect(found.options.onlyDevices).toEqual([failure.deviceIndex]);
  expect(found.options.onlyFaults).toHaveLength(1);
  expect(found.options.onlyFaults?.[0]).toMatch(/^w\./u);
  expect(found.options.traffic).toEqual(["down2"]);

  const again = await simulate(found.options, firmware, confused);
  expect(again.report.failure).toEqual(found.failure);

  const text = failureText(found);
  expect(text).toContain("the broker restarts");
  expect(text).toContain("reads PUBLISH");
  expect(text).toContain(`wasmqtt simulate ${flagsOf(found.options)}`);
  expect(text.split("\n").length).toBeLessThan(60);
});

test("only what makes the same check fail is kept", async () => {
  const failure: ReportedFailure = {
    check: "exactly-once",
    deviceIndex: 2,
    deviceKind: "durable",
    atMs: 1_800_000,
    problem: "",
  };
  const ids = ["w.0", "2.0", "2.1", "2.2", "2.3", "2.4", "2.5"];
  const needed = ["2.1", "2.4"];
  const shrunk = await shrink(
    { seed: 1, hours: 2, deviceCount: 5 },
    failure,
    ids,
    async (options) => {
      const faultIds = options.onlyFaults ?? ids;
      const hasFailed = needed.every((id) => faultIds.includes(id)) && options.hours >= 0.4;
      return { report: { failure: hasFailed ? failure : undefined } as SimulationReport, faultIds };
    },
  );
  expect(shrunk.options.onlyFaults).toEqual(needed);
  expect(shrunk.options.onlyDevices).toEqual([2]);
  expect(shrunk.options.traffic).toEqual([]);
  expect(shrunk.options.hours).toBe(0.5);
});

test("the summary says what was done and that all checks hold", async () => {
  const { report } = await simulate({ seed: 2, hours: 0.2, deviceCount: 5 }, firmware);
  const text = simulationText(report, 0.5);
  expect(text).toMatch(/^devices +5: /mu);
  expect(text).toMatch(/^checks +all \d+ hold$/mu);
});

function contextWithModules(): RecordingContext {
  const context = new RecordingContext();
  context.system = {
    ...context.system,
    readModule: (name) => Promise.resolve(firmware[name as keyof FirmwareBytes]),
  };
  return context;
}

test("the command prints its seed, the summary, and answers 0", async () => {
  const context = contextWithModules();
  const args = ["simulate", "--seed", "2", "--hours", "0.2", "--devices", "5"];
  expect(await runCli(args, context, [registerSimulate])).toBe(ExitCode.Ok);
  expect(context.stderr.text).toContain("seed 2");
  expect(context.stdout.text).toContain("all ");
});

test("the command prints its report as JSON", async () => {
  const context = contextWithModules();
  const args = ["simulate", "--seed", "2", "--hours", "0.1", "--devices", "2", "--json"];
  expect(await runCli(args, context, [registerSimulate])).toBe(ExitCode.Ok);
  expect(JSON.parse(context.stdout.text)).toMatchObject({ seed: 2, deviceCount: 2 });
});

test("a fresh seed is printed, so that it can be given again", async () => {
  const context = contextWithModules();
  const args = ["simulate", "--hours", "0.05", "--devices", "1"];
  expect(await runCli(args, context, [registerSimulate])).toBe(ExitCode.Ok);
  expect(context.stderr.text).toMatch(/^seed \d+$/mu);
});

test("firmware that breaks a promise ends in 99, with its trace and the command to replay it", async () => {
  const context = contextWithModules();
  context.files.set("broken.wasm", withoutRoom(firmware.core));
  const args = ["simulate", "--seed", "2", "--devices", "2", "--kinds", "durable"];
  const exitCode = await runCli([...args, "--firmware", "broken.wasm"], context, [
    registerSimulate,
  ]);
  expect(exitCode).toBe(ExitCode.ExpectationFailed);
  expect(context.stdout.text).toMatch(/FAILED {2}/u);
  expect(context.stdout.text).toMatch(
    /wasmqtt simulate --seed 2 .*--only \d.* --firmware 'broken.wasm'$/mu,
  );
}, 60_000);

const wrong: [args: string[], words: RegExp][] = [
  [["--seed", "x"], /--seed "x" is not possible/u],
  [["--hours", "0"], /--hours "0" is not possible/u],
  [["--devices", "0"], /--devices "0" is not possible/u],
  [["--kinds", "robot"], /there is no "robot"/u],
  [["--traffic", "up3"], /there is no "up3"/u],
  [["--firmware", "none.wasm"], /"none.wasm" cannot be read/u],
];

test.each(wrong)("%j is refused with a remedy", async (args, words) => {
  const context = contextWithModules();
  expect(await runCli(["simulate", ...args], context, [registerSimulate])).toBe(ExitCode.Usage);
  expect(context.stderr.text).toMatch(words);
});

/** The module with the names of two exports exchanged: it never has room for what it should receive. */
function withoutRoom(module: Uint8Array): Uint8Array {
  const text = Buffer.from(module).toString("latin1");
  const swapped = text
    .replace("receiveRoom", "###########")
    .replace("storeLength", "receiveRoom")
    .replace("###########", "storeLength");
  return Buffer.from(swapped, "latin1");
}
