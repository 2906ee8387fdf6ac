/** `wasmqtt run`: a fleet of virtual sensors against a broker, as a scenario says. */

import type { Command } from "commander";
import { action, type CliContext, type CommandCall } from "../../../../host/src/cli/command.ts";
import type { ExitCode } from "../../../../host/src/cli/exit-code.ts";
import { checkLocalAddresses } from "../../../../host/src/cli/local-addresses.ts";
import { addBrokerOptions, type BrokerFlags } from "../../../../host/src/cli/options.ts";
import type { ScenarioOverrides } from "../../scenario/override-draft.ts";

interface RunFlags extends BrokerFlags {
  servername?: string;
  username?: string;
  password?: string;
  passwordFile?: string;
  keepalive?: string;
  count?: string;
  connrate?: string;
  startnumber?: string;
  id?: string;
  profile?: string;
  interval?: string;
  jitter?: string;
  qos?: string;
  retain?: boolean;
  duration?: string;
  threshold?: string[];
  out?: string[];
  jobs?: string;
  ifaddr?: string[];
  firmware?: string;
  dashboard?: string | true;
  seed?: string;
  json?: boolean;
}

const DEFAULT_SCENARIO = "steady";

export function registerRun(program: Command, context: CliContext): void {
  const command = program
    .command("run")
    .argument("[scenario]", "a scenario that ships, or a file (default: steady)")
    .description("Run a fleet of virtual sensors against a broker, and account for every message.")
    .optionsGroup("Fleet:")
    .option("-c, --count <number>", "sensors")
    .option("-R, --connrate <rate>", "connections per second")
    .option("-n, --startnumber <number>", "the number of the first sensor")
    .option("--id <pattern>", "client ids: %i is the sensor's number, as in mote-%05i")
    .option(
      "--profile <name>",
      "topics and payloads: plain, homeassistant, zigbee2mqtt, tasmota ...",
    )
    .option("--interval <time>", "between two readings, as in 500ms or 10s")
    .option("--jitter <percent>", "a reading is due up to so much of the interval earlier or later")
    .option("-q, --qos <qos>", "0 at most once, 1 at least once, 2 exactly once")
    .option("-r, --retain", "the broker keeps the last reading")
    .option("--duration <time>", "of the steady phase")
    .option(
      "--threshold <metric: rule>",
      'fail otherwise, as in "publish_ack_duration: p(99)<250" (repeatable)',
      (text: string, before: string[] = []) => [...before, text],
    )
    .option("-j, --jobs <number>", "threads (default: a processor for each 1,000 sensors)")
    .option("--firmware <file>", "a module of your own for all sensors: see docs/own-module.md")
    .option("--dashboard [host:port]", "show the run in a browser, and its report afterwards")
    .option("--seed <number>", "the same seed gives the same fleet and the same faults")
    .option("--json", "print the result as JSON (result.v1)")
    .option(
      "--out <kind=target>",
      "write json, ndjson, csv, hgrm, html, junit or md to a file, or serve prometheus=:9464 (repeatable)",
      (text: string, before: string[] = []) => [...before, text],
    );
  addBrokerOptions(command)
    .option("--servername <name>", "TLS: the certificate's name, if it is not the host's")
    .option("-u, --username <pattern>", "user name; %i and %c stand for number and client id")
    .option("-P, --password <pattern>", "password; others on this machine can see it in the list")
    .option("--password-file <file>", "password from a file [or WASMQTT_PASSWORD]")
    .option("-k, --keepalive <seconds>", "keep alive, 0 for none")
    .option(
      "--ifaddr <address>",
      "address of this machine to connect from, in turn with others (repeatable)",
      (text: string, before: string[] = []) => [...before, ...text.split(",")],
    )
    .addHelpText("after", "\nWithout a broker in flags or scenario, the run brings its own.")
    .action(action(context, run));
}

async function run(call: CommandCall<RunFlags>): Promise<ExitCode> {
  // Only here: the simulator takes longer to load than the rest of the command line.
  const { loadScenario } = await import("../load-scenario.ts");
  const { limitWarnings } = await import("../limits.ts");
  const { runAndReport } = await import("../run-and-report.ts");
  const { firmwareFor } = await import("../run-firmware.ts");
  const { threadCountFor } = await import("../run-threads.ts");
  const { withDashboard } = await import("../with-dashboard.ts");
  const { context, output, flags, args } = call;
  const scenario = loadScenario(args[0] ?? DEFAULT_SCENARIO, overridesOf(flags, context), context);
  await checkLocalAddresses(scenario.broker.localAddresses);
  if (scenario.broker.tls.insecure) {
    output.warn("--insecure: the broker's certificate is not checked. Whoever sits in between");
    output.warn("--insecure: can read and change every message, and learns the password.");
  }
  const onStart = ({ brokerUrl }: { brokerUrl: string }) =>
    output.note(
      `${scenario.name}: ${scenario.description || "no description"}\nBroker: ${brokerUrl}`,
    );
  const json = flags.json === true;
  const outputs = flags.out ?? [];
  const firmwareOf = await firmwareFor(flags.firmware, scenario, context);
  const threadCount = threadCountFor(flags.jobs, scenario, context.system.cpuCount);
  for (const warning of limitWarnings(scenario, context)) output.warn(warning);
  const options = { scenario, context, output, json, outputs, onStart, firmwareOf, threadCount };
  return withDashboard(
    { flag: flags.dashboard, scenarioName: scenario.name, context, output },
    (dashboard) => runAndReport({ ...options, dashboard }),
  );
}

/** Flags win over variables; both over the file. */
function overridesOf(flags: RunFlags, { env }: CliContext): ScenarioOverrides {
  const isPlaceGiven = (flags.host ?? flags.port ?? flags.url) !== undefined;
  const isPasswordGiven = (flags.password ?? flags.passwordFile) !== undefined;
  const variable = (name: string) => env[name] || undefined;
  return {
    url: isPlaceGiven ? flags.url : variable("WASMQTT_URL"),
    host: flags.host ?? (isPlaceGiven ? undefined : variable("WASMQTT_HOST")),
    port: flags.port ?? (isPlaceGiven ? undefined : variable("WASMQTT_PORT")),
    caFile: flags.cafile ?? variable("WASMQTT_CAFILE"),
    certFile: flags.cert ?? variable("WASMQTT_CERT"),
    keyFile: flags.key ?? variable("WASMQTT_KEY"),
    insecure: flags.insecure,
    servername: flags.servername,
    alpn: flags.tlsAlpn,
    username: flags.username ?? variable("WASMQTT_USERNAME"),
    password: flags.password ?? (isPasswordGiven ? undefined : variable("WASMQTT_PASSWORD")),
    passwordFile: flags.passwordFile,
    keepAlive: flags.keepalive,
    localAddresses: flags.ifaddr,
    seed: flags.seed,
    count: flags.count,
    firstNumber: flags.startnumber,
    id: flags.id,
    profile: flags.profile,
    interval: flags.interval,
    jitter: flags.jitter,
    qos: flags.qos,
    retain: flags.retain,
    rate: flags.connrate,
    duration: flags.duration,
    thresholds: flags.threshold,
  };
}
