/** `wasmqtt simulate`: the firmware in a world of virtual time that does to it all that can be done. */

import type { Command } from "commander";
import {
  action,
  type CliContext,
  type CommandCall,
  readUserFile,
} from "../../../../host/src/cli/command.ts";
import { ExitCode } from "../../../../host/src/cli/exit-code.ts";
import { UsageError } from "../../../../host/src/errors.ts";
import { SEED_LIMIT } from "../../random.ts";
import { DEVICE_KINDS } from "../../simulation/device-plan.ts";
import type { FirmwareBytes } from "../../simulation/simulate.ts";
import { type Simulation, type SimulationOptions, TRAFFIC } from "../../simulation/simulation.ts";

interface SimulateFlags {
  seed?: string;
  hours: string;
  devices: string;
  kinds?: string;
  only?: string;
  traffic?: string;
  faults?: string;
  firmware?: string[];
  json?: boolean;
}

const DEVICES_MAX = 100_000;
const HOURS_MAX = 1_000_000;

export function registerSimulate(program: Command, context: CliContext): void {
  program
    .command("simulate")
    .description("Run devices, a broker and a network in virtual time, let everything fail, check.")
    .option("--seed <number>", "the same seed gives the same course (default: a fresh one)")
    .option("--hours <number>", "of virtual time", "1")
    .option("--devices <number>", "how many", "10")
    .option("--kinds <list>", `of devices: ${DEVICE_KINDS.join(",")}`)
    .option("--firmware <file...>", "core or application modules to test instead of ours")
    .option("--json", "print the report as JSON")
    .optionsGroup("To make a run smaller:")
    .option("--only <list>", "numbers of the devices that take part")
    .option("--traffic <list>", `messages that flow: ${TRAFFIC.join(",")}`)
    .option("--faults <list>", "ids of the faults that happen, as in 3.1,w.0; or none")
    .addHelpText(
      "after",
      "\nExit code 99 if a check fails; the trace and a command to replay follow.",
    )
    .action(action(context, run));
}

async function run(call: CommandCall<SimulateFlags>): Promise<ExitCode> {
  const { simulate } = await import("../../simulation/simulate.ts");
  const { simulationText } = await import("../../simulation/report-text.ts");
  const { context, output, flags } = call;
  const options = readOptions(flags, context);
  const firmware = await readFirmware(flags.firmware ?? [], context);
  output.note(`seed ${options.seed}`);
  const startedUs = context.system.cpuUs();
  const cpuSeconds = () => Math.max(1e-6, (context.system.cpuUs() - startedUs) / 1e6);
  const { report, simulation } = await simulate(options, firmware, {
    onSlice: (current) => showProgress(call, current, cpuSeconds()),
  });
  const isInterrupted = context.interrupt.aborted && report.failure === undefined;
  const seconds = cpuSeconds();
  output.endProgress();
  const { failure } = report;
  if (failure === undefined) {
    if (flags.json === true) output.json(report);
    else output.result(simulationText(report, seconds));
    return isInterrupted ? (context.interrupt.reason as ExitCode) : ExitCode.Ok;
  }
  output.note(`${failure.check} fails; looking for the shortest way there`);
  const { investigate } = await import("../../simulation/investigate.ts");
  const { failureText } = await import("../../simulation/report-text.ts");
  const found = await investigate(simulation, failure, firmware);
  const replay = found.flags + firmwareFlags(flags.firmware);
  const investigation = { ...found, flags: replay };
  const { trace } = investigation;
  if (flags.json === true) output.json({ ...report, shrunk: { replay, trace } });
  else output.result(`${simulationText(report, seconds)}\n\n${failureText(investigation)}`);
  return ExitCode.ExpectationFailed;
}

/** Also lets the process hear Ctrl-C. False ends the run. */
async function showProgress(
  { context, output }: CommandCall<SimulateFlags>,
  { clock, endMs, devices }: Simulation,
  cpuSeconds: number,
): Promise<boolean> {
  const { progressText } = await import("../../simulation/report-text.ts");
  const rate = ((clock.nowMs / 3_600_000) * devices.size) / cpuSeconds;
  const line = progressText(clock.nowMs, endMs, rate);
  output.progress([line], line);
  await new Promise<void>((resolve) => context.world.setTimer(0, resolve));
  return !context.interrupt.aborted;
}

function readOptions(flags: SimulateFlags, { world }: CliContext): SimulationOptions {
  const fresh = Math.floor(world.random() * SEED_LIMIT);
  return {
    seed: flags.seed === undefined ? fresh : readNumber("--seed", flags.seed, 0, SEED_LIMIT - 1),
    hours: readHours(flags.hours),
    deviceCount: readNumber("--devices", flags.devices, 1, DEVICES_MAX),
    kinds: readNames("--kinds", flags.kinds, DEVICE_KINDS),
    onlyDevices: readList(flags.only)?.map((text) => readNumber("--only", text, 0, DEVICES_MAX)),
    traffic: readNames("--traffic", flags.traffic, TRAFFIC),
    onlyFaults: readList(flags.faults),
  };
}

function readNumber(flag: string, text: string, least: number, most: number): number {
  const number = Number(text);
  if (/^\d+$/u.test(text) && number >= least && number <= most) return number;
  throw new UsageError(
    `${flag} ${JSON.stringify(text)} is not possible`,
    `Give a whole number from ${least} to ${most}`,
  );
}

function readHours(text: string): number {
  const hours = Number(text);
  if (/^\d+(\.\d+)?$/u.test(text) && hours > 0 && hours <= HOURS_MAX) return hours;
  throw new UsageError(
    `--hours ${JSON.stringify(text)} is not possible`,
    `Give a number above 0, up to ${HOURS_MAX}, as in 0.5`,
  );
}

/** "none" is a list without anything. */
function readList(text: string | undefined): string[] | undefined {
  if (text === undefined) return undefined;
  return text === "none" ? [] : text.split(",");
}

function readNames<Name extends string>(
  flag: string,
  text: string | undefined,
  names: readonly Name[],
): Name[] | undefined {
  return readList(text)?.map((name) => {
    const known = names.find((candidate) => candidate === name);
    if (known !== undefined) return known;
    throw new UsageError(
      `${flag}: there is no ${JSON.stringify(name)}`,
      `Choose from ${names.join(", ")}`,
    );
  });
}

/** As the shell must be given them; a name in single quotes means itself. */
function firmwareFlags(paths: string[] = []): string {
  const quoted = paths.map((path) => `'${path.replaceAll("'", String.raw`'\''`)}'`);
  return quoted.length === 0 ? "" : ` --firmware ${quoted.join(" ")}`;
}

/** A file that is an application takes the place of the thermometer, any other the place of the core. */
async function readFirmware(paths: string[], context: CliContext): Promise<FirmwareBytes> {
  const { loadCore } = await import("../../../../host/src/core/core.ts");
  let core = await context.system.readModule("core");
  let thermometer = await context.system.readModule("thermometer");
  for (const path of paths) {
    const bytes = readUserFile(context, path, "module");
    const { exports } = await loadCore(bytes);
    if ("reading" in exports) thermometer = bytes;
    else core = bytes;
  }
  return { core, thermometer };
}
