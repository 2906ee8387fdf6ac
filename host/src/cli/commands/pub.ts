/** `wasmqtt pub`: publishes one message, one many times, or each line of stdin. */

import type { Command } from "commander";
import type { MqttClient } from "../../client/mqtt-client.ts";
import type { Qos } from "../../core/session.ts";
import { UsageError } from "../../errors.ts";
import { action, type CliContext, type CommandCall, readUserFile } from "../command.ts";
import { ExitCode } from "../exit-code.ts";
import {
  addConnectionOptions,
  type ConnectionFlags,
  connectionSettings,
  qosOption,
  readInteger,
  readQos,
  readSeconds,
  readTopicName,
  retainOption,
} from "../options.ts";
import type { Output } from "../output.ts";
import { withClient } from "../with-client.ts";

interface PubFlags extends ConnectionFlags {
  topic?: string;
  message?: string;
  file?: string;
  stdinLine?: boolean;
  nullMessage?: boolean;
  stdinFile?: boolean;
  qos: string;
  retain?: boolean;
  repeat?: string;
  repeatDelay?: string;
}

/** Everything that has to be published. */
interface Job {
  readonly topic: string;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly payloads: AsyncIterable<Uint8Array>;
  /** The largest of them, as far as that is known. */
  readonly payloadLengthMax: number;
}

export function registerPub(program: Command, context: CliContext): void {
  const command = program
    .command("pub")
    .description("Publish messages; done when the broker has taken over all of them.")
    .option("-t, --topic <topic>", "where (or as the path of --url)")
    .option("-m, --message <text>", "what: this text")
    .option("-f, --file <file>", "what: the content of a file")
    .option("-n, --null-message", "what: nothing; with -r it deletes the retained message")
    .option("-s, --stdin-file", "what: stdin as one message")
    .option("-l, --stdin-line", "what: each line of stdin as a message, blank ones left out")
    .addOption(qosOption())
    .addOption(retainOption())
    .option("--repeat <count>", "publish the message so many times (default: 1)")
    .option("--repeat-delay <seconds>", "wait so long in between (default: 0)");
  addConnectionOptions(command).addHelpText("after", EXAMPLES).action(action(context, pub));
}

const EXAMPLES = `
Examples:
  wasmqtt pub -t motes/kitchen/cmd -m report -q 1
  wasmqtt pub -t house/door -m open -q 1 -r        later subscribers see it, too
  tail -f log.txt | wasmqtt pub -h broker.example -t logs -l`;

async function pub({ context, output, flags }: CommandCall<PubFlags>): Promise<ExitCode> {
  const settings = connectionSettings(flags, context, output);
  const job = await jobOf(flags, settings.url.topic, context);
  const transmit = job.payloadLengthMax + Buffer.byteLength(job.topic) + OUTBOX_REST_LENGTH;
  const options = { ...settings, reconnect: false, capacities: { transmit } } as const;
  return withClient(options, context, (client) => publishAll(client, job, output));
}

const REPEAT_COUNT_MAX = 1_000_000_000;

/** Room in the outbox besides one message of the largest size: headers, and more messages. */
const OUTBOX_REST_LENGTH = 65_536;

/** The largest payload, so that it fits the largest outbox (16 MiB). */
const PAYLOAD_LENGTH_MAX = 15 * 1024 * 1024;

/** Longer lines are not expected, so there is no room for them. */
const LINE_LENGTH_MAX = 1024 * 1024;

async function jobOf(
  flags: PubFlags,
  urlTopic: string | undefined,
  context: CliContext,
): Promise<Job> {
  const topic = readTopicName(flags.topic ?? urlTopic ?? "", "--topic");
  const common = { topic, qos: readQos(flags.qos, "--qos"), retain: flags.retain === true };
  const repeatCount = readInteger(flags.repeat ?? "1", "--repeat", 1, REPEAT_COUNT_MAX);
  const delayMs = readSeconds(flags.repeatDelay ?? "0", "--repeat-delay");
  checkSource(flags);
  if (flags.stdinLine === true) {
    return { ...common, payloads: lines(context.stdin), payloadLengthMax: LINE_LENGTH_MAX };
  }
  const payload = await payloadOf(flags, context);
  const payloads = repeated(payload, repeatCount, delayMs, context);
  return { ...common, payloads, payloadLengthMax: payload.length };
}

