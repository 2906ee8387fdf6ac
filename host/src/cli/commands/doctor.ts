/** `wasmqtt doctor`: checks what a run needs from this machine, and says how to repair it. */

import type { Command } from "commander";
import type { ModuleName } from "../../core/core.ts";
import { inspectModule } from "../../module/inspect-module.ts";
import { brokerUrlText } from "../../transport/broker-url.ts";
import { openTransport } from "../../transport/open-transport.ts";
import { action, type CliContext, type CommandCall, type SystemFacts } from "../command.ts";
import { ExitCode } from "../exit-code.ts";
import { addBrokerOptions, type BrokerFlags, type BrokerPlace, brokerPlace } from "../options.ts";
import type { Output } from "../output.ts";
import { probeBroker } from "../probe-broker.ts";

type Verdict = "ok" | "warning" | "failed";

interface Check {
  readonly name: string;
  readonly verdict: Verdict;
  readonly found: string;
  /** What to do; empty where all is well. */
  readonly fix: string;
}

interface DoctorFlags extends BrokerFlags {
  json?: boolean;
}

export function registerDoctor(program: Command, context: CliContext): void {
  const command = program
    .command("doctor")
    .description("Check this machine: Node, limits, ports, the modules, and a broker.");
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
  const checks = [
    checkNode(system.nodeVersion),
    checkOpenFiles(system.openFileCountMax),
    checkPorts(context),
    await checkModule("core", system),
    await checkModule("thermometer", system),
    await checkBroker(place, wasNamed(flags, context.env), context),
  ];
  const isHealthy = checks.every(({ verdict }) => verdict !== "failed");
  if (flags.json === true) output.json({ schema: "wasmqtt/doctor.v1", checks, isHealthy });
  else for (const check of checks) printCheck(check, output);
  return isHealthy ? ExitCode.Ok : ExitCode.ExpectationFailed;
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

/** Files, pipes and listeners that a process has open besides its devices. */
const OTHER_FILE_COUNT = 64;
/** A fleet of this size is ordinary. */
const USUAL_DEVICE_COUNT = 1000;

function checkOpenFiles(countMax: number | undefined): Check {
  const name = "open files";
  if (countMax === undefined) return { name, verdict: "ok", found: "no limit", fix: "" };
  const deviceCount = Math.max(0, countMax - OTHER_FILE_COUNT);
  const found =
    `${countMax}, room for ${deviceCount} devices, ` +
    `or ${Math.floor(deviceCount / 2)} with the embedded broker`;
  if (deviceCount >= USUAL_DEVICE_COUNT) return { name, verdict: "ok", found, fix: "" };
  return { name, verdict: "warning", found, fix: "Raise it: ulimit -n 65536" };
}

const PORT_RANGE_PATH = "/proc/sys/net/ipv4/ip_local_port_range";

/** Each connection to one broker address takes one of these ports (RFC 6056). */
function checkPorts(context: CliContext): Check {
  const name = "ports for connections";
  const range = readPortRange(context);
  if (range === undefined) {
    const found = `not known on ${context.system.platform}`;
    return { name, verdict: "ok", found: `${found}; usually at least 16000`, fix: "" };
  }
  const [first, last] = range;
  const count = last - first + 1;
  const found = `${first} to ${last}, ${count} connections to one broker`;
  if (count >= USUAL_DEVICE_COUNT) return { name, verdict: "ok", found, fix: "" };
  const fix = 'Widen it: sudo sysctl -w net.ipv4.ip_local_port_range="1024 65535"';
  return { name, verdict: "warning", found, fix };
}

function readPortRange(context: CliContext): [number, number] | undefined {
  try {
    const text = context.readFile(PORT_RANGE_PATH).toString();
    const [first, last] = text.trim().split(/\s+/).map(Number);
    return first === undefined || last === undefined ? undefined : [first, last];
  } catch {
    return undefined; // only Linux has this file
  }
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
