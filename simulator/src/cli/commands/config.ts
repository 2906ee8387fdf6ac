/** `wasmqtt config`: what a board is told to be: its name, its broker's credentials, its interval, how it speaks. */

import { createHash } from "node:crypto";
import type { Command } from "commander";
import type { BoardConfig, ConfigChanges } from "../../../../host/src/board/board-config.ts";
import {
  action,
  type CliContext,
  type CommandCall,
  readUserFile,
} from "../../../../host/src/cli/command.ts";
import {
  addDeviceOptions,
  type DeviceFlags,
  deviceLine,
} from "../../../../host/src/cli/device-options.ts";
import { ExitCode } from "../../../../host/src/cli/exit-code.ts";
import { readQos } from "../../../../host/src/cli/options.ts";
import { type Output, printable } from "../../../../host/src/cli/output.ts";
import { withBoard } from "../../../../host/src/cli/with-board.ts";
import { UsageError } from "../../../../host/src/errors.ts";
import { formatDuration, parseDurationMs } from "../../duration.ts";
import { PROFILE_NAMES, profileOf } from "../../profiles/profile.ts";

interface GetFlags extends DeviceFlags {
  json?: boolean;
}

interface SetFlags extends DeviceFlags {
  passwordFile?: string;
  passwordEnv?: string;
}

export function registerConfig(program: Command, context: CliContext): void {
  const config = program
    .command("config")
    .description("Show or change what a board is told to be.");
  const get = config
    .command("get")
    .description("Show it. Passwords are never read back.")
    .option("--json", "print one JSON document");
  addDeviceOptions(get).action(action(context, getConfig));
  const set = config
    .command("set")
    .description("Change it; the module starts anew with it.")
    .argument("[key=value...]", "id, user, interval, qos or profile")
    .option("--password-file <file>", "the broker's password for this board, from a file")
    .option("--password-env <variable>", "the same, from a variable");
  addDeviceOptions(set).addHelpText("after", KEYS_TEXT).action(action(context, setConfig));
  const unset = config
    .command("unset")
    .description("Forget values; the module starts anew without them.")
    .argument("<key...>", "id, user, pass, interval, qos or profile");
  addDeviceOptions(unset).action(action(context, unsetConfig));
}

const KEYS_TEXT = `
Keys:
  id=kitchen        client id, 1 to 64 bytes; also part of the topics
  user=name         the board's user name at the broker
  interval=5s       time between readings, from 100ms to 24h
  qos=1             of readings: 0, 1 or 2
  profile=homie     how reporter.wasm speaks: ${PROFILE_NAMES.filter((name) => name !== "plain").join(", ")}

Passwords come from a file or a variable: arguments can be seen by others on this machine.
  wasmqtt config set id=kitchen user=kitchen --password-file secret.txt`;

async function getConfig({ context, output, flags }: CommandCall<GetFlags>): Promise<ExitCode> {
  const line = await deviceLine(flags, context);
  const config = await withBoard(line, context, (board) => board.config());
  if (flags.json === true) {
    const profile = profileName(config.profileSha256);
    output.json({ schema: "wasmqtt/config.v1", ...config, profile: profile ?? null });
  } else {
    printConfig(config, output);
  }
  return ExitCode.Ok;
}

async function setConfig({
  context,
  output,
  flags,
  args,
}: CommandCall<SetFlags>): Promise<ExitCode> {
  const password = readPassword(flags, context);
  const assignments = args.map(readAssignment);
  checkNoneTwice(assignments.flatMap((assignment) => Object.keys(assignment)));
  const changes: ConfigChanges = Object.assign(
    {},
    ...assignments,
    password === undefined ? {} : { password },
  );
  if (Object.keys(changes).length === 0) {
    throw new UsageError(
      "There is nothing to set",
      "As in: wasmqtt config set id=kitchen interval=5s",
    );
  }
  return change(changes, { context, output, flags });
}

async function unsetConfig(call: CommandCall<DeviceFlags>): Promise<ExitCode> {
  const changes: ConfigChanges = Object.assign(
    {},
    ...call.args.map((name) => ({ [fieldOf(name)]: null })),
  );
  return change(changes, call);
}

async function change(
  changes: ConfigChanges,
  { context, output, flags }: Pick<CommandCall<DeviceFlags>, "context" | "output" | "flags">,
): Promise<ExitCode> {
  const line = await deviceLine(flags, context);
  const config = await withBoard(line, context, async (board) => {
    await board.configure(changes);
    return board.config();
  });
  printConfig(config, output);
  output.note("The board keeps it; its module starts anew with it.");
  return ExitCode.Ok;
}

/** Keys as people and the wire name them. */
const FIELDS: Readonly<Record<string, keyof ConfigChanges>> = {
  id: "clientId",
  user: "userName",
  pass: "password",
  interval: "intervalMs",
  qos: "qos",
  profile: "profile",
};

function fieldOf(name: string): keyof ConfigChanges {
  const field = Object.hasOwn(FIELDS, name) ? FIELDS[name] : undefined;
  if (field !== undefined) return field;
  throw new UsageError(
    `There is no key ${JSON.stringify(name)}`,
    `The keys are ${Object.keys(FIELDS).join(", ")}`,
  );
}

