/** `wasmqtt device`: one thermometer in this terminal, running the module that a board would run. */

import type { Command } from "commander";
import { RETAIN_FLAG } from "../../../../firmware/core/abi.ts";
import { ClosedError } from "../../client/client-errors.ts";
import { Deferred } from "../../client/deferred.ts";
import { RECONNECT_POLICY } from "../../client/reconnect.ts";
import { Thermometer, type ThermometerEvent } from "../../client/thermometer.ts";
import { type Core, loadCore, type ThermometerExports } from "../../core/core.ts";
import { UsageError } from "../../errors.ts";
import { openFileStore } from "../../store/file-store.ts";
import { brokerUrlText } from "../../transport/broker-url.ts";
import { openTransport } from "../../transport/open-transport.ts";
import type { World } from "../../world.ts";
import { action, type CliContext, type CommandCall, interrupted } from "../command.ts";
import { ExitCode } from "../exit-code.ts";
import {
  addConnectionOptions,
  type ConnectionFlags,
  type ConnectionSettings,
  connectionSettings,
  qosOption,
  readQos,
  readSeconds,
  retainOption,
  sessionOption,
} from "../options.ts";
import { type Output, printable } from "../output.ts";

interface DeviceFlags extends ConnectionFlags {
  interval: string;
  deadBand: string;
  qos: string;
  retain?: boolean;
  store?: string;
  json?: boolean;
}

/** What the device publishes, and how often. */
interface Duty {
  readonly intervalMs: number;
  readonly deadBandMilliCelsius: number;
  readonly flags: number;
}

export function registerDevice(program: Command, context: CliContext): void {
  const command = program
    .command("device")
    .description("Be one thermometer: run thermometer.wasm here, against a broker, until Ctrl-C.")
    .option("--interval <seconds>", "time between readings, from 0.1", "2")
    .option("--dead-band <degrees>", "publish only changes of at least so many °C", "0")
    .addOption(qosOption().default("1"))
    .addOption(retainOption())
    .addOption(sessionOption())
    .option(
      "--store <directory>",
      "keep the session there, over kills and losses of power; needs -i",
    )
    .option("--json", "print one line of JSON for each event");
  addConnectionOptions(command).addHelpText("after", EXAMPLES).action(action(context, device));
}

const EXAMPLES = `
Examples, with the device in a second terminal:
  wasmqtt device -i kitchen
  wasmqtt sub -t 'motes/kitchen/#' -v
  wasmqtt pub -t motes/kitchen/cmd -m 'interval 500'      milliseconds
  wasmqtt pub -t motes/kitchen/cmd -m report              a reading now

A device that survives anything (try kill -9, then start it again):
  wasmqtt device -i kitchen -q 2 --store ./kitchen-session`;

async function device({ context, output, flags }: CommandCall<DeviceFlags>): Promise<ExitCode> {
  const settings = connectionSettings(sessionFlags(flags), context, output);
  checkIdentity(settings);
  const duty = dutyOf(flags);
  const { system, world } = context;
  const core = await loadCore<ThermometerExports>(await system.readModule("thermometer"));
  const tell =
    flags.json === true
      ? (event: ThermometerEvent) => output.result(jsonLine(event, world))
      : (event: ThermometerEvent) => printEvent(event, output);
  const store = flags.store === undefined ? undefined : openFileStore(flags.store);
  try {
    const failure = new Deferred<never>();
    const thermometer = new Thermometer({
      core,
      world,
      openTransport: openTransport(settings.url, world, { tls: settings.tls }),
      ...settings,
      connect: { ...settings, responseTimeoutMs: RESPONSE_TIMEOUT_MS },
      reconnect: RECONNECT_POLICY,
      ...duty,
      measure: () => milliCelsiusAt(world),
      tell,
      store,
      storeFailed: (error) => failure.fail(error),
    });
    introduce(settings, duty, core, output);
    if (thermometer.isRestored) {
      output.note(
        `Session restored from ${flags.store}: it goes on with seq ${thermometer.sequence}.`,
      );
    }
    await Promise.race([run(thermometer, context), failure.promise]);
    summarize(thermometer, flags, output);
    return ExitCode.Ok;
  } finally {
    store?.close();
  }
}

/** What is stored here must be kept by the broker as well. */
function sessionFlags(flags: DeviceFlags): DeviceFlags {
  if (flags.store === undefined) return flags;
  if (flags.id !== undefined) return { ...flags, disableCleanSession: true };
  throw new UsageError(
    "--store keeps the session of one device, and this one has no fixed name",
    "Give -i, the same one each time",
  );
}

const RESPONSE_TIMEOUT_MS = 10_000;

/** Until Ctrl-C. Throws why the first connection could not be made. */
async function run(thermometer: Thermometer, context: CliContext): Promise<void> {
  const stopped = interrupted(context).then(() => thermometer.stop());
  try {
    await thermometer.connect();
  } catch (error) {
    if (!(error instanceof ClosedError)) throw error; // Ctrl-C came first
  }
  await stopped;
}

