/** `wasmqtt sub`: prints the messages of one or more subscriptions. */

import type { Command } from "commander";
import type { MqttClient } from "../../client/mqtt-client.ts";
import type { GrantedSubscription } from "../../client/requests.ts";
import type { IncomingMessage, Qos } from "../../core/session.ts";
import { UsageError } from "../../errors.ts";
import { action, type CliContext, type CommandCall } from "../command.ts";
import { ExitCode } from "../exit-code.ts";
import {
  FORMAT_TEXT,
  jsonFormat,
  type MessageFormat,
  parseFormat,
  payloadFormat,
  verboseFormat,
} from "../message-format.ts";
import {
  addConnectionOptions,
  type ConnectionFlags,
  connectionSettings,
  qosOption,
  readInteger,
  readQos,
  readSeconds,
  sessionOption,
} from "../options.ts";
import { type Output, printable } from "../output.ts";
import { withClient } from "../with-client.ts";

interface SubFlags extends ConnectionFlags {
  topic: string[];
  qos: string;
  verbose?: boolean;
  format?: string;
  json?: boolean;
  count?: string;
  timeout?: string;
  /** False after -R. */
  retained: boolean;
  retainedOnly?: boolean;
  receiveBuffer: string;
}

/** What to print, and when to stop. */
interface Job {
  readonly topicFilters: readonly string[];
  readonly qos: Qos;
  readonly format: MessageFormat;
  readonly countMax: number;
  /** Undefined: no limit. */
  readonly timeoutMs: number | undefined;
  /** Which messages are printed. */
  readonly kind: "all" | "fresh" | "retained";
}

export function registerSub(program: Command, context: CliContext): void {
  const command = program
    .command("sub")
    .description("Print messages as they come, until Ctrl-C.")
    .option(
      "-t, --topic <filter>",
      "what to subscribe to, repeatable (or the path of --url)",
      collect,
      [],
    )
    .addOption(qosOption())
    .addOption(sessionOption())
    .option("-v, --verbose", "print topic and payload")
    .option("-F, --format <format>", "print this instead (see below)")
    .option("--json", "print one line of JSON for each message")
    .option("-C, --count <count>", "end after so many messages")
    .option("-W, --timeout <seconds>", "end after this time")
    .option("-R, --no-retained", "leave out retained messages")
    .option("--retained-only", "print retained messages only, and end with the first other one")
    .option("--receive-buffer <bytes>", "messages larger than this are skipped", "1048576");
  addConnectionOptions(command)
    .addHelpText("after", `${FORMAT_TEXT}${EXAMPLES}`)
    .action(action(context, sub));
}

const EXAMPLES = `

Exit code 5 if -W ends it before -C has its messages; 3 if the broker refuses a subscription.

Examples:
  wasmqtt sub -t 'motes/+/telemetry' -v
  wasmqtt sub -t house/door -C 1 -F '%I %t %p'
  wasmqtt sub -t 'orders/#' -q 1 -i till-7 -c      the broker keeps what comes while this is away`;

function collect(value: string, values: string[]): string[] {
  return [...values, value];
}

async function sub({ context, output, flags }: CommandCall<SubFlags>): Promise<ExitCode> {
  const settings = connectionSettings(flags, context, output);
  const job = jobOf(flags, settings.url.topic);
  const receive = readInteger(flags.receiveBuffer, "--receive-buffer", 128, 16 * 1024 * 1024);
  const options = { ...settings, capacities: { receive } };
  return withClient(options, context, async (client) => {
    const messages = client.messages();
    tellTrouble(client, output);
    const { topicFilters, qos } = job;
    if (!isGranted(await client.subscribe(topicFilters, { qos }), output)) {
      return ExitCode.Connection;
    }
    return Promise.race([print(messages, job, context), timeUp(job, context)]);
  });
}