/** One flag says what to publish. */
function checkSource(flags: PubFlags): void {
  const { message, file, nullMessage, stdinFile, stdinLine } = flags;
  const given = [message, file, nullMessage, stdinFile, stdinLine].filter(
    (flag) => flag !== undefined,
  );
  if (given.length !== 1) {
    throw new UsageError(
      given.length === 0 ? "There is nothing to publish" : "There are several things to publish",
      "Give one of -m TEXT, -f FILE, -n, -s and -l",
    );
  }
  const hasRepeat = flags.repeat !== undefined || flags.repeatDelay !== undefined;
  if (stdinLine === true && hasRepeat) {
    throw new UsageError("Lines cannot be repeated", "Leave out --repeat and --repeat-delay");
  }
}

async function payloadOf(
  { message, file, stdinFile }: PubFlags,
  context: CliContext,
): Promise<Uint8Array> {
  const payload = await (async () => {
    if (message !== undefined) return Buffer.from(message);
    if (file !== undefined) return readUserFile(context, file, "file to publish");
    return stdinFile === true ? readAll(context.stdin) : new Uint8Array(0);
  })();
  if (payload.length <= PAYLOAD_LENGTH_MAX) return payload;
  throw new UsageError(
    `The message has ${payload.length} bytes`,
    `Give at most ${PAYLOAD_LENGTH_MAX} bytes`,
  );
}

/** Stops reading when it is too much in any case. */
async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > PAYLOAD_LENGTH_MAX) break;
  }
  return Buffer.concat(chunks);
}

async function* repeated(
  payload: Uint8Array,
  count: number,
  delayMs: number,
  { world }: CliContext,
): AsyncIterable<Uint8Array> {
  for (let index = 0; index < count; index++) {
    if (index > 0 && delayMs > 0) {
      await new Promise<void>((resolve) => {
        world.setTimer(delayMs, resolve);
      });
    }
    yield payload;
  }
}

const LINE_FEED = 0x0a;

/** The lines without their ends and without blank ones. The last one needs no end. */
async function* lines(stream: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of stream) {
    rest = Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(LINE_FEED); end >= 0; end = rest.indexOf(LINE_FEED)) {
      if (end > 0) yield checkedLine(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
    }
    checkedLine(rest);
  }
  if (rest.length > 0) yield rest;
}

function checkedLine(line: Uint8Array): Uint8Array {
  if (line.length <= LINE_LENGTH_MAX) return line;
  throw new UsageError(
    `A line of stdin has more than ${LINE_LENGTH_MAX} bytes`,
    "Publish larger messages one by one, with --stdin-file or --file",
  );
}

/** So many messages may wait for their acknowledgement while more are read. */
const PENDING_COUNT_MAX = 64;

async function publishAll(client: MqttClient, job: Job, output: Output): Promise<ExitCode> {
  const { topic, qos, retain, payloads } = job;
  const pending: Promise<void>[] = [];
  let publishedCount = 0;
  let doneCount = 0;
  const finishOldest = async () => {
    await pending.shift();
    doneCount++;
  };
  try {
    for await (const payload of payloads) {
      const published = client.publish(topic, payload, { qos, retain });
      published.catch(() => {}); // it is awaited in its turn
      publishedCount++;
      pending.push(published);
      if (pending.length >= PENDING_COUNT_MAX) await finishOldest();
    }
    while (pending.length > 0) await finishOldest();
  } catch (error) {
    if (publishedCount > 1) output.note(`${doneCount} of ${publishedCount} messages are done.`);
    throw error;
  }
  return ExitCode.Ok;
}
