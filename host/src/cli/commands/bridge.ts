/** `wasmqtt bridge`: lends the host's network to boards without one. */

import { type Command, Option } from "commander";
import { listSerialPorts } from "../../board/serial-ports.ts";
import { Bridge, type BridgeCounts, type BridgeEvent } from "../../bridge/bridge.ts";
import { BridgeAll, type BridgeAllEvent } from "../../bridge/bridge-all.ts";
import { Deferred } from "../../client/deferred.ts";
import { UsageError } from "../../errors.ts";
import { brokerUrlText } from "../../transport/broker-url.ts";
import { openTransport } from "../../transport/open-transport.ts";
import type { OpenTransport } from "../../transport/transport.ts";
import type { World } from "../../world.ts";
import { boardText, moduleText } from "../board-text.ts";
import { action, type CliContext, type CommandCall, interrupted } from "../command.ts";
import { linePrinter, plainText, remedyText, timeText } from "../console-text.ts";
import {
  addDeviceOptions,
  type DeviceFlags,
  devicePath,
  likelyPorts,
  lineOpener,
} from "../device-options.ts";
import { ExitCode } from "../exit-code.ts";
import { addBrokerOptions, type BrokerFlags, brokerPlace } from "../options.ts";
import { type Output, printable, printableLine } from "../output.ts";

/** `port` is the broker's. */
interface BridgeFlags extends BrokerFlags, Omit<DeviceFlags, "port"> {
  all?: boolean;
  json?: boolean;
  username?: string;
  password?: string;
  passwordFile?: string;
}

type AnyEvent = BridgeEvent | BridgeAllEvent;

export function registerBridge(program: Command, context: CliContext): void {
  const command = program
    .command("bridge")
    .description("Join boards to a broker over their serial lines, until Ctrl-C.")
    .option("--all", "all boards that are plugged in, now and later")
    .option("--json", "print one line of JSON for each event")
    .addOption(new Option("-u, --username <name>").hideHelp())
    .addOption(new Option("-P, --password <password>").hideHelp())
    .addOption(new Option("--password-file <file>").hideHelp());
  addDeviceOptions(command, { hasBroker: true });
  addBrokerOptions(command).addHelpText("after", NOTES).action(action(context, bridge));
}

const NOTES = `
The broker sees each board as a client of its own: name, password and Last Will are the board's (wasmqtt config set id=kitchen).
One program can have a serial port: the console is printed here, and \`flash\` works again when the bridge has ended.`;

async function bridge({ context, output, flags }: CommandCall<BridgeFlags>): Promise<ExitCode> {
  const place = brokerPlace(flags, context, output);
  checkNoCredentials(flags, place.url.userName);
  const open = openTransport(place.url, context.world, { tls: place.tls });
  output.note(`Broker: ${brokerUrlText(place.url)}. Stop with Ctrl-C.`);
  if (flags.all === true) await bridgeAll(flags, open, context, output);
  else await bridgeOne(flags, open, context, output);
  return ExitCode.Ok;
}

/** They would have to be put into the board's own words. */
function checkNoCredentials(flags: BridgeFlags, userName: string | undefined): void {
  const given = [flags.username, flags.password, flags.passwordFile, userName];
  if (given.every((value) => value === undefined)) return;
  throw new UsageError(
    "The bridge has no user name and no password: each board says its own",
    "Give them to the board: wasmqtt config set user=NAME --password-file FILE",
  );
}

/** Throws a BoardError if the line cannot be opened at the first attempt. */
async function bridgeOne(
  { device, baud, json }: BridgeFlags,
  openTransport: OpenTransport,
  context: CliContext,
  output: Output,
): Promise<void> {
  const { world } = context;
  const flags = { ...(device && { device }), ...(baud && { baud }) };
  const path = await devicePath(flags, context);
  const failure = new Deferred<never>();
  const tellPerson = teller(json === true, context, output);
  let wasOpen = false;
  const one = new Bridge({
    world,
    path,
    openLine: lineOpener(flags, context)(path),
    openTransport,
    tell: (event) => {
      if (event.event === "line-opened") wasOpen = true;
      if (event.event === "line-closed" && !wasOpen) failure.fail(event.error);
      else tellPerson.tell(event);
    },
  });
  try {
    await Promise.race([interrupted(context), failure.promise]);
  } finally {
    await one.stop();
    tellPerson.end();
  }
  summarize(path, one.counts, output);
}

