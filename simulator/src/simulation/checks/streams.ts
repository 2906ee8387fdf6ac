/** All numbered messages of a simulated world, in both directions: which stream each belongs to, and what is excused. */

import type { BrokerSession } from "../broker-session.ts";
import type { Device } from "../device.ts";
import { SimulationFailure } from "../failure.ts";
import { DownStream } from "./down-stream.ts";
import type { ExcuseCounts } from "./excuses.ts";
import { UpStream } from "./up-stream.ts";

interface Numbered {
  readonly topic: string;
  readonly payload: string;
}

const QOS_COUNT = 3;

export class Streams {
  readonly #excuses: ExcuseCounts;
  /** By device and QoS. */
  readonly #up = new Map<number, UpStream[]>();
  readonly #down = new Map<number, DownStream[]>();

  constructor(excuses: ExcuseCounts) {
    this.#excuses = excuses;
  }

  add({ index, plan }: Device): void {
    const qosLevels = Array.from({ length: QOS_COUNT }, (_, qos) => qos);
    const excuses = this.#excuses;
    this.#up.set(
      index,
      qosLevels.map((qos) => {
        const isContinuous = plan.isDurable && qos > 0;
        return new UpStream({ deviceIndex: index, qos, isContinuous, excuses });
      }),
    );
    this.#down.set(
      index,
      qosLevels.map((qos) => new DownStream(index, qos, excuses)),
    );
  }

  /** A message of a device has reached the broker. */
  arrived(message: Numbered): void {
    const { stream, life, number } = this.#upOf(message);
    stream.arrived(life, number);
  }

  /** A device was told that its message arrived. */
  acknowledged(message: Numbered): void {
    const { stream, life, number } = this.#upOf(message);
    stream.acknowledged(life, number);
  }

  /** The session of a QoS 2 message was lost while it was under way. */
  doubt(message: Numbered): void {
    const { stream, life, number } = this.#upOf(message);
    stream.excuse(life, number, "in doubt");
  }

  /** As `doubt`, and the device was not told. */
  doubtUntold(message: Numbered): void {
    const { stream, life, number } = this.#upOf(message);
    stream.excuse(life, number, "session present lies");
  }

  /** The broker has queued a numbered message for a device. */
  owe(message: Numbered): void {
    const { stream, number } = this.#downOf(message);
    stream.owe(number);
  }

  /** The application of a device has taken a message. */
  taken(deviceIndex: number, topic: string, payload: string): { qos: 0 | 1 | 2; number: number } {
    const { stream, number, index, qos } = this.#downOf({ topic, payload });
    if (index !== deviceIndex) {
      throw new SimulationFailure("exactly-once", deviceIndex, `it got a message on ${topic}`);
    }
    stream.taken(number);
    return { qos: qos as 0 | 1 | 2, number };
  }

  restored(deviceIndex: number, highest: readonly number[]): void {
    for (const [qos, stream] of (this.#down.get(deviceIndex) ?? []).entries()) {
      stream.restored(highest[qos] ?? 0);
    }
  }

  /** What was under way to a client in a session that is gone. */
  sessionEnded({ deliveries }: BrokerSession): void {
    for (const { message } of deliveries) {
      if (!isNumberedDown(message.topic)) continue;
      const { stream, number } = this.#downOf(message);
      stream.excuse(number, "session ended");
    }
  }

  /** A new message with an identifier that the device holds for an old one. */
  mistaken(message: Numbered): void {
    if (!isNumberedDown(message.topic)) return;
    const { stream, number } = this.#downOf(message);
    stream.excuse(number, "session present lies");
  }

  /** Everything has had time to arrive. `next` is the number of the next message at each QoS. */
  finish(deviceIndex: number, life: number, next: readonly number[]): void {
    for (const [qos, stream] of (this.#up.get(deviceIndex) ?? []).entries()) {
      stream.finish(life, (next[qos] ?? 1) - 1);
    }
    for (const stream of this.#down.get(deviceIndex) ?? []) stream.finish();
  }

  counts(): { up: number; upRepeated: number; down: number; downRepeated: number } {
    const counts = { up: 0, upRepeated: 0, down: 0, downRepeated: 0 };
    for (const stream of [...this.#up.values()].flat()) {
      counts.up += stream.arrivedCount;
      counts.upRepeated += stream.repeatedCount;
    }
    for (const stream of [...this.#down.values()].flat()) {
      counts.down += stream.takenCount;
      counts.downRepeated += stream.repeatedCount;
    }
    return counts;
  }

  #upOf(message: Numbered): { stream: UpStream; life: number; number: number } {
    const { index, qos, life, number } = readUp(message);
    return { stream: known(this.#up.get(index)?.[qos], message), life, number };
  }

  #downOf(message: Numbered): { stream: DownStream; number: number; index: number; qos: number } {
    const { index, qos, number } = readDown(message);
    return { stream: known(this.#down.get(index)?.[qos], message), number, index, qos };
  }
}

/** Sequence numbers of a thermometer that forgets them begin with this times its life. */
export const SEQUENCE_SPAN = 1_000_000;

/** Commands give the interval so many milliseconds and their number. */
const COMMAND_BASE_MS = 20_000;

export function commandOf(number: number): string {
  return `interval ${COMMAND_BASE_MS + number}`;
}

/** True if the broker gets this from a device as a numbered message. */
export function isNumberedUp(topic: string): boolean {
  return topic.startsWith("up/") || topic.endsWith("/telemetry");
}

function isNumberedDown(topic: string): boolean {
  return /^down\/\d+\/\d$|\/cmd$/u.test(topic);
}

/** `up/<device>/<qos>` carries `<life>.<number>.<padding>`; telemetry has its `seq`. */
function readUp({ topic, payload }: Numbered) {
  const [kind = "", who = "", qos = ""] = topic.split("/");
  if (kind === "up") {
    const [life = "", number = ""] = payload.split(".", 2);
    return { index: Number(who), qos: Number(qos), life: Number(life), number: Number(number) };
  }
  const seq = Number(/"seq":(\d+)/u.exec(payload)?.[1]);
  const life = Math.floor(seq / SEQUENCE_SPAN);
  return { index: deviceIndexOf(who), qos: 1, life, number: seq % SEQUENCE_SPAN };
}

/** `down/<device>/<qos>` carries `<number>.<padding>`; each command has another interval. */
function readDown({ topic, payload }: Numbered) {
  const [kind = "", who = "", qos = ""] = topic.split("/");
  if (kind === "down") {
    return { index: Number(who), qos: Number(qos), number: Number.parseInt(payload, 10) };
  }
  const intervalMs = Number(payload.split(" ")[1]);
  return { index: deviceIndexOf(who), qos: 1, number: intervalMs - COMMAND_BASE_MS };
}

/** Client ids are `device-<index>`. */
export function deviceIndexOf(clientId: string): number {
  return Number(clientId.slice("device-".length));
}

function known<Stream>(stream: Stream | undefined, { topic, payload }: Numbered): Stream {
  if (stream !== undefined) return stream;
  const problem = `nobody has published ${JSON.stringify(payload)} on ${topic}`;
  throw new SimulationFailure("exactly-once", undefined, problem);
}