function jobOf(flags: SubFlags, urlTopic: string | undefined): Job {
  const named = flags.topic.length === 0 && urlTopic !== undefined ? [urlTopic] : flags.topic;
  if (named.length === 0) {
    throw new UsageError("There is nothing to subscribe to", "Give -t FILTER, as in -t 'motes/#'");
  }
  if (!flags.retained && flags.retainedOnly === true) {
    throw new UsageError("-R and --retained-only leave nothing to print", "Give one of the two");
  }
  const { count, timeout } = flags;
  return {
    topicFilters: named.map(readTopicFilter),
    qos: readQos(flags.qos, "--qos"),
    format: formatOf(flags),
    countMax:
      count === undefined ? Number.POSITIVE_INFINITY : readInteger(count, "--count", 1, COUNT_MAX),
    timeoutMs: timeout === undefined ? undefined : readSeconds(timeout, "--timeout"),
    kind: flags.retainedOnly === true ? "retained" : flags.retained ? "all" : "fresh",
  };
}

const COUNT_MAX = 1_000_000_000;

/** Not empty, no U+0000, wildcards only as whole levels, "#" only as the last one (4.7.1). */
function readTopicFilter(topicFilter: string): string {
  const levels = topicFilter.split("/");
  const isAllowed = (level: string, index: number) =>
    level === "+" || (level === "#" && index === levels.length - 1) || !/[#+\0]/.test(level);
  const length = Buffer.byteLength(topicFilter);
  if (levels.every(isAllowed) && length > 0 && length <= 65_535) return topicFilter;
  throw new UsageError(
    `--topic ${JSON.stringify(topicFilter)} is no topic filter`,
    "Give 1 to 65535 bytes, with + for one whole level and # for all last ones, as in motes/+/status",
  );
}

function formatOf({ format, json, verbose }: SubFlags): MessageFormat {
  if (format !== undefined && json === true) {
    throw new UsageError("--format and --json cannot go together", "Give one of the two");
  }
  if (format !== undefined) return parseFormat(format);
  if (json === true) return jsonFormat;
  return verbose === true ? verboseFormat : payloadFormat;
}

function isGranted(granted: readonly GrantedSubscription[], output: Output): boolean {
  const refused = granted.filter(({ grantedQos }) => grantedQos === undefined);
  if (refused.length === 0) return true;
  const filters = refused.map(({ topicFilter }) => topicFilter).join(", ");
  output.error(
    `The broker refused the subscription to ${filters}`,
    "Check the broker's access rules, and --username",
  );
  return false;
}

function tellTrouble(client: MqttClient, output: Output): void {
  client.on("disconnected", ({ reason, reconnectInMs }) => {
    if (reason === undefined || reconnectInMs === undefined) return;
    output.warn(
      `${printable(reason.message)}; next attempt in ${Math.ceil(reconnectInMs / 1000)} s`,
    );
  });
  client.on("connected", () => output.note("Connected again."));
  client.on("unsubscribed", (topicFilter) => {
    output.warn(`after the reconnection the broker refuses ${printable(topicFilter)}`);
  });
  client.on("skipped", ({ topic, payloadLength }) => {
    const where = printable(topic);
    output.warn(`skipped ${payloadLength} bytes on ${where}: larger than --receive-buffer`);
  });
}

async function print(
  messages: AsyncIterable<IncomingMessage>,
  { format, countMax, kind }: Job,
  { stdout, world }: CliContext,
): Promise<ExitCode> {
  let count = 0;
  for await (const message of messages) {
    if (kind === "retained" && !message.retain) break;
    if (kind === "fresh" && message.retain) continue;
    stdout.write(format(message, world));
    count++;
    if (count >= countMax) break;
    await stdout.drained();
  }
  return ExitCode.Ok;
}

/** Never resolves without a limit. */
function timeUp({ timeoutMs, countMax }: Job, { world }: CliContext): Promise<ExitCode> {
  return new Promise((resolve) => {
    if (timeoutMs === undefined) return;
    const isMissing = countMax !== Number.POSITIVE_INFINITY;
    world.setTimer(timeoutMs, () => resolve(isMissing ? ExitCode.Incomplete : ExitCode.Ok));
  });
}