/** The thermometer says itself what its Last Will is, and its client id is part of its topics. */
function checkIdentity({ clientId, will }: ConnectionSettings): void {
  if (will !== undefined) {
    throw new UsageError(
      "The thermometer has a Last Will of its own",
      'Leave out --will-topic: it is "offline" on motes/<id>/status, retained',
    );
  }
  const length = Buffer.byteLength(clientId);
  if (length >= 1 && length <= 64 && !/[/+#\0]/.test(clientId)) return;
  throw new UsageError(
    `--id ${JSON.stringify(clientId)} cannot be part of a topic, as in motes/<id>/telemetry`,
    "Give 1 to 64 bytes without / + and #",
  );
}

const INTERVAL_MS_MIN = 100;
const INTERVAL_MS_MAX = 86_400_000;

function dutyOf(flags: DeviceFlags): Duty {
  const { interval, deadBand, retain } = flags;
  return {
    intervalMs: readSeconds(interval, "--interval", INTERVAL_MS_MIN, INTERVAL_MS_MAX),
    deadBandMilliCelsius: readMilliCelsius(deadBand),
    flags: readQos(flags.qos, "--qos") | (retain === true ? RETAIN_FLAG : 0),
  };
}

function readMilliCelsius(text: string): number {
  if (/^\d{1,3}(\.\d{1,9})?$/.test(text)) return Math.round(Number(text) * 1000);
  throw new UsageError(
    `--dead-band ${JSON.stringify(text)} is no number of degrees`,
    "Give degrees Celsius from 0 to 999, as in 0.2",
  );
}

/** A room: around 21 °C, two degrees up and down in ten minutes, and the noise of a cheap sensor. */
function milliCelsiusAt(world: World): number {
  const periodMs = 600_000;
  const wave = 2_000 * Math.sin((2 * Math.PI * (world.unixMs() % periodMs)) / periodMs);
  const noise = 100 * (world.random() - 0.5);
  return Math.round(21_000 + wave + noise);
}

function introduce(
  { clientId, url }: ConnectionSettings,
  { intervalMs, flags }: Duty,
  { byteLength, sha256 }: Core<ThermometerExports>,
  output: Output,
): void {
  const id = printable(clientId);
  const qos = flags & ~RETAIN_FLAG;
  const lines = [
    `thermometer.wasm (${byteLength} bytes, SHA-256 ${sha256.slice(0, 12)}…) on ${brokerUrlText(url)}`,
    `  publishes  motes/${id}/telemetry every ${intervalMs / 1000} s at QoS ${qos}`,
    `  obeys      motes/${id}/cmd: "interval <milliseconds>" and "report"`,
    `  says       "online" on motes/${id}/status when it connects, "offline" when it is stopped`,
    '  Last Will  if it falls silent without a word, the broker says "offline" in its place',
    "Stop it with Ctrl-C.",
  ];
  for (const line of lines) output.note(line);
}

function printEvent(event: ThermometerEvent, output: Output): void {
  const { green, dim, yellow } = output.colors;
  switch (event.event) {
    case "connected":
      output.note(`Connected (${event.sessionPresent ? "the session was kept" : "new session"}).`);
      break;
    case "disconnected": {
      const seconds = Math.ceil(event.reconnectInMs / 1000);
      output.warn(`${printable(event.reason.message)}; next attempt in ${seconds} s`);
      break;
    }
    case "published":
      output.result(`${celsiusText(event.celsius)}  seq ${event.seq}  published`);
      break;
    case "unchanged":
      output.result(dim(`${celsiusText(event.celsius)}  within the dead band`));
      break;
    case "refused":
      output.result(yellow(`${celsiusText(event.celsius)}  refused: the outbox is full`));
      break;
    case "acknowledged":
      output.result(
        `${green("        ✓")}  seq ${event.seq}  acknowledged after ${event.afterMs.toFixed(1)} ms`,
      );
      break;
    case "dropped":
      output.result(yellow(`        ?  seq ${event.seq}  in doubt: the broker forgot the session`));
      break;
    case "command":
      output.result(
        event.isKnown
          ? `command  ${printable(event.command)}: done, the interval is ${event.intervalMs} ms`
          : yellow(`command  ${printable(event.command)}: not known`),
      );
      break;
  }
}

function celsiusText(celsius: number): string {
  return `${celsius.toFixed(2).padStart(6)} °C`;
}

function jsonLine(event: ThermometerEvent, world: World): string {
  const time = new Date(world.unixMs()).toISOString();
  const reason = event.event === "disconnected" ? { reason: event.reason.message } : {};
  const rounded = (_: string, value: unknown) =>
    typeof value === "number" ? Math.round(value * 1000) / 1000 : value;
  return JSON.stringify({ time, ...event, ...reason }, rounded);
}

function summarize(thermometer: Thermometer, { json, qos }: DeviceFlags, output: Output): void {
  const { counts } = thermometer;
  if (json === true) {
    output.result(JSON.stringify({ event: "summary", ...counts }));
    return;
  }
  const { published, acknowledged, unacknowledged, inDoubt, requeued, refused } = counts;
  const parts = [`published ${published}`];
  if (qos !== "0") parts.push(`acknowledged ${acknowledged}`);
  if (unacknowledged > 0) parts.push(`not acknowledged ${unacknowledged}`);
  if (inDoubt > 0) parts.push(`in doubt ${inDoubt}`);
  if (requeued > 0) parts.push(`sent again ${requeued}`);
  if (refused > 0) parts.push(`refused ${refused}`);
  output.result(parts.join(", "));
}
