/** `wasmqtt doctor`: checks what a run needs from this machine, and says how to repair it. */

import { isIP } from "node:net";
import type { Command } from "commander";
import { listSerialPorts } from "../../board/serial-ports.ts";
import type { ModuleName } from "../../core/core.ts";
import { UsageError } from "../../errors.ts";
import { inspectModule } from "../../module/inspect-module.ts";
import { brokerUrlText } from "../../transport/broker-url.ts";
import { openTransport } from "../../transport/open-transport.ts";
import { checkBoards } from "../board-check.ts";
import { action, type CliContext, type CommandCall, type SystemFacts } from "../command.ts";
import { ExitCode } from "../exit-code.ts";
import { checkLocalAddresses } from "../local-addresses.ts";
import { type Check, isLoopback, machineChecks, type WantedFleet } from "../machine-checks.ts";
import {
  addBrokerOptions,
  type BrokerFlags,
  type BrokerPlace,
  brokerPlace,
  readInteger,
} from "../options.ts";
import type { Output } from "../output.ts";
import { probeBroker } from "../probe-broker.ts";

interface DoctorFlags extends BrokerFlags {
  count?: string;
  ifaddr?: string[];
  json?: boolean;
}

export function registerDoctor(program: Command, context: CliContext): void {
  const command = program
    .command("doctor")
    .description("Check this machine: Node, limits, ports, the modules, boards, and a broker.")
    .optionsGroup("Fleet:")
    .option("-c, --count <number>", "sensors: whether so many fit, and what to do if they do not")
    .option(
      "--ifaddr <address>",
      "address of this machine to connect from, in turn with others (repeatable)",
      (text: string, before: string[] = []) => [...before, text],
    );
  addBrokerOptions(command)
    .optionsGroup("")
    .option("--json", "print one JSON document")
    .addHelpText("after", "\nExit code 99 if a check fails; warnings do not count.")
    .action(action(context, doctor));
}

async function doctor(call: CommandCall<DoctorFlags>): Promise<ExitCode> {
  const { context, output, flags } = call;
  const { system } = context;
  const place = brokerPlace(flags, context, output);
  const isNamed = wasNamed(flags, context.env);
  const fleet = wantedFleet(flags, isNamed ? place : undefined);
  await checkLocalAddresses(flags.ifaddr ?? []);
  const checks = [
    checkNode(system.nodeVersion),
    ...machineChecks({ ...system, readFile: context.readFile }, fleet),
    await checkModule("core", system),
    await checkModule("thermometer", system),
    await checkModule("reporter", system),
    await checkBoards(() => listSerialPorts({ platform: system.platform })),
    await checkBroker(place, isNamed, context),
  ];
  const isHealthy = checks.every(({ verdict }) => verdict !== "failed");
  if (flags.json === true) output.json({ schema: "wasmqtt/doctor.v1", checks, isHealthy });
  else for (const check of checks) printCheck(check, output);
  return isHealthy ? ExitCode.Ok : ExitCode.ExpectationFailed;
}

/** As many as a scenario may have. */
const DEVICE_COUNT_MAX = 100_000;

/** Without a broker of somebody, a run brings its own. */
function wantedFleet(
  { count, ifaddr }: DoctorFlags,
  place: BrokerPlace | undefined,
): WantedFleet | undefined {
  for (const address of ifaddr ?? []) {
    if (isIP(address) !== 0) continue;
    throw new UsageError(
      `--ifaddr ${JSON.stringify(address)} is no IP address`,
      "Give an IPv4 or IPv6 address of this machine",
    );
  }
  if (count === undefined) return undefined;
  return {
    deviceCount: readInteger(count, "--count", 1, DEVICE_COUNT_MAX),
    addressCount: ifaddr?.length ?? 1,
    broker: place === undefined ? "embedded" : isLoopback(place.url.host) ? "local" : "remote",
  };
}

function printCheck({ name, verdict, found, fix }: Check, output: Output): void {
  const { green, yellow, red } = output.colors;
  const marks = { ok: green("✓"), warning: yellow("!"), failed: red("✗") };
  output.result(`${marks[verdict]} ${name}: ${found}`);
  if (fix !== "") output.result(`    ${fix}`);
}

function checkNode(version: string): Check {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const name = "Node";
  const found = version;
  if (major < 20 || (major === 20 && minor < 19)) {
    return { name, verdict: "failed", found, fix: "Install Node 22 or 24; 20.19 is the oldest" };
  }
  if (major < 22) {
    const fix = "It works, but Node 20 gets no security updates since April 2026: install 22 or 24";
    return { name, verdict: "warning", found, fix };
  }
  return { name, verdict: "ok", found, fix: "" };
}

async function checkModule(module: ModuleName, { readModule }: SystemFacts): Promise<Check> {
  const name = `${module}.wasm`;
  const fix = "Build it: npm run build";
  try {
    const { byteLength, rules } = inspectModule(await readModule(module));
    const broken = rules.find(({ isKept }) => !isKept);
    if (broken === undefined) {
      const found = `${byteLength} bytes, keeps all ${rules.length} rules`;
      return { name, verdict: "ok", found, fix: "" };
    }
    const found = `breaks a rule: ${broken.rule}: ${broken.found}`;
    return { name, verdict: "failed", found, fix };
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    const found = isMissing ? "not built" : (error as Error).message;
    return { name, verdict: "failed", found, fix };
  }
}

/** A broker that nobody asked for may be missing. */
function wasNamed({ host, port, url }: BrokerFlags, env: CliContext["env"]): boolean {
  const named = [host, port, url, env["WASMQTT_HOST"], env["WASMQTT_PORT"], env["WASMQTT_URL"]];
  return named.some((name) => name !== undefined && name !== "");
}

async function checkBroker(
  place: BrokerPlace,
  isNamed: boolean,
  context: CliContext,
): Promise<Check> {
  const name = "broker";
  const where = brokerUrlText(place.url);
  const { tls } = place;
  const answer = await probeBroker(openTransport(place.url, context.world, { tls }), context.world);
  if (answer.kind === "failed") {
    const verdict = isNamed ? "failed" : "warning";
    const fix = isNamed ? answer.remedy : "Name yours with --host, or start one: wasmqtt broker";
    return { name, verdict, found: answer.problem, fix };
  }
  if (answer.returnCode === 0) {
    return { name, verdict: "ok", found: `${where} takes anonymous clients`, fix: "" };
  }
  if (answer.returnCode === NOT_AUTHORIZED || answer.returnCode === BAD_LOGIN) {
    return { name, verdict: "ok", found: `${where} answers and wants a login`, fix: "" };
  }
  const found = `${where} refuses MQTT 3.1.1 with return code ${answer.returnCode}`;
  return { name, verdict: "failed", found, fix: "Look into the log of the broker" };
}

/** Connect Return codes (3.2.2.3). */
const BAD_LOGIN = 4;
const NOT_AUTHORIZED = 5;