async function bridgeAll(
  flags: BridgeFlags,
  openTransport: OpenTransport,
  context: CliContext,
  output: Output,
): Promise<void> {
  const { world, system } = context;
  if (flags.device !== undefined) {
    throw new UsageError("--all and --device name different boards", "Give one of the two");
  }
  const tellPerson = teller(flags.json === true, context, output);
  const all = new BridgeAll({
    world,
    list: async () => {
      const ports = await listSerialPorts({ platform: system.platform });
      return likelyPorts(ports).map(({ path }) => path);
    },
    openLineTo: lineOpener(flags.baud === undefined ? {} : { baud: flags.baud }, context),
    openTransport,
    tell: (event) => tellPerson.tell(event),
  });
  output.note("Looking for boards; those that are plugged in later are found as well.");
  await interrupted(context);
  await all.stop();
  tellPerson.end();
  for (const [path, counts] of all.counts) summarize(path, counts, output);
}

interface Teller {
  tell(event: AnyEvent): void;
  /** Nothing is told after it. */
  end(): void;
}

function teller(isJson: boolean, context: CliContext, output: Output): Teller {
  const { world } = context;
  const printer = linePrinter(isJson ? "json" : "text", context, output);
  const problems = new Problems();
  const tellText = (event: AnyEvent) => {
    if (!problems.isNew(event)) return;
    const where = "path" in event ? `${printableLine(event.path)}  ` : "";
    printer.print(
      `${output.colors.dim(`${timeText(world)}  ${where}`)}${eventText(event, output)}`,
    );
  };
  return {
    tell: isJson ? (event) => printer.print(jsonLine(event, world)) : tellText,
    end: () => printer.end(),
  };
}

/** What is wrong now, so that it is said once until it is another problem, or none. */
class Problems {
  /** By where they are. */
  readonly #messages = new Map<string, string>();

  /** False for a problem that has been said. */
  isNew(event: AnyEvent): boolean {
    switch (event.event) {
      case "line-closed":
      case "silent":
        return this.#note(`${event.event} ${event.path}`, event.error);
      case "list-failed":
        return this.#note(event.event, event.error);
      case "line-opened":
        this.#messages.delete(`line-closed ${event.path}`);
        return true;
      case "board":
        this.#messages.delete(`silent ${event.path}`);
        return true;
      case "port-found":
      case "port-gone":
        this.#messages.clear();
        return true;
      default:
        return true;
    }
  }

  #note(where: string, { message }: Error): boolean {
    if (this.#messages.get(where) === message) return false;
    this.#messages.set(where, message);
    return true;
  }
}

/** Errors as their texts, each with its remedy. */
function jsonLine(event: AnyEvent, world: World): string {
  const { error, ...facts } = { error: undefined, ...event };
  return JSON.stringify({
    time: new Date(world.unixMs()).toISOString(),
    ...facts,
    ...(error && { error: error.message }),
    ...(error && "remedy" in error && { remedy: error.remedy }),
  });
}

function eventText(event: AnyEvent, { colors }: Output): string {
  switch (event.event) {
    case "port-found":
      return "found";
    case "port-gone":
      return colors.yellow("unplugged");
    case "list-failed":
      return problemText(event.error, "looking again all the same", colors);
    case "line-opened":
      return "line open";
    case "line-closed":
      return problemText(event.error, "trying until it is back", colors);
    case "board":
      return `${boardText(event.info)}. ${moduleText(event.info)}`;
    case "silent":
      return problemText(event.error, "listening all the same", colors);
    case "console":
      return `| ${plainText(event.text)}`;
    case "opening":
      return `connection ${event.connection}: the board asks for the broker`;
    case "opened":
      return colors.green(`connection ${event.connection}: the broker has taken it`);
    case "closed": {
      const { connection, by, reason, error, stood, toBrokerLength, toBoardLength } = event;
      if (!stood && error !== undefined) {
        return colors.yellow(
          `connection ${connection}: ${printableLine(error.message)}. ${error.remedy}`,
        );
      }
      const text = `connection ${connection} is over, ${printableLine(reason)}; ${toBrokerLength} bytes to the broker, ${toBoardLength} to the board`;
      return by === "board" ? text : colors.yellow(text);
    }
  }
}

function problemText(error: Error, next: string, colors: Output["colors"]): string {
  return `${colors.yellow(`${printableLine(error.message)}; ${next}`)}${remedyText(error)}`;
}

function summarize(path: string, counts: BridgeCounts, output: Output): void {
  const { connectionCount, toBrokerLength, toBoardLength, ignoredFrameCount } = counts;
  const ignored = ignoredFrameCount === 0 ? "" : `, ${ignoredFrameCount} damaged frames ignored`;
  output.note(
    `${printable(path)}: ${connectionCount} connections, ${toBrokerLength} bytes to the broker, ${toBoardLength} to the board${ignored}`,
  );
}