function readAssignment(text: string): ConfigChanges {
  const equalsAt = text.indexOf("=");
  if (/^pass(word)?=/u.test(text)) {
    throw new UsageError(
      "A password on the command line can be seen by others on this machine",
      "Give it with --password-file FILE, or --password-env VARIABLE",
    );
  }
  if (equalsAt === -1) {
    throw new UsageError(
      `${JSON.stringify(text)} is no key=value`,
      "As in id=kitchen or interval=5s",
    );
  }
  const name = text.slice(0, equalsAt);
  const field = fieldOf(name);
  return { [field]: readValue(field, text.slice(equalsAt + 1)) };
}

/** Which of the two was meant is anybody's guess. */
function checkNoneTwice(fields: readonly string[]): void {
  const double = fields.find((field, index) => fields.indexOf(field) !== index);
  if (double === undefined) return;
  const name = Object.keys(FIELDS).find((key) => FIELDS[key] === double);
  throw new UsageError(`${name} is there twice`, "Give each key once");
}

function readValue(field: keyof ConfigChanges, text: string): string | number | Uint8Array {
  switch (field) {
    case "clientId":
      return readClientId(text);
    case "intervalMs":
      return readInterval(text);
    case "qos":
      return readQos(text, "qos");
    case "profile":
      return readProfile(text);
    default:
      return text;
  }
}

/** As the boards check it. */
const CLIENT_ID_LENGTH_MAX = 64;

function readClientId(id: string): string {
  const length = Buffer.byteLength(id);
  if (length >= 1 && length <= CLIENT_ID_LENGTH_MAX && !/[/+#\p{Cc}]/u.test(id)) return id;
  throw new UsageError(
    `${JSON.stringify(id)} cannot be a board's client id, which is a part of its topics`,
    `Give 1 to ${CLIENT_ID_LENGTH_MAX} bytes without / + # and control characters`,
  );
}

const INTERVAL_MS_MIN = 100;
const INTERVAL_MS_MAX = 86_400_000;

function readInterval(text: string): number {
  const intervalMs = Math.round(parseDurationMs(text) ?? Number.NaN);
  if (intervalMs >= INTERVAL_MS_MIN && intervalMs <= INTERVAL_MS_MAX) return intervalMs;
  throw new UsageError(
    `interval=${text} is out of range or no duration`,
    "Give 100ms to 24h, as in 500ms, 5s or 2m",
  );
}

function readProfile(text: string): Uint8Array {
  const name = PROFILE_NAMES.find((known) => known === text);
  const block = name === undefined ? undefined : profileOf(name).block;
  if (block !== undefined) return block;
  const others = PROFILE_NAMES.filter((known) => known !== "plain").join(", ");
  throw new UsageError(
    name === "plain"
      ? "plain is what thermometer.wasm has built in, and nothing to set"
      : `There is no profile ${JSON.stringify(text)}`,
    name === "plain"
      ? "Take another one away: wasmqtt config unset profile"
      : `Those for reporter.wasm are ${others} (docs/profiles.md)`,
  );
}

function readPassword(flags: SetFlags, context: CliContext): Uint8Array | undefined {
  const { passwordFile, passwordEnv } = flags;
  if (passwordFile !== undefined && passwordEnv !== undefined) {
    throw new UsageError("There are two passwords", "Give --password-file or --password-env");
  }
  if (passwordFile !== undefined) {
    const text = readUserFile(context, passwordFile, "password file").toString("latin1");
    // The line end that an editor put behind it is no part of the password.
    const password = text.replace(/\r?\n?$/u, "");
    if (password !== "") return Buffer.from(password, "latin1");
    throw new UsageError(
      `The password file ${JSON.stringify(passwordFile)} is empty`,
      "Put the password into it; to take it away from the board: wasmqtt config unset pass",
    );
  }
  if (passwordEnv === undefined) return undefined;
  const text = context.env[passwordEnv];
  if (text !== undefined && text !== "") return Buffer.from(text);
  throw new UsageError(
    `The variable ${JSON.stringify(passwordEnv)} is not set`,
    "Set it for this command, or give --password-file",
  );
}

function printConfig(config: BoardConfig, output: Output): void {
  const { clientId, userName, hasPassword, intervalMs, qos, profileSha256, hasKey } = config;
  const fact = (name: string, value: string | undefined) => {
    const text = value === undefined ? output.colors.dim("not set") : printable(value);
    output.result(`  ${output.colors.dim(name.padEnd(9))}${text}`);
  };
  fact("id", clientId);
  fact("user", userName);
  fact("pass", hasPassword ? "set, and never read back" : undefined);
  fact("interval", intervalMs === undefined ? undefined : formatDuration(intervalMs));
  fact("qos", qos === undefined ? undefined : `${qos}`);
  fact("profile", profileText(profileSha256));
  fact("key", hasKey ? "provisioned: takes only signed modules" : "none: takes any module");
}

function profileText(sha256: string | undefined): string | undefined {
  if (sha256 === undefined) return undefined;
  return profileName(sha256) ?? `another one (SHA-256 ${sha256.slice(0, 12)}…)`;
}

/** Undefined for none, and for one that is not ours. */
function profileName(sha256: string | undefined): string | undefined {
  if (sha256 === undefined) return undefined;
  return PROFILE_NAMES.find((name) => {
    const { block } = profileOf(name);
    return block !== undefined && createHash("sha256").update(block).digest("hex") === sha256;
  });
}
