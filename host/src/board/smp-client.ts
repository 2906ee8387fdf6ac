/** Asks a board over the Simple Management Protocol: one request at a time, repeated until it is answered. */

import { decode, encode } from "cborg";
import { z } from "zod";
import type { Timer, World } from "../world.ts";
import { BoardError } from "./board-error.ts";
import { SmpError, SmpGroup } from "./smp-error.ts";
import { encodePacket, PacketReceiver, SmpOperation, type SmpPacket } from "./smp-packet.ts";

/** How long to wait for an answer, and how often to ask. */
export interface SmpPatience {
  readonly timeoutMs: number;
  /** With the first. */
  readonly attemptCount: number;
}

/** On a line that loses one packet in three, six attempts fail once in 700 requests. */
const PATIENCE: SmpPatience = { timeoutMs: 1_000, attemptCount: 6 };

export interface SmpRequest<Answer> {
  /** What is asked for, to follow "The board refuses to". */
  readonly what: string;
  /** What to do if it refuses, unless its code says that. */
  readonly remedy?: string;
  readonly operation: "read" | "write";
  readonly group: number;
  readonly command: number;
  /** Becomes a CBOR map; keys that are undefined are left out. */
  readonly body?: Readonly<Record<string, unknown>>;
  readonly answer: z.ZodType<Answer>;
  readonly patience?: SmpPatience | undefined;
}

interface Pending {
  readonly request: SmpRequest<unknown>;
  readonly packet: SmpPacket;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
  attemptCount: number;
  timer: Timer | undefined;
}

/** The version of SMP whose errors come with a reason in words. */
const SMP_VERSION_1 = 0;

const LF = Uint8Array.of(0x0a);

export class SmpClient {
  readonly #world: World;
  readonly #write: (bytes: Uint8Array) => void;
  readonly #receiver: PacketReceiver;
  /** Begins anywhere, so that a late answer to somebody before us is not taken for ours. */
  #sequence: number;
  /** The first one is under way. */
  readonly #pending: Pending[] = [];
  #end: BoardError | undefined;

  /** `write` sends bytes to the board. */
  constructor(world: World, write: (bytes: Uint8Array) => void) {
    this.#world = world;
    this.#write = write;
    this.#receiver = new PacketReceiver(world);
    this.#sequence = Math.floor(world.random() * 256);
  }

  /**
   * Rejects with an SmpError if the board refuses, and with a BoardError if it does not answer ("silent"), answers what
   * makes no sense ("foreign"), or the line ends ("lost").
   */
  request<Answer>(request: SmpRequest<Answer>): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      if (this.#end !== undefined) {
        reject(this.#end);
        return;
      }
      this.#sequence = (this.#sequence + 1) % 256;
      this.#pending.push({
        request,
        packet: requestPacket(request, this.#sequence),
        resolve: (answer) => resolve(answer as Answer),
        reject,
        attemptCount: 0,
        timer: undefined,
      });
      if (this.#pending.length === 1) this.#send();
    });
  }

  /** Takes a line of a packet. */
  receive(line: Uint8Array): void {
    const packet = this.#receiver.receive(line);
    if (packet === undefined) return;
    const pending = this.#pending[0];
    if (pending === undefined || !isAnswer(packet, pending.packet)) return;
    try {
      pending.resolve(readAnswer(packet.body, pending.request));
    } catch (error) {
      pending.reject(error as Error);
    }
    this.#next();
  }

  /** The line is over: whatever is asked for, now or later, fails with `reason`. */
  end(reason: BoardError): void {
    this.#end ??= reason;
    for (const { reject, timer } of this.#pending.splice(0)) {
      timer?.clear();
      reject(reason);
    }
  }

  #send(): void {
    const pending = this.#pending[0];
    if (pending === undefined) return;
    const { timeoutMs, attemptCount } = pending.request.patience ?? PATIENCE;
    if (pending.attemptCount === attemptCount) {
      pending.reject(noAnswer(pending.request.what, timeoutMs, attemptCount));
      this.#next();
      return;
    }
    pending.attemptCount++;
    // The end of a line that was lost on the way must not take this one with it.
    this.#write(LF);
    this.#write(encodePacket(pending.packet));
    pending.timer = this.#world.setTimer(timeoutMs, () => this.#send());
  }

  #next(): void {
    this.#pending.shift()?.timer?.clear();
    this.#send();
  }
}

function requestPacket({ operation, group, command, body }: SmpRequest<unknown>, sequence: number) {
  return {
    operation: operation === "read" ? SmpOperation.Read : SmpOperation.Write,
    version: SMP_VERSION_1,
    group,
    sequence,
    command,
    body: encode(body ?? {}, { ignoreUndefinedProperties: true }),
  };
}

function isAnswer(packet: SmpPacket, request: SmpPacket): boolean {
  return (
    packet.operation === request.operation + 1 &&
    packet.group === request.group &&
    packet.command === request.command &&
    packet.sequence === request.sequence
  );
}

/** What an answer says about errors. Version 2 has `err`: a server may answer so in whatever version it was asked. */
const outcome = z.looseObject({
  rc: z.int().optional(),
  err: z.looseObject({ group: z.int(), rc: z.int() }).optional(),
  rsn: z.string().optional(),
});

function readAnswer(body: Uint8Array, { what, remedy, answer }: SmpRequest<unknown>): unknown {
  const map = decodeMap(body, what);
  const { rc, err, rsn: reason } = checked(outcome, map, what);
  const { group, rc: code } = err ?? { group: SmpGroup.Os, rc: rc ?? 0 };
  if (code !== 0) throw new SmpError(what, remedy, { group, code, reason });
  return checked(answer, map, what);
}

/** Maps may be of indefinite length, as Zephyr's servers write them. */
function decodeMap(body: Uint8Array, what: string): unknown {
  try {
    return decode(body, {
      strict: true,
      rejectDuplicateMapKeys: true,
      allowUndefined: false,
      allowInfinity: false,
      allowNaN: false,
      allowBigInt: false,
    });
  } catch (cause) {
    throw nonsense(what, `it is no CBOR map that can be read: ${(cause as Error).message}`, cause);
  }
}

function checked<Shape>(schema: z.ZodType<Shape>, value: unknown, what: string): Shape {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const where = issue === undefined || issue.path.length === 0 ? "" : `${issue.path.join(".")}: `;
  throw nonsense(what, `${where}${issue?.message ?? "it has another form"}`, result.error);
}

function nonsense(what: string, problem: string, cause: unknown): BoardError {
  return new BoardError(
    "foreign",
    `The board was asked to ${what}, and its answer makes no sense: ${problem}`,
    "Its runtime and this program do not fit: install a runtime of this version with `wasmqtt firmware install`",
    { cause },
  );
}

function noAnswer(what: string, timeoutMs: number, attemptCount: number): BoardError {
  const seconds = (timeoutMs * attemptCount) / 1_000;
  return new BoardError(
    "silent",
    `The board was asked ${attemptCount} times to ${what}, and did not answer within ${seconds} s`,
    "Check the cable, and whether another program (a second terminal) reads from the same port",
  );
}
